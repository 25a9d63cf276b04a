//! What is told in the end: one list of figures for each scheme, side by side in one table.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::account::{Accounts, Tally};
use super::chaos::Mishaps;
use super::clerk::{Books, Times};
use super::found::Found;
use super::memory::Told;
use super::{Options, Scheme};

/// What a storm did to one scheme.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which one.
    pub scheme: Scheme,
    /// The figures.
    pub figures: Vec<Figure>,
    /// What does not fit: things lost, doubled, damaged, out of order, without an end.
    pub findings: Vec<String>,
    /// The promise about time is kept, where one was asked for.
    pub in_time: bool,
    /// Where the sessions and the logs were left, if that was asked for.
    pub kept: Option<PathBuf>,
}

/// A figure: a name for programs, one for people, and its value for both.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// For programs.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    /// For programs.
    pub value: Value,
    /// For people.
    pub text: String,
}

/// All that a report is made of.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) books: &'a Books,
    pub(super) found: &'a Found,
    pub(super) accounts: &'a Accounts,
    pub(super) mishaps: Mishaps,
    pub(super) memory: Option<Told>,
    /// The longest that the storm itself was not run by the system although it was to.
    pub(super) late: Duration,
    /// Whether everything that waited to be delivered was looked at in the end.
    pub(super) settled: bool,
}

impl Evidence<'_> {
    /// What was acknowledged may then still wait in its journal.
    fn unsettled(&self) -> Option<String> {
        let what = "not everything that waited for its delivery was looked at in time: what is missing may still be in the sender's journal";
        (!self.settled).then(|| what.to_owned())
    }
}

impl Report {
    pub(super) fn new(
        options: &Options,
        scheme: Scheme,
        evidence: &Evidence<'_>,
        kept: Option<PathBuf>,
    ) -> Self {
        let longest = longest(evidence.books);
        Self {
            scheme,
            figures: figures(options, scheme, evidence),
            findings: evidence.accounts.told().into_iter().chain(evidence.unsettled()).collect(),
            in_time: options.unwritable_max.is_none_or(|most| longest <= most),
            kept,
        }
    }

    /// Whether everything fits.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.findings.is_empty() && self.in_time
    }

    /// The figure of this name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Value> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| &figure.value)
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let figures = self.figures.iter().map(|one| (one.name.to_owned(), one.value.clone()));
        let mut object: Map<String, Value> = figures.collect();
        object.insert("scheme".to_owned(), self.scheme.as_str().into());
        object.insert("findings".to_owned(), json!(self.findings));
        object.insert("in_time".to_owned(), self.in_time.into());
        object.into()
    }
}

/// The reports side by side, a line each figure: what it is, then its value in each report.
#[must_use]
pub fn table(reports: &[Report]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let Some(first) = reports.first() else { return rows };
    for (at, figure) in first.figures.iter().enumerate() {
        let texts = reports.iter().map(|report| {
            report.figures.get(at).map_or_else(String::new, |figure| figure.text.clone())
        });
        rows.push([figure.what.to_owned()].into_iter().chain(texts).collect());
    }
    rows
}

/// The longest that any write waited for its acknowledgement, of the probes and of all others.
fn longest(books: &Books) -> Duration {
    books.gaps.max.max(books.writes.max)
}

fn count(name: &'static str, what: &'static str, value: u64) -> Figure {
    Figure { name, what, value: value.into(), text: value.to_string() }
}

fn said(name: &'static str, what: &'static str, value: Value, text: String) -> Figure {
    Figure { name, what, value, text }
}

fn figures(options: &Options, scheme: Scheme, evidence: &Evidence<'_>) -> Vec<Figure> {
    let mut figures = of_messages(evidence);
    figures.extend(of_turns(evidence));
    figures.extend(of_sessions(evidence));
    figures.extend(of_ownership(scheme, evidence));
    figures.extend(of_time(options, scheme, evidence));
    figures.extend(of_the_run(evidence));
    figures
}

fn of_messages(Evidence { books, accounts, .. }: &Evidence<'_>) -> Vec<Figure> {
    let Accounts { messages, beats, .. } = accounts;
    let answers: u64 = books.answers.values().sum();
    let unanswered = books.answers.get("no answer").copied().unwrap_or(0);
    vec![
        count("requests", "requests sent", answers),
        count("unanswered", "requests without an answer (stopped, killed)", unanswered),
        count("messages", "messages sent", messages.tried),
        count("acknowledged", "messages acknowledged", messages.acknowledged),
        count("found", "of them found once", messages.found),
        count("missing", "of them missing", messages.missing),
        count("doubled", "messages found twice", messages.doubled),
        count("disordered", "messages out of their sender's order", accounts.disordered),
        count("heartbeats", "heartbeats acknowledged", beats.acknowledged),
        count(
            "heartbeats_missing",
            "of them missing or found twice",
            beats.missing + beats.doubled,
        ),
    ]
}

