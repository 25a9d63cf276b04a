//! The commands, one a file.

mod append;
mod cat;
mod claim;
mod completions;
mod delete;
mod doctor;
mod export;
mod history;
mod import;
mod info;
mod ls;
mod repair;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "storm")]
mod storm;
mod tail;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::log::LogFormat;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(import::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    Ls(ls::Args),
    Cat(cat::Args),
    Tail(tail::Args),
    Append(append::Args),
    Info(info::Args),
    History(history::Args),
    Verify(verify::Args),
    Claim(claim::Args),
    Repair(repair::Args),
    Delete(delete::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    #[cfg(feature = "storm")]
    Storm(storm::Args),
    #[cfg(feature = "storm")]
    #[command(hide = true)]
    StormLocks(storm::LocksArgs),
    Completions(completions::Args),
}

impl Command {
    /// How events are to be written, where the command is one that tells of its own accord.
    pub(crate) fn log_format(&self) -> Option<LogFormat> {
        match self {
            #[cfg(feature = "serve")]
            Self::Serve(args) => Some(args.log),
            _ => None,
        }
    }

    /// Where spans are to be exported.
    #[cfg(feature = "otel")]
    pub(crate) fn collector(&self) -> Option<&str> {
        match self {
            Self::Serve(args) => args.otel.as_deref(),
            _ => None,
        }
    }
}

/// Runs a command.
pub(crate) fn run(command: Command, context: &mut Context) -> Result<Exit, Failure> {
    match command {
        Command::Import(args) => import::run(&args, context),
        Command::Export(args) => export::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Ls(args) => ls::run(&args, context),
        Command::Cat(args) => cat::run(&args, context),
        Command::Tail(args) => tail::run(&args, context),
        Command::Append(args) => append::run(&args, context),
        Command::Info(args) => info::run(&args, context),
        Command::History(args) => history::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Claim(args) => claim::run(&args, context),
        Command::Repair(args) => repair::run(&args, context),
        Command::Delete(args) => delete::run(&args, context),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args, context),
        #[cfg(feature = "storm")]
        Command::Storm(args) => storm::run(&args, context),
        #[cfg(feature = "storm")]
        Command::StormLocks(args) => storm::run_locks(&args, context),
        Command::Completions(args) => completions::run(&args, context),
    }
}
