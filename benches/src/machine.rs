//! Where the figures come from.

use std::fs;
use std::path::PathBuf;

/// Where files are measured: `SESSION_JOURNAL_BENCH_DIR`, else the temporary folder.
pub fn folder() -> tempfile::TempDir {
    let parent = std::env::var_os("SESSION_JOURNAL_BENCH_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(&parent).expect("a folder to measure in")
}

/// One line about this machine: processor, kernel, file system.
pub fn machine() -> String {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processor = field("/proc/cpuinfo", "model name");
    format!("{processor}, {cores} cores, Linux {}, {}", kernel.trim(), filesystem())
}

/// The type of the file system that the figures are measured on.
fn filesystem() -> String {
    let here = folder();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let on = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        here.path().starts_with(&place).then_some((place.len(), kind))
    };
    mounts.lines().filter_map(on).max().map_or_else(String::new, |(_, kind)| kind)
}

/// The most memory that this process ever had in use, in MiB.
pub fn peak_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    kibibytes / 1024.0
}
