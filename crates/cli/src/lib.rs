//! `sjournal`: session journals on the command line. A library for its own program and for the
//! fuzzer alone: its interface is the command line.

mod args;
mod ask;
mod commands;
mod context;
mod exit;
mod input;
mod json;
mod log;
mod memory;
mod output;
#[cfg(feature = "serve")]
mod parent;
mod progress;
mod stop;
mod target;
mod text;

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use clap::Parser;
use session_journal::NewRecord;

use crate::args::Cli;
use crate::commands::Command;
use crate::context::Context;
use crate::log::Log;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    memory::return_large_blocks();
    let cli = Cli::parse();
    // To the end: what is left to be exported goes out there.
    let _log = match Log::start(&cli) {
        Ok(log) => log,
        Err(failure) => return failure.report(),
    };
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

/// What `sjournal append` with these arguments makes of this input, read in pieces of so many bytes,
/// without storing it. `None` for other commands.
///
/// # Errors
/// What the program would say about the arguments, or about the first line that it refuses.
pub fn records_of(
    arguments: &[OsString],
    input: impl Read,
    piece: usize,
) -> Result<Option<Vec<NewRecord>>, String> {
    let cli = Cli::try_parse_from(arguments).map_err(|error| error.render().to_string())?;
    match cli.command {
        Command::Append(args) => {
            args.records(input, piece).map(Some).map_err(|failure| failure.to_string())
        }
        _ => Ok(None),
    }
}
