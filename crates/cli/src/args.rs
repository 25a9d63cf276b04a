//! The arguments that every command shares.

use std::env;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, ValueEnum};
use session_journal::Takeover;

use crate::commands::Command;

/// The environment variable that names the store.
const STORE_VARIABLE: &str = "SESSION_JOURNAL_STORE";

const STORE_HELP: &str =
    "Folder of the journals [default: $SESSION_JOURNAL_STORE, else the platform's data folder]";

/// One append-only journal per agent session: import, read, append to, follow, verify, repair.
#[derive(Debug, Parser)]
#[command(
    name = "sjournal",
    version,
    disable_help_subcommand = true,
    after_help = "A session is named agent/id or id, by the path of its journal, by the key that its program's \
        registry has for it (agent:main:main), or by the id that its source states. Where it is none of \
        these, an unambiguous beginning of its name will do.\n\n\
        Exit codes: 0 done; 1 done, with findings; 2 wrong usage; 3 not the owner, or not what was \
        expected; 4 no such session or path; 5 storage refused; 6 newer format.\n\n\
        Examples:\n  \
        sjournal import ~/.openclaw/agents\n  \
        sjournal ls\n  \
        echo '{\"hello\":1}' | sjournal append --create main/demo\n  \
        sjournal tail -f main/demo"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    #[arg(long, value_name = "DIR", global = true, help = STORE_HELP)]
    store: Option<PathBuf>,
    /// Answer in JSON Lines, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell what happens on standard error; twice or three times for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No progress bars and no notes; errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: When,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Global {
    /// The folder of the store, where it was named on the command line.
    pub(crate) fn named_store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// The folder that a flag or the environment names.
    pub(crate) fn chosen_store(&self) -> Option<PathBuf> {
        self.store.clone().or_else(|| folder_in(STORE_VARIABLE))
    }

    /// The folder of the store; `None` where nothing says where it is.
    pub(crate) fn store(&self) -> Option<PathBuf> {
        self.chosen_store().or_else(|| Some(data_folder()?.join("session-journal")))
    }
}

fn folder_in(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn data_folder() -> Option<PathBuf> {
    let home = folder_in("HOME");
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Application Support"));
    }
    // The specification says to ignore a relative path.
    let data = folder_in("XDG_DATA_HOME").filter(|path| path.is_absolute());
    data.or_else(|| Some(home?.join(".local/share")))
}

/// Whether a session that another owner has not released may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TakeoverArg {
    /// Whoever has it; the owner so far is fenced
    Always,
    /// Only if its owner is provably gone
    IfGone,
    /// Only if it was released
    Never,
}

impl From<TakeoverArg> for Takeover {
    fn from(arg: TakeoverArg) -> Self {
        match arg {
            TakeoverArg::Always => Self::Always,
            TakeoverArg::IfGone => Self::IfGone,
            TakeoverArg::Never => Self::Never,
        }
    }
}
