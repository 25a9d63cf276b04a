//! Appends that return when the kernel has the bytes.

use session_journal::Durability::Written;
use session_journal::Session;

use super::Run;
use crate::Result;
use crate::bar::{Bar, Row, Unit, micros, rate, speed};
use crate::candidate::{Asked, Role};
use crate::drive::{Turn, candidate, task_alone, tasks};
use crate::engine::{JOURNAL, SESSION, name, store};
use crate::machine::folder;
use crate::race::{BYTES, P50, RATE, Race, Turns};
use crate::raw::RAW;
use crate::workload::{Mix, RECORD_BYTES, payload};

const ASYNC: &str = "session-journal, `Session`, from a task";
const ONE: &str = "bare `write(2)`, one thread, one at a time";
const PIPELINED: &str = "session-journal, `Session`, 8 tasks, 64 in flight each";
/// How many appends of a task wait for their answer at a time.
const IN_FLIGHT: usize = 64;

/// A turn for every candidate; those that have no such mode will say so.
pub(super) fn turns_of<'a>(run: &Run<'_>, asked: Asked, turn: Turn<'a>) -> Turns<'a> {
    let mut turns = Turns::default();
    for one in run.candidates.clone() {
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
    beside_write(run, &race, "append 1 KiB, `Written`, `Journal`, one at a time", 1.35, true);
    run.row("append 1 KiB, `Written`, `Session`", told_beside_write(&race, SESSION));
    let work = "append 1 KiB, `Written`, async handle, one at a time, from a tokio runtime";
    let row = race.difference(ASYNC, JOURNAL, P50).and_then(|added| {
        let (this, limit) = (race.entry(ASYNC)?.median(P50), race.entry(JOURNAL)?.median(P50));
        let bar = Bar::AtMost(8.0);
        Ok(Row::judged(work, &micros(this), &micros(limit), added, Unit::Micros, bar).for_users())
    });
    run.row(work, row);
    for lock in run.names(Role::LockFile, &race) {
        at_least(run, &race, &format!("append 1 KiB, `Written`, against {lock}"), lock, 8.0);
    }
    for sqlite in run.names(Role::Sqlite, &race) {
        at_least(run, &race, &format!("append 1 KiB, `Written`, against {sqlite}"), sqlite, 8.0);
    }
    no_slower_than_any(run, &race);
    run.keep(race);
    Ok(())
}

/// A row: the owner beside `write(2)`.
fn beside_write(run: &mut Run<'_>, race: &Race, work: &str, at_most: f64, for_users: bool) {
    let row = race.ratio(JOURNAL, RAW, P50).and_then(|ratio| {
        let (this, limit) = (race.entry(JOURNAL)?.median(P50), race.entry(RAW)?.median(P50));
        let bar = Bar::AtMost(at_most);
        let row = Row::judged(work, &micros(this), &micros(limit), ratio, Unit::Ratio, bar);
        Ok(if for_users { row.for_users() } else { row })
    });
    run.row(work, row);
}

fn told_beside_write(race: &Race, name: &str) -> Result<Row> {
    let (this, limit) = (race.entry(name)?.median(P50), race.entry(RAW)?.median(P50));
    let ratio = Unit::Ratio.text(race.ratio(name, RAW, P50)?);
    let work = "… through `Session`, its blocking twin";
    Ok(Row::told(work, &micros(this), &micros(limit), &ratio))
}

/// A row: how many times as long a peer takes.
fn at_least(run: &mut Run<'_>, race: &Race, work: &str, peer: &str, least: f64) {
    let row = race.ratio(peer, JOURNAL, P50).and_then(|ratio| {
        let (this, limit) = (race.entry(JOURNAL)?.median(P50), race.entry(peer)?.median(P50));
        let bar = Bar::AtLeast(least);
        Ok(Row::judged(work, &micros(this), &micros(limit), ratio, Unit::Ratio, bar).for_users())
    });
    run.row(work, row);
}

fn no_slower_than_any(run: &mut Run<'_>, race: &Race) {
    // One that syncs at every append has no such mode.
    for peer in run.names(Role::LogCrate, race) {
        let work = format!("append 1 KiB, `Written`, against {peer}");
        let row = race.ratio(JOURNAL, peer, P50).and_then(|ratio| {
            let (this, limit) = (race.entry(JOURNAL)?.median(P50), race.entry(peer)?.median(P50));
            let bar = Bar::AtMost(1.0);
            Ok(Row::judged(&work, &micros(this), &micros(limit), ratio, Unit::Ratio, bar))
        });
        run.row(&work, row);
    }
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
            let row = race.ratio(PIPELINED, ONE, RATE).and_then(|ratio| {
                let this = rate(race.entry(PIPELINED)?.median(RATE));
                let limit = rate(race.entry(ONE)?.median(RATE));
                let bar = Bar::AtLeast(1.5);
                Ok(Row::judged(work, &this, &limit, ratio, Unit::Ratio, bar).for_users())
            });
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
        beside_write(run, &race, &format!("append {text}, `Written`"), 1.15, false);
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
        let race = turns_of(run, asked, turn).run(&title, run.scale.rounds, &mut run.random);
        let work = format!("append 1 KiB, `Written`, {sessions} sessions at once, 8 threads");
        let row = told_rate(&race, &work, SESSION, RAW);
        run.row(&work, row);
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
