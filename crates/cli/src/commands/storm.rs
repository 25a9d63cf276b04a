//! `sjournal storm`: the incident, replayed on gateways of its own.

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use session_journal::ErrorKind;
use session_journal_gateway::storm::locks::{self, Settings};
use session_journal_gateway::storm::{self, Options, Report, Scheme, StormError};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::exit::{Exit, Failure, note};
use crate::parent::Parent;

/// Replay the incident: agents, two gateways on one store, and what happens to gateways
///
/// Starts two gateways on a temporary store, sends them a load that follows from the seed, stops and kills them, and accounts for every acknowledgement in the end. Ends with 1 where a promise is broken.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal storm\n  \
    sjournal storm --scheme both --seconds 600 --unwritable-max-ms 1000\n  \
    sjournal storm --seed 7 --agents 40 --keep --json")]
pub(crate) struct Args {
    /// How long each scheme is stormed
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many agents there are
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=5000))]
    agents: u32,
    /// Names the plan [default: one by chance]
    #[arg(long)]
    seed: Option<u64>,
    /// So many seconds of the incident pass in one
    #[arg(long, value_name = "FACTOR", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    compress: u32,
    /// Who keeps the sessions
    #[arg(long, value_name = "SCHEME", default_value = "journal")]
    scheme: Which,
    /// The longest that a session may not be writable; without it that is told, not judged
    #[arg(long, value_name = "MS")]
    unwritable_max_ms: Option<u64>,
    /// Write the report here as well, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Leave the sessions and the gateways' logs where they are
    #[arg(long)]
    keep: bool,
}

/// Who keeps the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Journals
    Journal,
    /// A model of lock files
    Locks,
    /// One after the other
    Both,
}

impl Which {
    fn schemes(self) -> &'static [Scheme] {
        match self {
            Self::Journal => &[Scheme::Journal],
            Self::Locks => &[Scheme::Locks],
            Self::Both => &[Scheme::Journal, Scheme::Locks],
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Locks => "locks",
            Self::Both => "both",
        }
    }
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let options = args.options()?;
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let at_signal = stop.clone();
    context.stop.then(move || at_signal.cancel());
    let mut reports = Vec::new();
    for scheme in args.scheme.schemes() {
        let mut progress = context.progress(scheme.as_str()).in_seconds();
        let mut tell = |over: Duration| progress.at(over.as_secs(), args.seconds);
        let run = storm::run(&options, *scheme, &stop, &mut tell);
        reports.push(runtime.block_on(run).map_err(failure)?);
    }
    answer(args, &options, &reports, context)
}

impl Args {
    fn options(&self) -> Result<Options, Failure> {
        let program = env::current_exe().map_err(|error| {
            Failure::Here(
                ErrorKind::Io,
                format!("where this program is: {error}; run it by its path"),
            )
        })?;
        // Short enough to be typed.
        let by_chance = || u64::from(std::process::id()) ^ (now_ms() & 0xffff_ffff);
        Ok(Options {
            program,
            lasts: Duration::from_secs(self.seconds),
            agents: self.agents,
            seed: self.seed.unwrap_or_else(by_chance),
            compress: self.compress,
            unwritable_max: self.unwritable_max_ms.map(Duration::from_millis),
            keep: self.keep,
        })
    }

    /// The command that replays this run.
    fn replay(&self, options: &Options) -> String {
        let Options { seed, agents, compress, .. } = options;
        let (seconds, scheme) = (self.seconds, self.scheme.as_str());
        let judged = self.unwritable_max_ms;
        let judged = judged.map_or_else(String::new, |ms| format!(" --unwritable-max-ms {ms}"));
        format!(
            "sjournal storm --seed {seed} --seconds {seconds} --agents {agents} --compress {compress} --scheme {scheme}{judged}"
        )
    }
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0))
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(no_threads)
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn no_threads(error: std::io::Error) -> Failure {
    Failure::Here(ErrorKind::Io, format!("could not start threads: {error}; see the limits"))
}

