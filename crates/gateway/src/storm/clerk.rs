//! The clerk: writes down what was tried and what was acknowledged, outside of the gateways, and how
//! long it took until it was.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::turn::Policy;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Clerk {
    books: Mutex<Books>,
}

/// All that was written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// Records with a key of their own.
    pub(super) records: Vec<Written>,
    /// Signs of life, which have none; each is tried once.
    pub(super) beats: Vec<Written>,
    pub(super) turns: Vec<TurnNote>,
    pub(super) sends: Vec<SendNote>,
    pub(super) children: Vec<ChildNote>,
    pub(super) compactions: Vec<Written>,
    /// How often a gateway answered with which code.
    pub(super) answers: BTreeMap<String, u64>,
    /// Turns that ended without an answer and were tried again.
    pub(super) turns_again: u64,
    /// Compactions that had nothing to sum up.
    pub(super) nothing_to_compact: u64,
    /// From the first attempt of a small write to its acknowledgement, wherever it went.
    pub(super) writes: Times,
    /// Between two acknowledged appends of a probe, the pause that it makes included.
    pub(super) gaps: Times,
    /// What the lock files say of themselves.
    pub(super) locks: LockNotes,
}

/// A write, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) session: String,
    pub(super) key: String,
    pub(super) acknowledged: Acknowledged,
}

/// What is known of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// It is stored, under this number where one was said.
    Yes(Option<u64>),
    /// Nothing is known.
    Unknown,
}

impl Acknowledged {
    /// What an answer says, if there was one.
    pub(super) fn by(answer: Option<&Value>) -> Self {
        answer.map_or(Self::Unknown, |body| Self::Yes(body["seq"].as_u64()))
    }

    pub(super) const fn is_known(self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

/// A turn and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TurnNote {
    pub(super) session: String,
    pub(super) key: String,
    pub(super) policy: Policy,
    pub(super) end: TurnEnd,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// With an answer; how often the model was asked again.
    Answered { reruns: u64 },
    /// As its policy says, because something came.
    Told,
    /// It was cancelled because somebody asked for it.
    Cancelled,
    /// It came to no end.
    Lost { last: String },
}

/// A message to another session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SendNote {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) key: String,
    pub(super) acknowledged: bool,
    /// Somebody answered there, and said so.
    pub(super) answered: bool,
}

/// A child session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChildNote {
    pub(super) parent: String,
    pub(super) child: String,
    pub(super) key: String,
    pub(super) acknowledged: bool,
}

/// What only lock files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LockNotes {
    pub(super) acquisitions: u64,
    /// Somebody else was inside.
    pub(super) overlaps: u64,
    pub(super) waited: u64,
    pub(super) wait_sum: Duration,
    pub(super) wait_max: Duration,
}

/// A histogram of times.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    counts: [u64; BOUNDS_MS.len() + 1],
    pub(super) max: Duration,
    /// Where the longest one was.
    pub(super) at: String,
}

/// Upper bounds of the histogram's classes; above the last is one more.
pub(super) const BOUNDS_MS: [u64; 9] = [10, 25, 50, 100, 250, 500, 1000, 5000, 30_000];

impl Times {
    pub(super) fn add(&mut self, time: Duration, at: &str) {
        let class = BOUNDS_MS.iter().position(|bound| time <= Duration::from_millis(*bound));
        self.counts[class.unwrap_or(BOUNDS_MS.len())] += 1;
        if time > self.max {
            self.max = time;
            at.clone_into(&mut self.at);
        }
    }

    /// The counts, class by class: up to so many milliseconds; `None` is above all.
    pub(super) fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS_MS.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// How many are above a time that is a bound of a class.
    pub(super) fn above(&self, bound_ms: u64) -> u64 {
        self.classes().filter(|(bound, _)| bound.is_none_or(|b| b > bound_ms)).map(|(_, n)| n).sum()
    }
}

impl Clerk {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway answered.
    pub(super) fn heard(&self, code: &str) {
        let mut books = self.books();
        if let Some(count) = books.answers.get_mut(code) {
            *count += 1;
        } else {
            books.answers.insert(code.to_owned(), 1);
        }
    }

    /// Takes the books; from here on nothing counts.
    pub(super) fn close(&self) -> Books {
        std::mem::take(&mut *self.books())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_time_once_and_knows_the_longest() {
        let mut times = Times::default();
        for ms in [0, 10, 11, 1000, 1001, 90_000] {
            times.add(Duration::from_millis(ms), &format!("s{ms}"));
        }
        let classes: Vec<_> = times.classes().filter(|(_, count)| *count > 0).collect();
        let expected = [(Some(10), 2), (Some(25), 1), (Some(1000), 1), (Some(5000), 1), (None, 1)];
        assert_eq!(classes, expected);
        assert_eq!((times.above(0), times.above(1000)), (6, 2));
        assert_eq!((times.max, times.at.as_str()), (Duration::from_secs(90), "s90000"));
    }
}
