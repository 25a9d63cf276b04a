//! Appends that return when the kernel has the bytes.

use session_journal::Durability::Written;
use session_journal::Session;

use super::Run;
use crate::Result;
use crate::bar::{Bar, Row, Unit, micros, rate, speed};
use crate::candidate::{Asked, Role};
use crate::drive::{Turn, candidate, task_alone, tasks, together};
use crate::engine::{JOURNAL, SESSION, name, sessions_with, store};
use crate::machine::folder;
use crate::race::{BYTES, Figure, MEAN, P50, RATE, Race, Turns};
use crate::raw::{FRAME, IN_PLACE, RAW};
use crate::workload::{Mix, RECORD_BYTES, payload};

const ASYNC: &str = "session-journal, `Session`, from a task";
const ONE: &str = "bare `write(2)`, one thread, one at a time";
const ENOUGH_HANDLES: &str = "session-journal, `Session`, handles for all";
const PIPELINED: &str = "session-journal, `Session`, 8 tasks, 64 in flight each";
/// How many appends of a task wait for their answer at a time.
const IN_FLIGHT: usize = 64;

/// With more sessions than this the other stores are left out: opening them takes longer than the rest.
const SESSIONS_OF_ALL: usize = 32;

/// A turn for every candidate; those that have no such mode will say so.
pub(super) fn turns_of<'a>(run: &Run<'_>, asked: Asked, turn: Turn<'a>) -> Turns<'a> {
    let mut turns = Turns::default();
    for one in run.candidates.clone() {
        if one.role == Role::Other && asked.sessions > SESSIONS_OF_ALL {
            continue;
        }
        turns.add(one.name, one.told, move || candidate(&one, asked, turn));
    }
    turns
}

pub(super) fn written(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let turn = Turn { payloads: &payloads, appends: run.scale.appends, time: run.scale.turn };
    let runtime = crate::drive::runtime()?;
    let mut turns = turns_of(run, Asked::alone(Written), turn);
    turns.add(ASYNC, "the async handle, from a task of a runtime with two threads", || {
        let folder = folder()?;
        let session = store(folder.path(), Written)?.create_blocking(&name(0)?)?;
        task_alone(&runtime, &session, turn).map(Some)
    });
    let title = "Append 1 KiB, written, one at a time";
    let race = turns.run(title, run.scale.rounds, &mut run.random);
    beside_bare(run, &race, "append 1 KiB, `Written`, `Journal`, one at a time", 1.35, true);
    for (work, name, of) in [
        ("… the mean, its syncs in the background included", JOURNAL, MEAN),
        ("… through `Session`, its blocking twin", SESSION, P50),
    ] {
        run.row(work, told_beside_write(&race, work, name, of));
    }
    let work = "append 1 KiB, `Written`, async handle, one at a time, from a tokio runtime";
    let row = race.difference(ASYNC, JOURNAL, P50).and_then(|added| {
        let (this, limit) = (race.entry(ASYNC)?.median(P50), race.entry(JOURNAL)?.median(P50));
        let bar = Bar::AtMost(8.0);
        Ok(Row::judged(work, &micros(this), &micros(limit), added, Unit::Micros, bar))
    });
    run.row(work, row);
    for (role, least) in [(Role::LockFile, 8.0), (Role::Sqlite, 8.0), (Role::LogCrate, 1.0)] {
        // A log that syncs at every append has no such mode, and is not among them.
        for peer in run.names(role, &race) {
            let work = format!("append 1 KiB, `Written`, against {peer}");
            let row = judged_rate(&race, &work, JOURNAL, peer, least);
            let row = row.map(|row| if role == Role::LogCrate { row } else { row.for_users() });
            run.row(&work, row);
            run.row("… p50", told_p50(&race, JOURNAL, peer));
        }
    }
    run.keep(race);
    Ok(())
}

/// A row: the owner beside the bare calls.
pub(super) fn beside_bare(
    run: &mut Run<'_>,
    race: &Race,
    work: &str,
    at_most: f64,
    for_users: bool,
) {
    let row = race.ratio(JOURNAL, RAW, P50).and_then(|ratio| {
        let (this, limit) = (race.entry(JOURNAL)?.median(P50), race.entry(RAW)?.median(P50));
        let bar = Bar::AtMost(at_most);
        let row = Row::judged(work, &micros(this), &micros(limit), ratio, Unit::Ratio, bar);
        Ok(if for_users { row.for_users() } else { row })
    });
    run.row(work, row);
    for (work, limit) in [
        ("… the system calls that it cannot do without, alone", FRAME),
        ("… bare, within a file that does not grow", IN_PLACE),
    ] {
        if race.has(limit) {
            run.row(work, told_beside_write(race, work, limit, P50));
        }
    }
}

fn told_beside_write(race: &Race, work: &str, name: &str, of: Figure) -> Result<Row> {
    let (this, limit) = (race.entry(name)?.median(of), race.entry(RAW)?.median(of));
    let ratio = Unit::Ratio.text(race.ratio(name, RAW, of)?);
    Ok(Row::told(work, &micros(this), &micros(limit), &ratio))
}

/// A row: how many times the rate of a peer. What a peer does now and then, such as a checkpoint, is in
/// its rate and in no median of its times.
pub(super) fn judged_rate(
    race: &Race,
    work: &str,
    this: &str,
    to: &str,
    at_least: f64,
) -> Result<Row> {
    let ratio = race.ratio(this, to, RATE)?;
    let (this, limit) = (race.entry(this)?.median(RATE), race.entry(to)?.median(RATE));
    let bar = Bar::AtLeast(at_least);
    Ok(Row::judged(work, &rate(this), &rate(limit), ratio, Unit::Ratio, bar))
}

