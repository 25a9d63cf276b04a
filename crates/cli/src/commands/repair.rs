//! `sjournal repair`: opens a session for writing, which is all that repairing takes.

use session_journal::{Journal, Options, Reader};

use super::verify::{print, to_json, verify};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::{json, target};

/// Open a session for writing and release it, and tell what was found
///
/// Opening repairs: what is torn or damaged is noted in the journal, and every reader steps over
/// it. Nothing is cut off or overwritten. Ends with 1 where a session is damaged.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal repair main/demo --dry-run\n  \
    sjournal repair main/demo")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
    /// Only look
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let path = target::find(context, &args.session)?;
    let name = Reader::open(&path)?.name().to_string();
    let found = verify(&path, context)?;
    let mut answer = to_json(&name, &found);
    answer["applied"] = (!args.dry_run).into();
    let mut said = "nothing was written".to_owned();
    if !args.dry_run {
        let options = Options { full_scan: true, auto_repair: true, ..Options::default() };
        let journal = Journal::open(&path, &options)?;
        let opening = journal.opening().clone();
        journal.close()?;
        answer["report"] = json::report(&opening.report);
        said =
            format!("opened as generation {} and released: {}", opening.generation, opening.report);
    }
    if context.json {
        context.output.json(&answer)?;
    } else {
        print(&name, &found, context)?;
        context.output.line(&format!("    {said}"))?;
    }
    Ok(if found.ok { Exit::Done } else { Exit::Findings })
}
