//! Words of a command that can be pasted into a shell.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// A word as a shell takes it.
#[must_use]
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    let Ok(text) = std::str::from_utf8(bytes) else { return spelled_out(bytes) };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~:@+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('~') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Bytes that are no text, which no terminal can show.
fn spelled_out(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/._-~:@+=, ".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    format!("\"$(printf '{text}')\"")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_takes_every_word_for_what_it_is() {
        let words: [&[u8]; 8] = [
            b"",
            b"plain/a.jsonl",
            b"~a b",
            b"it's $HOME",
            "\u{e4}\u{1f980}".as_bytes(),
            b"a\xff%s\\n'.jsonl",
            b"\xff x",
            b"a\nb*",
        ];
        for word in words {
            let line = format!("printf %s {}", shell_word(OsStr::from_bytes(word)));
            let said = Command::new("sh").args(["-c", &line]).output().expect("a shell");
            assert_eq!(said.stdout, word, "{line}");
        }
    }
}
