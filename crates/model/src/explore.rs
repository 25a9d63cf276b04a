//! Exploring one configuration, and what came of it.

use std::num::NonZero;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::bounds::Bounds;
use crate::model::{Action, Protocol};
use crate::mutation::Mutation;

/// What an exploration found.
#[derive(Debug)]
pub struct Outcome {
    /// Different states.
    pub states: usize,
    /// Events of the longest run.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Properties that do not hold, each with a way to a state where it does not.
    pub failed: Vec<(&'static str, Vec<Action>)>,
    /// What was never reached.
    pub unreached: Vec<&'static str>,
}

impl Outcome {
    /// Every property holds, and nothing of it vacuously.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.failed.is_empty() && self.unreached.is_empty()
    }

    /// The property that failed with the shortest way there.
    #[must_use]
    pub fn shortest(&self) -> Option<(&'static str, &[Action])> {
        let (name, way) = self.failed.iter().min_by_key(|(_, way)| way.len())?;
        Some((name, way))
    }
}

/// Explores everything, depth first: that needs least memory.
#[must_use]
pub fn explore(bounds: Bounds) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (began, protocol) = (Instant::now(), Protocol { bounds, mutation: None });
    let builder = protocol.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    outcome(protocol, began, &builder.spawn_dfs().join())
}

/// Explores breadth first until a property fails, and then whether one fails on a shorter way: what
/// is left is a shortest one.
#[must_use]
pub fn break_rule(bounds: Bounds, mutation: Mutation) -> Outcome {
    let (began, protocol) = (Instant::now(), Protocol { bounds, mutation: Some(mutation) });
    let builder = || protocol.checker().finish_when(HasDiscoveries::AnyFailures);
    let mut found = outcome(protocol, began, &builder().spawn_bfs().join());
    while let Some((_, way)) = found.shortest() {
        // Depth counts states: one more than the events between them.
        let shorter = builder().target_max_depth(way.len() + 1).spawn_bfs().join();
        let shorter = outcome(protocol, began, &shorter);
        if shorter.failed.is_empty() {
            break;
        }
        found = shorter;
    }
    found
}

fn outcome(protocol: Protocol, began: Instant, checker: &impl Checker<Protocol>) -> Outcome {
    let mut discoveries = checker.discoveries();
    let mut failed = Vec::new();
    let mut unreached = Vec::new();
    for property in protocol.properties() {
        match (property.expectation, discoveries.remove(property.name)) {
            (Expectation::Sometimes, None) => unreached.push(property.name),
            (Expectation::Always, Some(way)) => {
                failed.push((property.name, way.into_actions()));
            }
            _ => {}
        }
    }
    Outcome {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        failed,
        unreached,
    }
}
