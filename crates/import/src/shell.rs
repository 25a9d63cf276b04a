//! Words of a command that can be pasted into a shell.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::format::Format;

/// How a command begins that imports.
const IMPORT: &str = "sjournal import ";

/// A command of `sjournal` about a session.
#[must_use]
pub fn command(verb: &str, session: &str) -> String {
    let dashes = if session.starts_with('-') { "-- " } else { "" };
    format!("sjournal {verb} {dashes}{}", shell_word(session))
}

/// The command that imports this source. A session in a database is named below the database, and is
/// imported with it.
pub(crate) fn import_command(source: &Path) -> String {
    let file = source.parent().filter(|parent| parent.is_file()).unwrap_or(source);
    format!("{IMPORT}{}", shell_path(file))
}

/// The same command, where it imports, for sources that are of this format.
pub(crate) fn as_format(command: String, format: Option<Format>) -> String {
    match (command.strip_prefix(IMPORT), format) {
        (Some(rest), Some(format)) => format!("{IMPORT}--format {format} {rest}"),
        _ => command,
    }
}

/// A path as a shell takes it, and a command that has options.
#[must_use]
pub fn shell_path(path: &Path) -> String {
    let is_like_an_option = path.as_os_str().as_bytes().starts_with(b"-");
    let path = if is_like_an_option { Path::new(".").join(path).into() } else { Cow::from(path) };
    shell_word(&*path)
}

/// A word as a shell takes it.
#[must_use]
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    let Ok(text) = std::str::from_utf8(bytes) else { return spelled_out(bytes) };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~:@+=,".contains(c);
    let is_shown = |c: char| !c.is_control();
    if !text.ends_with('\n') && !text.chars().all(is_shown) {
        return spelled_out(bytes);
    }
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('~') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Bytes that are no text, or that no terminal shows.
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
    fn nothing_is_taken_for_an_option() {
        assert_eq!(command("info", "-x"), "sjournal info -- -x");
        assert_eq!(import_command(Path::new("-x.jsonl")), "sjournal import ./-x.jsonl");
        assert_eq!(import_command(Path::new("/a b")), "sjournal import '/a b'");
    }

    #[test]
    fn a_format_that_was_given_is_given_again() {
        let (import, info) = (import_command(Path::new("a")), command("info", "a"));
        let pi = Some(Format::Pi);
        assert_eq!(as_format(import.clone(), pi), "sjournal import --format pi a");
        assert_eq!((as_format(import.clone(), None), as_format(info.clone(), pi)), (import, info));
    }

    #[test]
    fn a_shell_takes_every_word_for_what_it_is() {
        let words: [&[u8]; 9] = [
            b"",
            b"plain/a.jsonl",
            b"~a b",
            b"it's $HOME",
            "\u{e4}\u{1f980}".as_bytes(),
            b"a\xff%s\\n'.jsonl",
            b"\xff x",
            b"a\nb*",
            b"\x1b[31m\n",
        ];
        for word in words {
            let line = format!("printf %s {}", shell_word(OsStr::from_bytes(word)));
            let said = Command::new("sh").args(["-c", &line]).output().expect("a shell");
            assert_eq!(said.stdout, word, "{line}");
        }
    }
}
