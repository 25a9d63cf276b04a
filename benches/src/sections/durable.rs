//! Appends that return when they survive power loss.

use session_journal::Durability::Durable;

use super::Run;
use super::appending::{beside_bare, judged_rate, open_sessions, told_p50, turns_of};
use crate::Result;
use crate::bar::Row;
use crate::candidate::{Asked, Role};
use crate::drive::{Turn, candidate, tasks};
use crate::engine::{JOURNAL, SESSION};
use crate::machine::folder;
use crate::race::{RATE, Race};
use crate::raw::RAW;
use crate::workload::{RECORD_BYTES, payload};

const PRODUCERS: usize = 64;
/// At most: connections that wait for each other take seconds.
const ROUNDS: usize = 5;
const ONE: &str = "bare `write` + `fdatasync`, one at a time";
const TASKS: &str = "session-journal, `Session`, from tasks";

pub(super) fn alone(run: &mut Run<'_>) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let turn = Turn { payloads: &payloads, appends: run.scale.appends, time: run.scale.turn };
    let title = "Append 1 KiB, durable, one at a time";
    let race =
        turns_of(run, Asked::alone(Durable), turn).run(title, run.scale.rounds, &mut run.random);
    let work = "append 1 KiB, `Durable`, one at a time";
    beside_bare(run, &race, work, 1.1, true);
    for sqlite in run.names(Role::Sqlite, &race) {
        let work = format!("append 1 KiB, `Durable`, against {sqlite}, one at a time");
        run.row(&work, judged_rate(&race, &work, JOURNAL, sqlite, 1.0));
        run.row("… p50", told_p50(&race, JOURNAL, sqlite));
    }
    run.keep(race);
    Ok(())
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
    let race = turns.run(title, run.scale.rounds.min(ROUNDS), &mut run.random);
    let work = "append 1 KiB, `Durable`, 64 threads on one session";
    let row = judged_rate(&race, work, SESSION, ONE, 20.0).map(Row::for_users);
    run.row(work, row);
    let work = "… 64 tasks on one session";
    let row = judged_rate(&race, work, TASKS, ONE, 20.0);
    run.row(work, row);
    for sqlite in run.names(Role::Sqlite, &race) {
        let work = format!("append 1 KiB, `Durable`, 64 threads, against {sqlite}");
        let row = judged_rate(&race, &work, SESSION, sqlite, 20.0);
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
    let race = turns.run(title, run.scale.rounds.min(ROUNDS), &mut run.random);
    let work = "append 1 KiB, `Durable`, 64 sessions at once, a thread each";
    let row = judged_rate(&race, work, SESSION, RAW, 0.8);
    run.row(work, row);
    let work = "… a task each";
    let row = judged_rate(&race, work, TASKS, RAW, 0.8);
    run.row(work, row);
    run.keep(race);
    Ok(())
}
