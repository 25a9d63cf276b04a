//! What every figure needs: a folder, rounds that are interleaved, medians, a table.
//!
//! Machines are noisy, so nothing is measured on its own. In every round each candidate has its turn,
//! and a ratio is the median of the ratios within the rounds.
#![allow(
    clippy::cast_precision_loss,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "figures are rounded when they are printed, and a measurement that fails is no figure"
)]

mod machine;
mod table;

use std::time::{Duration, Instant};

pub use machine::{folder, machine, peak_memory};
pub use table::Table;

/// The middle one of some values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The time that something takes, in seconds.
pub fn seconds(run: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    run();
    begin.elapsed().as_secs_f64()
}

/// How long each of many operations took.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Times an operation, so often.
    pub fn of<T>(operations: usize, mut run: impl FnMut() -> T) -> Self {
        let mut times = Vec::with_capacity(operations);
        let mut before = Instant::now();
        for _ in 0..operations {
            std::hint::black_box(run());
            let now = Instant::now();
            times.push(now - before);
            before = now;
        }
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share of them took at most, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (share * (self.0.len() - 1) as f64) as usize;
        self.0[index].as_secs_f64() * 1e6
    }

    /// The mean, in microseconds.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64() * 1e6 / self.0.len() as f64
    }
}

/// Measures candidates in turn, round after round: a row of values for each candidate.
pub fn interleaved(rounds: usize, candidates: &mut [&mut dyn FnMut() -> f64]) -> Vec<Vec<f64>> {
    let mut values = vec![Vec::with_capacity(rounds); candidates.len()];
    for _ in 0..rounds {
        for (values, candidate) in values.iter_mut().zip(candidates.iter_mut()) {
            values.push(candidate());
        }
    }
    values
}

/// The median of the ratios of two candidates, round by round.
pub fn ratio(values: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = values.iter().zip(to).map(|(value, to)| value / to).collect();
    median(&ratios)
}
