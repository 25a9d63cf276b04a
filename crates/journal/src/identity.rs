//! Who is who: the identity of a journal, and of the handle that owns one.

use std::fmt;
use std::str::FromStr;

/// Random 128-bit identity of a journal, written once when it is created and kept for its life,
/// through renames, copies and compaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalId(pub(crate) [u8; 16]);

/// Random 128-bit identity of one opening for writing. Pids and hosts are for people; this is what
/// the engine compares, so a recycled pid is never mistaken for its predecessor.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub(crate) [u8; 16]);

macro_rules! hex_id {
    ($name:ident) => {
        impl $name {
            /// Takes 16 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

hex_id!(JournalId);
hex_id!(Incarnation);

impl FromStr for JournalId {
    type Err = InvalidJournalId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidJournalId);
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte =
                u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| InvalidJournalId)?;
        }
        Ok(Self(bytes))
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a journal id is 32 hexadecimal digits")]
pub struct InvalidJournalId;

impl Incarnation {
    /// The 32 bits of it that every frame carries.
    pub(crate) fn short(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }
}

/// Who opened a journal for writing. Everything but the incarnation is for display and for the
/// courtesy question "is it provably gone?"; correctness never rests on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Random identity of this opening.
    pub incarnation: Incarnation,
    /// Host name.
    pub host: String,
    /// Boot id of the host's kernel; zeros where the platform has none.
    pub boot_id: [u8; 16],
    /// Process id, in its own pid namespace.
    pub pid: u32,
    /// Inode of the pid namespace; zero where the platform has none. Containers share host and boot
    /// id but not pids, so two owners are compared by pid only where this is equal.
    pub pid_namespace: u64,
    /// When the process started, in the kernel's clock ticks since boot: tells a recycled pid.
    pub start_ticks: u64,
    /// When the process started, in milliseconds since the epoch, for people.
    pub started_ms: i64,
    /// Name of the program.
    pub program: String,
    /// What the program chose to say about itself.
    pub label: String,
}

impl Owner {
    /// The boot id in the form that the kernel prints.
    #[must_use]
    pub fn boot_id_text(&self) -> String {
        let hex = Incarnation(self.boot_id).to_string();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pid {} on {}", self.program, self.pid, self.host)?;
        if !self.label.is_empty() {
            write!(f, " ({})", self.label)?;
        }
        Ok(())
    }
}

/// What is known about an owner's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Its process runs here.
    Alive,
    /// Provably gone: same host, boot and pid namespace, and no such process, or another one.
    Gone,
    /// It cannot be told from here. Counts as held.
    Unknown,
}
