//! All sessions as files again: from several folders, with older versions, and with sessions that
//! were never files.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
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

/// The session of the state in between had the name, and the source came back as something that it
/// is not.
#[test]
fn a_source_that_was_put_back_comes_back_as_it_is() {
    let bench = Bench::new();
    let write = |n: u32| bench.write("in/a.jsonl", format!("{{\"version\":{n}}}\n"));
    for n in 1..=2 {
        bench.run(&write(n), Outcome::Imported);
    }
    let is_of = |n: u32, back: &Files| back[Path::new("a.jsonl")] == fs::read(write(n)).unwrap();
    let report = bench.run(&write(1), Outcome::Unchanged);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a"));
    let (back, _) = export(&bench, "back");
    assert_eq!(names(&back), ["a.jsonl", "a.jsonl.version-2"]);
    assert!(is_of(1, &back), "{back:?}");
    let size = |bench: &Bench| bench.journal("a").metadata().expect("is there").len();
    let before = size(&bench);
    bench.run(&write(1), Outcome::Unchanged);
    assert_eq!(size(&bench), before, "it is said once");
    // And there again, and then to something new.
    let report = bench.run(&write(2), Outcome::Unchanged);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a~2"));
    let (back, _) = export(&bench, "back-2");
    assert_eq!(names(&back), ["a.jsonl", "a.jsonl.version-1"]);
    assert!(is_of(2, &back), "{back:?}");
    bench.run(&write(1), Outcome::Unchanged);
    let report = bench.run(&write(3), Outcome::Imported);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a~3"));
    assert!(report.reason.ends_with("since it became session a"), "{}", report.reason);
    let (back, _) = export(&bench, "back-3");
    assert_eq!(names(&back), ["a.jsonl", "a.jsonl.version-1", "a.jsonl.version-2"]);
    assert!(is_of(3, &back), "{back:?}");
    bench.write("in/a.jsonl", "{\"version\":1}\nmore\n");
    let report = bench.run(&bench.path("in/a.jsonl"), Outcome::Extended);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a"));
    let (back, _) = export(&bench, "back-4");
    assert_eq!(back[Path::new("a.jsonl")], b"{\"version\":1}\nmore\n");
}

/// What one id, one key or one file means is the source as it is, though its time is older.
#[test]
fn a_look_up_finds_the_state_that_the_source_is_in() {
    let bench = Bench::new();
    let folder = "agents/main/sessions";
    bench.write(
        &format!("{folder}/sessions.json"),
        "{\"k\":{\"sessionId\":\"s\",\"sessionFile\":\"a.jsonl\"}}",
    );
    bench.write(&format!("{folder}/a.checkpoint.x.jsonl"), "{\"type\":\"session\",\"id\":\"c\"}\n");
    let found = |n: u32, outcome| {
        let source = format!("{{\"type\":\"session\",\"id\":\"s\",\"n\":{n}}}\n");
        let path = bench.write(&format!("{folder}/a.jsonl"), source);
        let seconds = std::time::Duration::from_secs(u64::from(n) * 1000);
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_modified(std::time::UNIX_EPOCH + seconds).expect("sets its time");
        bench.run(&path, outcome);
        bench.run_all(&[bench.path(folder)]);
        let catalogue = bench.catalogue();
        let checkpoint = catalogue.by_id("c").expect("is there");
        let steps = catalogue.lineage(checkpoint);
        let by_file = steps.first().and_then(|step| step.to).expect("leads there");
        let all = [catalogue.by_id("s"), catalogue.by_key("k"), Some(by_file)];
        all.map(|one| one.expect("is found").name.to_string())
    };
    assert_eq!(found(1, Outcome::Imported), ["main/a"; 3]);
    assert_eq!(found(2, Outcome::Imported), ["main/a~2"; 3]);
    assert_eq!(found(1, Outcome::Unchanged), ["main/a"; 3]);
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

fn bytes(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// They came back with a replacement character, and in a folder they were not taken for sessions.
#[test]
fn names_that_are_no_text_come_back_byte_for_byte() {
    let bench = Bench::new();
    let names: [&[u8]; 7] = [
        b"agents/main/sessions/b\xfe.jsonl",
        b"agents/main/sessions/b\xff.jsonl",
        b"agents/main/sessions/b%ff.jsonl",
        b"agents/main/sessions/odd\xff.bin",
        b"agents/main/sessions/sub\xff/c.jsonl",
        b"agents/n\xff/sessions/a.jsonl",
        "logs/\u{fffd}.jsonl".as_bytes(),
    ];
    for (n, name) in names.iter().enumerate() {
        let path = bench.path("in").join(bytes(name));
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
        fs::write(path, format!("{{\"n\":{n}}}\n")).expect("writes");
    }
    let packed = bench.path("in/logs").join(bytes(b"p\xff.jsonl.zst"));
    fs::write(&packed, zstd::encode_all(&b"{}\n"[..], 1).expect("packs")).expect("writes");
    let (lines, summary) = bench.run_all(&[bench.path("in")]);
    assert_eq!((summary.imported, summary.skipped, summary.failed), (8, 0, 0));
    let mut sessions: Vec<_> = lines.iter().filter_map(|line| line.session.as_deref()).collect();
    sessions.sort_unstable();
    let expected = ["main/b%fe", "main/b%ff", "main/b%ff~2", "main/c", "main/odd%ff.bin"];
    assert_eq!(sessions, [&expected[..], &["n%ff/a", "p%ff", "\u{fffd}"]].concat());
    let (_, summary) = bench.run_all(&[bench.path("in")]);
    assert_eq!((summary.unchanged, summary.imported), (8, 0));
    let (back, same) = export(&bench, "back");
    assert!(same.iter().all(|(_, same)| *same == Some(true)), "{same:?}");
    fs::remove_file(&packed).expect("removes");
    fs::write(packed.with_extension(""), "{}\n").expect("writes");
    assert!(back == files(&bench.path("in")), "{:?}", back.keys());
    let catalogue = bench.catalogue();
    for entry in catalogue.entries().iter().filter(|one| one.name.id() != "p%ff") {
        let options = session_journal::Options::default();
        let done = session_journal_import::roll_back(entry, &[], &options, false).expect("answers");
        assert!(done.expect("was imported").is_removed, "{}: its source is there", entry.name);
    }
}
