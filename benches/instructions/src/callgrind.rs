//! Runs a case under Valgrind, and reads what it counted.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::baseline::Counts;
use crate::strace;

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
    let allocations = calls_of(&text, &ALLOCATORS);
    let system_calls = strace::count(name)?;
    #[allow(clippy::cast_precision_loss, reason = "counts of a few billions")]
    let each = |total: u64| total as f64 / operations as f64;
    Ok(Counts {
        instructions: each(instructions),
        system_calls: each(system_calls),
        allocations: each(allocations),
    })
}

const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

fn instructions(text: &str) -> Option<u64> {
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    totals.trim().parse().ok().filter(|count| *count > 0)
}

/// How often functions of these names were called. A name stands behind its number where it comes
/// first, and is left out later.
fn calls_of(text: &str, functions: &[&str]) -> u64 {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut called = "";
    let mut calls = 0;
    for line in text.lines() {
        if let Some((field, rest)) = line.split_once('=')
            && matches!(field, "fn" | "cfn")
        {
            let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            if field == "cfn" {
                called = names.get(number).copied().unwrap_or_default();
            }
        } else if let Some(rest) = line.strip_prefix("calls=")
            && functions.contains(&called)
        {
            calls += rest.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: &str = "events: Ir\n\
        fn=(1) measured\n16 3\ncfn=(2) malloc\ncalls=4 0\n16 400\n\
        fn=(3) other\ncfn=(2)\ncalls=1 0\n16 100\ncfn=(4) free\ncalls=5 0\n16 20\n\
        totals: 523\n";

    #[test]
    fn totals_and_calls_are_read() {
        assert_eq!(instructions(OUT), Some(523));
        assert_eq!(calls_of(OUT, &ALLOCATORS), 5);
    }

    #[test]
    fn a_run_that_counted_nothing_is_no_result() {
        assert_eq!(instructions(&OUT.replace("523", "0")), None);
        assert_eq!(instructions("events: Ir\n"), None);
    }
}
