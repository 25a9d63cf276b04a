//! `sjournal ls`: all sessions, newest first.

use serde_json::{Value, json};
use session_journal::Listed;
use session_journal_import::{Attributes, Catalogue};

use crate::context::Context;
use crate::exit::{Exit, Failure, complain};
use crate::json;
use crate::output::Colour;
use crate::text::{Align, owner, printable, size, table, time};

/// List all sessions, newest first
///
/// Reads the first page of each file, and the newest attributes: of a session that was not released
/// it tells records and times as they were last noted there. `info` counts.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal ls\n  \
    sjournal ls main/\n  \
    sjournal --json ls | jq -r 'select(.state == \"orphaned\") | .session'")]
pub(crate) struct Args {
    /// Only sessions whose name, or key in their program's registry, begins like this
    prefix: Option<String>,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let Some(store) = context.store()? else { return Ok(Exit::Done) };
    let mut listed = context.stop.at_once(|| store.list())?;
    let journals = listed.iter().map(|one| (one.name.clone(), one.path.clone()));
    let known = context.stop.at_once(|| Catalogue::read(journals));
    if let Some(prefix) = &args.prefix {
        listed.retain(|one| begins(one, &known, prefix));
    }
    if context.json {
        listed.iter().try_for_each(|one| context.output.json(&to_json(one, &known)))?;
    } else {
        print(&listed, &known, context)?;
    }
    context.output.flush()?;
    let errors: Vec<_> = listed.into_iter().filter_map(|one| one.error).collect();
    let exit = if errors.is_empty() { Exit::Done } else { Exit::Findings };
    for error in errors {
        complain(&Failure::Engine(error));
    }
    Ok(exit)
}

fn begins(one: &Listed, known: &Catalogue, prefix: &str) -> bool {
    let key = known_of(one, known).and_then(|known| known.session_key.as_deref());
    one.name.to_string().starts_with(prefix) || key.is_some_and(|key| key.starts_with(prefix))
}

/// What is known of a session beside its lines, where it was imported.
fn known_of<'a>(one: &Listed, known: &'a Catalogue) -> Option<&'a Attributes> {
    let attributes = &known.at(&one.path)?.attributes;
    (!attributes.source.is_empty()).then_some(attributes)
}

fn to_json(one: &Listed, known: &Catalogue) -> Value {
    let mut value = facts_json(one);
    let known = known_of(one, known);
    value["session_key"] = known.and_then(|known| known.session_key.clone()).into();
    value["title"] = known.and_then(|known| known.title.clone()).into();
    value["attributes"] = json::attributes(known);
    value
}

fn facts_json(one: &Listed) -> Value {
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

fn print(listed: &[Listed], known: &Catalogue, context: &mut Context) -> Result<(), Failure> {
    let head = [
        ("SESSION", Align::Left),
        ("STATE", Align::Left),
        ("GENERATION", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("UPDATED", Align::Left),
        ("OWNER", Align::Left),
        ("KEY OR TITLE", Align::Left),
    ];
    let rows: Vec<_> = listed.iter().map(|one| row(one, known)).collect();
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

fn row(one: &Listed, known: &Catalogue) -> [String; 8] {
    let name = printable(&one.name.to_string());
    if one.error.is_some() {
        let none = || "-".to_owned();
        return [name, "unreadable".to_owned(), none(), none(), none(), none(), none(), none()];
    }
    let known = known_of(one, known);
    let called = known.and_then(|known| known.session_key.as_ref().or(known.title.as_ref()));
    let damaged = if one.damaged { ", damaged" } else { "" };
    [
        name,
        format!("{}{damaged}", one.state.as_str()),
        one.generation.to_string(),
        one.records.to_string(),
        size(one.bytes),
        time(one.updated_ms),
        owner(one.owner.as_ref()),
        called.map_or_else(|| "-".to_owned(), |called| printable(called)),
    ]
}
