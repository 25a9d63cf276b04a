//! All sessions as files again: from several folders, with older versions, and with sessions that
//! were never files.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use session_journal_import::{Leaf, Outcome, Tree};
use support::{Bench, files, grow};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Exports everything, and tells which files are what their sources were.
fn export(bench: &Bench, to: &str) -> (Files, Vec<(String, Option<bool>)>) {
    let catalogue = bench.catalogue();
    let tree = Tree::new(&catalogue, bench.path(to)).expect("plans");
    let mut same = Vec::new();
    let each = &mut |name: &session_journal::SessionName,
                     leaf: session_journal_import::Result<Leaf>| {
        same.push((name.to_string(), leaf.expect("exports").is_source));
    };
    tree.write(false, each, &mut || true).expect("writes");
    (files(&bench.path(to)), same)
}

fn names(files: &Files) -> Vec<&str> {
    files.keys().map(|path| path.to_str().expect("text")).collect()
}

#[test]
fn several_folders_come_back_below_what_they_have_in_common() {
    let bench = Bench::new();
    for path in ["home/one/x/a.jsonl", "home/two/a.jsonl", "home/two/y/b.jsonl"] {
        bench.write(path, format!("{{\"from\":\"{path}\"}}\n"));
    }
    bench.run_all(&[bench.path("home/one"), bench.path("home/two")]);
    let (back, same) = export(&bench, "back");
    assert_eq!(names(&back), ["one/x/a.jsonl", "two/a.jsonl", "two/y/b.jsonl"]);
    assert!(back == files(&bench.path("home")));
    assert!(same.iter().all(|(_, same)| *same == Some(true)));
}

#[test]
fn the_newest_version_of_a_rewritten_source_has_its_name() {
    let bench = Bench::new();
    for n in 1..=3 {
        let path = bench.write("in/a.jsonl", format!("{{\"version\":{n}}}\n"));
        bench.run(&path, Outcome::Imported);
    }
    let (back, _) = export(&bench, "back");
    assert_eq!(names(&back), ["a.jsonl", "a.jsonl.version-1", "a.jsonl.version-2"]);
    assert_eq!(back[Path::new("a.jsonl")], b"{\"version\":3}\n");
    assert_eq!(back[Path::new("a.jsonl.version-1")], b"{\"version\":1}\n");
}

#[test]
fn what_was_appended_here_comes_along_and_own_sessions_too() {
    let bench = Bench::new();
    let path = bench.write("in/a.jsonl", "{}\n");
    bench.run(&path, Outcome::Imported);
    bench.append("a", "mine");
    let name = "main/Own".parse().expect("a name");
    let own = bench.store().join("main");
    fs::create_dir(&own).expect("makes a folder");
    let options = session_journal::Options::default();
    let path = bench.journal("main/Own");
    session_journal::Journal::create(path, &name, &options)
        .expect("creates")
        .close()
        .expect("closes");
    bench.append("main/Own", "too");
    let (back, same) = export(&bench, "back");
    assert_eq!(back[Path::new("a.jsonl")], b"{}\nmine\n");
    assert_eq!(back[Path::new("main/%4fwn.jsonl")], b"too\n");
    assert!(same.iter().all(|(_, same)| same.is_none()), "they are more than a source: {same:?}");
}

#[test]
fn a_tree_goes_out_and_in_again_as_the_same() {
    let bench = Bench::new();
    let path = bench.write("in/x/a.jsonl", "{\"n\":1}\n");
    bench.write("in/x/sessions.json", "{}");
    bench.run_all(&[bench.path("in")]);
    grow(&path, "{\"n\":2}\n");
    bench.run_all(&[bench.path("in")]);
    let (back, _) = export(&bench, "back");
    let other = Bench::new();
    other.run_all(&[bench.path("back")]);
    assert!(export(&other, "again").0 == back);
    assert!(back == files(&bench.path("in")));
}
