//! `docs/migrating.md` has every outcome, reason and code that the source has, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words that say what was tried, that are parts of sentences, or that join two of them.
const PARTS: [&str; 28] = [
    "look at it",
    "open it",
    "read it",
    "remove it",
    "copy it",
    "sync it",
    "make it",
    "write it",
    "name it",
    "make the folder",
    "read the folder",
    "sync the folder",
    "restore its mode and time",
    "an object",
    "a field name",
    "… …",
    " and … more",
    ": …",
    "…: …; …",
    "…; …",
    "… (…)",
    ", …",
    "sjournal import …",
    "sjournal import ",
    "…--format … …",
    "sjournal … ……",
    "export -o …",
    "\\\"$(printf '…')\\\"",
];

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sources(folder: &Path, all: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            let text = fs::read_to_string(&path).expect("reads");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            all.push((path, text));
        }
    }
}

/// The string literals of a source, each with the characters before it.
fn literals(source: &str) -> Vec<(String, String)> {
    let (mut all, mut text) = (Vec::new(), String::new());
    let mut rest = source.chars().peekable();
    let mut before = String::new();
    let mut is_inside = false;
    while let Some(character) = rest.next() {
        match (is_inside, character) {
            (false, '/') if rest.peek() == Some(&'/') => {
                while rest.peek().is_some_and(|next| *next != '\n') {
                    rest.next();
                }
            }
            (false, '\'') => skip_character(&mut rest),
            (false, '"') => is_inside = true,
            (false, other) => before.push(other),
            (true, '"') => {
                all.push((std::mem::take(&mut before), std::mem::take(&mut text)));
                is_inside = false;
            }
            (true, '\\') => match rest.next() {
                Some('\n') => while rest.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped) => text.extend(['\\', escaped]),
                None => {}
            },
            (true, other) => text.push(other),
        }
    }
    all
}

/// Steps over a character in quotes; a lifetime has none behind it.
fn skip_character(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut ahead = rest.clone();
    let escaped = ahead.next() == Some('\\');
    if escaped {
        ahead.next();
    }
    if ahead.next() == Some('\'') || escaped {
        while rest.next().is_some_and(|next| next != '\'') {}
        if escaped && rest.peek() == Some(&'\'') {
            rest.next();
        }
    }
}

/// A sentence with an ellipsis for each part that is filled in, and without what ends a shell word.
fn plain(sentence: &str) -> String {
    let mut plain = String::new();
    let mut is_filled_in = false;
    for character in sentence.chars() {
        match character {
            '{' => {
                is_filled_in = true;
                plain.push('…');
            }
            '}' => is_filled_in = false,
            _ if is_filled_in => {}
            other => plain.push(other),
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_sentence(before: &str, text: &str) -> bool {
    let before = before.trim_end();
    let is_sql = text.contains("select ") || text.contains(" order by ");
    let is_of_a_lint = before.strip_suffix("reason =").is_some_and(|b| b.trim_end().ends_with(','));
    let is_bytes = before.ends_with('b');
    text.trim().contains(' ') && !is_sql && !is_of_a_lint && !is_bytes
}

/// `Self::Word => "word"`: the word for it in every interface.
fn is_name(before: &str, text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    before.trim_end().ends_with("=>") && !text.is_empty() && text.chars().all(is_word)
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(character.to_ascii_lowercase());
    }
    kebab
}

/// The kinds of errors that this crate gives, by their names.
fn kinds(source: &str) -> impl Iterator<Item = String> {
    let source = source.replace("io::ErrorKind::", "");
    let names: Vec<_> = source.split("ErrorKind::").skip(1).map(str::to_owned).collect();
    names.into_iter().filter_map(|rest| {
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| kebab(&name))
    })
}

/// What the source says: its sentences, and its names.
fn said() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut all = Vec::new();
    sources(&folder("src"), &mut all);
    let (mut sentences, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (path, source) in &all {
        if path.ends_with("src/error.rs") {
            let own = source.split("fn kind_of").next().unwrap_or_default();
            names.extend(kinds(own.split("impl Problem").nth(1).unwrap_or_default()));
        }
        for (before, text) in literals(source) {
            if is_sentence(&before, &text) {
                sentences.insert(plain(&text));
            } else if is_name(&before, &text) {
                names.insert(text);
            }
        }
    }
    (sentences, names)
}

fn document() -> String {
    fs::read_to_string(folder("../../docs/migrating.md")).expect("reads")
}

/// The part that lists everything.
fn lists() -> String {
    let document = document();
    let (_, lists) = document.split_once("\n## Every outcome").expect("has its lists");
    lists.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_document_has_every_sentence_and_every_name_of_the_source() {
    let (lists, (sentences, names)) = (lists(), said());
    let quoted: BTreeSet<_> = quoted(&lists).collect();
    let parts: BTreeSet<_> = PARTS.iter().map(|part| plain(part)).collect();
    let is_missing = |word: &&String| !parts.contains(*word) && !quoted.contains(word.as_str());
    let missing: Vec<_> = sentences.iter().chain(&names).filter(is_missing).collect();
    assert_eq!(missing, Vec::<&String>::new(), "to be said in docs/migrating.md");
    assert!(sentences.len() > 100 && names.len() > 60, "the source was read");
}

#[test]
fn the_document_has_no_sentence_and_no_name_that_the_source_does_not_have() {
    let (lists, (sentences, names)) = (lists(), said());
    let elsewhere = ["removed", "kept", "closed"];
    let commands = ["sjournal ", "--", "doctor", "export", "import", "info"];
    let fields = ["outcome", "reason", "next", "damage", "warnings", "error", "code"];
    let files = ["path", "severity", "what", "sessions.json", ".zst"];
    let is_known = |word: &str| {
        sentences.contains(word)
            || names.contains(word)
            || elsewhere.contains(&word)
            || fields.contains(&word)
            || files.contains(&word)
            || commands.iter().any(|command| word.starts_with(command))
    };
    let unknown: Vec<_> = quoted(&lists).filter(|word| !is_known(word)).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "nothing says so any more");
}

#[test]
fn what_a_rollback_ends_in_is_what_the_command_says() {
    let command = folder("../cli/src/commands/import/rollback.rs");
    let command = fs::read_to_string(command).expect("reads");
    for outcome in ["removed", "kept"] {
        assert!(command.contains(&format!("\"{outcome}\"")), "{outcome}");
        assert!(lists().contains(&format!("| `{outcome}` |")), "{outcome}");
    }
}

#[test]
fn literals_are_found_and_comments_are_not() {
    let source = "let a = \"one two\"; // \"no\"\nlet b = '\"'; f::<'a>(b\"x y\"); \"c \\\n   d\"";
    let texts: Vec<_> = literals(source).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["one two", "x y", "c d"]);
    assert_eq!(plain("{} of {name:?}  x"), "… of … x");
    assert_eq!(kebab("NotAJournal"), "not-a-journal");
}
