//! The real pi: its package, pinned, in a folder that is kept between runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Where its package and what runs it are described.
const DESCRIBED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pi");

/// Tests of one program run at once; one of them installs it.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The real pi.
#[derive(Clone, Debug)]
pub struct Pi {
    package: PathBuf,
    home: PathBuf,
}

impl Pi {
    /// Installs it below the folder that a program of this source was built into, unless that was
    /// done. Pi's own files go into `home`.
    ///
    /// # Errors
    /// Why there is none: no Node, no npm, or no way to its registry.
    pub fn beside(driver: &str, home: &Path) -> Result<Self, String> {
        has("node")?;
        has("npm")?;
        let target = Path::new(driver).ancestors().nth(2).expect("a target folder");
        let folder = target.join("pi");
        let lock = fs::read(Path::new(DESCRIBED).join("package-lock.json")).expect("reads");
        // Written last: what was cut short is installed anew.
        let mark = folder.join("installed");
        let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::read(&mark).ok().as_ref() != Some(&lock) {
            install(&folder)?;
            fs::write(&mark, &lock).expect("writes");
        }
        let package = folder.join("node_modules/@mariozechner/pi-coding-agent");
        Ok(Self { package, home: home.to_owned() })
    }

    /// What it makes of these files, which it may rewrite.
    #[must_use]
    pub fn opens(&self, files: &[PathBuf]) -> Vec<Value> {
        let mut command = Command::new("node");
        command.arg(Path::new(DESCRIBED).join("contexts.mjs")).arg(&self.package).args(files);
        command.env("HOME", &self.home).current_dir(&self.home).stdin(Stdio::null());
        let output = command.output().expect("node runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pi: {errors}");
        let text = String::from_utf8(output.stdout).expect("text");
        let all: Vec<_> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(all.len(), files.len(), "an answer each");
        all
    }
}

fn has(program: &str) -> Result<(), String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program} does not run: {}", output.status)),
        Err(error) => Err(format!("there is no {program} here: {error}")),
    }
}

/// Exactly what the lock file says; no script of any package is run.
fn install(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).expect("makes folders");
    for name in ["package.json", "package-lock.json"] {
        fs::copy(Path::new(DESCRIBED).join(name), folder.join(name)).expect("copies");
    }
    let cache = folder.join("cache");
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]);
    command.args(["--no-update-notifier", "--cache"]).arg(&cache);
    let output = command.current_dir(folder).stdin(Stdio::null()).output().expect("npm runs");
    let _ = fs::remove_dir_all(&cache);
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().next().unwrap_or("npm said nothing");
    Err(format!("pi could not be installed: {first}"))
}
