use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn name(agent: Option<&str>, id: &str) -> SessionName {
    SessionName::new(agent, id).unwrap()
}

fn path(agent: Option<&str>, id: &str) -> String {
    name(agent, id).relative_path().to_str().unwrap().replace('\\', "/")
}

#[test]
fn file_names_are_part_of_the_format() {
    let long = "Agent:".repeat(40);
    for (agent, id, expected) in [
        (None, "main", "main.journal"),
        (Some("main"), "2026-01-02_a.b", "main/2026-01-02_a.b.journal"),
        (None, "agent:main:Chat", "agent%3amain%3a%43hat.journal"),
        (None, "a/b\\c", "a%2fb%5cc.journal"),
        (None, "🙂", "%f0%9f%99%82.journal"),
        (None, "\0\n\u{1b}", "%00%0a%1b.journal"),
        (Some(".."), "..", "%2e%2e/%2e%2e.journal"),
        (Some("."), "...x", "%2e/%2e..x.journal"),
        (Some("a."), "a ", "a%2e/a%20.journal"),
        (Some("nul"), "con.txt", "%6eul/%63on.txt.journal"),
        (Some("NUL"), "com1", "%4e%55%4c/%63om1.journal"),
        (Some("lpt10"), "console", "lpt10/console.journal"),
        (Some("x.journal"), "x.journal", "x%2ejournal/x%2ejournal.journal"),
        (None, ".journal", "%2ejournal.journal"),
        (None, "100%~", "100%25%7e.journal"),
    ] {
        assert_eq!(path(agent, id), expected);
        assert_eq!(SessionName::from_relative_path(expected.as_ref()), Some(name(agent, id)));
    }
    let expected = "%41gent%3a".repeat(14) + "%41gent~189adf13b275dad3497465d7de15d53d.journal";
    assert_eq!(path(None, &long), expected);
}

#[test]
fn a_cut_name_does_not_tell_itself() {
    let cut = path(Some(&"a".repeat(500)), &"é".repeat(500));
    assert!(cut.split('/').all(|part| part.contains('~') && part.len() <= PART_MAX + 8), "{cut}");
    assert_eq!(SessionName::from_relative_path(cut.as_ref()), None);
    let kept = "a".repeat(PART_MAX);
    assert_eq!(path(None, &kept), format!("{kept}.journal"));
    assert!(path(None, &format!("{kept}a")).contains('~'));
}

#[test]
fn the_prefix_of_a_cut_name_ends_before_an_escape() {
    for plain in 0..4 {
        let cut = file_name(&format!("{}{}", "a".repeat(plain), "\n".repeat(100)));
        let (prefix, hash) = cut.split_once('~').unwrap();
        assert_eq!(prefix, format!("{}{}", "a".repeat(plain), "%0a".repeat((147 - plain) / 3)));
        assert_eq!(hash.len(), 32);
    }
}

#[test]
fn other_paths_are_no_names() {
    for other in [
        "",
        ".journal",
        "a",
        "a.jsonl",
        "a.journal.tmp",
        "a/b",
        "a/b/c.journal",
        "/a.journal",
        "../a.journal",
        "./a.journal",
        "A.journal",
        "a.JOURNAL",
        "%41.journal.journal",
        "%4A.journal",
        "%61.journal",
        "%.journal",
        "%6.journal",
        "%zz.journal",
        "%+a.journal",
        "%ff.journal",
        "a b.journal",
        ".a.journal",
        "a..journal",
        "nul.journal",
        "con.x.journal",
        "x.journal/a.journal",
        "a~.journal",
        "é.journal",
        "a:b.journal",
    ] {
        assert_eq!(SessionName::from_relative_path(other.as_ref()), None, "{other:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_no_name() {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(b"\xff.journal"));
    assert_eq!(SessionName::from_relative_path(path), None);
}

#[test]
fn says_what_is_wrong() {
    use InvalidName::{EmptyAgent, EmptyId, SlashInAgent, TooLong};
    assert_eq!(SessionName::new(None, ""), Err(EmptyId));
    assert_eq!(SessionName::new(Some("a"), ""), Err(EmptyId));
    assert_eq!(SessionName::new(Some(""), "a"), Err(EmptyAgent));
    assert_eq!(SessionName::new(Some("a/b"), "c"), Err(SlashInAgent));
    assert_eq!(SessionName::new(Some("ab"), &"é".repeat(1500)), Err(TooLong { bytes: 3002 }));
    assert!(SessionName::new(Some("aé"), &"x".repeat(2997)).is_ok());
    assert_eq!(
        TooLong { bytes: 3002 }.to_string(),
        "a session's name of 3002 bytes is longer than 3000"
    );
}

#[test]
fn text_splits_at_the_first_slash() {
    for (text, agent, id) in [
        ("x", None, "x"),
        ("a/b", Some("a"), "b"),
        ("a/b/c", Some("a"), "b/c"),
        ("a//b", Some("a"), "/b"),
        ("/a/b", None, "a/b"),
        ("//", None, "/"),
        ("///a", None, "//a"),
    ] {
        assert_eq!(text.parse(), Ok(name(agent, id)));
        assert_eq!(name(agent, id).to_string(), text);
    }
    assert_eq!("/x".parse(), Ok(name(None, "x")), "a slash too many does no harm");
    for text in ["", "/", "a/"] {
        assert_eq!(text.parse::<SessionName>(), Err(InvalidName::EmptyId), "{text:?}");
    }
}

/// Any text, and more often than chance would have it the kind that does harm.
fn any_part() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-z0-9._-]{1,4}",
        prop::sample::select(vec![
            ".", "..", "/", "\\", ":", "%", "~", " ", "\0", "A", "a", "K", "\u{212a}", "ſ", "%41",
            "con", "NUL", "com1", "com¹", "lpt9", ".journal", "journal", ".JOURNAL", "🙂", "é",
            "e\u{301}",
        ])
        .prop_map(String::from),
    ];
    prop_oneof![
        8 => prop::collection::vec(piece.clone(), 1..6).prop_map(|parts| parts.concat()),
        1 => prop::collection::vec(piece, 30..90).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
    .prop_filter("not empty", |part| !part.is_empty())
}

