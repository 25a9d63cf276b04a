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

impl Mount {
    /// Mounts a small file system in memory; where that is not allowed, says why.
    ///
    /// # Errors
    /// The reason in words.
    pub fn tmpfs(at: &Path, bytes: u64) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting needs root".to_owned());
        }
        let size = format!("size={bytes},mode=0700");
        run(&["-t", "tmpfs", "-o", &size, "session-journal-test"], at)?;
        Ok(Self(at.to_owned()))
    }

    /// Unmounts what somebody else is going to mount there.
    #[must_use]
    pub fn at(at: &Path) -> Self {
        Self(at.to_owned())
    }

    /// From now on nothing can be written there; nobody may have a file open for writing.
    ///
    /// # Errors
    /// What `mount` said.
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
        // Lazily: a child that is being killed may still be there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}
