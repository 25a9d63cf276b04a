//! `sjournal import`: session files of agents to journals.

pub(super) mod offers;
mod report;
mod rollback;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use session_journal_import::{
    Attributes, Error, Format, Import, ImportOptions, Outcome, Plan, SourceReport, Summary,
    readable, shell_path,
};

use crate::context::Context;
use crate::exit::{Exit, Failure, complain, exit_code};
use crate::json;
use crate::output::Colour;
use crate::progress::{Aside, Progress};
use crate::text::{count, printable, size};
use report::Report;

/// Convert sessions of agents; folders are read recursively, databases session by session
///
/// The sources are only read. Run it again at any time: what is there already stays, what grew is
/// extended. With no path it offers what it finds in the home folder.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal import ~/.openclaw/agents\n  \
    sjournal import --dry-run ~/.pi/agent/sessions\n  \
    sjournal import --yes --verify --report report.json\n  \
    sjournal --json import session.jsonl | jq .damage\n  \
    sjournal import --rollback --dry-run")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// Session files, folders of them, or databases
    paths: Vec<PathBuf>,
    /// What they are: auto, openclaw, pi, claude-code, codex, gemini, jsonl, openclaw-sqlite or
    /// document
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format)]
    format: Choice,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// How many files at a time [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Export every session once more, and compare it with its source
    #[arg(long)]
    verify: bool,
    /// Write what became of every source to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// With no path: import what is found, without asking
    #[arg(long)]
    yes: bool,
    /// Begin even if there may not be enough room
    #[arg(long)]
    ignore_space: bool,
    /// Remove the journals that imports made and nobody has appended to, where their sources are
    /// still there, byte for byte; with paths, only those from there
    #[arg(long, conflicts_with_all = ["verify", "report", "yes", "ignore_space", "jobs"])]
    rollback: bool,
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
    if args.rollback {
        return rollback::run(&args.paths, args.dry_run, context);
    }
    let paths = match &args.paths[..] {
        [] => match offers::choose(args.yes, context)? {
            offers::Choice::Import(paths) => paths,
            offers::Choice::Nothing(exit) => return Ok(exit),
        },
        paths => paths.to_vec(),
    };
    let import = Import::new(context.folder()?, options(args));
    let plan = import.plan(&paths);
    tell_space(&plan, context);
    if !args.dry_run && !args.ignore_space {
        import.check_space(&plan)?;
    }
    let mut report = args.report.as_deref().map(Report::begin).transpose()?;
    let (summary, verdict) = work(&import, plan, report.as_mut(), context)?;
    if let Some(report) = report {
        report.end(&summary_json(&summary, args, context))?;
    }
    if context.json {
        context.output.json(&summary_json(&summary, args, context))?;
    } else {
        print_summary(&summary, args, context)?;
    }
    context.output.flush()?;
    if context.stop.is_requested() { Err(Failure::Interrupted) } else { Ok(verdict.exit(&summary)) }
}

fn options(args: &Args) -> ImportOptions {
    let defaults = ImportOptions::default();
    ImportOptions {
        format: args.format.0,
        dry_run: args.dry_run,
        verify: args.verify,
        jobs: args.jobs.map_or(defaults.jobs, usize::from),
        ..defaults
    }
}

fn tell_space(plan: &Plan, context: &Context) {
    let (sources, space) = (count(plan.sources(), "source"), plan.space());
    let (needed, free) = (size(space.needed), size(space.free));
    let bytes = size(plan.bytes());
    context.note(&format!("{sources}, {bytes}; about {needed} are needed, {free} are free"));
}

fn work(
    import: &Import,
    plan: Plan,
    mut file: Option<&mut Report>,
    context: &mut Context,
) -> Result<(Summary, Verdict), Failure> {
    let control = import.control();
    let at_stop = Arc::clone(&control);
    context.stop.then(move || at_stop.stop());
    let mut verdict = Verdict::default();
    let mut answered = Ok(());
    let progress = context.progress("import");
    let aside = progress.aside();
    let summary = with_progress(import, progress, || {
        import.run_plan(plan, &mut |report| {
            verdict.see(report);
            if answered.is_ok() {
                let kept = file.as_mut().map_or(Ok(()), |file| file.add(&to_json(report, context)));
                answered = kept.and_then(|()| answer(report, &aside, context));
            }
            if answered.is_err() {
                control.stop();
            }
        })
    });
    answered?;
    Ok((summary, verdict))
}

/// Shows how far the import is while it runs.
fn with_progress<T>(import: &Import, mut progress: Progress, run: impl FnOnce() -> T) -> T {
    let control = import.control();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            // Until the other end is gone.
            let moment = Duration::from_millis(200);
            while is_done.recv_timeout(moment) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                progress.of(control.sources_done(), control.sources_total());
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
            None if !summary.is_balanced() => Exit::Findings,
            None => Exit::Done,
            Some(code) if summary.failed == summary.sources => Exit::Because(code),
            Some(_) => Exit::Findings,
        }
    }
}

fn answer(report: &SourceReport, aside: &Aside, context: &mut Context) -> Result<(), Failure> {
    if context.json {
        context.output.json(&to_json(report, context))?;
    } else {
        print(report, context)?;
    }
    // A reader of a pipe may be slow, and has no bar to be glued to.
    if context.output.is_terminal() {
        aside.write(|| context.output.flush())?;
    } else {
        context.output.flush()?;
    }
    if let Some(error) = report.error.as_ref().filter(|error| !error.is_interrupted()) {
        aside.write(|| complain(&Failure::Here(error.kind(), error.to_string())));
    }
    Ok(())
}

