//! What is odd about the lines of a source: named exactly, counted, and kept all the same.

use std::fmt;

/// How many lines a sentence names.
const NAMED_MAX: usize = 8;

/// Something odd about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Oddity {
    /// Text that is no JSON.
    BrokenJson,
    /// The end of a source that was cut within a line.
    Torn,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// NUL bytes, as a power cut leaves them.
    Nul,
    /// Nothing, or white space.
    Blank,
    /// JSON that is no object.
    NotAnObject,
    /// A whole record that shares its line with something else.
    Embedded,
    /// A byte order mark.
    ByteOrderMark,
    /// A carriage return before the line feed.
    CarriageReturn,
    /// No header where one belongs.
    HeaderMissing,
    /// One more header.
    HeaderAgain,
    /// A header without a version, as the first version wrote it.
    HeaderWithoutVersion,
    /// A header of a version that is not known.
    HeaderVersion,
    /// An id that an earlier line has.
    IdAgain,
    /// A parent that no earlier line has.
    ParentMissing,
    /// An object that pi would not take for an entry.
    NotAnEntry,
    /// An entry that comes from itself.
    Circle,
    /// A type that cannot be the kind of a record.
    KindUnfit,
    /// An id that cannot be the key of a record.
    KeyUnfit,
    /// The id of a parent that cannot be the key of a record.
    ParentUnfit,
}

impl Oddity {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BrokenJson => "broken-json",
            Self::Torn => "torn",
            Self::NotUtf8 => "not-utf8",
            Self::Nul => "nul",
            Self::Blank => "blank",
            Self::NotAnObject => "not-an-object",
            Self::Embedded => "embedded",
            Self::ByteOrderMark => "byte-order-mark",
            Self::CarriageReturn => "carriage-return",
            Self::HeaderMissing => "header-missing",
            Self::HeaderAgain => "header-again",
            Self::HeaderWithoutVersion => "header-without-version",
            Self::HeaderVersion => "header-version",
            Self::IdAgain => "id-again",
            Self::ParentMissing => "parent-missing",
            Self::NotAnEntry => "not-an-entry",
            Self::Circle => "circle",
            Self::KindUnfit => "kind-unfit",
            Self::KeyUnfit => "key-unfit",
            Self::ParentUnfit => "parent-unfit",
        }
    }

    /// Whether a line that has it is no JSON object.
    #[must_use]
    pub const fn is_opaque(self) -> bool {
        matches!(
            self,
            Self::BrokenJson | Self::Torn | Self::NotUtf8 | Self::Nul | Self::NotAnObject
        )
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::BrokenJson => "not JSON",
            Self::Torn => "cut short",
            Self::NotUtf8 => "not UTF-8",
            Self::Nul => "NUL bytes",
            Self::Blank => "blank",
            Self::NotAnObject => "not a JSON object",
            Self::Embedded => "a whole record is inside",
            Self::ByteOrderMark => "begins with a byte order mark",
            Self::CarriageReturn => "ends in a carriage return",
            Self::HeaderMissing => "no header comes first",
            Self::HeaderAgain => "one more header",
            Self::HeaderWithoutVersion => "a header without a version, as version 1 has it",
            Self::HeaderVersion => "a header of a version that is not known",
            Self::IdAgain => "its id is that of an earlier line",
            Self::ParentMissing => "no earlier line is its parent",
            Self::NotAnEntry => "no entry of a session",
            Self::Circle => "it comes from itself",
            Self::KindUnfit => "its type cannot be a kind, and is in the payload only",
            Self::KeyUnfit => "its id cannot be a key, and is in the payload only",
            Self::ParentUnfit => "its parent id cannot be a key, and is in the payload only",
        }
    }
}

/// Something odd, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What.
    pub what: Oddity,
    /// The first lines that have it, counted from 1.
    pub lines: Vec<u64>,
    /// How many lines have it.
    pub count: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.lines.iter().map(u64::to_string).collect();
        let noun = if self.count == 1 { "line" } else { "lines" };
        write!(f, "{noun} {}", lines.join(", "))?;
        match self.count - self.lines.len() as u64 {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        write!(f, ": {}", self.what.sentence())
    }
}

/// Oddities, collected by what they are.
#[derive(Debug, Default)]
pub(crate) struct Damages(Vec<Damage>);

impl Damages {
    /// This line has this.
    pub(crate) fn add(&mut self, what: Oddity, line: u64) {
        let at = self.0.iter().position(|damage| damage.what == what).unwrap_or_else(|| {
            self.0.push(Damage { what, lines: Vec::new(), count: 0 });
            self.0.len() - 1
        });
        let damage = &mut self.0[at];
        damage.count += 1;
        if damage.lines.len() < NAMED_MAX {
            damage.lines.push(line);
        }
    }

    /// All of them.
    pub(crate) fn into_all(self) -> Vec<Damage> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_counts() {
        let mut damages = Damages::default();
        damages.add(Oddity::Blank, 3);
        (1..=10).for_each(|line| damages.add(Oddity::BrokenJson, line));
        let sentences: Vec<_> = damages.into_all().iter().map(ToString::to_string).collect();
        let expected = ["line 3: blank", "lines 1, 2, 3, 4, 5, 6, 7, 8 and 2 more: not JSON"];
        assert_eq!(sentences, expected);
    }
}
