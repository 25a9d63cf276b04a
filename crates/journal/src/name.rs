//! The name of a session, and the file name that stands for it.
//!
//! Session keys hold whatever their users put into them: colons, slashes, emoji, `..`, `NUL`. Each
//! part of a name becomes one file name that every system takes, and comes back from it:
//!
//! - `a` to `z`, `0` to `9`, `.`, `_` and `-` stand for themselves;
//! - every other byte of its UTF-8, upper case included, is written `%` and two lower-case digits:
//!   no two names differ in case alone;
//! - so is a `.` at the start (hidden, or `..`), at the end (Windows drops it), and in a closing
//!   `.journal` (an agent's folder never stands where a session's file belongs);
//! - so is the first byte of a name that Windows keeps for a device: `con`, `nul.txt`;
//! - what is longer than 180 bytes then is cut, and ends in `~` and a hash of the whole part. `~`
//!   occurs nowhere else. Such a file name does not tell the session's name: the file's header
//!   does. The hash has no secret, so whoever opens such a file compares the name in its header.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use siphasher::sip128::SipHasher24;

/// The extension of a journal's file.
pub const EXTENSION: &str = "journal";

/// The longest encoded part: leaves room for the extension and for names of temporary files.
const PART_MAX: usize = 180;

/// What is kept of a longer one: its hash takes 32 digits, `~` one.
const PREFIX_MAX: usize = PART_MAX - 33;

/// The name of a session: its id, and its agent if it has one.
///
/// As text it is `agent/id`, or only `id`. The agent ends at the first `/`, so an id may hold more
/// of them; where there is no agent but the id holds a `/`, another one in front says so: `/a/b`.
/// It may hold control characters: escape them before they reach a terminal.
///
/// ```
/// # use session_journal::SessionName;
/// let name: SessionName = "main/Chat:42".parse()?;
/// assert_eq!((name.agent(), name.id()), (Some("main"), "Chat:42"));
/// let path = name.relative_path();
/// assert_eq!(path.to_str(), Some("main/%43hat%3a42.journal"));
/// assert_eq!(SessionName::from_relative_path(&path), Some(name));
/// # Ok::<(), session_journal::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName {
    agent: Option<String>,
    id: String,
}

/// Why something cannot be the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The id is empty.
    #[error("a session's id cannot be empty")]
    EmptyId,
    /// The agent is given, but empty.
    #[error("an agent's name cannot be empty; leave it out instead")]
    EmptyAgent,
    /// The agent holds a `/`: the text `agent/id` could not be told apart.
    #[error("an agent's name cannot hold a '/'")]
    SlashInAgent,
    /// Agent and id together are too long.
    #[error("a session's name of {bytes} bytes is longer than {}", SessionName::BYTES_MAX)]
    TooLong {
        /// How long they are.
        bytes: usize,
    },
}

impl SessionName {
    /// How many bytes of UTF-8 agent and id may have together. The header of a file holds them.
    pub const BYTES_MAX: usize = 3000;

    /// Makes the name of a session.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] says what is wrong with it.
    pub fn new(agent: Option<&str>, id: &str) -> Result<Self, InvalidName> {
        if id.is_empty() {
            return Err(InvalidName::EmptyId);
        }
        if agent.is_some_and(str::is_empty) {
            return Err(InvalidName::EmptyAgent);
        }
        if agent.is_some_and(|agent| agent.contains('/')) {
            return Err(InvalidName::SlashInAgent);
        }
        let bytes = agent.map_or(0, str::len) + id.len();
        if bytes > Self::BYTES_MAX {
            return Err(InvalidName::TooLong { bytes });
        }
        Ok(Self { agent: agent.map(str::to_owned), id: id.to_owned() })
    }

    /// Its agent, if it has one.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its file is in a store: `<agent>/<id>.journal` or `<id>.journal`, both encoded.
    #[must_use]
    pub fn relative_path(&self) -> PathBuf {
        let mut path =
            self.agent.as_deref().map(file_name).map_or_else(PathBuf::new, PathBuf::from);
        path.push(format!("{}.{EXTENSION}", file_name(&self.id)));
        path
    }

    /// The name that has this relative path; `None` where no name has it, and where the name had to
    /// be cut: then the file's header tells it.
    #[must_use]
    pub fn from_relative_path(path: &Path) -> Option<Self> {
        let mut parts = path.components().map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        });
        let first = parts.next()??;
        let (agent, file) = match parts.next() {
            Some(second) => (Some(decode(first)?), second?),
            None => (None, first),
        };
        let id = decode(file.strip_suffix(EXTENSION)?.strip_suffix('.')?)?;
        let name = Self::new(agent.as_deref(), &id).ok()?;
        // One name, one path: refuses what could be decoded but was never encoded so.
        (name.relative_path() == path).then_some(name)
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.agent {
            Some(agent) => write!(f, "{agent}/{}", self.id),
            None if self.id.contains('/') => write!(f, "/{}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

impl FromStr for SessionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None => Self::new(None, text),
            Some(("", id)) => Self::new(None, id),
            Some((agent, id)) => Self::new(Some(agent), id),
        }
    }
}

/// The file name of one part of a name, without an extension.
fn file_name(part: &str) -> String {
    let mut name = encode(part);
    if name.len() > PART_MAX {
        name.truncate(PREFIX_MAX);
        // Not through the middle of an escape.
        if let Some(escape) = name.rfind('%').filter(|escape| escape + 3 > name.len()) {
            name.truncate(escape);
        }
        name.push('~');
        for byte in hash(part) {
            push_hex(&mut name, byte);
        }
    }
    name
}

fn encode(part: &str) -> String {
    let end = part.len().saturating_sub(1);
    let suffix = part.strip_suffix(EXTENSION).and_then(|rest| rest.strip_suffix('.'));
    let device = is_device(part);
    let mut name = String::with_capacity(part.len());
    for (at, byte) in part.bytes().enumerate() {
        let stands = match byte {
            b'.' => at != 0 && at != end && suffix.is_none_or(|rest| rest.len() != at),
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => at != 0 || !device,
            _ => false,
        };
        if stands {
            name.push(char::from(byte));
        } else {
            name.push('%');
            push_hex(&mut name, byte);
        }
    }
    name
}

/// Undoes every escape, also those that [`encode`] would not have made.
fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            digit(rest.next()?)? << 4 | digit(rest.next()?)?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn push_hex(text: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
    }
}

/// Whether Windows keeps a file name for a device, whatever its extension. Upper case is not asked
/// for: it is escaped, and so no such name.
fn is_device(part: &str) -> bool {
    let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
    match stem.as_bytes() {
        b"con" | b"prn" | b"aux" | b"nul" => true,
        [b'c', b'o', b'm', digit] | [b'l', b'p', b't', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}

/// The hash of a part that is cut. Its keys are part of the format: they never change.
fn hash(part: &str) -> [u8; 16] {
    SipHasher24::new_with_key(b"session-journal/").hash(part.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests;
