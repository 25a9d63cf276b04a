//! How much memory the gateways hold: life by life, for whoever is started again begins anew, and
//! together with how many sessions are held, for each has its share.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::Client;
use super::peers::Peers;

/// The beginning of a life, in which everything is asked for the first time.
const BEGINNING: Duration = Duration::from_secs(10);
/// A shorter life says nothing about growth.
const LONG: Duration = Duration::from_secs(30);

/// The looks at each life.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lives: Mutex<BTreeMap<u32, Vec<Look>>>,
}

/// One look at a gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Look {
    at: Instant,
    /// Resident bytes.
    bytes: u64,
    /// Sessions held, where it said so.
    sessions: Option<u64>,
}

/// What the looks say together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// The most resident bytes of a gateway, and how many sessions it held then.
    pub(super) most: u64,
    pub(super) most_sessions: Option<u64>,
    /// Lives that were looked at, and those among them that were long enough to show growth.
    pub(super) lives: u64,
    pub(super) long_lives: u64,
    /// Bytes a minute, of which as many long lives grew more slowly as faster.
    pub(super) growth: Option<f64>,
    /// The same without the shares of the sessions that came and went.
    pub(super) growth_beside: Option<f64>,
    /// Bytes of a gateway that holds no session, and of each session; the line that all looks behind
    /// the beginning of a life are closest to.
    pub(super) base: Option<f64>,
    pub(super) per_session: Option<f64>,
}

impl Memory {
    pub(super) async fn watch(
        &self,
        peers: &Peers,
        client: &Client,
        pause: Duration,
    ) -> Infallible {
        loop {
            for number in [0, 1] {
                let sessions = client.held(number).await;
                if let Some((pid, bytes)) = peers.resident(number) {
                    let look = Look { at: Instant::now(), bytes, sessions };
                    let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
                    lives.entry(pid).or_default().push(look);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn told(&self) -> Option<Told> {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        let most = lives.values().flatten().max_by_key(|look| look.bytes)?;
        let later: Vec<&[Look]> = lives.values().map(|looks| behind_the_beginning(looks)).collect();
        let is_long = |looks: &&&[Look]| lasts(looks) >= LONG.saturating_sub(BEGINNING);
        let long: Vec<&[Look]> = later.iter().filter(is_long).copied().collect();
        let line = by_sessions(&later);
        let growth_beside = line.and_then(|(_, share)| {
            median(long.iter().filter_map(|looks| by_time(looks, share)).collect())
        });
        Some(Told {
            most: most.bytes,
            most_sessions: most.sessions,
            lives: lives.len() as u64,
            long_lives: long.len() as u64,
            growth: median(long.iter().filter_map(|looks| by_time(looks, 0.0)).collect()),
            growth_beside,
            base: line.map(|line| line.0),
            per_session: line.map(|line| line.1),
        })
    }
}

fn behind_the_beginning(looks: &[Look]) -> &[Look] {
    let first = looks.first().map(|look| look.at);
    let is_early = |look: &Look| first.is_some_and(|first| look.at - first < BEGINNING);
    &looks[looks.partition_point(is_early)..]
}

fn lasts(looks: &[Look]) -> Duration {
    looks.first().zip(looks.last()).map_or(Duration::ZERO, |(first, last)| last.at - first.at)
}

#[allow(clippy::cast_precision_loss, reason = "bytes and sessions are far below 2^52")]
const fn float(number: u64) -> f64 {
    number as f64
}

/// How many bytes it grows by in a minute, without so many for each session.
fn by_time(looks: &[Look], share: f64) -> Option<f64> {
    let first = looks.first()?.at;
    let points = looks.iter().filter_map(|look| {
        let sessions = look.sessions.or((share == 0.0).then_some(0))?;
        let bytes = float(look.bytes) - share * float(sessions);
        Some(((look.at - first).as_secs_f64() / 60.0, bytes))
    });
    line(&points.collect::<Vec<_>>()).map(|line| line.1)
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

fn by_sessions(lives: &[&[Look]]) -> Option<(f64, f64)> {
    let looks = lives.iter().copied().flatten();
    let points = looks.filter_map(|look| Some((float(look.sessions?), float(look.bytes))));
    line(&points.collect::<Vec<_>>())
}

/// The line that the points are closest to: where it begins, and how steep it is.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = float(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let slope = both / spread;
    slope.is_finite().then_some((y - slope * x, slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look each second: bytes and sessions.
    fn life(bytes: impl Fn(u64) -> (u64, u64), seconds: u64) -> Vec<Look> {
        let begun = Instant::now();
        let look = |second| {
            let (bytes, sessions) = bytes(second);
            let at = begun + Duration::from_secs(second);
            Look { at, bytes, sessions: Some(sessions) }
        };
        (0..=seconds).map(look).collect()
    }

    fn close(one: Option<f64>, other: f64) -> bool {
        one.is_some_and(|one| (one - other).abs() < 1e-3)
    }

    #[test]
    fn growth_is_that_of_the_middle_one_of_the_long_lives_behind_their_beginnings() {
        // The first grows by a byte a second after its beginning, the last shrinks, one is short.
        let steady = |second: u64| (if second < 10 { second * 900 } else { 9000 + second }, 5);
        let lives = [life(steady, 60), life(|s| (500 * s, 5), 20), life(|s| (9000 - s, 5), 60)];
        let lives = (1..).zip(lives.into_iter().chain([life(|s| (9000 + 2 * s, 5), 60)])).collect();
        let told = Memory { lives: Mutex::new(lives) }.told().expect("looks");
        assert_eq!((told.lives, told.long_lives), (4, 3));
        assert!(close(told.growth, 60.0), "{told:?}");
        assert_eq!((told.most, told.most_sessions), (10_000, Some(5)));
    }

    #[test]
    fn each_session_has_its_share() {
        let lives =
            [(1, life(|s| (1000 + 7 * s, s), 40)), (2, life(|s| (1000 + 14 * s, 2 * s), 15))];
        let told = Memory { lives: Mutex::new(lives.into()) }.told().expect("looks");
        assert!(close(told.per_session, 7.0) && close(told.base, 1000.0), "{told:?}");
    }

    #[test]
    fn growth_is_told_beside_that_of_the_sessions() {
        let lives = [(1, life(|s| (1000 + 7 * s, s), 60)), (2, life(|s| (1000 + 7 * s, s), 5))];
        let told = Memory { lives: Mutex::new(lives.into()) }.told().expect("looks");
        assert!(close(told.growth, 420.0) && close(told.growth_beside, 0.0), "{told:?}");
    }

    #[test]
    fn what_was_not_looked_at_is_not_told() {
        assert_eq!(Memory::default().told(), None);
        let lives = [(1, life(|_| (1, 3), 0))].into();
        let told = Memory { lives: Mutex::new(lives) }.told().expect("a look");
        assert_eq!((told.growth, told.per_session, told.most), (None, None, 1));
    }
}