/// Beside such a row: half of the times, and how many times as long the peer takes.
pub(super) fn told_p50(race: &Race, this: &str, to: &str) -> Result<Row> {
    let ratio = Unit::Ratio.text(race.ratio(to, this, P50)?);
    let (this, limit) = (race.entry(this)?.median(P50), race.entry(to)?.median(P50));
    Ok(Row::told("… p50", &micros(this), &micros(limit), &ratio))
}

pub(super) fn pipelined(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let turn = Turn { payloads: &payloads, appends: run.scale.appends, time: run.scale.turn };
    let (bare, runtime) = (run.candidates[0], crate::drive::runtime()?);
    for producers in [8, 32] {
        let asked = Asked { durability: Written, sessions: 1, producers };
        let mut turns = turns_of(run, asked, turn);
        turns.add(ONE, "", || candidate(&bare, Asked::alone(Written), turn));
        if producers == 8 {
            turns.add(PIPELINED, "the async handle", || {
                let folder = folder()?;
                let sessions = open_sessions(folder.path(), Written, 1)?;
                tasks(&runtime, &sessions, 8, IN_FLIGHT, turn).map(Some)
            });
        }
        let title = format!("Append 1 KiB, written, {producers} threads on one session");
        let race = turns.run(&title, run.scale.rounds, &mut run.random);
        if producers == 8 {
            let work = "append 1 KiB, `Written`, 8 producers pipelining on one session";
            let row = judged_rate(&race, work, PIPELINED, ONE, 1.5).map(Row::for_users);
            run.row(work, row);
        }
        let work = format!("… {producers} threads on one session, one append at a time each");
        let row = told_rate(&race, &work, SESSION, RAW);
        run.row(&work, row);
        run.keep(race);
    }
    Ok(())
}

fn told_rate(race: &Race, work: &str, this: &str, to: &str) -> Result<Row> {
    let ratio = Unit::Ratio.text(race.ratio(this, to, RATE)?);
    let (this, to) = (race.entry(this)?.median(RATE), race.entry(to)?.median(RATE));
    Ok(Row::told(work, &rate(this), &rate(to), &ratio))
}

pub(super) fn large(run: &mut Run<'_>) -> Result<()> {
    for (text, bytes) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let payloads = [payload(bytes)];
        // Not more than the kernel keeps dirty without holding up whoever writes.
        let appends = run.scale.appends.min((128 << 20) / bytes);
        let turn = Turn { payloads: &payloads, appends, time: run.scale.turn };
        let title = format!("Append {text}, written, one at a time");
        let race = turns_of(run, Asked::alone(Written), turn).run(
            &title,
            run.scale.rounds,
            &mut run.random,
        );
        beside_bare(run, &race, &format!("append {text}, `Written`"), 1.15, false);
        run.keep(race);
    }
    Ok(())
}

/// Many sessions at once: 8 threads, each with its share of them, one append to each in turn.
pub(super) fn sessions(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    for sessions in [64, run.scale.many_sessions] {
        let appends = (run.scale.appends / 8).max(sessions / 8);
        let turn = Turn { payloads: &payloads, appends, time: run.scale.turn };
        let asked = Asked { durability: Written, sessions, producers: 8 };
        let title = format!("Append 1 KiB, written, {sessions} sessions at once, 8 threads");
        let rounds = if sessions > 64 { run.scale.rounds.min(3) } else { run.scale.rounds };
        let mut turns = turns_of(run, asked, turn);
        turns.add(ENOUGH_HANDLES, "as above, with file handles for all of them", || {
            let folder = folder()?;
            let log = sessions_with(folder.path(), asked, 2 * sessions)?;
            together(&*log, asked, turn).map(Some)
        });
        let race = turns.run(&title, rounds, &mut run.random);
        for (name, handles) in [(SESSION, "256 file handles"), (ENOUGH_HANDLES, "handles for all")]
        {
            let work = format!("append 1 KiB, `Written`, {sessions} sessions at once, {handles}");
            let row = told_rate(&race, &work, name, RAW);
            run.row(&work, row);
        }
        run.keep(race);
    }
    Ok(())
}

/// The users' mix, one writer: bytes a second.
pub(super) fn mix(run: &mut Run<'_>) -> Result<()> {
    let mix = Mix::new(run.seed, run.scale.mix_one_in);
    let time = run.scale.turn * 50;
    let turn = Turn { payloads: mix.payloads(), appends: mix.payloads().len(), time };
    let count = mix.payloads().len();
    let title = format!("The users' mix, {count} records, written, one at a time");
    let race =
        turns_of(run, Asked::alone(Written), turn).run(&title, run.scale.rounds, &mut run.random);
    let work = "append the users' mix of sizes, `Written`";
    let row = race.ratio(JOURNAL, RAW, BYTES).and_then(|ratio| {
        let (this, limit) = (race.entry(JOURNAL)?.median(BYTES), race.entry(RAW)?.median(BYTES));
        Ok(Row::told(work, &speed(this), &speed(limit), &Unit::Ratio.text(ratio)))
    });
    run.row(work, row);
    run.keep(race);
    Ok(())
}

/// Sessions of one store, for tasks.
pub(super) fn open_sessions(
    folder: &std::path::Path,
    durability: session_journal::Durability,
    count: usize,
) -> Result<Vec<Session>> {
    let store = store(folder, durability)?;
    (0..count).map(|n| Ok(store.create_blocking(&name(n)?)?)).collect()
}
