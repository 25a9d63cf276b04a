//! How long each of many operations took.

use std::time::{Duration, Instant};

/// The middle one of some values.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of them have at most.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(index(sorted.len(), share)).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
fn index(of: usize, share: f64) -> usize {
    ((share * of as f64) as usize).min(of.saturating_sub(1))
}

/// The time that something takes, in seconds.
pub(crate) fn seconds<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<f64, E> {
    let begin = Instant::now();
    std::hint::black_box(run()?);
    Ok(begin.elapsed().as_secs_f64())
}

/// How long each of many operations took, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<f64>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    /// Adds those of another.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this share of them took at most.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.0, share)
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut times = Times::default();
        (1..=100).rev().for_each(|n| times.push(Duration::from_micros(n)));
        let rounded = |share| times.quantile(share).round();
        assert_eq!((rounded(0.0), rounded(0.5), rounded(0.99)), (1.0, 51.0, 100.0));
        assert!((times.mean() - 50.5).abs() < 1e-9, "{}", times.mean());
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
    }
}
