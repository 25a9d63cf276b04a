//! File systems of a test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A mounted file system that goes when it is dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

// Where mounting is not allowed, the error says why in words.
#[allow(clippy::missing_errors_doc, reason = "they have one sentence")]
impl Mount {
    /// Mounts a small file system in memory.
    pub fn tmpfs(at: &Path, bytes: u64) -> Result<Self, String> {
        let size = format!("size={bytes},mode=0700");
        Self::new(&["-t", "tmpfs", "-o", &size, "session-journal-test"], at)
    }

    /// Mounts the file system in an image, on a loop device that goes with it.
    pub fn image(image: &Path, at: &Path) -> Result<Self, String> {
        Self::new(&["-o", "loop", &image.to_string_lossy()], at)
    }

    /// Mounts two folders of one file system over each other; a third one is overlayfs' own.
    pub fn overlay(lower: &Path, upper: &Path, work: &Path, at: &Path) -> Result<Self, String> {
        let [lower, upper, work] = [lower, upper, work].map(|path| path.display().to_string());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        Self::new(&["-t", "overlay", "-o", &options, "session-journal-test"], at)
    }

    fn new(options: &[&str], at: &Path) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting needs root".to_owned());
        }
        run(options, at)?;
        Ok(Self(at.to_owned()))
    }

    /// Unmounts what somebody else is going to mount there.
    #[must_use]
    pub fn at(at: &Path) -> Self {
        Self(at.to_owned())
    }

    /// From now on nothing can be written there; nobody may have a file open for writing.
    pub fn make_read_only(&self) -> Result<(), String> {
        run(&["-o", "remount,ro"], &self.0)
    }
}

fn run(options: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(options).arg(at).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("mount cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("mount is not allowed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |how: &[&str]| {
            Command::new("umount").args(how).arg(&self.0).stderr(Stdio::null()).status()
        };
        if !unmount(&[]).is_ok_and(|status| status.success()) {
            // A child that is being killed may still be there.
            let _ = unmount(&["--lazy"]);
        }
    }
}
