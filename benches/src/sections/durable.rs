//! Appends that return when they survive power loss.

use session_journal::Durability::Durable;

use super::Run;
use super::appending::{open_sessions, turns_of};
use crate::Result;
use crate::bar::{Bar, Row, Unit, micros, rate};
use crate::candidate::{Asked, Role};
use crate::drive::{Turn, candidate, tasks};
use crate::engine::{JOURNAL, SESSION};
use crate::machine::folder;
use crate::race::{P50, RATE, Race};
use crate::raw::RAW;
use crate::workload::{RECORD_BYTES, payload};

const PRODUCERS: usize = 64;
const ONE: &str = "bare `write` + `fdatasync`, one at a time";
const TASKS: &str = "session-journal, `Session`, from tasks";

pub(super) fn alone(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let turn = Turn { payloads: &payloads, appends: run.scale.appends, time: run.scale.turn };
    let title = "Append 1 KiB, durable, one at a time";
    let race =
        turns_of(run, Asked::alone(Durable), turn).run(title, run.scale.rounds, &mut run.random);
    let work = "append 1 KiB, `Durable`, one at a time";
    let row = judged_p50(&race, work, RAW, 1.1).map(Row::for_users);
    run.row(work, row);
    for sqlite in run.names(Role::Sqlite, &race) {
        let work = format!("append 1 KiB, `Durable`, against {sqlite}, one at a time");
        let row = judged_p50(&race, &work, sqlite, 1.0);
        run.row(&work, row);
    }
    run.keep(race);
    Ok(())
}

fn judged_p50(race: &Race, work: &str, to: &str, at_most: f64) -> Result<Row> {
    let ratio = race.ratio(JOURNAL, to, P50)?;
    let (this, limit) = (race.entry(JOURNAL)?.median(P50), race.entry(to)?.median(P50));
    let bar = Bar::AtMost(at_most);
    Ok(Row::judged(work, &micros(this), &micros(limit), ratio, Unit::Ratio, bar))
}

fn judged_rate(race: &Race, work: &str, this: &str, to: &str, at_least: f64) -> Result<Row> {
    let ratio = race.ratio(this, to, RATE)?;
    let (this, limit) = (race.entry(this)?.median(RATE), race.entry(to)?.median(RATE));
    let bar = Bar::AtLeast(at_least);
    Ok(Row::judged(work, &rate(this), &rate(limit), ratio, Unit::Ratio, bar))
}

pub(super) fn group(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let turn = Turn { payloads: &payloads, appends: run.scale.appends, time: run.scale.turn };
    let asked = Asked { durability: Durable, sessions: 1, producers: PRODUCERS };
    let (bare, runtime) = (run.candidates[0], crate::drive::runtime()?);
    let title = "Append 1 KiB, durable, 64 producers on one session";
    let mut turns = turns_of(run, asked, turn);
    turns.add(ONE, "", || candidate(&bare, Asked::alone(Durable), turn));
    turns.add(TASKS, "the async handle, 64 tasks", || {
        let folder = folder()?;
        let sessions = open_sessions(folder.path(), Durable, 1)?;
        tasks(&runtime, &sessions, PRODUCERS, 1, turn).map(Some)
    });
    let race = turns.run(title, run.scale.rounds, &mut run.random);
    let work = "append 1 KiB, `Durable`, 64 threads on one session";
    let row = judged_rate(&race, work, SESSION, ONE, 20.0).map(Row::for_users);
    run.row(work, row);
    let work = "… 64 tasks on one session";
    let row = judged_rate(&race, work, TASKS, ONE, 20.0);
    run.row(work, row);
    for sqlite in run.names(Role::Sqlite, &race) {
        let work = format!("append 1 KiB, `Durable`, 64 threads, against {sqlite}");
        let row = judged_rate(&race, &work, SESSION, sqlite, 20.0).map(Row::for_users);
        run.row(&work, row);
    }
    let row = best_log_crate(run, &race);
    run.row("append 1 KiB, `Durable`, 64 threads, against the fastest log crate", row);
    run.keep(race);
    Ok(())
}

fn best_log_crate(run: &Run<'_>, race: &Race) -> Result<Row> {
    let crates = run.names(Role::LogCrate, race);
    let crates = crates.into_iter().filter_map(|name| race.entry(name).ok());
    let best = crates.max_by(|a, b| a.median(RATE).total_cmp(&b.median(RATE)));
    let best = best.ok_or("no log crate took part")?.name.clone();
    let work =
        format!("append 1 KiB, `Durable`, 64 threads, against the fastest log crate, {best}");
    judged_rate(race, &work, SESSION, &best, 0.8)
}

pub(super) fn parallel(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let turn = Turn { payloads: &payloads, appends: run.scale.appends, time: run.scale.turn };
    let asked = Asked { durability: Durable, sessions: PRODUCERS, producers: PRODUCERS };
    let runtime = crate::drive::runtime()?;
    let title = "Append 1 KiB, durable, 64 sessions at once, a thread each";
    let mut turns = turns_of(run, asked, turn);
    turns.add(TASKS, "the async handle, 64 tasks; 8 threads of the engine", || {
        let folder = folder()?;
        let sessions = open_sessions(folder.path(), Durable, PRODUCERS)?;
        tasks(&runtime, &sessions, PRODUCERS, 1, turn).map(Some)
    });
    let race = turns.run(title, run.scale.rounds, &mut run.random);
    let work = "append 1 KiB, `Durable`, 64 sessions at once, a thread each";
    let row = judged_rate(&race, work, SESSION, RAW, 0.8).map(Row::for_users);
    run.row(work, row);
    let work = "… a task each";
    let row = judged_rate(&race, work, TASKS, RAW, 0.8);
    run.row(work, row);
    run.keep(race);
    Ok(())
}
