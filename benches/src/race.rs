//! Candidates that have their turns in the same rounds, and what came of it.

use crate::Result;
use crate::times::{Times, median};

/// What one turn says of a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Half of the operations took at most so many microseconds.
    pub p50: f64,
    /// 99 of 100 did.
    pub p99: f64,
    /// The mean, in microseconds.
    pub mean: f64,
    /// Operations a second, over the whole turn.
    pub rate: f64,
    /// Bytes a second, over the whole turn.
    pub bytes: f64,
}

impl Sample {
    /// Operations that took so long, in a turn that took so many seconds and moved so many bytes.
    pub(crate) fn of(times: &Times, seconds: f64, bytes: u64) -> Self {
        Self {
            p50: times.quantile(0.5),
            p99: times.quantile(0.99),
            mean: times.mean(),
            rate: times.count() as f64 / seconds,
            bytes: bytes as f64 / seconds,
        }
    }

    /// One operation that took so many seconds and moved so many bytes.
    pub(crate) fn once(seconds: f64, bytes: u64) -> Self {
        let micros = seconds * 1e6;
        let (rate, bytes) = (1.0 / seconds, bytes as f64 / seconds);
        Self { p50: micros, p99: micros, mean: micros, rate, bytes }
    }
}

/// What is looked at in a sample.
pub(crate) type Figure = fn(&Sample) -> f64;
pub(crate) const P50: Figure = |sample| sample.p50;
pub(crate) const MEAN: Figure = |sample| sample.mean;
pub(crate) const P99: Figure = |sample| sample.p99;
pub(crate) const RATE: Figure = |sample| sample.rate;
pub(crate) const BYTES: Figure = |sample| sample.bytes;

/// A candidate, after the race.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What tables call it.
    pub name: String,
    /// What a reader of its figures must know.
    pub told: String,
    /// A sample for each round.
    pub rounds: Vec<Sample>,
    /// Why it has none.
    pub failed: Option<String>,
}

impl Entry {
    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, of: Figure) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }
}

/// A race, after it was run.
#[derive(Clone, Debug)]
pub struct Race {
    /// What was measured.
    pub title: String,
    /// Those that have such a mode, in the order in which they were entered.
    pub entries: Vec<Entry>,
}

impl Race {
    /// A candidate that was measured.
    pub(crate) fn entry(&self, name: &str) -> Result<&Entry> {
        let found = self.entries.iter().find(|entry| entry.name == name);
        let entry = found.ok_or_else(|| format!("{name} did not take part in {:?}", self.title))?;
        match &entry.failed {
            Some(why) => Err(format!("{name}: {why}").into()),
            None => Ok(entry),
        }
    }

    /// Whether a candidate has such a mode.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// The median of the ratios of two candidates, round by round.
    pub(crate) fn ratio(&self, this: &str, to: &str, of: Figure) -> Result<f64> {
        let (this, to) = (self.entry(this)?, self.entry(to)?);
        let ratios = this.rounds.iter().zip(&to.rounds).map(|(this, to)| of(this) / of(to));
        Ok(median(&ratios.collect::<Vec<_>>()))
    }

    /// The median of the differences of two candidates, round by round.
    pub(crate) fn difference(&self, this: &str, to: &str, of: Figure) -> Result<f64> {
        let (this, to) = (self.entry(this)?, self.entry(to)?);
        let differences = this.rounds.iter().zip(&to.rounds).map(|(this, to)| of(this) - of(to));
        Ok(median(&differences.collect::<Vec<_>>()))
    }
}

type Run<'a> = Box<dyn FnMut() -> Result<Option<Sample>> + 'a>;

/// Candidates that are about to race.
#[derive(Default)]
pub struct Turns<'a> {
    entries: Vec<(Entry, Run<'a>)>,
}

impl std::fmt::Debug for Turns<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(entry, _)| &entry.name)).finish()
    }
}

impl<'a> Turns<'a> {
    /// Enters a candidate: what it does in one turn; none where it has no such mode.
    pub fn add(
        &mut self,
        name: &str,
        told: &str,
        run: impl FnMut() -> Result<Option<Sample>> + 'a,
    ) -> &mut Self {
        let (name, told) = (name.to_owned(), told.to_owned());
        let entry = Entry { name, told, rounds: Vec::new(), failed: None };
        self.entries.push((entry, Box::new(run)));
        self
    }

    /// Every candidate has its turn in every round, in an order of its own.
    pub fn run(&mut self, title: &str, rounds: usize, random: &mut fastrand::Rng) -> Race {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        let mut absent = vec![false; order.len()];
        for _ in 0..rounds {
            random.shuffle(&mut order);
            for &place in &order {
                let (entry, run) = &mut self.entries[place];
                if absent[place] || entry.failed.is_some() {
                    continue;
                }
                match run() {
                    Ok(Some(sample)) => entry.rounds.push(sample),
                    Ok(None) => absent[place] = true,
                    Err(error) => entry.failed = Some(error.to_string()),
                }
            }
        }
        let entries = std::mem::take(&mut self.entries).into_iter().zip(absent);
        let entries = entries.filter(|(_, absent)| !absent).map(|((entry, _), _)| entry).collect();
        Race { title: title.to_owned(), entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_has_a_turn_in_every_round_and_ratios_are_those_of_a_round() {
        let (mut slow, mut fast) = (1.0, 1.0);
        let mut turns = Turns::default();
        turns.add("fast", "", || {
            fast *= 10.0;
            Ok(Some(Sample::once(fast, 0)))
        });
        turns.add("slow", "", || {
            slow *= 10.0;
            Ok(Some(Sample::once(slow * 3.0, 0)))
        });
        turns.add("has none", "", || Ok(None));
        turns.add("fails", "", || Err("no room".into()));
        let race = turns.run("a race", 5, &mut fastrand::Rng::with_seed(1));
        let names: Vec<_> = race.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["fast", "slow", "fails"]);
        assert_eq!(race.entry("slow").expect("ran").rounds.len(), 5);
        assert!((race.ratio("slow", "fast", P50).expect("both ran") - 3.0).abs() < 1e-9);
        let missing = race.ratio("fails", "fast", P50).expect_err("it failed").to_string();
        assert_eq!(missing, "fails: no room");
        assert!(race.entry("has none").is_err());
    }
}
