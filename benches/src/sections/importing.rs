//! Importing session files, beside writing the same bytes to new files and making them durable.

use std::fs::{self, File};
use std::path::Path;

use session_journal_import::{Import, ImportOptions};

use super::Run;
use crate::Result;
use crate::bar::{Row, Unit, speed};
use crate::machine::folder;
use crate::race::{BYTES, Sample, Turns};
use crate::times::seconds;

const IMPORT: &str = "session-journal, import";
const COPY: &str = "read, write, `fdatasync`, file by file";

pub(super) fn importing(run: &mut Run<'_>) -> Result<()> {
    let (files, lines) = run.scale.import;
    let (home, bytes) = run.data.sessions(files, lines, run.seed)?;
    let mut turns = Turns::default();
    turns.add(IMPORT, "", || {
        let folder = folder()?;
        let import = Import::new(folder.path().join("store"), ImportOptions::default());
        let imported = seconds(|| {
            let summary = import.run(std::slice::from_ref(&home), &mut |_| ());
            match (summary.imported, summary.failed) {
                (imported, 0) if imported == files as u64 => Ok(()),
                _ => Err(format!("imported {} of {files} sessions", summary.imported)),
            }
        })?;
        Ok(Some(Sample::once(imported, bytes)))
    });
    turns.add(COPY, "", || {
        let folder = folder()?;
        Ok(Some(Sample::once(seconds(|| copy(&home, folder.path()))?, bytes)))
    });
    let megabytes = bytes / 1_000_000;
    let title = format!("Import {files} session files, {megabytes} MB");
    let race = turns.run(&title, run.scale.rounds.min(5), &mut run.random);
    let work = format!("import {files} session files of {megabytes} MB, durable");
    let row = race.ratio(IMPORT, COPY, BYTES).and_then(|ratio| {
        let (this, limit) = (race.entry(IMPORT)?.median(BYTES), race.entry(COPY)?.median(BYTES));
        Ok(Row::told(&work, &speed(this), &speed(limit), &Unit::Ratio.text(ratio)))
    });
    run.row(&work, row);
    run.keep(race);
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::write(&copy, fs::read(entry.path())?)?;
        File::open(&copy)?.sync_data()?;
    }
    Ok(())
}
