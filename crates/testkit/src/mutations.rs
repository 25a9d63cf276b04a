//! Whether the simulator notices a broken engine.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use session_journal::mutation::{self, Mutation};
use session_journal_testkit::{Choices, Simulator};

/// Rules that no schedule of chance came to need in 200,000 seeds, and what shows them instead.
const ELSEWHERE: [(&str, &str); 1] =
    [("unverified-claim", "not within 200,000; the model shows it, and a schedule of its own")];

/// Tries them all, two at a time; fails where one goes unnoticed.
pub(crate) fn all(seeds: u64, only: Option<&str>) -> ExitCode {
    let chosen: Vec<Mutation> = Mutation::ALL
        .into_iter()
        .filter(|mutation| only.is_none_or(|only| mutation.name() == only))
        .collect();
    let next = AtomicU64::new(0);
    let unnoticed = Mutex::new(Vec::new());
    println!("| mutation | breaks | seeds | noticed by |\n|---|---|---|---|");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut simulator = Simulator::default();
                loop {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
                    let Some(mutation) = chosen.get(at).copied() else { break };
                    if !is_noticed(&mut simulator, mutation, seeds) {
                        unnoticed.lock().expect("no panic").push(mutation.name());
                    }
                }
            });
        }
    });
    let unnoticed = unnoticed.into_inner().expect("no panic");
    if unnoticed.is_empty() {
        println!("\nall of these are noticed");
        ExitCode::SUCCESS
    } else {
        println!("\nunnoticed: {}", unnoticed.join(", "));
        ExitCode::FAILURE
    }
}

/// Prints a line of the table.
fn is_noticed(simulator: &mut Simulator, mutation: Mutation, seeds: u64) -> bool {
    let (name, breaks) = (mutation.name(), mutation.breaks());
    if let Some((_, how)) = ELSEWHERE.iter().find(|(one, _)| *one == name) {
        println!("| {name} | {breaks} | – | {how} |");
        return true;
    }
    for seed in 0..seeds {
        let run = || simulator.run(Choices::seeded(seed), false);
        if let Some(what) = mutation::with(Some(mutation), run).violation {
            let sound = simulator.run(Choices::seeded(seed), false).violation;
            if let Some(sound) = sound {
                println!(
                    "| {name} | {breaks} | – | the sound engine fails at seed {seed}: {sound} |"
                );
                return false;
            }
            let first = what.lines().next().unwrap_or_default();
            let short: String = first.chars().take(70).collect();
            println!("| {name} | {breaks} | {} | {short} |", seed + 1);
            return true;
        }
    }
    println!("| {name} | {breaks} | more than {seeds} | – |");
    false
}
