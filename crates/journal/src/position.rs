//! Where something stands: newtypes, so that a sequence is never taken for an offset.

use std::fmt;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a plain number.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position! {
    /// Number of a record in its journal: dense, from 1. Zero stands for "before the first record".
    Sequence
}

position! {
    /// Bytes from the start of the journal file.
    Offset
}

position! {
    /// Who may write: every claim takes a higher one, the highest owns the journal. From 1.
    Generation
}

impl Sequence {
    /// Stands before every record.
    pub const ZERO: Self = Self(0);

    /// The sequence of the record after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
