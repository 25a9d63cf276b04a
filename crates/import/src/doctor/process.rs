//! What is known here of the process that a lock names.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Milliseconds per clock tick: 100 ticks make a second wherever Linux and Rust run.
const TICK_MS: i64 = 10;

/// A process, as far as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// There is none of this pid, or it ended and waits to be collected.
    Gone,
    /// It runs.
    Running(Running),
    /// It cannot be seen from here.
    Unknown,
}

/// What is known of a process that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    /// Its program, as the system names it.
    pub(super) name: Option<String>,
    /// When it began, in clock ticks since the machine did.
    pub(super) start_ticks: Option<u64>,
    /// The same, in milliseconds since the epoch.
    pub(super) started_ms: Option<i64>,
}

/// Looks at the process of a pid.
pub(super) fn look(pid: u32) -> Process {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Process::Gone;
    };
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => read(&stat).unwrap_or(Process::Unknown),
        // Where others' processes are hidden, or there is no such folder, a signal that is none
        // tells whether there is one.
        Err(_) => match test_kill_process(number) {
            Err(Errno::SRCH) => Process::Gone,
            Ok(()) | Err(Errno::PERM) if !Path::new("/proc/self/stat").exists() => {
                Process::Running(Running::default())
            }
            _ => Process::Unknown,
        },
    }
}

/// Reads the fields of proc(5). The second is the name in brackets, and may hold anything.
fn read(stat: &[u8]) -> Option<Process> {
    let text = String::from_utf8_lossy(stat);
    let (front, fields) = text.rsplit_once(')')?;
    let name = front.split_once('(').map(|(_, name)| name.to_owned());
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    // The first of these is the third of proc(5).
    let field = |number: usize| fields.get(number - 3);
    if field(3)?.starts_with(['Z', 'X', 'x']) {
        return Some(Process::Gone);
    }
    let start_ticks = field(22)?.parse().ok();
    let started_ms = start_ticks.and_then(|ticks: u64| {
        Some(boot_ms()?.saturating_add(i64::try_from(ticks).ok()?.saturating_mul(TICK_MS)))
    });
    Some(Process::Running(Running { name, start_ticks, started_ms }))
}

/// When the machine began, in milliseconds since the epoch.
fn boot_ms() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse::<i64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself_and_nobody() {
        let own = look(std::process::id());
        assert!(matches!(own, Process::Running(_)), "{own:?}");
        for pid in [0, 999_999_999, u32::MAX] {
            assert_eq!(look(pid), Process::Gone, "{pid}");
        }
    }

    #[test]
    fn reads_a_name_with_brackets_and_a_process_that_ended() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        let stat = format!("7 (a) b (c)) {fields}");
        let Some(Process::Running(running)) = read(stat.as_bytes()) else { panic!("runs") };
        assert_eq!(running.name.as_deref(), Some("a) b (c)"));
        assert_eq!(running.start_ticks, Some(4242));
        let ended = stat.replace(") S 1", ") Z 1");
        assert_eq!(read(ended.as_bytes()), Some(Process::Gone));
        assert_eq!(read(b"7 no brackets"), None);
    }
}
