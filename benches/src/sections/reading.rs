//! Opening, the last records, one record, a path: at every size, from page cache.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use session_journal::{Durability, Journal, NewRecord, Options, Reader, Sequence};

use super::Run;
use crate::bar::{Bar, Row, Unit, micros};
use crate::data::{PATH, key, last_of_path};
use crate::engine::options;
use crate::race::{P50, Race, Sample, Turns};
use crate::report::Series;
use crate::times::{Times, seconds};
use crate::workload::{RECORD_BYTES, payload};
use crate::{Result, raw};

const LAST: u64 = 100;
const KEYED_APPENDS: usize = 2000;

/// A size in the words of a table.
pub(super) fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes if mebibytes < 1024 => format!("{mebibytes} MB"),
        mebibytes => format!("{} GB", mebibytes >> 10),
    }
}

/// Opens a journal and reads its last 100 records. Seconds.
fn open_and_read_the_end(path: &Path) -> Result<f64> {
    seconds(|| {
        let records = Reader::open(path)?.last(LAST)?.collect::<Result<Vec<_>, _>>()?;
        if records.len() as u64 != LAST {
            return Err(format!("{} records instead of {LAST}", records.len()).into());
        }
        Ok(records)
    })
}

pub(super) fn opening(run: &mut Run<'_>) -> Result<()> {
    let mut files = Vec::new();
    for bytes in run.scale.sizes.clone() {
        files.push((size(bytes), run.data.journal(bytes)?.0));
    }
    let mut turns = Turns::default();
    for (size, path) in &files {
        turns.add(size, "", || Ok(Some(Sample::once(open_and_read_the_end(path)?, 0))));
        turns.add(&bare(size), "the same bytes: one `open`, one `pread`", || {
            let bytes = usize::try_from(LAST)? * RECORD_BYTES;
            Ok(Some(Sample::once(raw::read_end(path, bytes)?, 0)))
        });
    }
    let title = "Open and read the last 100 records, warm";
    let race = turns.run(title, run.scale.looks, &mut run.random);
    flat(run, &race, &files);
    run.keep(race);
    cold(run, &files);
    for_writing(run, &files)
}

fn bare(size: &str) -> String {
    format!("bare, {size}")
}

fn flat(run: &mut Run<'_>, race: &Race, files: &[(String, PathBuf)]) {
    let (smallest, largest) = (&files[0].0, &files[files.len() - 1].0);
    let work = format!("open + last 100 records, cleanly closed, {smallest} to {largest}: flat");
    let row = race.ratio(largest, smallest, P50).and_then(|ratio| {
        let (this, limit) = (race.entry(largest)?.median(P50), race.entry(smallest)?.median(P50));
        let bar = Bar::AtMost(1.5);
        Ok(Row::judged(&work, &micros(this), &micros(limit), ratio, Unit::Ratio, bar))
    });
    run.row(&work, row);
    let work = format!("open + last 100 records, cleanly closed, at {largest}");
    let row = race.entry(largest).and_then(|entry| {
        let (this, limit) = (entry.median(P50), race.entry(&bare(largest))?.median(P50));
        let bar = Bar::AtMost(500.0);
        Ok(Row::judged(&work, &micros(this), &micros(limit), this, Unit::Micros, bar).for_users())
    });
    run.row(&work, row);
    let points = files.iter().filter_map(|(size, _)| {
        let entry = race.entry(size).ok()?;
        Some((size.clone(), entry.median(P50)))
    });
    let title = "Open and read the last 100 records, by size".to_owned();
    run.series.push(Series { title, points: points.collect() });
}

