//! What the hot paths of the engine cost, counted: instructions, system calls, allocations.
//!
//! Times on a shared machine vary twofold; counts do not. Each case runs under Valgrind's Callgrind in
//! a process of its own, which counts what the case's own thread does between two points, then under
//! strace for its system calls, and under Memcheck for its allocations. The result is compared with
//! `baseline.txt`: what grew fails, unless the baseline says why.
//!
//! Run by `scripts/instructions`, which installs both where it may.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

mod baseline;
mod callgrind;
mod cases;
mod host;
mod memcheck;
mod strace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baseline::{Baseline, Line};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const USAGE: &str = "instructions [--set WHY] [--before BASELINE] [CASE…]
  compares the cases with the baseline; all of them where none is named
  --set WHY          writes what moved into the baseline, for this reason
  --before BASELINE  what grew since that one must have a reason of its own";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [what, name, folder] if what == "--measure" => measure(name, Path::new(folder), true),
        [what, name, folder] if what == "--prepare" => measure(name, Path::new(folder), false),
        _ => Asked::parse(arguments).and_then(|asked| asked.run()),
    };
    match done {
        Ok(code) => code,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

/// The child under Valgrind.
fn measure(name: &str, folder: &Path, all: bool) -> Result<ExitCode, String> {
    let case = cases::find(name).ok_or_else(|| format!("there is no case {name}"))?;
    keep_to_one_core().map_err(|error| format!("one core: {error}"))?;
    let mut operations = (case.prepare)(folder);
    if all {
        strace::mark();
        callgrind::measured(&mut *operations);
        strace::mark();
    }
    Ok(ExitCode::SUCCESS)
}

/// On one core a pass does its blocks alone. On two a helper does some of them, more or fewer each time, and
/// what it does is not counted.
fn keep_to_one_core() -> rustix::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    if let Some(core) = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)) {
        one.set(core);
    }
    sched_setaffinity(None, &one)
}

/// A folder for one run.
fn folder() -> Result<tempfile::TempDir, String> {
    let parent = std::env::var_os("SESSION_JOURNAL_BENCH_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(parent).map_err(|error| format!("a folder: {error}"))
}

#[derive(Default)]
struct Asked {
    set: Option<String>,
    before: Option<PathBuf>,
    cases: Vec<String>,
}

impl Asked {
    fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().filter(|v| !v.trim().is_empty()).ok_or(USAGE);
            match argument.as_str() {
                "--set" => asked.set = Some(value()?),
                "--before" => asked.before = Some(value()?.into()),
                name if cases::find(name).is_some() => asked.cases.push(argument),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(asked)
    }

    fn run(&self) -> Result<ExitCode, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.txt");
        let mut baseline = Baseline::read(&path)?;
        let mut failed = false;
        if let Some(before) = &self.before {
            for grown in baseline.grown_without_reason(&Baseline::read(before)?) {
                failed = true;
                println!("{grown}: the baseline grew, and gives no new reason");
            }
        }
        println!("{}", Line::HEAD);
        for case in cases::ALL {
            if !self.cases.is_empty() && !self.cases.iter().any(|name| name == case.name) {
                continue;
            }
            let counts = callgrind::count(case.name, case.operations)?;
            let verdict = baseline.judge(case.name, &counts);
            println!("{} {}", counts.line(case.name), verdict.text());
            failed |= verdict.is_failure();
            if let Some(why) = &self.set {
                baseline.set(case.name, counts, why);
            }
        }
        if self.set.is_some() {
            baseline.write(&path)?;
            return Ok(ExitCode::SUCCESS);
        }
        if failed {
            println!("more than the baseline allows; --set WHY changes it, in the same commit");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}