fn to_json(report: &SourceReport, context: &Context) -> Value {
    let damage = report.damage.iter().map(|damage| {
        json!({ "what": damage.what.as_str(), "lines": damage.lines, "count": damage.count })
    });
    let mut value = json!({
        "source": readable(&report.source),
        "session": report.session.as_ref().map(ToString::to_string),
        "outcome": report.outcome.as_str(),
        "reason": report.reason,
        "next": context.next(&report.next),
        "records": report.records,
        "bytes": report.bytes,
        "opaque": report.opaque,
        "sha256": report.sha256,
        "warnings": report.warnings,
        "damage": damage.collect::<Value>(),
        "format": report.format.map(Format::as_str),
        "role": report.attributes.as_ref().map(|attributes| attributes.role.as_str()),
        "session_key": report.attributes.as_ref().map(|attributes| &attributes.session_key),
        "lineage": json::lineage(report.attributes.as_ref().map_or(&[], lineage)),
        "added_records": report.added_records,
        "added_bytes": report.added_bytes,
        "verified": report.verified,
    });
    if let Some(error) = &report.error {
        value["error"] = error.to_string().into();
        value["code"] = code(error).into();
    }
    value
}

fn lineage(attributes: &Attributes) -> &[session_journal_import::Lineage] {
    &attributes.lineage
}

fn code(error: &Error) -> &'static str {
    if error.is_interrupted() { "interrupted" } else { error.code() }
}

fn summary_json(summary: &Summary, args: &Args, context: &Context) -> Value {
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
        "skipped_bytes": summary.skipped_bytes,
        "added_records": summary.added_records,
        "added_bytes": summary.added_bytes,
        "record_bytes": summary.added_payload,
        "line_feeds": summary.added_line_feeds,
        "balanced": summary.is_balanced(),
        "verified": summary.verified,
        "next": next(summary, args).map(|next| context.next(&next)),
    })
}

/// What to do behind the sources that arrived, or would; `None` where none did.
fn next(summary: &Summary, args: &Args) -> Option<String> {
    let new = summary.imported + summary.extended + summary.empty;
    match (new, summary.unchanged) {
        (0, 0) => None,
        (0, _) => Some("nothing to do".to_owned()),
        _ if !args.dry_run => Some("sjournal ls".to_owned()),
        _ if args.paths.is_empty() => Some("sjournal import --yes".to_owned()),
        _ => {
            let format = args.format.0.map(|format| format!(" --format {format}"));
            let paths: Vec<_> = args.paths.iter().map(|path| shell_path(path)).collect();
            Some(format!("sjournal import{} {}", format.unwrap_or_default(), paths.join(" ")))
        }
    }
}

fn print(report: &SourceReport, context: &mut Context) -> Result<(), Failure> {
    let colour = match report.outcome {
        Outcome::Imported | Outcome::Extended => Colour::Green,
        Outcome::Empty => Colour::Yellow,
        Outcome::Unchanged | Outcome::Skipped => Colour::Dim,
        Outcome::Failed => Colour::Red,
    };
    let outcome = context.output.paint(colour, &format!("{:<9}", report.outcome.as_str()));
    let source = printable(&readable(&report.source));
    let Some(session) = &report.session else {
        let is_told = report.outcome == Outcome::Skipped;
        let why = if is_told { format!(": {}", printable(&report.reason)) } else { String::new() };
        context.output.line(&format!("{outcome}  {source}{why}"))?;
        return print_next(&report.next, context);
    };
    let (records, bytes) = (report.records, size(report.bytes));
    let name = printable(&session.to_string());
    context.output.line(&format!("{outcome}  {records:>8}  {bytes:>10}  {name}  {source}"))?;
    for warning in &report.warnings {
        let warning = context.output.paint(Colour::Yellow, &printable(warning));
        context.output.line(&format!("           {warning}"))?;
    }
    // What to do behind plain successes is told once, in the end.
    if report.warnings.is_empty() && report.outcome != Outcome::Empty {
        return Ok(());
    }
    print_next(&report.next, context)
}

fn print_next(next: &str, context: &mut Context) -> Result<(), Failure> {
    let next = printable(&context.next(next));
    Ok(context.output.line(&format!("           next: {next}"))?)
}

fn print_summary(summary: &Summary, args: &Args, context: &mut Context) -> Result<(), Failure> {
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
    let end = if args.dry_run { "; a dry run, nothing was written" } else { "" };
    let counts = counts.join(", ");
    let sources = count(summary.sources, "source");
    context.output.line(&format!("{sources}: {counts}; {all}, {seconds:.1} s{end}"))?;
    if !args.dry_run {
        print_sum(summary, args, context)?;
    }
    match next(summary, args) {
        Some(next) => Ok(context.output.line(&format!("next: {}", context.next(&next)))?),
        None => Ok(()),
    }
}

/// That every byte is where it should be.
fn print_sum(summary: &Summary, args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (read, records) = (summary.added_bytes, summary.added_payload);
    let feeds = count(summary.added_line_feeds, "line feed");
    let sum = if summary.is_balanced() { "every byte is there" } else { "BYTES ARE MISSING" };
    context.output.line(&format!("{read} bytes read = {records} in records + {feeds}: {sum}"))?;
    if args.verify {
        let verified = count(summary.verified, "session");
        context
            .output
            .line(&format!("{verified} exported again, and the same as their sources"))?;
    }
    Ok(())
}
