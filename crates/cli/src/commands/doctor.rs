//! `sjournal doctor`: a legacy folder explained; nothing is written.

use std::path::PathBuf;

use serde_json::json;
use session_journal::ErrorKind;
use session_journal_import::{Doctor, Finding, Severity, readable};

use super::import::offers::offered;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::Colour;
use crate::text::printable;

/// Explain sessions of other programs: locks, damage, lists, and what an import would need
///
/// Everything is only read, and no lock is taken. Ends with 1 where something is not as it should be.
/// With no path it looks at what the home folder holds.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal doctor ~/.openclaw/agents\n  \
    sjournal doctor ~/.openclaw/agents/main/sessions/old.jsonl\n  \
    sjournal --json doctor | jq 'select(.severity == \"error\")'")]
pub(crate) struct Args {
    /// Session files, folders of them, or databases
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let paths = paths(args, context)?;
    let doctor = Doctor::new(context.folder()?);
    let (control, at_stop) = (doctor.control(), doctor.control());
    context.stop.then(move || at_stop.stop());
    let (mut exit, mut answered) = (Exit::Done, Ok(()));
    doctor.examine(&paths, &mut |finding| {
        if finding.severity > Severity::Note {
            exit = Exit::Findings;
        }
        if answered.is_ok() {
            answered = answer(&finding, context);
        }
        if answered.is_err() {
            control.stop();
        }
    });
    answered?;
    context.output.flush()?;
    if context.stop.is_requested() { Err(Failure::Interrupted) } else { Ok(exit) }
}

/// The paths that are meant; each has to be there.
fn paths(args: &Args, context: &mut Context) -> Result<Vec<PathBuf>, Failure> {
    if args.paths.is_empty() {
        return Ok(offered(context)?.into_iter().map(|offer| offer.path).collect());
    }
    for path in &args.paths {
        if matches!(path.try_exists(), Ok(false)) {
            let what = "no such file or folder";
            return Err(Failure::about(ErrorKind::NotFound, path, what, "check the path"));
        }
    }
    Ok(args.paths.clone())
}

fn answer(finding: &Finding, context: &mut Context) -> Result<(), Failure> {
    let path = readable(&finding.path);
    let severity = finding.severity.as_str();
    if context.json {
        context.output.json(&json!({
            "path": path, "severity": severity, "code": finding.code,
            "what": finding.what, "next": context.next(&finding.next),
        }))?;
        return Ok(context.output.flush()?);
    }
    let colour = match finding.severity {
        Severity::Note => Colour::Dim,
        Severity::Warning => Colour::Yellow,
        Severity::Error => Colour::Red,
    };
    let severity = context.output.paint(colour, &format!("{severity:<7}"));
    context.output.line(&format!("{severity}  {} [{}]", printable(&path), finding.code))?;
    context.output.line(&format!("         {}", printable(&finding.what)))?;
    context.output.line(&format!("         next: {}", printable(&context.next(&finding.next))))?;
    Ok(context.output.flush()?)
}
