//! `sjournal`: session journals on the command line.

mod args;
mod commands;
mod context;
mod exit;
mod input;
mod json;
mod output;
mod progress;
mod stop;
mod target;
mod text;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use crate::args::Cli;
use crate::context::Context;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.global.verbose);
    let done = Context::new(&cli.global).and_then(|mut context| {
        let exit = commands::run(cli.command, &mut context)?;
        context.output.flush()?;
        Ok(exit)
    });
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

/// Events of the engine go to standard error, as many as were asked for.
fn log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
}
