//! What the driver was asked to do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use session_journal::{Durability, ErrorKind, Journal, Options, Result, SessionName, Takeover};

/// `COMMAND PATH --name value …`
pub(crate) struct Flags {
    pub(crate) command: String,
    pub(crate) path: PathBuf,
    values: HashMap<String, String>,
}

impl Flags {
    pub(crate) fn of_process() -> Self {
        let mut words = std::env::args_os().skip(1);
        let mut text = || words.next().map(|word| word.to_string_lossy().into_owned());
        let command = text().expect("a command");
        let path = words.next().expect("a path").into();
        let mut values = HashMap::new();
        while let Some(name) = words.next() {
            let name = name.to_string_lossy().trim_start_matches("--").to_owned();
            let value = words.next().unwrap_or_else(|| panic!("--{name} has no value"));
            values.insert(name, value.to_string_lossy().into_owned());
        }
        Self { command, path, values }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.get(name).map_or(otherwise, |value| value.parse().expect("a number"))
    }

    /// How it opens a journal.
    pub(crate) fn options(&self) -> Options {
        Options {
            durability: match self.get("durability") {
                None | Some("durable" | "alternating") => Durability::Durable,
                Some("written") => Durability::Written,
                Some(other) => panic!("no durability {other:?}"),
            },
            takeover: match self.get("takeover") {
                None | Some("if-gone") => Takeover::IfGone,
                Some("always") => Takeover::Always,
                Some("never") => Takeover::Never,
                Some(other) => panic!("no policy {other:?}"),
            },
            label: self.get("label").unwrap_or_default().to_owned(),
            checkpoint_records: self.number("checkpoint-records", 64),
            ..Options::default()
        }
    }

    /// Opens the journal; creates it where it is not there and `--create yes` says so.
    pub(crate) fn open(&self) -> Result<Journal> {
        let options = self.options();
        loop {
            match Journal::open(&self.path, &options) {
                Err(error) if error.kind() == ErrorKind::NotFound && self.creates() => {}
                opened => return opened,
            }
            match Journal::create(&self.path, &name_of(&self.path), &options) {
                // Another creator was faster: its journal is as good.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
    }

    fn creates(&self) -> bool {
        self.get("create") == Some("yes")
    }
}

/// A session named as its file.
pub(crate) fn name_of(path: &Path) -> SessionName {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    SessionName::new(None, &stem).expect("a name")
}
