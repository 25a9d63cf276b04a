//! A progress bar on standard error: only on a terminal, only when it takes longer than a second.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What takes less time needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
#[cfg(feature = "storm")]
const SECONDS: &str = "{msg} {wide_bar} {pos}/{len} s";

/// How far something is.
pub(crate) struct Progress {
    what: &'static str,
    begin: Instant,
    is_wanted: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(what: &'static str, quiet: bool) -> Self {
        let is_wanted = !quiet && io::stderr().is_terminal();
        Self { what, begin: Instant::now(), is_wanted, bar: None }
    }

    /// So many files of so many are done.
    pub(crate) fn of(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {done}/{total} files", self.what));
        }
    }

    /// So many bytes of so many are done.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        if !self.is_wanted || self.begin.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(self.what, BYTES));
        bar.set_length(total);
        bar.set_position(done.min(total));
    }

    #[cfg(feature = "storm")]
    /// So many seconds of so many are over.
    pub(crate) fn seconds(&mut self, over: u64, total: u64) {
        if !self.is_wanted || self.begin.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(self.what, SECONDS));
        bar.set_length(total);
        bar.set_position(over.min(total));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}
