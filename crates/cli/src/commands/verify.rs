//! `sjournal verify`: reads every byte, writes nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use session_journal::{Reader, Verification};

use super::info::places;
use crate::context::Context;
use crate::exit::{Exit, Failure, complain};
use crate::output::Colour;
use crate::text::{count, printable, size};
use crate::{json, target};

/// Read every byte of sessions and tell what does not verify
///
/// Writes nothing. Ends with 1 where a session is damaged.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal verify main/demo\n  \
    sjournal verify --all\n  \
    sjournal --json verify --all | jq 'select(.ok | not)'")]
pub(crate) struct Args {
    /// Sessions: names, beginnings of names, or journal files
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    sessions: Vec<String>,
    /// All sessions of the store
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let targets = if args.all { everything(context)? } else { named(args, context) };
    let is_single = targets.len() == 1 && !args.all;
    let mut exit = Exit::Done;
    for (session, path) in targets {
        match path.and_then(|path| one(&path, context)) {
            Ok(ok) => {
                if !ok {
                    exit = Exit::Findings;
                }
            }
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure @ Failure::Output(_)) => return Err(failure),
            Err(failure) if is_single && !context.json => return Err(failure),
            Err(failure) => {
                exit = if is_single { Exit::Because(failure.exit()) } else { Exit::Findings };
                print_failure(&session, &failure, context)?;
            }
        }
    }
    Ok(exit)
}

/// A session as it was named, and its file.
type Target = (String, Result<PathBuf, Failure>);

fn named(args: &Args, context: &Context) -> Vec<Target> {
    let path = |session: &String| (session.clone(), target::find(context, session));
    args.sessions.iter().map(path).collect()
}

fn everything(context: &Context) -> Result<Vec<Target>, Failure> {
    let Some(store) = context.store()? else { return Ok(Vec::new()) };
    let listed = context.stop.at_once(|| store.list())?;
    Ok(listed.into_iter().map(|one| (one.name.to_string(), Ok(one.path))).collect())
}

/// Verifies one session; whether it is sound.
fn one(path: &Path, context: &mut Context) -> Result<bool, Failure> {
    let name = Reader::open(path)?.name().to_string();
    let verification = verify(path, context)?;
    let ok = verification.ok;
    if context.json {
        context.output.json(&to_json(&name, &verification))?;
    } else {
        print(&name, &verification, context)?;
    }
    context.output.flush()?;
    Ok(ok)
}

/// Reads every byte of a journal, under a progress bar.
pub(crate) fn verify(path: &Path, context: &mut Context) -> Result<Verification, Failure> {
    let mut progress = context.progress("verify");
    let verify = || session_journal::verify(path, &mut |done, total| progress.at(done, total));
    Ok(context.stop.at_once(verify)?)
}

/// The answer about a session.
pub(crate) fn to_json(name: &str, verification: &Verification) -> Value {
    json!({
        "session": name,
        "ok": verification.ok,
        "records": verification.records,
        "bytes": verification.bytes,
        "void_bytes": verification.void_bytes,
        "header_damaged": verification.header_damaged,
        "torn": json::holes(&verification.torn),
        "damage": json::holes(&verification.damage),
    })
}

/// The answer about a session, for people.
pub(crate) fn print(
    name: &str,
    found: &Verification,
    context: &mut Context,
) -> Result<(), Failure> {
    let (colour, word) = if found.ok { (Colour::Green, "ok") } else { (Colour::Red, "damaged") };
    let word = context.output.paint(colour, word);
    let name = printable(name);
    let records = count(found.records, "record");
    context.output.line(&format!("{word}  {name}: {records}, {}", size(found.bytes)))?;
    let mut findings = Vec::new();
    if !found.damage.is_empty() {
        findings.push(format!("damage: {}", places(&found.damage)));
    }
    if !found.torn.is_empty() {
        findings.push(format!("torn: {}", places(&found.torn)));
    }
    if found.header_damaged {
        findings.push("header page damaged; nothing is lost by that".to_owned());
    }
    for finding in findings {
        context.output.line(&format!("    {finding}"))?;
    }
    Ok(())
}

fn print_failure(session: &str, failure: &Failure, context: &mut Context) -> Result<(), Failure> {
    if context.json {
        context.output.json(&json!({
            "session": session, "ok": false, "records": null, "void_bytes": null,
            "torn": [], "damage": [], "error": failure.to_string(), "code": failure.code(),
        }))?;
        context.output.flush()?;
    }
    complain(failure);
    Ok(())
}
