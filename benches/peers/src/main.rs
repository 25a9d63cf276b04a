//! The bar: the engine, the limits of the machine and other logs, in one run.
//!
//! `scripts/bar` builds and runs it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints figures")]

mod grouped;
mod histories;
mod logs;
mod status_quo;
mod stores;
mod versions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use session_journal_benches::Durability;
use session_journal_benches::{
    Asked, CHILD, Candidate, Report, Result, SECTIONS, Scale, engine_candidates, measure, payload,
    raw_candidates, run_child,
};

/// Measures the engine beside the machine and beside other logs, and judges it by the bar.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole bar.
    Bar(Bar),
    /// Appends to one candidate, so that its system calls can be counted.
    Append {
        /// As tables call it, or the beginning of that.
        candidate: String,
        /// `written` or `durable`.
        durability: String,
        /// How many records.
        count: usize,
    },
    /// The names of the candidates.
    Candidates,
}

#[derive(Debug, Args)]
struct Bar {
    /// With the journal of 8 GB, and the burst of 200 s: takes half an hour and 12 GB.
    #[arg(long, conflicts_with = "tiny")]
    long: bool,
    /// So small that no figure means anything: shows that everything can be measured.
    #[arg(long)]
    tiny: bool,
    /// Decides the order of the candidates; printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Measures these sections only.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(SECTIONS))]
    only: Vec<String>,
    /// Writes the report and its plots into this folder.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Puts the rows that matter to a user into this file, between its two marks.
    #[arg(long)]
    readme: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.get(1) {
        Some(first) if first == CHILD => run_child(&arguments[2..]).map(|()| true),
        _ => run(Arguments::parse().command),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool> {
    match command {
        Command::Bar(bar) => bar.run(),
        Command::Append { candidate, durability, count } => {
            append(&candidate, &durability, count).map(|()| true)
        }
        Command::Candidates => {
            for candidate in all() {
                println!("{}", candidate.name);
            }
            Ok(true)
        }
    }
}

/// The other logs.
fn peers() -> Vec<Candidate> {
    let mut peers = vec![status_quo::CANDIDATE];
    peers.extend(stores::CANDIDATES);
    peers.extend(logs::CANDIDATES);
    peers
}

fn all() -> Vec<Candidate> {
    let mut all = raw_candidates();
    all.extend(engine_candidates());
    all.extend(peers());
    all
}

impl Bar {
    fn run(&self) -> Result<bool> {
        let seed = self.seed.unwrap_or_else(|| u64::from(std::process::id()));
        let scale = match (self.tiny, self.long) {
            (true, _) => Scale::tiny(),
            (_, true) => Scale::long(),
            _ => Scale::whole(),
        };
        let begin = std::time::Instant::now();
        let mut next = |section: &str| {
            eprintln!("{:4} s  {section}", begin.elapsed().as_secs());
        };
        let report =
            measure(&scale, seed, (peers(), histories::HISTORIES.to_vec()), &self.only, &mut next)?;
        let minutes = begin.elapsed().as_secs_f64() / 60.0;
        println!("{}\n\n{}", self.heading(&report, minutes), report.bar());
        println!("{}; seed {seed}; {minutes:.1} minutes", report.summary());
        if let Some(folder) = &self.report {
            let heading = format!(
                "# The bar, measured\n\n{}\n{}",
                self.heading(&report, minutes),
                versions::table()
            );
            report.write(folder, &heading)?;
        }
        if let Some(readme) = &self.readme {
            put_into(readme, &report)?;
        }
        Ok(report.is_whole())
    }

    /// Where, when and how.
    fn heading(&self, report: &Report, minutes: f64) -> String {
        let today = jiff::Timestamp::now().strftime("%-d %B %Y");
        let flags = match (self.tiny, self.long) {
            (true, _) => " --tiny",
            (_, true) => " --long",
            _ => "",
        };
        let mut text = format!(
            "`scripts/bar{flags} --seed {}`, {today}, {minutes:.1} minutes, load {} before.\n{}.\n",
            report.seed,
            report.machine.load,
            report.machine.line()
        );
        if report.machine.filesystem != "ext4" {
            text.push_str("The bar is meant for ext4.\n");
        }
        if self.tiny {
            text.push_str("So small that no figure means anything.\n");
        }
        text
    }
}

const BEGIN: &str = "<!-- bar: written by scripts/bar --readme -->\n";
const END: &str = "<!-- end of bar -->\n";

/// Replaces what stands between the two marks.
fn put_into(readme: &Path, report: &Report) -> Result<()> {
    let text = std::fs::read_to_string(readme)?;
    let missing = || format!("{} has no marks for the bar", readme.display());
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let today = jiff::Timestamp::now().strftime("%-d %B %Y");
    let table = report.for_users();
    let (machine, load) = (report.machine.line(), &report.machine.load);
    let text =
        format!("{before}{BEGIN}{machine}; {today}, load {load} before.\n\n{table}{END}{after}");
    Ok(std::fs::write(readme, text)?)
}

fn append(candidate: &str, durability: &str, count: usize) -> Result<()> {
    let durability = match durability {
        "written" => Durability::Written,
        "durable" => Durability::Durable,
        other => return Err(format!("{other:?} is neither written nor durable").into()),
    };
    let all = all();
    let found = all.iter().find(|one| one.name.starts_with(candidate));
    let found = found.ok_or_else(|| format!("no candidate begins with {candidate:?}"))?;
    let folder = session_journal_benches::folder()?;
    let Some(log) = (found.open)(folder.path(), Asked::alone(durability))? else {
        println!("no such mode");
        return Ok(());
    };
    let (mut writer, payload) = (log.writer(0)?, payload(1024));
    for _ in 0..count {
        writer.append(&payload)?;
    }
    println!("done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether some file below a folder holds these bytes.
    fn is_in_files(folder: &Path, bytes: &[u8]) -> bool {
        let entries = std::fs::read_dir(folder).expect("reads");
        entries.map(|entry| entry.expect("an entry").path()).any(|path| {
            if path.is_dir() {
                return is_in_files(&path, bytes);
            }
            let content = std::fs::read(&path).expect("reads");
            memchr::memmem::find(&content, bytes).is_some()
        })
    }

    /// Whether what a candidate acknowledges is in its files while it is still open.
    fn hands_over(candidate: &Candidate, durability: Durability) -> Option<bool> {
        let folder = tempfile::tempdir().expect("a folder");
        let log = (candidate.open)(folder.path(), Asked::alone(durability)).expect("opens")?;
        let mut writer = log.writer(0).expect("a writer");
        let payloads = (0..5).map(|n| format!("{n} of {} {n}", "what is looked for".repeat(9)));
        Some(payloads.into_iter().all(|payload| {
            writer.append(&payload.clone().into()).expect("appends");
            is_in_files(folder.path(), payload.as_bytes())
        }))
    }

    #[test]
    fn what_is_acknowledged_is_in_the_files_but_for_the_one_that_says_so() {
        for durability in [Durability::Written, Durability::Durable] {
            for candidate in all() {
                let Some(hands_over) = hands_over(&candidate, durability) else { continue };
                let keeps = candidate.name == "redb" && durability == Durability::Written;
                assert_eq!(hands_over, !keeps, "{candidate:?} {durability:?}");
                assert!(!keeps || candidate.told.contains("not comparable"));
            }
        }
    }

    #[test]
    fn rows_go_between_the_marks_and_nowhere_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let readme = folder.path().join("README.md");
        std::fs::write(&readme, format!("before\n{BEGIN}old\n{END}after\n")).expect("writes");
        let only = ["written".to_owned()];
        let report =
            measure(&Scale::tiny(), 1, Default::default(), &only, &mut |_| ()).expect("measures");
        put_into(&readme, &report).expect("is put in");
        let text = std::fs::read_to_string(&readme).expect("reads");
        assert!(text.starts_with(&format!("before\n{BEGIN}")), "{text}");
        assert!(text.ends_with(&format!("{END}after\n")) && !text.contains("old"), "{text}");
        std::fs::write(&readme, "no marks").expect("writes");
        put_into(&readme, &report).expect_err("where there are no marks nothing is written");
        assert_eq!(std::fs::read_to_string(&readme).expect("reads"), "no marks");
    }
}