fn any_name() -> impl Strategy<Value = SessionName> {
    let agent = any_part().prop_filter("no slash", |agent| !agent.contains('/'));
    (prop::option::of(agent), any_part()).prop_map(|(agent, id)| name(agent.as_deref(), &id))
}

/// What the strictest of the usual file systems takes, however it folds case.
fn is_portable(file: &str) -> bool {
    let set = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"._-%~".contains(&byte);
    let stem = file.split('.').next().unwrap();
    let devices = ["con", "prn", "aux", "nul"];
    let numbered = stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt"));
    !file.is_empty()
        && file.len() <= 200
        && file.bytes().all(set)
        && !file.starts_with('.')
        && !file.ends_with('.')
        && !devices.contains(&stem)
        && !(numbered && stem.as_bytes()[3].is_ascii_digit())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_name_comes_back(name in any_name()) {
        prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
        let path = name.relative_path();
        let back = SessionName::from_relative_path(&path);
        if path.to_str().unwrap().contains('~') {
            prop_assert_eq!(back, None);
        } else {
            prop_assert_eq!(back, Some(name));
        }
    }

    #[test]
    fn every_file_name_is_portable(name in any_name()) {
        let path = name.relative_path();
        let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        prop_assert_eq!(parts.len(), 1 + usize::from(name.agent().is_some()));
        prop_assert!(parts.iter().all(|part| is_portable(part)), "{:?}", parts);
        prop_assert!(parts[parts.len() - 1].ends_with(".journal"));
        prop_assert!(parts.len() == 1 || !parts[0].ends_with(".journal"));
    }

    #[test]
    fn no_two_names_share_a_path(a in any_name(), b in any_name()) {
        let lower = |name: &SessionName| {
            name.relative_path().to_str().unwrap().to_ascii_lowercase()
        };
        prop_assert_eq!(lower(&a) == lower(&b), a == b);
        // Close relatives are where a clash would be.
        let upper = SessionName::new(a.agent(), &a.id().to_uppercase()).unwrap();
        prop_assert_eq!(lower(&a) == lower(&upper), a == upper);
        let encoded = a.relative_path().to_str().unwrap().replace('/', ":");
        let quoted = SessionName::new(None, &encoded).unwrap();
        prop_assert_ne!(lower(&a), lower(&quoted));
    }

    #[test]
    fn long_names_stay_distinct(
        prefix in "[a-zA-Z:/.]{150,400}",
        ends in prop::collection::hash_set(any_part(), 2..20),
    ) {
        let path = |end: &String| path(None, &format!("{prefix}{end}"));
        let paths: HashSet<_> = ends.iter().map(path).collect();
        prop_assert_eq!(paths.len(), ends.len());
    }

    #[test]
    fn any_path_is_decoded_without_harm(text in "[a-z%~./A0-9]{0,20}(\\.journal)?") {
        if let Some(name) = SessionName::from_relative_path(text.as_ref()) {
            let path = name.relative_path();
            prop_assert_eq!(path.as_path(), Path::new(&text));
        }
    }
}
