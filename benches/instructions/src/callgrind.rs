//! Runs a case under Valgrind, and reads what it counted.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::baseline::Counts;
use crate::{memcheck, strace};

/// What is counted: from where it begins to where it ends, on the thread that calls it.
#[inline(never)]
pub(crate) fn measured(operations: &mut dyn FnMut()) {
    operations();
    // Something behind the call, or it would be a jump and never return here.
    std::hint::black_box(&operations);
}

/// What one operation of a case costs.
pub(crate) fn count(name: &str, operations: u64) -> Result<Counts, String> {
    let folder = crate::folder()?;
    let out = folder.path().join("callgrind.out");
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*callgrind*measured*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg("--measure")
        .arg(name)
        .arg(folder.path())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !ran.status.success() {
        return Err(format!("{name} failed:\n{}", String::from_utf8_lossy(&ran.stderr)));
    }
    if let Some(kept) = std::env::var_os("SESSION_JOURNAL_CALLGRIND") {
        let kept = Path::new(&kept).join(format!("{name}.out"));
        fs::copy(&out, kept).map_err(|error| format!("to keep the profile: {error}"))?;
    }
    let text = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let nothing = || format!("{name}: nothing was counted");
    let instructions = instructions(&text).ok_or_else(nothing)?;
    let allocations = memcheck::count(name)?;
    let system_calls = strace::count(name)?;
    #[allow(clippy::cast_precision_loss, reason = "counts of a few billions")]
    let each = |total: u64| total as f64 / operations as f64;
    Ok(Counts {
        instructions: each(instructions),
        system_calls: each(system_calls),
        allocations: each(allocations),
    })
}

fn instructions(text: &str) -> Option<u64> {
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    totals.trim().parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_counted_nothing_is_no_result() {
        assert_eq!(instructions("events: Ir\ntotals: 523\n"), Some(523));
        assert_eq!(instructions("events: Ir\ntotals: 0\n"), None);
        assert_eq!(instructions("events: Ir\n"), None);
    }
}
