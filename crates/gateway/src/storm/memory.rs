//! How much memory the gateways hold, over the time of the storm.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::peers::Peers;

/// Resident bytes of both gateways, look by look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    looks: Mutex<Vec<[Option<u64>; 2]>>,
}

/// What the looks say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Mean of the first quarter of the storm, in bytes; of one gateway.
    pub(super) first: u64,
    /// Mean of the last quarter.
    pub(super) last: u64,
    /// The most.
    pub(super) most: u64,
}

impl Memory {
    pub(super) async fn watch(&self, peers: &Peers, pause: Duration) -> Infallible {
        loop {
            let look = [0, 1].map(|number| peers.resident(number));
            self.looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn told(&self) -> Option<Told> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let quarter = looks.len().div_ceil(4);
        let first = mean(looks.get(..quarter)?)?;
        let last = mean(looks.get(looks.len() - quarter..)?)?;
        let most = looks.iter().flatten().flatten().max().copied()?;
        Some(Told { first, last, most })
    }
}

fn mean(looks: &[[Option<u64>; 2]]) -> Option<u64> {
    let bytes: Vec<u64> = looks.iter().flatten().flatten().copied().collect();
    bytes.iter().sum::<u64>().checked_div(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quarter_stands_beside_the_last() {
        let looks = [Some(1), Some(3), None, Some(9), Some(5), Some(5), Some(8), Some(4)];
        let memory =
            Memory { looks: Mutex::new(looks.iter().map(|bytes| [*bytes, None]).collect()) };
        assert_eq!(memory.told(), Some(Told { first: 2, last: 6, most: 9 }));
        assert_eq!(Memory::default().told(), None);
    }
}
