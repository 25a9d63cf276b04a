//! Ways to break how the engine's threads meet, for `tests/schedules` alone. No simulated machine could
//! notice them: nothing of actors runs there, so they are a list of their own.

#[cfg(feature = "mutations")]
use std::cell::Cell;

/// One rule of the engine's threads that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`breaks` says of each what it breaks")]
pub enum Race {
    ClearedBlindly,
    FreedInSilence,
    FreedUnlocked,
    LooksThenRegisters,
    PublishesLate,
    RingsUnheard,
    PoolAsleep,
    OpensUnplaced,
    OwnerLingers,
    LooksOnce,
    CopiesTwice,
    NeverAsked,
    StruckOffLate,
    SleepsUnlooked,
    SleepersFirst,
    LooksThenSees,
    GathersUnwatched,
    WholeUnserved,
    LeavesTheRest,
}

/// Every race in its order: its name, and which rule it breaks.
#[cfg(feature = "mutations")]
const TABLE: [(Race, &str, &str); 19] = [
    (
        Race::ClearedBlindly,
        "cleared-blindly",
        "a turn ends and says that nobody is at the inbox, without looking into it again",
    ),
    (
        Race::FreedInSilence,
        "freed-in-silence",
        "places in a full inbox are freed, and nobody who waits for one is told",
    ),
    (
        Race::FreedUnlocked,
        "freed-unlocked",
        "threads are told of freed places without the lock under which they look and go to wait",
    ),
    (
        Race::LooksThenRegisters,
        "looks-then-registers",
        "a task looks for a place first and registers for being told afterwards",
    ),
    (
        Race::PublishesLate,
        "publishes-late",
        "what an append changed is published after its answer was sent",
    ),
    (
        Race::RingsUnheard,
        "rings-unheard",
        "a follower's bell forgets a ring that nobody waited for yet",
    ),
    (Race::PoolAsleep, "pool-asleep", "a job is queued, and no thread that sleeps is woken"),
    (
        Race::OpensUnplaced,
        "opens-unplaced",
        "two openings of one session do not wait for each other",
    ),
    (
        Race::OwnerLingers,
        "owner-lingers",
        "whoever opens a session whose last handle is being dropped does not end that owner first",
    ),
    (
        Race::LooksOnce,
        "looks-once",
        "the timer does not come again where it met a turn that may have looked before",
    ),
    (
        Race::CopiesTwice,
        "copies-twice",
        "a compaction begins although another one of the same file is under way",
    ),
    (
        Race::NeverAsked,
        "never-asked",
        "a session that opened its file again is never asked to give its handles back again",
    ),
    (
        Race::StruckOffLate,
        "struck-off-late",
        "a session that gave its handles back is struck off behind a turn that opened the file again",
    ),
    (
        Race::SleepsUnlooked,
        "sleeps-unlooked",
        "a thread that lingered, and was not woken for that, sleeps without looking for a job again",
    ),
    (
        Race::SleepersFirst,
        "sleepers-first",
        "whoever answers a thread looks whether it sleeps before the answer is there, and wakes it only then",
    ),
    (
        Race::LooksThenSees,
        "looks-then-sees",
        "a thread looks for its answer first and reads the number that it sleeps on afterwards",
    ),
    (
        Race::GathersUnwatched,
        "gathers-unwatched",
        "the first of those who are waited for sleeps until somebody else begins the turn",
    ),
    (
        Race::WholeUnserved,
        "whole-unserved",
        "the last of those who are waited for says that somebody serves them, and does not",
    ),
    (
        Race::LeavesTheRest,
        "leaves-the-rest",
        "a blocking caller that has served enough goes home, and hands what is left to nobody",
    ),
];

#[cfg(feature = "mutations")]
impl Race {
    /// All of them.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [TABLE[0].0; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].0;
            at += 1;
        }
        all
    };

    /// The word for it in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Which rule it breaks.
    #[must_use]
    pub const fn breaks(self) -> &'static str {
        TABLE[self as usize].2
    }
}

#[cfg(feature = "mutations")]
thread_local! {
    static BROKEN: Cell<Option<Race>> = const { Cell::new(None) };
}

/// Runs this with the engine's threads broken in one way, all of them: they share this one thread of
/// the system.
#[cfg(feature = "mutations")]
pub fn with<T>(race: Race, run: impl FnOnce() -> T) -> T {
    struct Before(Option<Race>);
    impl Drop for Before {
        fn drop(&mut self) {
            BROKEN.set(self.0);
        }
    }
    let _before = Before(BROKEN.replace(Some(race)));
    run()
}

/// Whether the engine's threads are broken in this way.
#[cfg(feature = "mutations")]
pub(crate) fn broken(race: Race) -> bool {
    BROKEN.get() == Some(race)
}

/// The engine is sound.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn broken(_: Race) -> bool {
    false
}
