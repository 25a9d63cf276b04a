//! What every command works with.

use std::path::{Path, PathBuf};

use session_journal::{Store, StoreOptions};
use session_journal_import::{Catalogue, shell_path};

use crate::args::Global;
use crate::exit::{Failure, note};
use crate::output::Output;
use crate::progress::Progress;
use crate::stop::Stop;

/// The settings and the ways out of a command.
pub(crate) struct Context {
    /// Answer in JSON.
    pub(crate) json: bool,
    /// Standard output.
    pub(crate) output: Output,
    /// Whether to stop.
    pub(crate) stop: Stop,
    folder: Option<PathBuf>,
    /// The store, where it was named on the command line.
    named_store: Option<PathBuf>,
    #[cfg(feature = "serve")]
    chosen_store: Option<PathBuf>,
    quiet: bool,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let stop = Stop::install()?;
        let output = Output::new(stop.clone(), global.color)?;
        Ok(Self {
            json: global.json,
            output,
            stop,
            folder: global.store(),
            named_store: global.named_store().map(Path::to_owned),
            #[cfg(feature = "serve")]
            chosen_store: global.chosen_store(),
            quiet: global.quiet,
        })
    }

    /// The folder of the store; it may not be there yet.
    pub(crate) fn folder(&self) -> Result<&Path, Failure> {
        self.folder.as_deref().ok_or_else(|| {
            Failure::usage(
                "no store: neither --store, SESSION_JOURNAL_STORE nor HOME says where it is; \
                 name one with --store",
            )
        })
    }

    /// The folder that a flag or the environment names.
    #[cfg(feature = "serve")]
    pub(crate) fn chosen_folder(&self) -> Option<&Path> {
        self.chosen_store.as_deref()
    }

    /// Whether anything says where the store is. What names a file needs none.
    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The store, if its folder is there. Commands that read do not make it.
    pub(crate) fn store(&self) -> Result<Option<Store>, Failure> {
        // What cannot be told apart from a folder is for the store to say.
        let folder = self.folder()?;
        if matches!(folder.try_exists(), Ok(false)) {
            return Ok(None);
        }
        Ok(Some(Store::open(folder, StoreOptions::default())?))
    }

    /// What is known of every session beside its lines.
    pub(crate) fn catalogue(&self) -> Result<Catalogue, Failure> {
        let Some(store) = self.store()? else { return Ok(Catalogue::default()) };
        let listed = self.stop.at_once(|| store.list())?;
        let mut journals: Vec<_> = listed.into_iter().map(|one| (one.name, one.path)).collect();
        journals.sort();
        Ok(Catalogue::read(journals))
    }

    /// What to do next. A command is one for the store that this one was given.
    pub(crate) fn next(&self, next: &str) -> String {
        match (next.strip_prefix("sjournal "), &self.named_store) {
            (Some(rest), Some(store)) => format!("sjournal --store {} {rest}", shell_path(store)),
            _ => next.to_owned(),
        }
    }

    /// Something worth knowing, on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    /// A progress bar, shown on a terminal when it takes long.
    pub(crate) fn progress(&self, what: &'static str) -> Progress {
        Progress::new(what, self.quiet)
    }

    /// The same for what fills standard output: none where that is a terminal, and shows how far it
    /// is by itself.
    pub(crate) fn progress_of_output(&self, what: &'static str) -> Progress {
        Progress::new(what, self.quiet || self.output.is_terminal())
    }
}