/// From the disk: every page of the file was given back before.
fn cold(run: &mut Run<'_>, files: &[(String, PathBuf)]) {
    let Some((size, path)) = files.last() else { return };
    let work = format!("… at {size}, cold");
    let mut turns = Turns::default();
    turns.add("engine", "", || {
        raw::forget_pages(path)?;
        Ok(Some(Sample::once(open_and_read_the_end(path)?, 0)))
    });
    turns.add("bare", "", || {
        raw::forget_pages(path)?;
        let bytes = usize::try_from(LAST)? * RECORD_BYTES;
        Ok(Some(Sample::once(raw::read_end(path, bytes)?, 0)))
    });
    let race =
        turns.run(&format!("Open and read the last 100 records, {size}, cold"), 5, &mut run.random);
    let row = race.ratio("engine", "bare", P50).and_then(|ratio| {
        let (this, limit) = (race.entry("engine")?.median(P50), race.entry("bare")?.median(P50));
        Ok(Row::told(&work, &micros(this), &micros(limit), &Unit::Ratio.text(ratio)))
    });
    run.row(&work, row);
    run.keep(race);
    // Whoever comes next reads it warm.
    let _ = raw::read_whole(path);
}

/// What an owner pays: a claim that is synced, and a release.
fn for_writing(run: &mut Run<'_>, files: &[(String, PathBuf)]) -> Result<()> {
    // A copy, so that what is read stays as it is; of one that is copied in no time.
    let small =
        |file: &&(String, PathBuf)| file.1.metadata().is_ok_and(|file| file.len() < 1 << 30);
    let Some((size, path)) = files.iter().rev().find(small) else { return Ok(()) };
    let folder = crate::machine::folder()?;
    let copy = folder.path().join("copy.journal");
    std::fs::copy(path, &copy)?;
    let mut turns = Turns::default();
    turns.add("open for writing, and release", "", || {
        let both = seconds(|| Journal::open(&copy, &Options::default())?.close())?;
        Ok(Some(Sample::once(both, 0)))
    });
    let race = turns.run(&format!("Open for writing, {size}"), 21, &mut run.random);
    let work = format!("open for writing and release, {size}, their syncs included");
    let row = race
        .entry("open for writing, and release")
        .map(|entry| Row::told(&work, &micros(entry.median(P50)), "", ""));
    run.row(&work, row);
    run.keep(race);
    new_keys(run, size, &copy)
}

/// A new key is looked for in all of the history before it is stored.
fn new_keys(run: &mut Run<'_>, size: &str, path: &Path) -> Result<()> {
    let journal = RefCell::new(Journal::open(path, &options(Durability::Written))?);
    let plain = NewRecord::new(payload(RECORD_BYTES));
    let mut keys = 0_u64..;
    let appends = |record: &mut dyn FnMut() -> NewRecord| {
        let (mut times, mut journal) = (Times::default(), journal.borrow_mut());
        let begin = Instant::now();
        let mut before = begin;
        for _ in 0..KEYED_APPENDS {
            journal.append(&record())?;
            let now = Instant::now();
            times.push(now - before);
            before = now;
        }
        let bytes = (KEYED_APPENDS * RECORD_BYTES) as u64;
        Ok::<_, crate::Error>(Sample::of(&times, begin.elapsed().as_secs_f64(), bytes))
    };
    let (keyed, unkeyed) = ("with a new key", "without a key");
    let mut turns = Turns::default();
    turns.add(unkeyed, "", || appends(&mut || plain.clone()).map(Some));
    turns.add(keyed, "", || {
        let mut record = || plain.clone().key(format!("new-{}", keys.next().unwrap_or_default()));
        appends(&mut record).map(Some)
    });
    let title = format!("Append 1 KiB to {size}, written, with and without a key");
    let race = turns.run(&title, run.scale.rounds, &mut run.random);
    let work = format!("append 1 KiB with a new key to {size}, beside one without a key");
    let row = race.ratio(keyed, unkeyed, P50).and_then(|ratio| {
        let (this, limit) = (race.entry(keyed)?.median(P50), race.entry(unkeyed)?.median(P50));
        Ok(Row::told(&work, &micros(this), &micros(limit), &Unit::Ratio.text(ratio)))
    });
    run.row(&work, row);
    run.keep(race);
    Ok(())
}