fn of_turns(Evidence { books, accounts, .. }: &Evidence<'_>) -> Vec<Figure> {
    let turns = accounts.turns;
    let code = |code: &str| books.answers.get(code).copied().unwrap_or(0);
    vec![
        count("turns", "turns started", turns.started),
        count("turns_answered", "turns answered", turns.answered),
        count("turns_told", "turns ended by their policy (conflict)", turns.told),
        count("turns_cancelled", "turns cancelled on request", turns.cancelled),
        count("turns_lost", "turns lost", turns.lost),
        count("reruns", "turns run again by their policy", turns.reruns),
        count("turn_retries", "turns and children tried again by the client", books.turns_again),
        count(
            "fence_errors",
            "answers thrown away: \"session file changed\"",
            code("file_changed"),
        ),
    ]
}

fn of_sessions(Evidence { books, accounts, .. }: &Evidence<'_>) -> Vec<Figure> {
    let Accounts { sends, send_answers, children, announcements, compactions, .. } = accounts;
    let wrong = |tally: &Tally| tally.missing + tally.doubled;
    vec![
        count("sends", "messages between sessions acknowledged", sends.acknowledged),
        count("sends_wrong", "of them missing or there twice", wrong(sends)),
        count("send_answers", "answers to them acknowledged", send_answers.acknowledged),
        count("send_answers_wrong", "of them missing or there twice", wrong(send_answers)),
        count("children", "children answered", children.acknowledged),
        count(
            "announcements_wrong",
            "their announcements missing or there twice",
            wrong(announcements) + wrong(children),
        ),
        count("compactions", "compactions", compactions.acknowledged),
        count("compactions_none", "compactions with nothing to do", books.nothing_to_compact),
    ]
}

fn of_ownership(scheme: Scheme, Evidence { books, found, .. }: &Evidence<'_>) -> Vec<Figure> {
    let code = |code: &str| books.answers.get(code).copied().unwrap_or(0);
    let locks = books.locks;
    let none =
        |text: String| if scheme == Scheme::Journal { "there is no lock".into() } else { text };
    let share = percent(locks.overlaps, locks.acquisitions);
    vec![
        said(
            "lock_waits",
            "acquisitions that waited for a lock",
            locks.waited.into(),
            none(format!("{} of {}", locks.waited, locks.acquisitions)),
        ),
        said(
            "lock_wait_max_ms",
            "longest wait for a lock",
            millis(locks.wait_max),
            none(time(locks.wait_max)),
        ),
        count("lock_timeouts", "requests that gave up waiting for it", code("file_lock_timeout")),
        count("lock_stale_errors", "requests refused as file_lock_stale", code("file_lock_stale")),
        said(
            "overlaps",
            "two holders at once",
            locks.overlaps.into(),
            none(format!("{} of {} ({share})", locks.overlaps, locks.acquisitions)),
        ),
        count("forks", "records that share a parent by accident", found.forks),
        count("taken", "takeovers from an owner alive", found.openings.taken),
        count("crashed", "takeovers from an owner gone", found.openings.crashed),
        count("released", "openings after a release", found.openings.released),
        count("fenced", "requests answered: fenced", code("fenced")),
        count("held_by", "requests answered: held by the other one", code("held-by")),
    ]
}

fn of_time(options: &Options, scheme: Scheme, evidence: &Evidence<'_>) -> Vec<Figure> {
    let Evidence { books, .. } = evidence;
    let longest = longest(books);
    let mut text = time(longest);
    if scheme == Scheme::Locks && options.compress > 1 {
        // Its waits are those of the incident, compressed.
        text = format!("{text} (of the incident: {})", time(longest * options.compress));
    }
    let above = books.gaps.above(1000) + books.writes.above(1000);
    let late = evidence.late;
    vec![
        said(
            "unwritable_max_ms",
            "longest time a session could not be written",
            millis(longest),
            text,
        ),
        count("unwritable_above_1s", "times that took longer than a second", above),
        said(
            "late_max_ms",
            "longest that one of the storm's tasks woke late",
            millis(late),
            time(late),
        ),
        said("gaps_ms", "gaps of the probes, up to ms", classes(&books.gaps), spread(&books.gaps)),
        said(
            "writes_ms",
            "small writes until acknowledged, up to ms",
            classes(&books.writes),
            spread(&books.writes),
        ),
    ]
}

fn of_the_run(Evidence { found, mishaps, memory, .. }: &Evidence<'_>) -> Vec<Figure> {
    let Mishaps { stopped, killed, ended, grabbed } = *mishaps;
    let mut figures = vec![
        count("stopped", "gateway stopped and continued", stopped),
        count("killed", "gateway killed", killed),
        count("ended", "gateway restarted in good order", ended),
        count("grabbed", "fights over sessions for no reason", grabbed),
        count("sessions", "sessions in the end", found.sessions.len() as u64),
        count(
            "records",
            "records in the end",
            found.sessions.values().map(|one| one.records).sum(),
        ),
        said("bytes", "bytes in the end", found.bytes.into(), mib(found.bytes)),
    ];
    figures.extend(of_memory(memory.unwrap_or_default()));
    figures
}

