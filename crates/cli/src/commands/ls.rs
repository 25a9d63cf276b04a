//! `sjournal ls`: all sessions, newest first.

use serde_json::{Value, json};
use session_journal::Listed;

use crate::context::Context;
use crate::exit::{Exit, Failure, complain};
use crate::json;
use crate::output::Colour;
use crate::text::{Align, owner, printable, size, table, time};

/// List all sessions, newest first
///
/// Reads the first page of each file only: of a session that was not released it tells records and
/// times as they were last noted there. `info` counts.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal ls\n  \
    sjournal ls main/\n  \
    sjournal --json ls | jq -r 'select(.state == \"orphaned\") | .session'")]
pub(crate) struct Args {
    /// Only sessions whose name begins like this
    prefix: Option<String>,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let Some(store) = context.store()? else { return Ok(Exit::Done) };
    let mut listed = context.stop.at_once(|| store.list())?;
    if let Some(prefix) = &args.prefix {
        listed.retain(|one| one.name.to_string().starts_with(prefix));
    }
    if context.json {
        listed.iter().try_for_each(|one| context.output.json(&to_json(one)))?;
    } else {
        print(&listed, context)?;
    }
    context.output.flush()?;
    let errors: Vec<_> = listed.into_iter().filter_map(|one| one.error).collect();
    let exit = if errors.is_empty() { Exit::Done } else { Exit::Findings };
    for error in errors {
        complain(&Failure::Engine(error));
    }
    Ok(exit)
}

fn to_json(one: &Listed) -> Value {
    let session = one.name.to_string();
    if let Some(error) = &one.error {
        return json!({
            "session": session, "id": null, "generation": null, "state": null, "owner": null,
            "records": null, "bytes": one.bytes, "created_ms": null, "updated_ms": null,
            "damaged": one.damaged, "path": one.path.to_string_lossy(),
            "error": error.to_string(), "code": error.code(),
        });
    }
    json!({
        "session": session,
        "id": one.id.map(|id| id.to_string()),
        "generation": one.generation.get(),
        "state": one.state.as_str(),
        "owner": json::owner(one.owner.as_ref()),
        "records": one.records,
        "bytes": one.bytes,
        "created_ms": one.created_ms,
        "updated_ms": one.updated_ms,
        "damaged": one.damaged,
        "path": one.path.to_string_lossy(),
    })
}

fn print(listed: &[Listed], context: &mut Context) -> Result<(), Failure> {
    let head = [
        ("SESSION", Align::Left),
        ("STATE", Align::Left),
        ("GENERATION", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("UPDATED", Align::Left),
        ("OWNER", Align::Left),
    ];
    let rows: Vec<_> = listed.iter().map(row).collect();
    for (index, line) in table(head, &rows).into_iter().enumerate() {
        let is_bad = |one: &Listed| one.error.is_some() || one.damaged;
        let line = match index.checked_sub(1) {
            None => context.output.paint(Colour::Bold, &line),
            Some(row) if is_bad(&listed[row]) => context.output.paint(Colour::Red, &line),
            Some(_) => line,
        };
        context.output.line(&line)?;
    }
    Ok(())
}

fn row(one: &Listed) -> [String; 7] {
    let name = printable(&one.name.to_string());
    if one.error.is_some() {
        let none = || "-".to_owned();
        return [name, "unreadable".to_owned(), none(), none(), none(), none(), none()];
    }
    let damaged = if one.damaged { ", damaged" } else { "" };
    [
        name,
        format!("{}{damaged}", one.state.as_str()),
        one.generation.to_string(),
        one.records.to_string(),
        size(one.bytes),
        time(one.updated_ms),
        owner(one.owner.as_ref()),
    ]
}
