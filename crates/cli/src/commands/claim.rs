//! `sjournal claim`: takes the next generation of a session and lets it go again.

use serde_json::json;
use session_journal::{Journal, Options};

use crate::args::TakeoverArg;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::text::{owner, printable};
use crate::{json, target};

/// Take the next generation of a session and let it go again
///
/// Whoever owned it is fenced at the next append.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal claim main/demo\n  \
    sjournal claim main/demo --takeover always --label 'night watch'")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
    /// Whether to take it from an owner that has not released it
    #[arg(long, value_name = "WHEN", default_value = "if-gone")]
    takeover: TakeoverArg,
    /// What to note about us in its history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    label: String,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let path = target::find(context, &args.session)?;
    let options =
        Options { takeover: args.takeover.into(), label: args.label.clone(), ..Options::default() };
    let journal = Journal::open(&path, &options)?;
    let (name, opening) = (journal.name().to_string(), journal.opening().clone());
    journal.close()?;
    if context.json {
        context.output.json(&json!({
            "session": name,
            "generation": opening.generation.get(),
            "previous_generation": opening.previous_generation.get(),
            "previous_owner": json::owner(opening.previous_owner.as_ref()),
            "reason": opening.reason.as_str(),
            "report": json::report(&opening.report),
        }))?;
        return Ok(Exit::Done);
    }
    let (name, before) = (printable(&name), owner(opening.previous_owner.as_ref()));
    let (generation, reason) = (opening.generation, opening.reason);
    let line = format!("{name}: took generation {generation} ({reason}) and released it");
    context.output.line(&line)?;
    context
        .output
        .line(&format!("  before: generation {}, {before}", opening.previous_generation))?;
    Ok(Exit::Done)
}
