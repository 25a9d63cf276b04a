//! The system calls of a case, counted in a run of its own: strace sees them, Valgrind makes some itself.

use std::fs;
use std::os::unix::process::parent_id;
use std::process::Command;

/// Marks where what is counted begins and ends, with a call that the engine never makes.
pub(crate) fn mark() {
    std::hint::black_box(parent_id());
}

const MARK: &str = "getppid";
/// Whether a thread has to wait for another is not the same in every run.
const NOT_COUNTED: &str = "futex";

/// How many system calls the thread of a case makes.
pub(crate) fn count(name: &str) -> Result<u64, String> {
    let folder = crate::folder()?;
    let out = folder.path().join("strace.out");
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let ran = Command::new("strace")
        .args(["-qq", "--signal=none", "-o"])
        .arg(&out)
        .arg(program)
        .arg("--measure")
        .arg(name)
        .arg(folder.path())
        .output()
        .map_err(|error| format!("strace: {error}"))?;
    if !ran.status.success() {
        return Err(format!("{name} failed:\n{}", String::from_utf8_lossy(&ran.stderr)));
    }
    let text = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    between_marks(&text).ok_or_else(|| format!("{name}: no system calls were seen"))
}

fn between_marks(text: &str) -> Option<u64> {
    let is_mark = |line: &&str| line.starts_with(MARK);
    let mut lines = text.lines().skip_while(|line| !is_mark(line)).skip(1);
    let mut calls = 0;
    loop {
        let line = lines.next()?;
        if is_mark(&line) {
            return Some(calls);
        }
        calls += u64::from(!line.starts_with(NOT_COUNTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_counted() {
        let text = "open()\ngetppid() = 1\nwrite(3) = 1\nfutex(0) = 0\nlseek(3) = 2\ngetppid() = 1\nexit()\n";
        assert_eq!(between_marks(text), Some(2));
        assert_eq!(between_marks("getppid() = 1\nwrite(3) = 1\n"), None);
    }
}
