//! What a run, or many, exercised: each kind by itself, for an append that a client asks for and one
//! that the disk is asked for are two things.

use std::collections::BTreeMap;

/// How often each thing happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// How often each operation, fault and call happened.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// What processes began to do.
    pub operations: Tally,
    /// What went wrong, where it had an effect.
    pub faults: Tally,
    /// What the engine asked of the disk and the host.
    pub calls: Tally,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        let pairs = [
            (&mut self.operations, other.operations),
            (&mut self.faults, other.faults),
            (&mut self.calls, other.calls),
        ];
        for (sum, part) in pairs {
            for (what, count) in part {
                *sum.entry(what).or_default() += count;
            }
        }
    }

    /// Its parts, each under its heading.
    #[must_use]
    pub fn sections(&self) -> [(&'static str, &Tally); 3] {
        [
            ("operations", &self.operations),
            ("faults", &self.faults),
            ("calls to the disk and the host", &self.calls),
        ]
    }
}
