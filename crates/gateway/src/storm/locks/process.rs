//! What can be known of a process from outside.

use std::fs;

/// A process as a lock file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Field 22 of its `stat`: ticks since the boot.
    pub(crate) started: Option<u64>,
}

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        let pid = std::process::id();
        Self { pid, started: Self::started_of(pid) }
    }

    /// When the process of this pid started.
    pub(crate) fn started_of(pid: u32) -> Option<u64> {
        stat(pid).map(|(_, started)| started)
    }

    /// Alive, no zombie, and no other process under a pid that was used before.
    pub(crate) fn is_alive(self) -> bool {
        let Some((state, started)) = stat(self.pid) else { return false };
        let is_same = self.started.is_none_or(|mine| mine == started);
        is_same && !matches!(state.as_str(), "Z" | "X")
    }
}

fn stat(pid: u32) -> Option<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may hold blanks and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Whether the command line of a process has this word in it.
pub(crate) fn runs(pid: u32, word: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(word)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_known_by_its_pid_and_its_start() {
        let own = Process::own();
        assert!(own.is_alive());
        assert!(!Process { started: own.started.map(|at| at + 1), ..own }.is_alive());
        let mut child = Command::new("true").spawn().expect("starts");
        let pid = child.id();
        child.wait().expect("ends");
        assert!(!Process { pid, started: None }.is_alive());
    }
}
