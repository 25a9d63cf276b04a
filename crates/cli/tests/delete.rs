//! Deleting sessions: only what was meant, through its owner, and nobody is asked twice.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use session_journal::{Journal, NewRecord, Options, Takeover};
use session_journal_import::ImportOptions;
use support::{Bench, Said, has, signal};

fn import_options() -> Options {
    ImportOptions::default().journal
}

/// A journal that an import began.
fn begun(bench: &Bench, name: &str) -> Journal {
    fs::create_dir_all(bench.path("store")).expect("makes a folder");
    let named = name.parse().expect("a name");
    let mut journal =
        Journal::create(bench.journal(name), &named, &import_options()).expect("makes a journal");
    journal.append(&NewRecord::new("{\"n\":1}")).expect("appends");
    journal
}

#[test]
fn a_session_is_gone_and_the_others_are_there() {
    let bench = Bench::new();
    bench.session("main/a", "1\n2\n");
    bench.session("main/b", "3\n");
    let id = bench.done(&["--json", "info", "main/a"]).object()["id"].clone();
    let said = bench.done(&["--json", "delete", "main/a", "--yes"]).object();
    has(&said, &["session", "id", "records", "bytes", "outcome"]);
    assert_eq!((&said["session"], &said["id"]), (&"main/a".into(), &id));
    assert_eq!((&said["records"], &said["outcome"]), (&2.into(), &"deleted".into()));
    assert!(said["bytes"].as_u64() > Some(0));
    let left: Vec<_> = fs::read_dir(bench.path("store/main")).expect("reads").collect();
    assert_eq!(left.len(), 1, "nothing is left beside the other one: {left:?}");
    bench.run(&["info", "main/a"]).fails(4, "not-found");
    assert_eq!(bench.done(&["cat", "main/b"]).out, "3\n");
    bench.session("main/a", "new\n");
    assert_eq!(bench.done(&["cat", "main/a"]).out, "new\n", "the name is free");
    let said = bench.done(&["delete", "main/b", "main/a", "main/a", "--yes"]);
    assert_eq!(said.out.lines().count(), 2, "{}", said.out);
    assert_eq!(bench.done(&["--json", "ls"]).out, "");
}

#[test]
fn nothing_is_deleted_where_nobody_can_be_asked() {
    let bench = Bench::new();
    bench.session("a", "1\n");
    let said = bench.run(&["delete", "a"]);
    assert!(said.fails(2, "invalid").err.contains("--yes"), "{said:?}");
    assert_eq!(bench.done(&["cat", "a"]).out, "1\n");
}

#[test]
fn the_beginning_of_a_name_is_not_enough_and_one_that_is_not_there_stops_all() {
    let bench = Bench::new();
    bench.session("main/alpha", "1\n");
    bench.session("main/beta", "2\n");
    for beginning in ["main/al", "al", "main/a"] {
        let said = bench.run(&["delete", beginning, "--yes"]);
        assert!(said.fails(2, "invalid").err.contains("main/alpha"), "{said:?}");
    }
    bench.run(&["delete", "main/beta", "main/gone", "--yes"]).fails(4, "not-found");
    bench.run(&["delete", "main/", "--yes"]).fails(2, "invalid");
    bench.run(&["delete", "", "--yes"]).fails(2, "invalid");
    assert_eq!(bench.done(&["ls", "main/"]).out.lines().count(), 3, "both are there");
    bench.done(&["delete", "beta", "--yes"]);
    let path = bench.journal("main/alpha");
    bench.done(&["delete", path.to_str().expect("text"), "--yes"]);
    assert!(!path.exists());
}

#[test]
fn one_that_somebody_alive_holds_is_deleted_only_by_force() {
    let bench = Bench::new();
    bench.session("free", "1\n");
    let mut owner = bench.spawn(&["append", "--create", "held"]);
    let mut stdin = owner.stdin.take().expect("a pipe");
    writeln!(stdin, "kept").expect("takes a line");
    let mut answers = owner.stdout.take().expect("a pipe");
    answers.read_exact(&mut [0; 4]).expect("acknowledges");
    for takeover in ["if-gone", "never"] {
        let said = bench.run(&["--json", "delete", "held", "--yes", "--takeover", takeover]);
        said.fails(3, "held-by");
        let line = said.object();
        assert_eq!((&line["outcome"], &line["code"]), (&"failed".into(), &"held-by".into()));
    }
    assert_eq!(bench.done(&["cat", "held"]).out, "kept\n");
    let said = bench.run(&["--json", "delete", "held", "free", "--yes"]);
    let outcomes: Vec<_> = said.json().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!((said.code, &outcomes[..]), (Some(1), &["failed".into(), "deleted".into()][..]));
    bench.done(&["delete", "held", "--yes", "--takeover", "always"]);
    assert!(!bench.journal("held").exists());
    writeln!(stdin, "too late").expect("takes a line");
    drop(stdin);
    let code = owner.wait().expect("ends").code();
    assert_eq!(code, Some(3), "its owner learns that it is not the owner any more");
}

