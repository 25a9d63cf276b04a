//! `sjournal history`: who opened a session when, and what was found.

use serde_json::{Value, json};
use session_journal::{HistoryEvent, OpenReason, history};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::Colour;
use crate::text::{Align, owner, table, time};
use crate::{json, target};

/// List every claim, opening, release, repair and seal of a session, in order
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
    if context.json {
        events.iter().try_for_each(|event| context.output.json(&to_json(event)))?;
        return Ok(Exit::Done);
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
