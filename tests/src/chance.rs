//! Chance that can be repeated, and words for people.

use std::io::Write;

/// A small generator of random numbers (splitmix64). Its seed is printed; the same seed gives the
/// same numbers, though not the same moments of the scheduler.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Takes the seed from `SESSION_JOURNAL_SEED`, or a fresh one, and prints how to replay it.
    #[must_use]
    pub fn of_test(file: &str, test: &str) -> Self {
        let given = std::env::var("SESSION_JOURNAL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let nanos = now.map_or(1, |since| since.subsec_nanos());
            u64::from(nanos) << 20 ^ u64::from(std::process::id())
        });
        say(&format!(
            "seed {seed}; to replay: SESSION_JOURNAL_SEED={seed} cargo test -p session-journal-tests \
             --test {file} {test}"
        ));
        Self(seed)
    }

    /// From a seed that is known already.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// A length up to `limit`: small ones often, zero at times.
    pub fn length(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        let length = match self.below(8) {
            0 => 0,
            1 => self.below(limit + 1),
            2 => limit.saturating_sub(self.below(16)),
            _ => self.below(limit / 16 + 1),
        };
        usize::try_from(length.min(limit)).unwrap_or_default()
    }

    /// Sleeps for less than so many microseconds.
    pub fn nap(&mut self, micros: u64) {
        std::thread::sleep(std::time::Duration::from_micros(self.below(micros)));
    }
}

/// Whether the long versions were asked for: `SESSION_JOURNAL_LONG=1`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var("SESSION_JOURNAL_LONG").is_ok_and(|long| long == "1")
}

/// How many rounds to run: ten times as many where `SESSION_JOURNAL_LONG=1` is set.
#[must_use]
pub fn rounds(usual: u64) -> u64 {
    let long = is_long();
    let rounds = if long { usual * 10 } else { usual };
    say(&format!("{rounds} rounds{}", if long { " (long)" } else { "" }));
    rounds
}

/// Prints a line with the running test's name before it, also where the test passes.
pub fn say(text: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("test");
    // The macros are caught by the harness, and shown where a test fails only.
    let _ = std::io::stderr().write_all(format!("{name}: {text}\n").as_bytes());
}

/// Says why a test cannot run here.
pub fn skip(why: &str) {
    say(&format!("SKIPPED: {why}"));
}
