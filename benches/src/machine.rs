//! Where the figures come from.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::Result;

/// Where files are measured: a new folder in `SESSION_JOURNAL_BENCH_DIR`, else in the temporary one.
pub fn folder() -> Result<TempDir> {
    let parent = std::env::var_os("SESSION_JOURNAL_BENCH_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from);
    Ok(tempfile::tempdir_in(&parent)?)
}

/// What a figure depends on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// How many of its cores this process may use.
    pub cores: usize,
    /// Memory in GiB.
    pub memory: f64,
    /// Release of the kernel.
    pub kernel: String,
    /// Type of the file system that is measured on.
    pub filesystem: String,
    /// Version of the compiler on this machine.
    pub rust: String,
    /// Processes that were running or waiting for a processor when it was asked.
    pub load: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Result<Self> {
        let memory = field("/proc/meminfo", "MemTotal");
        let kibibytes: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kibibytes / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .into(),
            filesystem: filesystem()?,
            rust: version("rustc"),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }

    /// One line about it.
    pub fn line(&self) -> String {
        let Self { processor, cores, memory, kernel, filesystem, rust, .. } = self;
        format!(
            "{processor}, {cores} cores, {memory:.0} GiB, Linux {kernel}, {filesystem}, {rust}, \
             session-journal {}",
            env!("CARGO_PKG_VERSION")
        )
    }
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let words: Vec<String> =
        text.unwrap_or_default().split_whitespace().take(2).map(str::to_owned).collect();
    if words.is_empty() { format!("{program} unknown") } else { words.join(" ") }
}

/// The type of the file system that the figures are measured on.
fn filesystem() -> Result<String> {
    let here = folder()?;
    let here = here.path().canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let on = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        here.starts_with(&place).then_some((place.len(), kind))
    };
    Ok(mounts.lines().filter_map(on).max().map_or_else(String::new, |(_, kind)| kind))
}

/// The most memory that this process ever had in use, in MiB.
pub fn peak_memory() -> f64 {
    let kibibytes = field("/proc/self/status", "VmHWM");
    kibibytes.trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |value| value / 1024.0)
}
