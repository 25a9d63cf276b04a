//! With no path: what there is to import in the home folder, and whether to.

use std::path::{Path, PathBuf};

use session_journal::ErrorKind;
use session_journal_import::{Offer, offers, readable};

use crate::ask;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::text::{Align, count, printable, size, table};

/// What is to be done.
pub(super) enum Choice {
    /// These are to be imported.
    Import(Vec<PathBuf>),
    /// Nothing is; how the command ends.
    Nothing(Exit),
}

/// Offers what it finds, and asks.
pub(super) fn choose(yes: bool, context: &mut Context) -> Result<Choice, Failure> {
    let found = offered(context)?;
    if !context.json {
        show(&found, context)?;
        context.output.flush()?;
    }
    let paths = || found.iter().map(|offer| offer.path.clone()).collect();
    if yes {
        return Ok(Choice::Import(paths()));
    }
    let sources = found.iter().map(|offer| offer.sources).sum();
    let question = format!("import {}? Nothing in them is changed.", count(sources, "source"));
    let otherwise = "give --yes to import all of it, or name the folders";
    if ask::confirm(&question, otherwise, context)? {
        return Ok(Choice::Import(paths()));
    }
    context.note("nothing was imported");
    Ok(Choice::Nothing(Exit::Done))
}

/// What the home folder holds; a failure where that is nothing.
pub(in crate::commands) fn offered(context: &Context) -> Result<Vec<Offer>, Failure> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.ok_or_else(|| Failure::usage("HOME is not set; name the folders"))?;
    let found = context.stop.at_once(|| offers(&home));
    if found.is_empty() { Err(nothing(&home)) } else { Ok(found) }
}

fn nothing(home: &Path) -> Failure {
    let what = "no sessions of OpenClaw, pi, Claude Code, Codex or Gemini were found below it";
    Failure::about(ErrorKind::NotFound, home, what, "name the folders")
}

fn show(found: &[Offer], context: &mut Context) -> Result<(), Failure> {
    let head = [
        ("PROGRAM", Align::Left),
        ("SOURCES", Align::Right),
        ("SIZE", Align::Right),
        ("FOLDER", Align::Left),
    ];
    let rows = found.iter().map(|offer| {
        let folder = printable(&readable(&offer.path));
        [offer.format.to_string(), offer.sources.to_string(), size(offer.bytes), folder]
    });
    let rows: Vec<_> = rows.collect();
    table(head, &rows).iter().try_for_each(|line| context.output.line(line))?;
    Ok(())
}