fn of_memory(told: Told) -> [Figure; 3] {
    let Told { most, most_sessions, lives, long_lives, growth, growth_beside, .. } = told;
    let (base, per_session) = (told.base, told.per_session);
    let kib = |bytes: Option<f64>| {
        bytes.map_or_else(|| "not known".to_owned(), |bytes| format!("{:.1} KiB", bytes / 1024.0))
    };
    let sessions = most_sessions.map_or_else(String::new, |held| format!(", with {held} sessions"));
    [
        said(
            "memory_most_bytes",
            "most memory of a gateway",
            json!({ "bytes": most, "sessions": most_sessions }),
            format!("{}{sessions}", mib(most)),
        ),
        said(
            "memory_growth_bytes",
            "growth within its lives, a minute",
            json!({
                "a_minute": growth,
                "beside_sessions": growth_beside,
                "lives": lives,
                "long_lives": long_lives,
            }),
            format!(
                "{}, beside its sessions {} ({long_lives} of {lives} lives)",
                kib(growth),
                kib(growth_beside)
            ),
        ),
        said(
            "memory_session_bytes",
            "memory of a session that is held",
            json!({ "each": per_session, "without_any": base }),
            format!("{}, beside {}", kib(per_session), kib(base)),
        ),
    ]
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

fn time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{:.1} min", time.as_secs_f64() / 60.0),
    }
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 10_000).checked_div(whole).unwrap_or(0);
    format!("{}.{:02} %", tenths / 100, tenths % 100)
}

fn classes(times: &Times) -> Value {
    let classes =
        times.classes().map(|(bound, count)| json!({ "up_to_ms": bound, "count": count }));
    json!({ "classes": classes.collect::<Vec<_>>(), "longest_in": times.at })
}

/// The classes that are not empty, such as `10: 500  50: 3  more: 1`.
fn spread(times: &Times) -> String {
    let there = times.classes().filter(|(_, count)| *count > 0);
    let texts = there.map(|(bound, count)| match bound {
        Some(bound) => format!("{bound}: {count}"),
        None => format!("more: {count}"),
    });
    texts.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(unwritable_max: Option<Duration>) -> Options {
        Options {
            program: PathBuf::new(),
            lasts: Duration::from_secs(1),
            agents: 2,
            seed: 1,
            compress: 60,
            unwritable_max,
            keep: false,
        }
    }

    fn report(books: &Books, accounts: &Accounts, options: &Options, scheme: Scheme) -> Report {
        let found = Found::default();
        let (mishaps, memory) = (Mishaps::default(), None);
        let late = Duration::from_millis(3);
        let evidence =
            Evidence { books, found: &found, accounts, mishaps, memory, late, settled: true };
        Report::new(options, scheme, &evidence, None)
    }

    #[test]
    fn a_promise_is_broken_by_a_finding_and_by_time_where_time_is_judged() {
        let mut books = Books::default();
        books.gaps.add(Duration::from_millis(1200), "probe/p1");
        let well = Accounts::default();
        let judge = |most, accounts: &Accounts| {
            report(&books, accounts, &options(most), Scheme::Journal).is_kept()
        };
        assert!(judge(None, &well), "told, not judged");
        assert!(judge(Some(Duration::from_secs(2)), &well));
        assert!(!judge(Some(Duration::from_secs(1)), &well));
        let lost = Accounts { findings: vec!["lost".into()], ..Accounts::default() };
        assert!(!judge(None, &lost));
    }

    #[test]
    fn both_schemes_stand_in_one_table_and_in_json() {
        let mut books = Books::default();
        books.gaps.add(Duration::from_millis(1500), "probe/p1");
        let both = [Scheme::Journal, Scheme::Locks]
            .map(|scheme| report(&books, &Accounts::default(), &options(None), scheme));
        let rows = table(&both);
        assert!(rows.iter().all(|row| row.len() == 3));
        let longest = rows.iter().find(|row| row[0].starts_with("longest time")).expect("a row");
        assert_eq!(longest[1..], ["1.5 s", "1.5 s (of the incident: 90.0 s)"]);
        let waits = rows.iter().find(|row| row[0].contains("waited for a lock")).expect("a row");
        assert_eq!(waits[1..], ["there is no lock", "0 of 0"]);
        let json = both[1].to_json();
        assert_eq!((&json["scheme"], &json["unwritable_max_ms"]), (&json!("locks"), &json!(1500)));
        assert_eq!(json["gaps_ms"]["longest_in"], "probe/p1");
    }

    #[test]
    fn figures_are_written_as_people_read_them() {
        assert_eq!(mib(3 << 19), "1.5 MiB");
        assert_eq!(percent(400, 9999), "4.00 %");
        assert_eq!(percent(0, 0), "0.00 %");
        assert_eq!(time(Duration::from_secs(306)), "5.1 min");
    }
}
