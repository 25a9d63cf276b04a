//! Ways to break the engine on purpose, for tests alone: a test that cannot tell a broken engine
//! from a sound one proves nothing. Each mutation takes one rule away, and with it whatever else in
//! the engine would make up for that.
//!
//! Without the feature `mutations` nothing is ever broken, and nothing of this is compiled in.
#![cfg_attr(
    not(feature = "mutations"),
    allow(unreachable_pub, reason = "tests name them, with the feature")
)]

#[cfg(not(feature = "mutations"))]
pub(crate) mod races;
#[cfg(feature = "mutations")]
pub mod races;

#[cfg(feature = "mutations")]
use std::cell::Cell;

/// One rule of the engine that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`breaks` says of each what it breaks")]
pub enum Mutation {
    // Appending.
    TailIsFileLength,
    SkipLandingCheck,
    ScanFromTail,
    NoReread,
    DisplacedRetried,
    // Taking over.
    NoSecondLook,
    EveryClaimWins,
    UnsyncedClaim,
    NoSettling,
    UnverifiedSettling,
    UnnamedSettling,
    PendingForgotten,
    MissingIsSettled,
    UnverifiedClaim,
    SlotRevivesClaim,
    #[cfg(feature = "mutations")]
    TruncateTornTail,
    ReuseSequenceAfterLoss,
    ReadErrorIsDamage,
    // The chain.
    MisplacedFrames,
    OlderGenerations,
    TrustLength,
    QuotesCount,
    IncompleteIsDead,
    BatchWithoutWitness,
    // What is durable.
    AcknowledgeBeforeSync,
    DuplicateBeforeSync,
    RetryFailedSync,
    RefusedNotUnknown,
    UnsoundRelease,
    SlotBeyondDurable,
    // Keys and conditions.
    KeyForgotten,
    KeysNotInherited,
    ConditionIgnored,
    // Names and files.
    FloatingSeal,
    UnsyncedSuccessor,
    UnsyncedRename,
    UnsyncedName,
    CreateInPlace,
    BlindUnlink,
    DetachedUnnoticed,
}

