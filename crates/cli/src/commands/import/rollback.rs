//! `sjournal import --rollback`: takes imports back where nothing is lost by that.

use std::path::PathBuf;

use serde_json::json;
use session_journal::Options;
use session_journal_import::{Entry, RolledBack, roll_back, shell_path};

use crate::context::Context;
use crate::exit::{Exit, Failure, complain};
use crate::output::Colour;
use crate::text::printable;

#[derive(Default)]
struct Counts {
    removed: u64,
    kept: u64,
    failed: u64,
}

pub(super) fn run(
    named: &[PathBuf],
    dry_run: bool,
    context: &mut Context,
) -> Result<Exit, Failure> {
    let catalogue = context.catalogue()?;
    let paths: Vec<_> =
        named.iter().map(|path| path.canonicalize().unwrap_or(path.clone())).collect();
    let mut counts = Counts::default();
    let options = Options { label: "rollback".to_owned(), ..Options::default() };
    for entry in catalogue.entries().iter().filter(|entry| is_meant(entry, &paths)) {
        if context.stop.is_requested() {
            return Err(Failure::Interrupted);
        }
        match roll_back(entry, &paths, &options, dry_run) {
            Ok(None) => {}
            Ok(Some(done)) => answer(&done, &mut counts, context)?,
            Err(error) => {
                counts.failed += 1;
                complain(&error.into());
            }
        }
    }
    let Counts { removed, kept, failed } = counts;
    if context.json {
        context.output.json(&json!({
            "summary": true, "removed": removed, "kept": kept, "failed": failed, "dry_run": dry_run,
        }))?;
    } else {
        let end = if dry_run { "; a dry run, nothing was removed" } else { "" };
        context.output.line(&format!("{removed} removed, {kept} kept, {failed} failed{end}"))?;
        if removed > 0 && kept + failed == 0 {
            let next = if dry_run { without_dry_run(named) } else { "nothing to do".to_owned() };
            context.output.line(&format!("next: {}", context.next(&next)))?;
        }
    }
    Ok(if kept + failed == 0 { Exit::Done } else { Exit::Findings })
}

/// The command that does what a dry run told.
fn without_dry_run(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| format!(" {}", shell_path(path))).collect();
    format!("sjournal import --rollback{}", paths.concat())
}

/// Whether it may be from there. Of one whose import was cut short nothing tells.
fn is_meant(entry: &Entry, paths: &[PathBuf]) -> bool {
    let source = entry.attributes.source_path();
    paths.is_empty()
        || entry.attributes.source.is_empty()
        || paths.iter().any(|path| source.starts_with(path))
}

fn answer(done: &RolledBack, counts: &mut Counts, context: &mut Context) -> Result<(), Failure> {
    *(if done.is_removed { &mut counts.removed } else { &mut counts.kept }) += 1;
    let outcome = if done.is_removed { "removed" } else { "kept" };
    let session = done.session.to_string();
    if context.json {
        context.output.json(&json!({
            "session": session, "source": done.source, "outcome": outcome,
            "reason": done.reason, "next": context.next(&done.next),
        }))?;
    } else {
        let colour = if done.is_removed { Colour::Green } else { Colour::Yellow };
        let outcome = context.output.paint(colour, &format!("{outcome:<7}"));
        let (session, reason) = (printable(&session), &done.reason);
        context.output.line(&format!("{outcome}  {session}: {reason}"))?;
        if !done.is_removed {
            let next = printable(&context.next(&done.next));
            context.output.line(&format!("         next: {next}"))?;
        }
    }
    Ok(context.output.flush()?)
}
