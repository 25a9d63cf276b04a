//! `sjournal import`: session files of agents to journals.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use session_journal::Options;
use session_journal_import::{
    Error, Format, Import, ImportOptions, Outcome, SourceReport, Summary,
};

use crate::context::Context;
use crate::exit::{Exit, Failure, complain, exit_code};
use crate::output::Colour;
use crate::text::{count, printable, size};

/// Convert session files (JSONL) of agents; folders are read recursively
///
/// The sources are only read. Run it again at any time: what is there already stays, what grew is
/// extended.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal import ~/.openclaw/agents\n  \
    sjournal import --dry-run ~/.pi/agent/sessions\n  \
    sjournal --json import session.jsonl | jq .warnings")]
pub(crate) struct Args {
    /// Session files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// What they are: auto, openclaw, pi, claude-code, codex, gemini or jsonl
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format)]
    format: Choice,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// How many files at a time [default: as many as there are processors, but at least 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

/// A format, or none: each file is looked at.
#[derive(Clone, Copy, Debug)]
struct Choice(Option<Format>);

fn format(text: &str) -> Result<Choice, String> {
    if text == "auto" {
        return Ok(Choice(None));
    }
    Format::from_str(text).map(|format| Choice(Some(format))).map_err(|e| format!("{e}, or auto"))
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let defaults = ImportOptions::default();
    let import = Import::new(
        context.folder()?,
        ImportOptions {
            format: args.format.0,
            dry_run: args.dry_run,
            jobs: args.jobs.map_or(defaults.jobs, usize::from),
            journal: Options { label: "import".to_owned(), ..defaults.journal },
        },
    );
    let control = import.control();
    let at_stop = Arc::clone(&control);
    context.stop.then(move || at_stop.stop());

    let mut verdict = Verdict::default();
    let mut answered = Ok(());
    let summary = with_progress(&import, context.progress("import"), || {
        import.run(&args.paths, &mut |report| {
            verdict.see(report);
            if answered.is_ok() {
                answered = answer(report, context);
            }
            if answered.is_err() {
                control.stop();
            }
        })
    });
    answered?;
    if context.json {
        context.output.json(&summary_json(&summary))?;
    } else {
        print_summary(&summary, args.dry_run, context)?;
    }
    context.output.flush()?;
    if context.stop.is_requested() { Err(Failure::Interrupted) } else { Ok(verdict.exit(&summary)) }
}

/// Shows how far the import is while it runs.
fn with_progress<T>(
    import: &Import,
    mut progress: crate::progress::Progress,
    run: impl FnOnce() -> T,
) -> T {
    let control = import.control();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            // Until the other end is gone.
            let moment = Duration::from_millis(200);
            while is_done.recv_timeout(moment) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                progress.at(control.done(), control.total());
            }
        });
        let result = run();
        drop(done);
        result
    })
}

/// What the failures of an import mean for its exit code.
#[derive(Default)]
struct Verdict {
    first: Option<u8>,
}

impl Verdict {
    fn see(&mut self, report: &SourceReport) {
        if let Some(error) = &report.error {
            self.first = self.first.or(Some(exit_code(error.kind())));
        }
    }

    /// Where nothing at all could be imported the first reason counts.
    fn exit(&self, summary: &Summary) -> Exit {
        match self.first {
            None => Exit::Done,
            Some(code) if summary.failed == summary.sources => Exit::Because(code),
            Some(_) => Exit::Findings,
        }
    }
}

fn answer(report: &SourceReport, context: &mut Context) -> Result<(), Failure> {
    if context.json {
        context.output.json(&to_json(report))?;
    } else {
        print(report, context)?;
    }
    context.output.flush()?;
    if let Some(error) = report.error.as_ref().filter(|error| !error.is_interrupted()) {
        complain(&Failure::Here(error.kind(), error.to_string()));
    }
    Ok(())
}

fn to_json(report: &SourceReport) -> Value {
    let mut value = json!({
        "source": report.source.to_string_lossy(),
        "session": report.session.as_ref().map(ToString::to_string),
        "outcome": report.outcome.as_str(),
        "records": report.records,
        "bytes": report.bytes,
        "opaque": report.opaque,
        "sha256": report.sha256,
        "warnings": report.warnings,
        "format": report.format.map(Format::as_str),
        "added_records": report.added_records,
        "added_bytes": report.added_bytes,
    });
    if let Some(error) = &report.error {
        value["error"] = error.to_string().into();
        value["code"] = code(error).into();
    }
    value
}

fn code(error: &Error) -> &'static str {
    if error.is_interrupted() { "interrupted" } else { error.code() }
}

fn summary_json(summary: &Summary) -> Value {
    json!({
        "summary": true,
        "sources": summary.sources,
        "imported": summary.imported,
        "unchanged": summary.unchanged,
        "extended": summary.extended,
        "empty": summary.empty,
        "skipped": summary.skipped,
        "failed": summary.failed,
        "records": summary.records,
        "bytes": summary.bytes,
        "seconds": summary.time.as_secs_f64(),
        "added_records": summary.added_records,
        "added_bytes": summary.added_bytes,
    })
}

fn print(report: &SourceReport, context: &mut Context) -> Result<(), Failure> {
    let colour = match report.outcome {
        Outcome::Imported | Outcome::Extended => Colour::Green,
        Outcome::Empty => Colour::Yellow,
        Outcome::Unchanged | Outcome::Skipped => Colour::Dim,
        Outcome::Failed => Colour::Red,
    };
    let outcome = context.output.paint(colour, &format!("{:<9}", report.outcome.as_str()));
    let source = printable(&report.source.to_string_lossy());
    let Some(session) = &report.session else {
        let why = report.warnings.first().filter(|_| report.outcome == Outcome::Skipped);
        let why = why.map_or_else(String::new, |why| format!(": {}", printable(why)));
        return Ok(context.output.line(&format!("{outcome}  {source}{why}"))?);
    };
    let (records, bytes) = (report.records, size(report.bytes));
    let name = printable(&session.to_string());
    context.output.line(&format!("{outcome}  {records:>8}  {bytes:>10}  {name}  {source}"))?;
    for warning in &report.warnings {
        let warning = context.output.paint(Colour::Yellow, &printable(warning));
        context.output.line(&format!("           {warning}"))?;
    }
    Ok(())
}

fn print_summary(summary: &Summary, dry_run: bool, context: &mut Context) -> Result<(), Failure> {
    let counts = [
        (summary.imported, "imported"),
        (summary.extended, "extended"),
        (summary.unchanged, "unchanged"),
        (summary.empty, "empty"),
        (summary.skipped, "skipped"),
        (summary.failed, "failed"),
    ];
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let all = format!("{}, {}", count(summary.records, "record"), size(summary.bytes));
    let seconds = summary.time.as_secs_f64();
    let end = if dry_run { "; a dry run, nothing was written" } else { "" };
    let counts = counts.join(", ");
    let sources = count(summary.sources, "source");
    Ok(context.output.line(&format!("{sources}: {counts}; {all}, {seconds:.1} s{end}"))?)
}
