//! The allocations of a case: those of a run, less those of a run that prepares it and goes home.

use std::process::Command;

/// How often the case asks for memory.
pub(crate) fn count(name: &str) -> Result<u64, String> {
    Ok(of_run(name, "--measure")?.saturating_sub(of_run(name, "--prepare")?))
}

fn of_run(name: &str, what: &str) -> Result<u64, String> {
    let folder = crate::folder()?;
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let ran = Command::new("valgrind")
        .args(["--tool=memcheck", "--undef-value-errors=no"])
        .arg(program)
        .args([what, name])
        .arg(folder.path())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if !ran.status.success() {
        return Err(format!("{name} failed:\n{said}"));
    }
    allocations(&said).ok_or_else(|| format!("{name}: no allocations were counted"))
}

fn allocations(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("total heap usage: ")?;
    rest.split(' ').next()?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let said = "==7==   total heap usage: 12,345 allocs, 12,300 frees, 9 bytes allocated\n";
        assert_eq!(allocations(said), Some(12_345));
        assert_eq!(allocations("==7== HEAP SUMMARY:\n"), None);
    }
}
