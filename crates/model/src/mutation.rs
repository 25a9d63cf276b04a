//! The rules of the protocol, each to be broken on purpose. A model that cannot fail proves nothing.

/// One rule, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutation {
    /// The tail is the file's length instead of the end of what was examined.
    LengthAsTail,
    /// Where a write landed is not asked.
    SkipLandingCheck,
    /// Having won a claim, nobody looks for a higher generation (H1).
    NoLookForHigher,
    /// After a displacement the scan goes on from the tail, not from the last chain frame (H2).
    ScanFromTail,
    /// A seal floats as a claim does (H3).
    FloatingSeal,
    /// A frame counts wherever it stands.
    AcceptMisplaced,
    /// An older generation goes on, and readers take its frames.
    AcceptOlderGeneration,
    /// A record is acknowledged as durable before its sync.
    AcknowledgeBeforeSync,
    /// The claim is not synced before its opening (H11).
    SkipClaimSync,
    /// What was inherited is not written again (H9).
    SkipSettling,
    /// What was settled is not compared with what was surveyed (H9).
    UnverifiedSettling,
    /// An opener cuts off what does not verify at the end.
    TruncateTornTail,
    /// What does not verify is stepped over by the length that it announces (H19).
    TrustAnnouncedLength,
    /// Any release is believed to say that everything is durable (H13).
    BelieveUnsoundRelease,
    /// A slot names a checkpoint, and a durable-through, that no sync has reached (H12).
    TrustCheckpointBeyondDurable,
    /// The sound frames of a torn batch count (H14).
    CountPartOfBatch,
    /// A deleter does not compare the path with what it sealed (H4).
    UnlinkWithoutComparing,
    /// A reader commits its place past dead bytes (H18).
    CommitPastDeadBytes,
    /// A claim quoted in a torn payload counts (decision 9).
    BelieveQuotedClaims,
    /// An owner goes on behind its own release.
    GoOnBehindRelease,
    /// A claim that was void counts once a slot knows the generation that it replaces, whatever
    /// frames stand behind it.
    SlotRevivesClaim,
    /// Behind a sound release an opener does not look whether its claim, once durable, still won.
    UnverifiedClaim,
    /// An opener settles behind a claim that is not durable yet, or does not name the chain that it
    /// found (I13).
    UnnamedSettling,
    /// What a claimer had read who may be about to settle it counts as never written (I13).
    PendingForgotten,
    /// Settling writes holes again, where another one may have brought back what is missing there.
    SettleHoles,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::LengthAsTail,
        Self::SkipLandingCheck,
        Self::NoLookForHigher,
        Self::ScanFromTail,
        Self::FloatingSeal,
        Self::AcceptMisplaced,
        Self::AcceptOlderGeneration,
        Self::AcknowledgeBeforeSync,
        Self::SkipClaimSync,
        Self::SkipSettling,
        Self::UnverifiedSettling,
        Self::TruncateTornTail,
        Self::TrustAnnouncedLength,
        Self::BelieveUnsoundRelease,
        Self::TrustCheckpointBeyondDurable,
        Self::CountPartOfBatch,
        Self::UnlinkWithoutComparing,
        Self::CommitPastDeadBytes,
        Self::BelieveQuotedClaims,
        Self::GoOnBehindRelease,
        Self::SlotRevivesClaim,
        Self::UnverifiedClaim,
        Self::UnnamedSettling,
        Self::PendingForgotten,
        Self::SettleHoles,
    ];
}