/// Every mutation in its order: its name, and which rule it breaks.
#[cfg(feature = "mutations")]
const TABLE: [(Mutation, &str, &str); 40] = [
    (
        Mutation::TailIsFileLength,
        "tail-is-file-length",
        "I7: the tail is the file's length, not the end of what was examined (and H20's second \
         look, which would find what was skipped, is left out)",
    ),
    (
        Mutation::SkipLandingCheck,
        "skip-landing-check",
        "I7: an append is acknowledged wherever it landed (and its frame is not looked at again \
         behind a sync)",
    ),
    (
        Mutation::ScanFromTail,
        "scan-from-tail",
        "H2: an owner that was displaced scans on from its tail, not from the end of the last \
         chain frame",
    ),
    (
        Mutation::NoReread,
        "no-reread",
        "H20: dead bytes before the tail are not read once more before what landed behind them \
         is acknowledged",
    ),
    (
        Mutation::DisplacedRetried,
        "displaced-retried",
        "H21: a batch that a shared descriptor says was displaced is appended again although it \
         stands in the chain (and its own frame there poisons nobody)",
    ),
    (
        Mutation::NoSecondLook,
        "no-second-look",
        "H1: whoever claimed does not look for a higher generation behind its claim, nor behind \
         its settling",
    ),
    (
        Mutation::EveryClaimWins,
        "every-claim-wins",
        "I6: a claim goes on although another one took the same generation first, and may have \
         opened it",
    ),
    (
        Mutation::UnsyncedClaim,
        "unsynced-claim",
        "H11: a claim is not synced before its opening (effective behind a sound release; \
         elsewhere settling syncs it)",
    ),
    (
        Mutation::NoSettling,
        "no-settling",
        "H9: what an unclean owner left is not written and synced again",
    ),
    (
        Mutation::UnverifiedSettling,
        "unverified-settling",
        "H9: an opener does not look whether what it settled is what it had surveyed",
    ),
    (
        Mutation::UnnamedSettling,
        "unnamed-settling",
        "I13: an opener settles behind a claim that is not durable, or does not name the chain that \
         it settles",
    ),
    (
        Mutation::PendingForgotten,
        "pending-forgotten",
        "I13: records that a claimer had read, who may be about to settle them, count as never \
         written once they are gone",
    ),
    (
        Mutation::MissingIsSettled,
        "missing-is-settled",
        "I13: where bytes were missing when they were read, zeros are written again",
    ),
    (
        Mutation::UnverifiedClaim,
        "unverified-claim",
        "I8: an opener does not look whether its claim still took the generation once it is durable",
    ),
    (
        Mutation::SlotRevivesClaim,
        "slot-revives-claim",
        "I6: a claim that was void to a later owner counts once a slot knows the generation that it \
         replaces",
    ),
    (
        Mutation::TruncateTornTail,
        "truncate-torn-tail",
        "I1: an opener that saw a torn tail cuts the file there before it claims",
    ),
    (
        Mutation::ReuseSequenceAfterLoss,
        "reuse-sequence-after-loss",
        "H10: the next sequence is not kept above the highest ever known to be durable",
    ),
    (
        Mutation::ReadErrorIsDamage,
        "read-error-is-damage",
        "H10, A7: what a scan cannot read counts as not there",
    ),
    (
        Mutation::MisplacedFrames,
        "misplaced-frames",
        "I2: a frame counts although it does not stand at the offset that it names",
    ),
    (
        Mutation::OlderGenerations,
        "older-generations",
        "I3: a frame of an older generation counts (and need not be in its place: one that came \
         too late never is)",
    ),
    (
        Mutation::TrustLength,
        "trust-length",
        "H19: what does not verify is skipped by the length that it announces",
    ),
    (
        Mutation::QuotesCount,
        "quotes-count",
        "H18: frames and claims within the payload of a frame that does not verify count, \
         wherever they stand",
    ),
    (
        Mutation::IncompleteIsDead,
        "incomplete-is-dead",
        "H18, I5: what was not whole at the end of the file is not looked at again as the file \
         grows (and an opener does not compare what it settled with what it surveyed)",
    ),
    (
        Mutation::BatchWithoutWitness,
        "batch-without-witness",
        "H14: a batch that is not whole shows what is there of it",
    ),
    (
        Mutation::AcknowledgeBeforeSync,
        "acknowledge-before-sync",
        "I9: durable appends are answered without a sync; one follows when it is due",
    ),
    (
        Mutation::DuplicateBeforeSync,
        "duplicate-before-sync",
        "H22: a duplicate is called durable before its first record is",
    ),
    (
        Mutation::RetryFailedSync,
        "retry-failed-sync",
        "I10: a sync that failed is tried again, and believed",
    ),
    (
        Mutation::RefusedNotUnknown,
        "refused-not-unknown",
        "H22: where the outcome is not known, the append is refused as not stored",
    ),
    (
        Mutation::UnsoundRelease,
        "unsound-release",
        "H13: a release says that what stands before it was synced, and is written before that is",
    ),
    (
        Mutation::SlotBeyondDurable,
        "slot-beyond-durable",
        "H12: slots name records and checkpoints that are not durable yet",
    ),
    (
        Mutation::KeyForgotten,
        "key-forgotten",
        "H22: a key that damage may hide is said not to be there",
    ),
    (
        Mutation::KeysNotInherited,
        "keys-not-inherited",
        "H22: an opener does not know the keys since the last checkpoint, so that a retry after \
         `Unknown` is stored twice",
    ),
    (
        Mutation::ConditionIgnored,
        "condition-ignored",
        "C5, C7: a conditional append does not look at its condition",
    ),
    (
        Mutation::FloatingSeal,
        "floating-seal",
        "H3: a seal counts wherever it lies, for its author and for everyone else, whatever came \
         between the copy and it (and who takes over in between leaves the copy where it is)",
    ),
    (
        Mutation::UnsyncedSuccessor,
        "unsynced-successor",
        "H15: a compacted file is not synced before it takes its place",
    ),
    (
        Mutation::UnsyncedRename,
        "unsynced-rename",
        "H15: the folder is not synced between the rename of a compacted file and the first \
         append to it",
    ),
    (
        Mutation::UnsyncedName,
        "unsynced-name",
        "H16: the folder is not synced before the first durable append",
    ),
    (
        Mutation::CreateInPlace,
        "create-in-place",
        "H16: a new file has its name before it has its content",
    ),
    (
        Mutation::BlindUnlink,
        "blind-unlink",
        "H4: a deletion does not compare the path with the sealed file before it unlinks",
    ),
    (
        Mutation::DetachedUnnoticed,
        "detached-unnoticed",
        "H5: an owner does not see that its file left its name",
    ),
];

#[cfg(feature = "mutations")]
impl Mutation {
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

    /// The word for it in tables and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Which rule it breaks, and the hole that the rule closes.
    #[must_use]
    pub const fn breaks(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// The mutation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

#[cfg(feature = "mutations")]
thread_local! {
    static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Runs this with the engine broken in one way, or sound, on this thread; afterwards it is as it
/// was before, also behind a panic. Coroutines of one thread share it: it goes around whatever runs
/// them, not into one of them.
#[cfg(feature = "mutations")]
pub fn with<T>(mutation: Option<Mutation>, run: impl FnOnce() -> T) -> T {
    struct Before(Option<Mutation>);
    impl Drop for Before {
        fn drop(&mut self) {
            BROKEN.set(self.0);
        }
    }
    let _before = Before(BROKEN.replace(mutation));
    run()
}

/// Whether the engine is broken in this way on this thread.
#[cfg(feature = "mutations")]
pub(crate) fn broken(mutation: Mutation) -> bool {
    BROKEN.get() == Some(mutation)
}

/// The engine is sound.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn broken(_: Mutation) -> bool {
    false
}
