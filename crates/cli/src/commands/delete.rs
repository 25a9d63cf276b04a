//! `sjournal delete`: removes sessions, each through its owner, which it becomes first.

use std::path::PathBuf;

use serde_json::json;
use session_journal::{ErrorKind, Info, Journal, LocalHost, Options, info};
use session_journal_import::{command, is_cut_short};

use crate::args::TakeoverArg;
use crate::context::Context;
use crate::exit::{Exit, Failure, complain};
use crate::output::Colour;
use crate::text::{count, owner, printable, size};
use crate::{ask, target};

/// Delete sessions, whatever is in them
///
/// It becomes the owner of each first, and then removes its file. What is nowhere else is gone. All of
/// them are looked at before the first is deleted.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal export main/demo -o demo.jsonl\n  \
    sjournal delete main/demo\n  \
    sjournal delete main/demo main/other --yes\n  \
    sjournal --json delete main/demo --yes --takeover always")]
pub(crate) struct Args {
    /// The sessions: names in full, keys, ids or journal files; the beginning of a name will not do
    #[arg(required = true, value_name = "SESSION")]
    sessions: Vec<String>,
    /// Whether to take one from an owner that has not released it
    #[arg(long, value_name = "WHEN", default_value = "if-gone")]
    takeover: TakeoverArg,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also those whose import was cut short: nothing says that all of it is still in its source
    #[arg(long)]
    cut_short: bool,
}

/// A session that is to be deleted.
struct Doomed {
    path: PathBuf,
    info: Info,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let doomed = look(args, context)?;
    if !args.yes && !is_meant(&doomed, context)? {
        for one in &doomed {
            answer(one, "kept", None, context)?;
        }
        return Ok(Exit::Done);
    }
    let options = Options { takeover: args.takeover.into(), ..Options::default() };
    let mut failures = Vec::new();
    for one in &doomed {
        if context.stop.is_requested() {
            return Err(Failure::Interrupted);
        }
        match delete(one, &options) {
            Ok(()) => answer(one, "deleted", None, context)?,
            Err(failure) => {
                failures.push(failure.exit());
                answer(one, "failed", Some(&failure), context)?;
                complain(&failure);
            }
        }
    }
    Ok(match failures.first() {
        None => Exit::Done,
        Some(code) if failures.len() == doomed.len() => Exit::Because(*code),
        Some(_) => Exit::Findings,
    })
}

/// Finds all of them. Where one is not there, or is not to be deleted, none is.
fn look(args: &Args, context: &Context) -> Result<Vec<Doomed>, Failure> {
    let mut all: Vec<Doomed> = Vec::new();
    for text in &args.sessions {
        let path = target::find_exactly(context, text)?;
        let info = context.stop.at_once(|| info(&path, &LocalHost))?;
        if !args.cut_short && context.stop.at_once(|| is_cut_short(&path))? {
            let what = "its import was cut short, and nothing was deleted";
            let advice =
                "import its source once more, or give --cut-short to delete it all the same";
            return Err(Failure::about(ErrorKind::Invalid, &path, what, advice));
        }
        if all.iter().all(|one| one.info.id != info.id) {
            all.push(Doomed { path, info });
        }
    }
    Ok(all)
}

fn is_meant(doomed: &[Doomed], context: &Context) -> Result<bool, Failure> {
    let sessions = count(doomed.len() as u64, "session");
    let each: Vec<_> = doomed.iter().map(told).collect();
    let question = format!("delete {sessions}? What is nowhere else is gone: {}.", each.join("; "));
    ask::confirm(&question, "give --yes to delete what was named", context)
}

fn told(Doomed { info, .. }: &Doomed) -> String {
    let (records, bytes) = (count(info.records, "record"), size(info.bytes));
    let holder = match &info.owner {
        Some(holder) => format!(", held by {}", owner(Some(holder))),
        None => String::new(),
    };
    format!("{}, {records}, {bytes}{holder}", info.name)
}

fn delete(one: &Doomed, options: &Options) -> Result<(), Failure> {
    let journal = match Journal::open(&one.path, options) {
        // A deletion that was cut short: opening it finished it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if journal.id() != one.info.id {
        journal.close()?;
        let what = "another journal is here now, and was not deleted";
        return Err(Failure::about(
            ErrorKind::Detached,
            &one.path,
            what,
            "look at it, and name it again",
        ));
    }
    Ok(journal.delete()?)
}

fn answer(
    one: &Doomed,
    outcome: &str,
    failure: Option<&Failure>,
    context: &mut Context,
) -> Result<(), Failure> {
    let Doomed { info, .. } = one;
    let session = info.name.to_string();
    if context.json {
        let mut value = json!({
            "session": session, "id": info.id.to_string(), "records": info.records,
            "bytes": info.bytes, "outcome": outcome, "next": context.next(&next(one, outcome)),
        });
        if let Some(failure) = failure {
            value["error"] = failure.to_string().into();
            value["code"] = failure.code().into();
        }
        context.output.json(&value)?;
        return Ok(context.output.flush()?);
    }
    let colour = if outcome == "failed" { Colour::Red } else { Colour::Dim };
    let word = context.output.paint(colour, &format!("{outcome:<7}"));
    let (records, bytes) = (count(info.records, "record"), size(info.bytes));
    context.output.line(&format!("{word}  {}: {records}, {bytes}", printable(&session)))?;
    if outcome == "failed" {
        let next = printable(&context.next(&next(one, outcome)));
        context.output.line(&format!("         next: {next}"))?;
    }
    Ok(context.output.flush()?)
}

fn next(one: &Doomed, outcome: &str) -> String {
    if outcome == "deleted" {
        return "nothing to do".to_owned();
    }
    command("info", &one.info.name.to_string())
}
