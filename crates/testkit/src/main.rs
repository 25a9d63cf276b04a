//! Runs simulations: many, or one again.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, Subcommand};
use session_journal_testkit::{Choices, Counts, Outcome, Simulator, shrink};

/// Simulations of the engine on a machine where everything goes wrong.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one schedule for each of many seeds; stops at the first that breaks a promise.
    Simulate {
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// On so many threads.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Breaks the engine in one way after the other, and tells how many seeds it takes to notice.
    #[cfg(feature = "mutations")]
    Mutations {
        /// So many seeds at most for each.
        #[arg(long, default_value_t = 600_000)]
        seeds: u64,
        /// Only this one.
        #[arg(long)]
        only: Option<String>,
    },
    /// Runs the schedule of one seed again, makes it as short as it can be, and tells it.
    Replay {
        /// The seed.
        seed: u64,
        /// Tells the whole run, not the shortest one.
        #[arg(long)]
        whole: bool,
        /// Puts the journals as they were at its end into this folder.
        #[arg(long)]
        files: Option<PathBuf>,
    },
}

#[cfg(feature = "mutations")]
mod mutations;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Simulate { seeds, from, threads } => simulate(from, seeds, threads),
        #[cfg(feature = "mutations")]
        Command::Mutations { seeds, only } => mutations::all(seeds, only.as_deref()),
        Command::Replay { seed, whole, files } => replay(seed, whole, files.as_deref()),
    }
}

fn simulate(from: u64, seeds: u64, threads: usize) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let counts: Mutex<Counts> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut simulator = Simulator::default();
                let mut own = Counts::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || found.lock().expect("no panic").is_some() {
                        break;
                    }
                    let outcome = simulator.run(Choices::seeded(seed), false);
                    own.add(outcome.counts);
                    if let Some(what) = outcome.violation {
                        found.lock().expect("no panic").get_or_insert((seed, what));
                    }
                }
                counts.lock().expect("no panic").add(own);
            });
        }
    });
    let ran = next.load(Ordering::Relaxed).min(from + seeds) - from;
    let millis = begun.elapsed().as_millis().max(1);
    let rate = u128::from(ran) * 1000 / millis;
    println!("{ran} schedules in {} s, {rate} a second", millis / 1000);
    for (heading, tally) in counts.lock().expect("no panic").sections() {
        println!("\n{heading}:");
        for (what, count) in tally {
            println!("{count:>12}  {what}");
        }
    }
    println!();
    match found.into_inner().expect("no panic") {
        None => {
            println!("no promise was broken");
            ExitCode::SUCCESS
        }
        Some((seed, what)) => {
            println!("\nseed {seed}: {what}\n");
            replay(seed, false, None)
        }
    }
}

fn replay(seed: u64, whole: bool, files: Option<&Path>) -> ExitCode {
    let mut simulator = Simulator::default();
    let outcome = simulator.run(Choices::seeded(seed), true);
    let Some(what) = outcome.violation.clone() else {
        if whole {
            tell(&outcome);
        }
        println!("seed {seed} breaks no promise");
        return ExitCode::SUCCESS;
    };
    if whole {
        tell(&outcome);
        println!("{what}");
        keep(&outcome, files);
    } else {
        let decisions = outcome.choices.len();
        let shortest = shrink(&mut simulator, outcome);
        println!(
            "the shortest schedule found, {} of {decisions} decisions:",
            shortest.choices.len()
        );
        tell(&shortest);
        keep(&shortest, files);
    }
    println!("to run it again: cargo run --release -p session-journal-testkit -- replay {seed}");
    ExitCode::FAILURE
}

fn keep(outcome: &Outcome, folder: Option<&Path>) {
    let Some(folder) = folder else { return };
    for (path, bytes) in &outcome.files {
        let path = folder.join(path.file_name().unwrap_or_default());
        match std::fs::write(&path, bytes) {
            Ok(()) => println!("kept: {}", path.display()),
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
}

fn tell(outcome: &Outcome) {
    for line in &outcome.trace {
        println!("{line}");
    }
}
