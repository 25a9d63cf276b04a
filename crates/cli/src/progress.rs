//! A progress bar on standard error: only on a terminal, only when it takes longer than a second.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less time needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far something is.
pub(crate) struct Progress {
    what: &'static str,
    begin: Instant,
    is_shown: bool,
    /// It is there from the beginning, for its rate is that of the whole time, and seen later.
    bar: Option<ProgressBar>,
}

/// The way past a bar to the terminal that it is on.
#[derive(Clone)]
pub(crate) struct Aside(Option<ProgressBar>);

impl Progress {
    pub(crate) fn new(what: &'static str, quiet: bool) -> Self {
        let is_wanted = !quiet && io::stderr().is_terminal();
        let bar = is_wanted.then(|| bar(what));
        Self { what, begin: Instant::now(), is_shown: false, bar }
    }

    /// Counts seconds, where others count bytes.
    #[cfg(feature = "storm")]
    pub(crate) fn in_seconds(self) -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} s");
        if let (Some(bar), Ok(style)) = (&self.bar, style) {
            bar.set_style(style);
        }
        self
    }

    /// So many files of so many are done.
    pub(crate) fn of(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {done}/{total} files", self.what));
        }
    }

    /// So many bytes of so many are done.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(total);
        bar.set_position(done.min(total));
        if !self.is_shown && self.begin.elapsed() >= PATIENCE {
            self.is_shown = true;
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.tick();
        }
    }

    /// For what is said while it is shown.
    pub(crate) fn aside(&self) -> Aside {
        Aside(self.bar.clone())
    }
}

impl Aside {
    /// Takes the bar away while something else is written: a line behind it would be glued to it.
    pub(crate) fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str) -> ProgressBar {
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}