fn failure(error: StormError) -> Failure {
    match error {
        StormError::Store(error) => Failure::Engine(error),
        StormError::Interrupted => Failure::Interrupted,
        other => Failure::Here(ErrorKind::Io, other.to_string()),
    }
}

// ---- the answer ----------------------------------------------------------------------------

fn answer(
    args: &Args,
    options: &Options,
    reports: &[Report],
    context: &mut Context,
) -> Result<Exit, Failure> {
    let replay = args.replay(options);
    let lines: Vec<Value> = reports.iter().map(|one| with_run(one, options, &replay)).collect();
    if let Some(path) = &args.report {
        write_report(path, &lines)?;
    }
    if context.json {
        for line in &lines {
            context.output.json(line)?;
        }
    } else {
        for line in table(reports) {
            context.output.line(&line)?;
        }
        for report in reports {
            tell_findings(report, context)?;
        }
        context.output.line(&format!("\nthe same plan again: {replay}"))?;
    }
    context.output.flush()?;
    // Lock files promise nothing.
    let journal = reports.iter().find(|report| report.scheme == Scheme::Journal);
    if journal.is_none_or(Report::is_kept) {
        return Ok(Exit::Done);
    }
    note(&format!("a promise is broken; the same plan again: {replay}"));
    Ok(Exit::Findings)
}

fn with_run(report: &Report, options: &Options, replay: &str) -> Value {
    let mut line = report.to_json();
    line["seed"] = options.seed.into();
    line["seconds"] = options.lasts.as_secs().into();
    line["agents"] = options.agents.into();
    line["compress"] = options.compress.into();
    line["replay"] = replay.into();
    line["kept"] = json!(report.kept);
    line
}

fn write_report(path: &PathBuf, lines: &[Value]) -> Result<(), Failure> {
    let written = File::create(path)
        .and_then(|mut file| lines.iter().try_for_each(|line| writeln!(file, "{line}")));
    written.map_err(|error| {
        let what = format!("could not write the report: {error}");
        Failure::about(ErrorKind::Io, path, &what, "name another file")
    })
}

fn table(reports: &[Report]) -> Vec<String> {
    let head = std::iter::once(String::new());
    let head = head.chain(reports.iter().map(|report| report.scheme.as_str().to_owned())).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(storm::table(reports)).collect();
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=reports.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn tell_findings(report: &Report, context: &mut Context) -> Result<(), Failure> {
    if !report.findings.is_empty() {
        context.output.line(&format!("\nwhat does not fit ({}):", report.scheme.as_str()))?;
    }
    for finding in &report.findings {
        context.output.line(&format!("  {finding}"))?;
    }
    if let Some(kept) = &report.kept {
        context.output.line(&format!("\nkept in {}", kept.display()))?;
    }
    Ok(())
}

// ---- the gateway with lock files -----------------------------------------------------------

/// One of the gateways that `storm --scheme locks` starts.
#[derive(clap::Args, Debug)]
pub(crate) struct LocksArgs {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    script: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    compress: u32,
    #[command(flatten)]
    parent: Parent,
}

pub(crate) fn run_locks(args: &LocksArgs, context: &mut Context) -> Result<Exit, Failure> {
    let LocksArgs { folder, script, seed, compress, parent } = args;
    parent.heed()?;
    let (folder, script) = (folder.clone(), script.clone());
    let settings = Settings { folder, script, seed: *seed, compress: *compress };
    let stop = CancellationToken::new();
    let at_signal = stop.clone();
    context.stop.then(move || at_signal.cancel());
    let mut told = Ok(());
    let served =
        locks::runtime().map_err(no_threads)?.block_on(locks::serve(&settings, stop, |address| {
            let url = format!("http://{address}");
            let line = context.output.json(&json!({ "listening": url }));
            told = line.and_then(|()| context.output.flush());
        }));
    told?;
    served.map_err(|error| Failure::Here(ErrorKind::Io, error.to_string()))?;
    Ok(Exit::Done)
}
