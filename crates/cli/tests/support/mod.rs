//! The program, a store for it, and what it said.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

pub mod gateway;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a store in it, gone when the test ends.
pub struct Bench {
    folder: TempDir,
}

/// What a run said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub bytes: Vec<u8>,
    pub err: String,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
        fs::write(&path, bytes).expect("writes");
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sjournal"));
        command.env_clear().env("SESSION_JOURNAL_STORE", self.path("store"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("runs"))
    }

    /// Runs it and expects it to be done.
    pub fn done(&self, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
        said
    }

    pub fn feed(&self, args: &[&str], input: impl AsRef<[u8]>) -> Said {
        let mut child = self.spawn(args);
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may well end before it has read everything.
        let _ = stdin.write_all(input.as_ref());
        drop(stdin);
        Said::of(child.wait_with_output().expect("ends"))
    }

    /// Starts it with pipes on all sides.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("starts")
    }

    /// A session with these records.
    pub fn session(&self, name: &str, lines: &str) {
        let said = self.feed(&["append", "--create", name], lines);
        assert_eq!(said.code, Some(0), "{said:?}");
    }

    pub fn journal(&self, name: &str) -> PathBuf {
        self.path("store").join(format!("{name}.journal"))
    }

    pub fn state(&self, name: &str) -> String {
        self.done(&["--json", "info", name]).json()[0]["state"].as_str().expect("text").to_owned()
    }
}

impl Said {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// The lines of the answer.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).expect("a line of JSON");
        self.out.lines().map(parse).collect()
    }

    /// The one line of the answer.
    pub fn object(&self) -> Value {
        let mut all = self.json();
        assert_eq!(all.len(), 1, "{self:?}");
        all.remove(0)
    }

    /// Expects a failure with this exit code, whose message ends in this error code.
    pub fn fails(&self, exit: i32, code: &str) -> &Self {
        assert_eq!(self.code, Some(exit), "{self:?}");
        assert!(self.err.starts_with("sjournal: "), "{self:?}");
        assert!(self.err.trim_end().ends_with(&format!("[{code}]")), "{self:?}");
        self
    }
}

/// Says why a test does not test anything here.
#[allow(clippy::print_stdout, reason = "no skip is silent")]
pub fn skip(why: &str) {
    println!("skipped: {why}");
}

/// Expects an object to have these fields.
pub fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "{field} is missing in {value}");
    }
}

/// Sends a signal as the shell does.
pub fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Waits for something, for half a minute at most.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All fixture files below a folder of `tests/fixtures`.
pub fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(folder)
}
