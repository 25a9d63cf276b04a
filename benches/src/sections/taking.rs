//! Taking a journal over from an owner in another process that is dead, stopped, or appending at full
//! speed: from the opening to the first acknowledged append.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use session_journal::{Durability, ErrorKind, Journal, NewRecord, Options, Takeover};

use super::Run;
use crate::Result;
use crate::bar::{Bar, Row, Unit, micros};
use crate::child::{Child, say, wait_for_the_end};
use crate::engine::{name, options};
use crate::machine::folder;
use crate::race::{P50, Race, Sample, Turns};
use crate::times::{quantile, seconds};
use crate::workload::{RECORD_BYTES, payload};

/// An owner that is stopped or killed has appended so many records, which nobody synced.
const APPENDED: u32 = 100;
/// An owner at full speed ends after so many, were it never fenced.
const APPENDED_AT_MOST: u32 = 20_000_000;
const SYNC: &str = "one `fdatasync` of 1 KiB";
const QUIET: &str = "one `fdatasync` of 1 KiB, nobody died before it";
const DEAD: &str = "owner dead";
const STOPPED: &str = "owner stopped";
const BUSY: &str = "owner appending at full speed";

pub(super) fn takeover(run: &mut Run<'_>) -> Result<()> {
    let mut turns = Turns::default();
    let told =
        "of a file of its own, the `write` not counted; when an owner has just died, as below";
    turns.add(SYNC, told, || {
        let folder = folder()?;
        let path = folder.path().join("raw");
        let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
        file.write_all(&payload(RECORD_BYTES))?;
        file.sync_data()?;
        // Whoever waits for another process finds cold caches and a processor that sleeps: so does this.
        Child::start("own", &folder.path().join("other.journal"), DEAD)?.ready()?.kill()?;
        file.write_all(&payload(RECORD_BYTES))?;
        Ok(Some(Sample::once(seconds(|| file.sync_data())?, 0)))
    });
    turns.add(QUIET, "the same, without another process before it", || {
        let folder = folder()?;
        let path = folder.path().join("raw");
        let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
        file.write_all(&payload(RECORD_BYTES))?;
        file.sync_data()?;
        file.write_all(&payload(RECORD_BYTES))?;
        Ok(Some(Sample::once(seconds(|| file.sync_data())?, 0)))
    });
    turns.add(DEAD, "killed; taken as the default policy allows", || taken_from(DEAD).map(Some));
    turns.add(STOPPED, "SIGSTOP; taken whatever it does", || taken_from(STOPPED).map(Some));
    turns.add(BUSY, "it is fenced meanwhile", || taken_from(BUSY).map(Some));
    let race = turns.run("Claim to first written append", run.scale.takeovers, &mut run.random);
    for owner in [DEAD, STOPPED] {
        let work = format!("claim to first acknowledged `Written` append, {owner}, p50");
        let row = beside_sync(&race, &work, owner).map(|row| match owner {
            STOPPED => row.for_users(),
            _ => row,
        });
        run.row(&work, row);
        longest(run, &race, owner, 10_000.0);
    }
    longest(run, &race, BUSY, 20_000.0);
    let work = format!("… {QUIET}");
    let row = race.entry(QUIET).map(|one| Row::told(&work, &micros(one.median(P50)), "", ""));
    run.row(&work, row);
    run.keep(race);
    Ok(())
}

/// Beside three times one sync and 200 µs.
fn beside_sync(race: &Race, work: &str, owner: &str) -> Result<Row> {
    let (this, sync) = (race.entry(owner)?.median(P50), race.entry(SYNC)?.median(P50));
    let limit = format!("{} ({SYNC})", micros(sync));
    let bar = Bar::AtMost(3.0 * sync + 200.0);
    Ok(Row::judged(work, &micros(this), &limit, this, Unit::Micros, bar))
}

/// 99 of 100 of all rounds, for each of them is one takeover.
fn longest(run: &mut Run<'_>, race: &Race, owner: &str, at_most: f64) {
    let work = format!("claim to first acknowledged `Written` append, {owner}, p99");
    let row = race.entry(owner).map(|entry| {
        let all: Vec<f64> = entry.rounds.iter().map(P50).collect();
        let (p99, longest) = (quantile(&all, 0.99), quantile(&all, 1.0));
        let text = format!("{} (longest {})", micros(p99), micros(longest));
        Row::judged(&work, &text, "", p99, Unit::Micros, Bar::AtMost(at_most))
    });
    run.row(&work, row);
}

fn taken_from(owner: &str) -> Result<Sample> {
    let folder = folder()?;
    let path = folder.path().join("taken.journal");
    let mut child = Child::start("own", &path, owner)?.ready()?;
    match owner {
        DEAD => child.kill()?,
        STOPPED => child.stop()?,
        _ => (),
    }
    let takeover = if owner == DEAD { Takeover::IfGone } else { Takeover::Always };
    let options = Options { takeover, ..options(Durability::Written) };
    let record = NewRecord::new(payload(RECORD_BYTES));
    let mut taken = None;
    let time = seconds(|| {
        let mut journal = Journal::open(&path, &options)?;
        let stored = journal.append(&record)?;
        taken = Some(journal);
        Ok::<_, session_journal::Error>(stored)
    })?;
    if owner == BUSY {
        let answer = child.line()?;
        if answer != "fenced" {
            return Err(format!("the owner was not fenced, but said {answer:?}").into());
        }
    }
    drop(taken);
    Ok(Sample::once(time, 0))
}

/// A child: owns a journal and appends; says when it is ready, and when it is fenced.
pub(super) fn own(path: &Path, how: &str) -> Result<()> {
    let mut journal = Journal::create(path, &name(0)?, &options(Durability::Written))?;
    let record = NewRecord::new(payload(RECORD_BYTES));
    // A journal that was there before: its name and its first record are durable.
    journal.append(&record)?;
    journal.sync()?;
    for _ in 0..APPENDED {
        journal.append(&record)?;
    }
    say("ready")?;
    if how != BUSY {
        return wait_for_the_end();
    }
    for _ in 0..APPENDED_AT_MOST {
        if let Err(error) = journal.append(&record) {
            let answer = match error.kind() {
                ErrorKind::Fenced => "fenced".to_owned(),
                _ => error.to_string(),
            };
            return say(answer);
        }
    }
    say("never fenced")
}
