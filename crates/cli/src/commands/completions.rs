//! `sjournal completions`: what a shell needs to complete the commands.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Print the completions for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal completions bash > ~/.local/share/bash-completion/completions/sjournal\n  \
    sjournal completions zsh > ~/.zfunc/_sjournal\n  \
    sjournal completions fish > ~/.config/fish/completions/sjournal.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sjournal", &mut script);
    context.output.write_all(&script)?;
    Ok(Exit::Done)
}
