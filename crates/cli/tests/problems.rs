//! Wrong arguments and files that are no journals: an error that helps, and nothing touched.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::{Bench, Said};

/// Commands that take one session.
const READING: [&[&str]; 10] = [
    &["cat"],
    &["tail"],
    &["export"],
    &["info"],
    &["history"],
    &["verify"],
    &["claim"],
    &["repair"],
    &["append"],
    &["delete", "--yes"],
];

fn each(bench: &Bench, target: &str, mut check: impl FnMut(&Said)) {
    for command in READING {
        let args = [command, &[target]].concat();
        let said = bench.run(&args);
        assert!(said.out.is_empty(), "{args:?}: {said:?}");
        check(&said);
    }
}

#[test]
fn no_such_session_or_path() {
    let bench = Bench::new();
    for target in ["nobody", "./nobody.journal", "/nobody/nobody.journal"] {
        each(&bench, target, |said| {
            said.fails(4, "not-found");
        });
    }
    assert!(!bench.path("store").exists());
    bench.session("somebody", "1\n");
    each(&bench, "nobody", |said| {
        assert!(said.fails(4, "not-found").err.contains("nobody"), "{said:?}");
    });
    bench.run(&["import", "nobody.jsonl"]).fails(4, "not-found");
}

#[test]
fn folders_pipes_and_garbage_are_no_journals() {
    let bench = Bench::new();
    bench.session("somebody", "1\n");
    let pipe = bench.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    bench.write("garbage.journal", "garbage\n".repeat(2000));
    bench.write("empty.journal", "");
    bench.write("short.journal", "short");
    for target in ["store", "/", "./pipe", "garbage.journal", "empty.journal", "short.journal"] {
        each(&bench, target, |said| {
            let message = &said.fails(4, "not-a-journal").err;
            assert!(message.contains(target.trim_start_matches("./")), "{message}");
        });
    }
    assert_eq!(fs::read(bench.path("garbage.journal")).expect("reads"), b"garbage\n".repeat(2000));
    assert_eq!(fs::read(bench.path("empty.journal")).expect("reads"), b"");
}

#[test]
fn what_stands_at_the_path_of_a_session_must_be_a_file() {
    let bench = Bench::new();
    bench.session("somebody", "1\n");
    fs::create_dir(bench.journal("folder")).expect("makes it");
    assert!(Command::new("mkfifo").arg(bench.journal("pipe")).status().expect("runs").success());
    for target in ["folder", "pipe"] {
        each(&bench, target, |said| {
            said.fails(4, "not-a-journal");
        });
        bench.feed(&["append", "--create", target], "1\n").fails(4, "not-a-journal");
    }
}

#[test]
fn an_empty_name_chooses_no_session() {
    let bench = Bench::new();
    bench.session("the-only-one", "1\n");
    each(&bench, "", |said| {
        said.fails(2, "invalid");
    });
}

#[test]
fn only_what_needs_a_store_asks_for_one() {
    let bench = Bench::new();
    bench.session("s", "1\n");
    let nowhere = |args: &[&str]| {
        let mut command = bench.command(args);
        Said::of(command.env_remove("SESSION_JOURNAL_STORE").output().expect("runs"))
    };
    assert_eq!(nowhere(&["completions", "bash"]).code, Some(0));
    assert_eq!(nowhere(&["cat", "store/s.journal"]).out, "1\n");
    for args in [&["ls"][..], &["cat", "s"], &["append", "--create", "s"], &["verify", "--all"]] {
        nowhere(args).fails(2, "invalid");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_refused_by_the_storage() {
    let bench = Bench::new();
    bench.session("s", "1\n");
    fs::set_permissions(bench.journal("s"), fs::Permissions::from_mode(0o000)).expect("sets it");
    if fs::File::open(bench.journal("s")).is_ok() {
        support::skip("this user reads every file, whatever its mode");
        return;
    }
    each(&bench, "s", |said| {
        said.fails(5, "io");
    });
}

#[test]
fn an_unreadable_entry_is_listed_with_its_error() {
    let bench = Bench::new();
    bench.session("good", "1\n");
    bench.write("store/bad.journal", "garbage");
    let said = bench.run(&["--json", "ls"]);
    said.fails(1, "not-a-journal");
    let listed = said.json();
    assert_eq!(listed.len(), 2);
    let bad = listed.iter().find(|one| one["session"] == "bad").expect("is listed");
    assert_eq!(bad["code"], "not-a-journal");
    assert!(bench.run(&["ls"]).out.contains("unreadable"));
    let said = bench.run(&["--json", "verify", "--all"]);
    assert_eq!((said.code, said.json().len()), (Some(1), 2));
}

#[test]
fn wrong_usage_is_two() {
    let bench = Bench::new();
    for args in [
        &[][..],
        &["nonsense"],
        &["import"],
        &["verify"],
        &["cat"],
        &["cat", "s", "--last", "1", "--from", "2"],
        &["append", "s", "--takeover", "maybe"],
        &["import", "--format", "yaml", "x"],
        &["import", "--jobs", "0", "x"],
        &["verify", "--all", "s"],
    ] {
        assert_eq!(bench.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn an_export_goes_only_where_it_can() {
    let bench = Bench::new();
    bench.session("s", "1\n");
    let said = bench.run(&["export", "s", "-o", "store/s.journal"]);
    said.fails(2, "invalid");
    bench.run(&["export", "s", "-o", "nowhere/x.jsonl"]).fails(4, "not-found");
    bench.run(&["export", "s", "-o", "store"]).fails(5, "io");
    assert_eq!(bench.done(&["cat", "s"]).out, "1\n");
}
