//! `cargo run --release -p session-journal-model [-- --long]`: explores every configuration, then
//! breaks one rule after the other and shows the shortest way to where that is seen. Ends with an
//! error where a property does not hold, or a broken rule does not show.
#![allow(clippy::print_stdout, reason = "a program that prints tables")]

use std::process::ExitCode;

use session_journal_model::configurations::{Configuration, LONG, USUAL, showing};
use session_journal_model::explore::{Outcome, break_rule, explore};
use session_journal_model::{Bounds, Mutation};

fn main() -> ExitCode {
    let long = std::env::args().any(|argument| argument == "--long");
    let configurations = if long { &LONG } else { &USUAL };
    println!("| configuration | processes | bounds | states | longest run | seconds | result |");
    println!("|---|---|---|---|---|---|---|");
    let explored = configurations.iter().map(print_configuration).filter(|sound| !sound).count();
    println!("\n| rule broken | configuration | steps | states | property that fails |");
    println!("|---|---|---|---|---|");
    let missed = Mutation::ALL.iter().map(|m| print_mutation(*m)).filter(|shown| !shown).count();
    if explored + missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_configuration(configuration: &Configuration) -> bool {
    let Configuration { name, bounds } = configuration;
    let outcome = explore(*bounds);
    let result = match outcome.shortest() {
        Some((property, way)) => format!("{property}: {} steps {way:?}", way.len()),
        None if outcome.unreached.is_empty() => "holds".to_owned(),
        None => format!("not reached: {}", outcome.unreached.join(", ")),
    };
    let Outcome { states, depth, took, .. } = outcome;
    let seconds = took.as_secs_f64();
    let processes = bounds.processes;
    let described = describe(bounds);
    println!(
        "| {name} | {processes} | {described} | {states} | {depth} | {seconds:.1} | {result} |"
    );
    outcome.is_sound()
}

fn print_mutation(mutation: Mutation) -> bool {
    let Configuration { name, bounds } = showing(mutation);
    let outcome = break_rule(bounds, mutation);
    let states = outcome.states;
    if let Some((property, way)) = outcome.shortest() {
        println!("| {mutation:?} | {name} | {} | {states} | {property} |", way.len());
        return true;
    }
    println!("| {mutation:?} | {name} | – | {states} | none |");
    false
}

fn describe(bounds: &Bounds) -> String {
    let flags = [
        (u8::from(bounds.releases), "releases"),
        (u8::from(bounds.batches), "batches"),
        (u8::from(bounds.quotes), "quotes"),
        (u8::from(bounds.checkpoints), "checkpoints"),
    ];
    let counts = [
        (bounds.opens, "opens"),
        (bounds.records, "records"),
        (bounds.kills, "kills"),
        (bounds.short_writes, "short writes"),
        (bounds.seals, "seals"),
        (bounds.lost_successors, "lost successors"),
        (bounds.power_losses, "power losses"),
        (bounds.failing_syncs, "failing syncs"),
        (if bounds.cells < u8::MAX { bounds.cells } else { 0 }, "cells"),
    ];
    let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what} {n}"));
    let flags = flags.iter().filter(|(on, _)| *on > 0).map(|(_, what)| (*what).to_owned());
    counts.chain(flags).collect::<Vec<_>>().join(", ")
}