pub(super) fn looking_up(run: &mut Run<'_>) -> Result<()> {
    let judged = run.scale.sizes.iter().rev().find(|bytes| **bytes >> 20 <= 400).copied();
    for bytes in run.scale.sizes.clone() {
        let (path, records) = run.data.journal(bytes)?;
        let (path, size) = (&path, size(bytes));
        // A new place each time, so that no round finds what the one before has left.
        let mut places = fastrand::Rng::with_seed(run.seed);
        let mut more_places = fastrand::Rng::with_seed(run.seed + 1);
        let end = key(last_of_path(records));
        let mut turns = Turns::default();
        turns.add("one key", "opened anew each time", || {
            let key = key(places.u64(1..=records));
            let found = seconds(|| {
                let record = Reader::open(path)?.by_key(&key)?;
                record
                    .filter(|record| record.key.as_deref() == Some(&key))
                    .ok_or_else(|| missing(&key))
            })?;
            Ok(Some(Sample::once(found, 0)))
        });
        turns.add("one sequence", "opened anew each time", || {
            let sequence = Sequence::new(more_places.u64(1..=records));
            let found = seconds(|| {
                let record = Reader::open(path)?.get(sequence)?;
                record
                    .filter(|record| record.sequence == sequence)
                    .ok_or_else(|| missing(&sequence))
            })?;
            Ok(Some(Sample::once(found, 0)))
        });
        turns.add("path of 200 entries", PATH_TOLD, || read_path(path, &end).map(Some));
        let race =
            turns.run(&format!("One record of {size}, warm"), run.scale.looks, &mut run.random);
        // The bar is judged where the journal is far larger than any cache, and beyond.
        let is_judged = Some(bytes) >= judged;
        for (what, at_most) in
            [("one key", 1000.0), ("one sequence", 1000.0), ("path of 200 entries", 5000.0)]
        {
            let work = format!("{what}, in {size}, opening included");
            let row = race.entry(what).map(|entry| {
                let this = entry.median(P50);
                if is_judged {
                    let bar = Bar::AtMost(at_most);
                    Row::judged(&work, &micros(this), "", this, Unit::Micros, bar)
                } else {
                    Row::told(&work, &micros(this), "", "")
                }
            });
            run.row(&work, row);
        }
        run.keep(race);
    }
    path_to_root(run)
}

const PATH_TOLD: &str = "opened anew each time; every entry is somewhere else in the file";

/// Reads the whole path to the root from the record with this key.
fn read_path(path: &Path, end: &str) -> Result<Sample> {
    let found = seconds(|| {
        let reader = Reader::open(path)?;
        let entries = reader.path_to_root(end)?.collect::<Result<Vec<_>, _>>()?;
        match entries.len() as u64 {
            PATH => Ok(entries),
            other => Err::<_, crate::Error>(format!("{other} entries instead of {PATH}").into()),
        }
    })?;
    Ok(Sample::once(found, 0))
}

fn missing(what: &dyn std::fmt::Display) -> crate::Error {
    format!("{what} was not found").into()
}

fn path_to_root(run: &mut Run<'_>) -> Result<()> {
    let (path, last) = run.data.history(run.scale.history)?;
    let end = key(last);
    let mut turns = Turns::default();
    turns.add("path", PATH_TOLD, || read_path(&path, &end).map(Some));
    let race = turns.run("Path to the root of 200 entries", run.scale.looks, &mut run.random);
    let work = format!("path to the root of {PATH} entries in a history of {}", run.scale.history);
    let row = race.entry("path").map(|entry| {
        let this = entry.median(P50);
        Row::judged(&work, &micros(this), "", this, Unit::Micros, Bar::AtMost(5000.0))
    });
    run.row(&work, row);
    run.keep(race);
    Ok(())
}
