//! The model of lock files under contention, beside what was measured of the real one (`OpenClaw`
//! 2026.5.26 on Node.js 24): the table in docs/gateway.md.
//!
//! `cargo run --release -p session-journal-gateway --features storm --example lock_contention [ROUNDS]`
#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded when they are printed")]

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use session_journal_gateway::storm::locks::contention::{Contended, Contention, contend};
use session_journal_gateway::storm::locks::runtime;

/// A word in the command line of this program.
const PROGRAM: &str = "lock_contention";
const LASTS: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(100);

/// Processes, contenders in each, whether they are paced, and what the real one had: acquisitions a
/// second, the median in milliseconds, of a hundred attempts those above 50 ms, refusals as stale,
/// overlaps and acquisitions.
const WORKLOADS: [(usize, usize, bool, &str); 8] = [
    (1, 1, false, "1195 /s, 0.66 ms, 0 %, 0, 0 of 23938"),
    (1, 2, false, "509 /s, 3.0 ms, 0.4 %, 1, 0 of 14393"),
    (1, 8, false, "488 /s, 7.2 ms, 8.6 %, 234, 400 of 9999"),
    (1, 32, false, "152 /s, 62 ms, 39 %, 415, 516 of 5549"),
    (1, 2, true, "20 /s, 1.5 ms, 0 %, 0, 0 of 504"),
    (1, 8, true, "79 /s, 1.7 ms, 0.5 %, 0, 15 of 2002"),
    (1, 32, true, "310 /s, 3.7 ms, 15 %, 182, 181 of 6434"),
    (2, 1, false, "768 /s, 0.9 ms, -, -, 0"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        // Another process that contends.
        [file, contenders, paced] => {
            contended(Path::new(file), contenders.parse()?, paced == "true").map(|_| ())
        }
        [] => table(5),
        [rounds] => table(rounds.parse()?),
        _ => Err("lock_contention [ROUNDS]".into()),
    }
}

fn contended(file: &Path, contenders: usize, paced: bool) -> Result<Contended, Box<dyn Error>> {
    let contention = Contention { contenders, every: paced.then_some(PACE), lasts: LASTS };
    Ok(runtime()?.block_on(contend(file, PROGRAM, contention))?)
}

fn table(rounds: u32) -> Result<(), Box<dyn Error>> {
    println!(
        "rounds of {} s; a line: a second, median, above 50 ms, stale, overlaps",
        LASTS.as_secs()
    );
    for (processes, contenders, paced, real) in WORKLOADS {
        let mut all = Contended::default();
        for _ in 0..rounds {
            let one = round(processes, contenders, paced)?;
            all.acquired += one.acquired;
            all.overlaps += one.overlaps;
            all.stale += one.stale;
            all.times.extend(one.times);
        }
        all.times.sort_unstable();
        let kind = if paced { "paced" } else { "greedy" };
        println!("{processes} x {contenders} {kind}: {}", told(&all, rounds));
        println!("    the real one: {real}");
    }
    Ok(())
}

/// What this process sees of it.
fn round(processes: usize, contenders: usize, paced: bool) -> Result<Contended, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("s.jsonl");
    let start = |_| {
        let program = std::env::current_exe()?;
        let (contenders, paced) = (contenders.to_string(), paced.to_string());
        Command::new(program).arg(&file).args([contenders, paced]).spawn()
    };
    let others: Vec<Child> = (1..processes).map(start).collect::<Result<_, _>>()?;
    let own = contended(&file, contenders, paced);
    for mut other in others {
        if !other.wait()?.success() {
            return Err("another process failed".into());
        }
    }
    own
}

fn told(all: &Contended, rounds: u32) -> String {
    let seconds = LASTS.as_secs_f64() * f64::from(rounds);
    let rate = all.acquired as f64 / seconds;
    let late = all.longer_than(Duration::from_millis(50)) as f64;
    let late = 100.0 * late / all.times.len() as f64;
    let median = all.within(500).as_secs_f64() * 1000.0;
    let overlaps = 100.0 * all.overlaps as f64 / all.acquired as f64;
    format!(
        "{rate:.0} /s, {median:.2} ms, {late:.1} %, {} stale, {} of {} overlap ({overlaps:.2} %)",
        all.stale, all.overlaps, all.acquired
    )
}
