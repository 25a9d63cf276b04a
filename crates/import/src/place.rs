//! Paths as text. A path is bytes: where they are no UTF-8 the text spells them out, and the bytes are
//! kept beside it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What percent signs stand for: everything but letters, digits and these.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~');

/// A path, or a part of one, for people: bytes that are no UTF-8 become `%` and two digits.
#[must_use]
pub fn readable(path: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in path.as_ref().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// The bytes of a path as text that gives them back.
pub(crate) fn escaped(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), ESCAPED).to_string()
}

/// The same, where the path is no text itself.
pub(crate) fn escaped_bytes(path: &Path) -> Option<String> {
    path.to_str().is_none().then(|| escaped(path))
}

/// The path that was escaped; where it did not have to be, its text.
pub(crate) fn path_of(text: &str, bytes: Option<&str>) -> PathBuf {
    let decoded = |bytes| OsString::from_vec(percent_decode_str(bytes).collect()).into();
    bytes.map_or_else(|| PathBuf::from(text), decoded)
}

/// A path with this behind it.
pub(crate) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_uri_would_take_for_its_own() {
        assert_eq!(escaped(Path::new("/a b/c?d#e%f.sqlite")), "/a%20b/c%3Fd%23e%25f.sqlite");
    }

    #[test]
    fn any_bytes_come_back() {
        let all: Vec<u8> = (1..=255).collect();
        for bytes in [&all[..], b"/a/b.jsonl", b"/a/%ff/\xff", b"\xf0\x9f\x98", b""] {
            let path = Path::new(OsStr::from_bytes(bytes));
            let back = path_of(&readable(path), escaped_bytes(path).as_deref());
            assert_eq!(back, path);
        }
        assert_eq!(readable(OsStr::from_bytes(b"a\xff%fe\xc3")), "a%ff%fe%c3");
        assert_eq!(escaped_bytes(Path::new("/ä/%ff")), None);
    }
}
