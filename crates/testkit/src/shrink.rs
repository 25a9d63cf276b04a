//! From a run that broke a promise to the smallest one that still does.

use crate::choices::Choices;
use crate::simulation::{Outcome, Simulator};

/// So many runs are tried.
const TRIES_MAX: u32 = 1500;

/// Makes the decisions of a failing run fewer and smaller while some promise stays broken.
pub fn shrink(simulator: &mut Simulator, failed: Outcome) -> Outcome {
    let mut shrinking = Shrinking { simulator, best: failed, tries: 0 };
    loop {
        let before = shrinking.best.choices.clone();
        shrinking.without_stretches();
        shrinking.with_smaller_values();
        if shrinking.best.choices == before || shrinking.tries >= TRIES_MAX {
            let choices = Choices::recorded(shrinking.best.choices.clone());
            return shrinking.simulator.run(choices, true);
        }
    }
}

/// Whether two runs break the same promise: what they say of it begins alike, but for numbers.
fn same(one: &Outcome, other: &Outcome) -> bool {
    let words = |outcome: &Outcome| {
        let said = outcome.violation.as_deref().unwrap_or_default();
        let words = said.split(|letter: char| !letter.is_ascii_alphabetic());
        words.filter(|word| word.len() > 1).take(5).collect::<Vec<_>>().join(" ")
    };
    one.violation.is_some() && words(one) == words(other)
}

struct Shrinking<'a> {
    simulator: &'a mut Simulator,
    best: Outcome,
    tries: u32,
}

impl Shrinking<'_> {
    /// Whether these decisions break a promise too, and are simpler.
    fn accepts(&mut self, choices: Vec<u32>) -> bool {
        if self.tries >= TRIES_MAX {
            return false;
        }
        self.tries += 1;
        let mut outcome = self.simulator.run(Choices::recorded(choices), false);
        while outcome.choices.last() == Some(&0) {
            outcome.choices.pop();
        }
        let simpler = (outcome.choices.len(), &outcome.choices)
            < (self.best.choices.len(), &self.best.choices);
        let accepted = simpler && same(&outcome, &self.best);
        if accepted {
            self.best = outcome;
        }
        accepted
    }

    fn without_stretches(&mut self) {
        let mut size = self.best.choices.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < self.best.choices.len() {
                let mut choices = self.best.choices.clone();
                choices.drain(at..(at + size).min(choices.len()));
                if !self.accepts(choices) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn with_smaller_values(&mut self) {
        let mut at = 0;
        while at < self.best.choices.len() {
            for smaller in [|_| 0, |value| value / 2, |value: u32| value.saturating_sub(1)] {
                let mut choices = self.best.choices.clone();
                let Some(value) = choices.get_mut(at) else { break };
                *value = smaller(*value);
                self.accepts(choices);
            }
            at += 1;
        }
    }
}
