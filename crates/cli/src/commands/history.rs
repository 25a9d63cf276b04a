//! `sjournal history`: where a session comes from, who opened it when, and what was found.

use std::path::Path;

use serde_json::{Value, json};
use session_journal::{HistoryEvent, OpenReason, Reader, history};
use session_journal_import::{Attributes, Catalogue, Step};

use crate::commands::info::related;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::Colour;
use crate::text::{Align, owner, printable, table, time};
use crate::{json, target};

/// List every claim, opening, release, repair and seal of a session, in order
///
/// Of an imported session it tells first where it comes from, step by step: forks, resets, topics,
/// checkpoints, older versions of its source.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal history main/demo\n  \
    sjournal --json history main/demo | jq 'select(.reason == \"taken-over\")'")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let path = target::find(context, &args.session)?;
    let events = context.stop.at_once(|| history(&path))?;
    let path = path.canonicalize().unwrap_or(path);
    let catalogue = catalogue(&path, context)?;
    let steps = catalogue.at(&path).map(|entry| catalogue.lineage(entry)).unwrap_or_default();
    if context.json {
        steps.iter().try_for_each(|step| context.output.json(&step_json(step)))?;
        events.iter().try_for_each(|event| context.output.json(&to_json(event)))?;
        return Ok(Exit::Done);
    }
    for step in &steps {
        let from = printable(&step.from.name.to_string());
        let to = step.to.map_or_else(
            || format!("{}, which is not here", related(step.lineage)),
            |to| format!("{}: {}", printable(&to.name.to_string()), related(step.lineage)),
        );
        context.output.line(&format!("{from}  {}  {to}", step.lineage.relation.as_str()))?;
    }
    let head = [
        ("TIME", Align::Left),
        ("EVENT", Align::Left),
        ("GENERATION", Align::Right),
        ("REASON", Align::Left),
        ("OWNER", Align::Left),
        ("FOUND", Align::Left),
    ];
    let rows: Vec<_> = events.iter().map(row).collect();
    for (index, line) in table(head, &rows).into_iter().enumerate() {
        let line = if index == 0 { context.output.paint(Colour::Bold, &line) } else { line };
        context.output.line(&line)?;
    }
    Ok(Exit::Done)
}

/// The sessions among which this one's lineage is walked: those of the store, if it is one of them
/// and comes from somewhere.
fn catalogue(path: &Path, context: &Context) -> Result<Catalogue, Failure> {
    let reader = Reader::open(path)?;
    let known = Attributes::of(&reader).ok().flatten();
    if known.is_none_or(|known| known.lineage.is_empty()) || !context.has_folder() {
        return Ok(Catalogue::default());
    }
    let catalogue = context.catalogue()?;
    if catalogue.at(path).is_some() {
        return Ok(catalogue);
    }
    Ok(Catalogue::read([(reader.name().clone(), path.to_owned())]))
}

fn step_json(step: &Step<'_>) -> Value {
    json!({
        "time_ms": step.lineage.at_ms,
        "event": "lineage",
        "session": step.from.name.to_string(),
        "relation": step.lineage.relation.as_str(),
        "to": step.to.map(|to| to.name.to_string()),
        "file": step.lineage.file,
        "id": step.lineage.id,
        "key": step.lineage.key,
        "inferred": step.lineage.inferred,
    })
}

fn to_json(event: &HistoryEvent) -> Value {
    json!({
        "time_ms": event.time_ms,
        "event": event.event.as_str(),
        "generation": event.generation.get(),
        "previous_generation": event.previous_generation.map(session_journal::Generation::get),
        "reason": event.reason.map(OpenReason::as_str),
        "owner": json::owner(event.owner.as_ref()),
        "report": event.report.as_ref().map(json::report),
        "offset": event.offset.get(),
    })
}

fn row(event: &HistoryEvent) -> [String; 6] {
    let found = event.report.as_ref().filter(|report| !report.is_clean());
    [
        time(event.time_ms),
        event.event.as_str().to_owned(),
        event.generation.to_string(),
        event.reason.map_or("-", OpenReason::as_str).to_owned(),
        owner(event.owner.as_ref()),
        found.map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}
