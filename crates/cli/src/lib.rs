//! `sjournal`: session journals on the command line. A library for its own program and for the
//! fuzzer alone: its interface is the command line.

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

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use clap::Parser;
use session_journal::NewRecord;
use tracing_subscriber::filter::LevelFilter;

use crate::args::Cli;
use crate::commands::{Command, LogFormat};
use crate::context::Context;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli);
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

/// Events go to standard error, as many as were asked for. A gateway tells more of its own accord.
fn log(cli: &Cli) {
    let serving = cli.command.log_format();
    let level = match cli.global.verbose + u8::from(serving.is_some() && !cli.global.quiet) {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let format = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    match serving {
        Some(LogFormat::Json) => format.json().init(),
        _ => format.init(),
    }
}
