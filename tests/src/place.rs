//! A folder of a test's own: one journal, and beside it, not in its folder, what drivers say.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::child::{Shell, serve_command, wait_until};
use crate::truth::agree;

/// See the module. Everything in it goes when it is dropped.
#[derive(Debug)]
pub struct Place {
    /// The folder of the journals.
    pub store: PathBuf,
    /// One journal in it.
    pub path: PathBuf,
    /// The folder of what drivers say.
    pub acks: PathBuf,
    /// All of it.
    pub folder: tempfile::TempDir,
}

impl Place {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// A new one in this folder.
    #[must_use]
    pub fn new_in(folder: &Path) -> Self {
        let folder = tempfile::tempdir_in(folder).expect("a temporary folder");
        let (store, acks) = (folder.path().join("store"), folder.path().join("acks"));
        for made in [&store, &acks] {
            std::fs::create_dir(made).expect("a folder");
        }
        Self { path: store.join("one.journal"), store, acks, folder }
    }

    /// Where a driver of this name writes what it says.
    #[must_use]
    pub fn says(&self, name: &str) -> PathBuf {
        self.acks.join(name)
    }

    /// Starts a driver on the journal that writes what it says into the file of its name.
    #[must_use]
    pub fn start(&self, driver: &str, name: &str, command: &str, flags: &str) -> Shell {
        self.start_at(driver, name, command, &self.path, flags)
    }

    /// As [`start`](Self::start), on another path.
    #[must_use]
    pub fn start_at(
        &self,
        driver: &str,
        name: &str,
        command: &str,
        path: &Path,
        flags: &str,
    ) -> Shell {
        Shell::spawn(&mut self.command(&[], driver, name, (command, path), flags))
    }

    /// The command that [`start`](Self::start) starts, run by what stands in `wrapper`.
    #[must_use]
    pub fn command(
        &self,
        wrapper: &[&str],
        driver: &str,
        name: &str,
        (command, path): (&str, &Path),
        flags: &str,
    ) -> Command {
        let ack = self.says(name);
        let mut arguments =
            vec![OsStr::new(command), path.as_os_str(), OsStr::new("--ack"), ack.as_os_str()];
        arguments.extend(flags.split_whitespace().map(OsStr::new));
        serve_command(driver, wrapper, &arguments)
    }

    /// The follower of this name has seen, or sees soon, exactly what a scan from scratch shows.
    pub fn must_have_followed(&self, name: &str) {
        let records: Vec<[u64; 3]> = agree(&self.path)
            .iter()
            .map(|r| [r.sequence.get(), r.generation.get(), u64::from(r.checksum)])
            .collect();
        let saw = || seen(&self.says(name));
        wait_until("the follower catches up", || saw().len() >= records.len());
        assert_eq!(saw(), records);
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// What a follower saw: sequence, generation and checksum of each record.
fn seen(says: &Path) -> Vec<[u64; 3]> {
    let text = std::fs::read_to_string(says).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .filter(|said| said["event"] != "follows")
        .map(|said| {
            assert_eq!(said["event"], "saw", "{said}");
            ["sequence", "generation", "checksum"]
                .map(|name| said[name].as_u64().expect("a number"))
        })
        .collect()
}
