//! The shipped program, as a script would use it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use session_journal::Record;

use crate::child::Shell;
use crate::spec::line_of;

/// See the module.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

impl Program {
    /// The program of this source, beside the driver and built as that was. Cargo builds the
    /// programs of a test's own package only.
    #[must_use]
    pub fn beside(driver: &str) -> Self {
        let program = Path::new(driver).with_file_name("sjournal");
        let profile = program.parent().expect("a folder");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--package", "session-journal-cli", "--target-dir"]);
        build.arg(profile.parent().expect("a target folder"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(status.success() && program.is_file(), "the program is built");
        Self(program)
    }

    /// A command of it.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// A process that appends lines of these ids, each a key, and answers into a file.
    #[must_use]
    pub fn append(
        &self,
        journal: &Path,
        flags: &str,
        ids: impl Iterator<Item = String>,
        answers: &Path,
    ) -> Shell {
        let lines: String = ids.map(|id| line_of(&id) + "\n").collect();
        let input = answers.with_extension("input");
        std::fs::write(&input, lines).expect("a file of lines");
        let mut command = Command::new(&self.0);
        command.args(["--json", "append"]).arg(journal).args(["--key-field", "id"]);
        command.args(flags.split_whitespace());
        command.stdin(File::open(&input).expect("lines"));
        command.stdout(File::create(answers).expect("a file of answers"));
        command.stderr(File::create(answers.with_extension("errors")).expect("a file of errors"));
        Shell::spawn(&mut command)
    }

    /// Runs it to its end; gives whether it was content, and what it said on both channels.
    #[must_use]
    pub fn run(&self, arguments: &[&str], journal: &Path) -> (bool, Vec<u8>, String) {
        let output =
            Command::new(&self.0).args(arguments).arg(journal).stdin(Stdio::null()).output();
        let output = output.expect("the program runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), output.stdout, errors)
    }

    fn answers(&self, command: &str, journal: &Path) -> Vec<Value> {
        let (is_content, output, errors) = self.run(&["--json", command], journal);
        assert!(is_content, "{command} {}: {errors}", journal.display());
        let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
    }

    /// What `verify`, `cat`, `export` and `history` show is what these records say, and generations
    /// rise.
    pub fn shows(&self, journal: &Path, records: &[Record]) {
        let verified = self.answers("verify", journal);
        assert_eq!(verified.len(), 1, "{verified:?}");
        assert_eq!(
            (&verified[0]["ok"], &verified[0]["records"]),
            (&true.into(), &records.len().into())
        );
        assert_eq!(verified[0]["damage"], Value::Array(vec![]));

        let shown = self.answers("cat", journal);
        assert_eq!(shown.len(), records.len(), "cat shows as many");
        for (shown, record) in shown.iter().zip(records) {
            let is = ["seq", "generation", "bytes"].map(|name| shown[name].as_u64());
            let place =
                [record.sequence.get(), record.generation.get(), record.payload.len() as u64];
            assert_eq!(is, place.map(Some));
            assert_eq!(shown["key"].as_str(), record.key.as_deref());
        }

        let (is_content, exported, errors) = self.run(&["export"], journal);
        assert!(is_content, "export: {errors}");
        let payloads: Vec<u8> =
            records.iter().flat_map(|record| record.payload.iter().chain(b"\n")).copied().collect();
        assert!(exported == payloads, "export gives the payloads, a line each");

        let mut before = 0;
        for event in self.answers("history", journal) {
            if event["event"] == "opening" {
                let generation = event["generation"].as_u64().expect("a generation");
                assert!(generation > before, "{generation} behind {before}");
                before = generation;
            }
        }
        let last = records.last().map_or(0, |record| record.generation.get());
        assert!(before >= last, "who wrote the last record opened the journal");
    }
}
