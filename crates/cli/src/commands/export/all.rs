//! `sjournal export --all`: every session as the file that it was.

use std::path::Path;

use serde_json::json;
use session_journal::SessionName;
use session_journal_import::{Leaf, Result as Outcome, Tree, readable};

use crate::context::Context;
use crate::exit::{Exit, Failure, complain};
use crate::output::Colour;
use crate::text::{count, printable, size};

#[derive(Default)]
struct Counts {
    files: u64,
    bytes: u64,
    same: u64,
    failed: u64,
    gaps: u64,
}

pub(super) fn run(folder: &Path, gaps: bool, context: &mut Context) -> Result<Exit, Failure> {
    let catalogue = context.catalogue()?;
    let tree = Tree::new(&catalogue, folder)?;
    let mut counts = Counts::default();
    let mut answered = Ok(());
    let stop = context.stop.clone();
    let total: u64 = catalogue.entries().iter().map(|one| length(&one.path)).sum();
    let (mut progress, mut done) = (context.progress("export"), 0);
    let aside = progress.aside();
    tree.write(
        gaps,
        &mut |session, leaf| {
            done += 1;
            progress.of(done, tree.len() as u64);
            progress.at(counts.bytes, total);
            if answered.is_ok() {
                answered = aside.write(|| answer(session, leaf, &mut counts, context));
            }
        },
        &mut || !stop.is_requested(),
    )?;
    answered?;
    if context.stop.is_requested() {
        return Err(Failure::Interrupted);
    }
    let Counts { files, bytes, same, failed, gaps } = counts;
    if context.json {
        context.output.json(&json!({
            "summary": true, "files": files, "bytes": bytes, "same": same, "failed": failed,
        }))?;
    } else {
        let files = count(files, "file");
        let end = format!("{same} the same as their sources, {failed} failed");
        context.output.line(&format!("{files}, {}: {end}", size(bytes)))?;
    }
    Ok(if failed + gaps == 0 { Exit::Done } else { Exit::Findings })
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn answer(
    session: &SessionName,
    leaf: Outcome<Leaf>,
    counts: &mut Counts,
    context: &mut Context,
) -> Result<(), Failure> {
    let leaf = match leaf {
        Ok(leaf) => leaf,
        Err(error) => {
            counts.failed += 1;
            if context.json {
                let (session, text) = (session.to_string(), error.to_string());
                let line = json!({ "session": session, "error": text, "code": error.code() });
                context.output.json(&line)?;
            }
            complain(&error.into());
            return Ok(());
        }
    };
    counts.files += 1;
    counts.bytes += leaf.exported.bytes;
    counts.same += u64::from(leaf.is_source == Some(true));
    counts.gaps += leaf.exported.gaps.len() as u64;
    for gap in &leaf.exported.gaps {
        let what = format!("{} record(s) are missing from {} on", gap.records, gap.first);
        context.note(&format!("{session}: {what}"));
    }
    let (name, file) = (leaf.session.to_string(), readable(&leaf.file));
    if context.json {
        context.output.json(&json!({
            "session": name, "file": file, "records": leaf.exported.records,
            "bytes": leaf.exported.bytes, "sha256": leaf.sha256, "same": leaf.is_source,
        }))?;
    } else {
        let same = match leaf.is_source {
            Some(true) => context.output.paint(Colour::Green, "same   "),
            Some(false) => context.output.paint(Colour::Red, "differs"),
            None => "own    ".to_owned(),
        };
        context.output.line(&format!("{same}  {}  {}", printable(&name), printable(&file)))?;
    }
    Ok(())
}
