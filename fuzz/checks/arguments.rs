//! Arguments and input of the program: they are taken or refused with a message, never with a panic.
//! What `append` reads are the lines of its input whatever pieces it comes in, its keys are those that
//! another JSON parser finds, and no name leads out of a store.
//!
//! An input is arguments, one a line, then an empty line, then standard input. An argument of one byte
//! stands for a word that the program knows. The first byte is the size of the pieces.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use serde_json::{Map, Value};
use session_journal::{EXTENSION, NewRecord, SessionName};
use session_journal_cli::records_of;

const WORDS: [&str; 48] = [
    "import",
    "export",
    "ls",
    "cat",
    "tail",
    "append",
    "info",
    "history",
    "verify",
    "claim",
    "repair",
    "completions",
    "--store",
    "--json",
    "--verbose",
    "-vv",
    "--quiet",
    "--color",
    "always",
    "never",
    "auto",
    "--create",
    "--kind",
    "--batch",
    "--durability",
    "written",
    "durable",
    "--takeover",
    "if-gone",
    "--on-fenced",
    "reclaim",
    "--expect-seq",
    "18446744073709551616",
    "--key-field",
    "id",
    "--label",
    "main/a",
    "--format",
    "openclaw",
    "--jobs",
    "0",
    "--limit",
    "--from",
    "-n",
    "-f",
    "--all",
    "--",
    "--help",
];

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let Some((piece, rest)) = bytes.split_first() else { return };
    let end = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let (words, input) = (&rest[..end], rest.get(end + 2..).unwrap_or_default());
    let words: Vec<OsString> = words.split(|byte| *byte == b'\n').map(word).collect();
    words.iter().filter_map(|word| word.to_str()).for_each(named);

    let arguments = [vec![OsString::from("sjournal")], words].concat();
    let taken = records_of(&arguments, input, usize::from(*piece) + 1);
    assert_eq!(taken, records_of(&arguments, input, 1 << 16), "pieces change what is read");
    match taken {
        Ok(Some(records)) => read(&arguments, input, &records),
        Ok(None) => {}
        Err(message) => assert!(!message.is_empty(), "refused without a word"),
    }
}

fn word(bytes: &[u8]) -> OsString {
    match bytes {
        [number] => WORDS[usize::from(*number) % WORDS.len()].into(),
        other => std::ffi::OsStr::from_bytes(other).to_owned(),
    }
}

/// A text that names a session comes back from it, and its file is in the store.
fn named(text: &str) {
    let Ok(name) = text.parse::<SessionName>() else { return };
    assert_eq!(name.to_string().parse().as_ref(), Ok(&name), "a name is what it is shown as");
    let path = name.relative_path();
    assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "leads out");
    assert_eq!(path.components().count(), 1 + usize::from(name.agent().is_some()));
    assert!(path.extension().is_some_and(|extension| extension == EXTENSION));
    let shown = path.to_str().expect("a file name is text");
    assert!(Path::new(shown).iter().all(|part| part.len() <= 200), "too long for a file system");
    assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
    let is_cut = shown.contains('~');
    let back = SessionName::from_relative_path(&path);
    assert_eq!(back, (!is_cut).then_some(name), "a file name tells its session");
}

/// The records are the lines.
fn read(arguments: &[OsString], input: &[u8], records: &[NewRecord]) {
    let input = input.strip_suffix(b"\n").unwrap_or(input);
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let is_empty = records.is_empty();
    assert!(is_empty || lines.len() == records.len(), "a line is a record");
    assert!(!is_empty || lines.iter().all(|line| line.is_empty()), "a line was left out");
    for (line, record) in lines.into_iter().zip(records) {
        assert_eq!(record.payload, line);
        let Some(field) = field(arguments) else {
            assert_eq!(record.key, None, "a key that nobody asked for");
            continue;
        };
        assert!(record.key.as_ref().is_some_and(|key| !key.is_empty()));
        if let Ok(object) = serde_json::from_slice::<Map<String, Value>>(line) {
            assert_eq!(record.key.as_deref(), object.get(field).and_then(Value::as_str));
        }
    }
}

/// The field that holds the key, where it was plainly asked for.
fn field(arguments: &[OsString]) -> Option<&str> {
    let plain =
        arguments.windows(2).find(|two| two[0] == "--key-field").and_then(|two| two[1].to_str());
    plain.or_else(|| arguments.iter().find_map(|one| one.to_str()?.strip_prefix("--key-field=")))
}