#[test]
fn one_that_is_held_by_a_process_that_is_gone_is_deleted() {
    let bench = Bench::new();
    let mut owner = bench.spawn(&["append", "--create", "orphan"]);
    writeln!(owner.stdin.as_mut().expect("a pipe"), "kept").expect("takes a line");
    owner.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 4]).expect("acknowledges");
    signal(&owner, "-KILL");
    owner.wait().expect("ends");
    bench.run(&["delete", "orphan", "--yes", "--takeover", "never"]).fails(3, "held-by");
    bench.done(&["delete", "orphan", "--yes"]);
    assert!(!bench.journal("orphan").exists());
}

#[test]
fn one_whose_import_was_cut_short_is_deleted_only_where_that_is_said() {
    let bench = Bench::new();
    begun(&bench, "first").close().expect("closes");
    let source = "{\"n\":1}\n";
    bench.write("in/later.jsonl", source);
    bench.done(&["import", "in"]);
    let mut journal = Journal::open(bench.journal("later"), &import_options()).expect("opens");
    journal.append(&NewRecord::new("{\"n\":2}")).expect("appends");
    journal.close().expect("closes");
    for name in ["first", "later"] {
        let said = bench.run(&["delete", name, "--yes"]);
        assert!(said.fails(2, "invalid").err.contains("cut short"), "{said:?}");
        assert!(bench.journal(name).exists());
    }
    let said = bench.run(&["--json", "import", "--rollback", "in"]);
    for line in said.json().iter().filter(|line| line["session"].is_string()) {
        let kept = (&line["outcome"], &line["reason"]);
        assert_eq!(kept, (&"kept".into(), &"its import was cut short".into()));
        let next = line["next"].as_str().expect("text");
        assert_eq!(next.starts_with("sjournal import /"), line["session"] == "later", "{next}");
    }
    assert_eq!(said.json().len(), 3, "{said:?}");
    bench.write("in/later.jsonl", format!("{source}{{\"n\":2}}\n"));
    bench.done(&["import", "in"]);
    bench.feed(&["append", "later"], "mine\n");
    bench.done(&["delete", "later", "--yes"]);
    bench.done(&["delete", "first", "--yes", "--cut-short"]);
    assert!(!bench.journal("first").exists() && !bench.journal("later").exists());
}

#[test]
fn a_deletion_that_was_cut_short_is_finished() {
    let bench = Bench::new();
    bench.session("a", "1\n");
    // A hard link keeps the sealed file, as it is when the power goes before its name does.
    let (path, sealed) = (bench.journal("a"), bench.path("sealed"));
    fs::hard_link(&path, &sealed).expect("links");
    let options = Options { takeover: Takeover::Never, ..Options::default() };
    Journal::open(&path, &options).expect("opens").delete().expect("deletes");
    fs::rename(&sealed, &path).expect("renames");
    bench.done(&["delete", "a", "--yes"]);
    assert!(!path.exists());
}

/// Runs it on a terminal, and answers its question.
fn on_a_terminal(bench: &Bench, args: &[&str], answer: &str) -> (Said, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("opens a terminal");
    grantpt(&terminal).expect("grants it");
    unlockpt(&terminal).expect("unlocks it");
    let name = ptsname(&terminal, Vec::new()).expect("has a name");
    let name = name.to_str().expect("text");
    let other = || File::options().read(true).write(true).open(name).expect("opens its other end");
    let mut command = bench.command(args);
    command.stdin(Stdio::from(other())).stderr(Stdio::from(other())).stdout(Stdio::piped());
    let child = command.spawn().expect("starts");
    drop(command);
    let mut terminal = File::from(terminal);
    let mut asked = String::new();
    while !asked.contains("[y/N]") {
        let mut some = [0; 256];
        let read = terminal.read(&mut some).expect("asks");
        asked.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    terminal.write_all(answer.as_bytes()).expect("answers");
    (Said::of(child.wait_with_output().expect("ends")), asked)
}

#[test]
fn on_a_terminal_it_asks() {
    let bench = Bench::new();
    bench.session("a", "1\n2\n");
    for answer in ["n\n", "\n", "yess\n"] {
        let (said, asked) = on_a_terminal(&bench, &["--json", "delete", "a"], answer);
        assert!(asked.contains("a, 2 records"), "{asked}");
        assert_eq!((said.code, &said.object()["outcome"]), (Some(0), &"kept".into()));
        assert_eq!(bench.done(&["cat", "a"]).out, "1\n2\n");
    }
    let (said, _) = on_a_terminal(&bench, &["delete", "a"], "y\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("deleted"), "{said:?}");
    assert!(!bench.journal("a").exists());
}
