//! Named points between the steps of a turn and of what follows from it. In a build for tests of
//! crashes the process is killed, as by `kill -9`, at the point that the environment names. In any
//! other build a point is nothing.

/// The variable that names the point, such as `turn.stored:1`.
pub const VARIABLE: &str = "SESSION_JOURNAL_FAILPOINT";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A point between two steps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// Its name in the environment.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A message came; nothing is stored.
    Received = "turn.received",
    /// It is stored, durable.
    Stored = "turn.stored",
    /// The context was read.
    ContextRead = "turn.context-read",
    /// The model began to answer.
    Answering = "turn.answering",
    /// A part of it is stored, and nobody heard it yet.
    DraftStored = "turn.draft-stored",
    /// The answer is whole, and only in memory.
    Answered = "turn.answered",
    /// The answer is stored, with what is to be delivered of it.
    AnswerStored = "turn.answer-stored",
    /// Something to deliver is stored.
    IntentStored = "delivery.intent-stored",
    /// It is about to be delivered.
    Delivering = "delivery.delivering",
    /// It was delivered, and no record says so.
    Delivered = "delivery.delivered",
    /// The record says so.
    DeliveryDone = "delivery.done",
    /// A child is to be begun, and the parent knows.
    SpawnStored = "spawn.stored",
    /// The child is there.
    ChildCreated = "spawn.child-created",
}

/// Passes a point.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn pass(_: Point) {}

/// Passes a point, or dies there. The variable holds the name of a point and, behind a colon, the
/// how manieth passing is meant.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(point: Point) {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var(VARIABLE) else { return };
    let Some((name, number)) = wanted.split_once(':') else { return };
    if name == point.name() && (PASSED.fetch_add(1, Ordering::SeqCst) + 1).to_string() == number {
        // No destructor runs, no buffer is written: what the kernel has is what there is.
        let _ = kill_process(getpid(), Signal::KILL);
        std::process::abort();
    }
}
