//! Signals and readers that go away: every command ends, and no journal stays held.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use support::{Bench, Said, signal, wait_until};

fn ends(child: &mut Child) -> Option<i32> {
    wait_until("the end", || child.try_wait().expect("waits").is_some());
    child.wait().expect("ends").code()
}

#[test]
fn a_signal_ends_append_and_releases_the_journal() {
    for name in ["-TERM", "-INT"] {
        let bench = Bench::new();
        let mut child = bench.spawn(&["append", "--create", "s"]);
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "kept").expect("takes a line");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
        answers.read_line(&mut String::new()).expect("acknowledges");
        assert_eq!(bench.state("s"), "open");
        signal(&child, name);
        assert_eq!(ends(&mut child), Some(0));
        assert_eq!(bench.state("s"), "released");
        assert_eq!(bench.done(&["cat", "s"]).out, "kept\n");
    }
}

#[test]
fn a_signal_stores_nothing_of_an_unfinished_batch() {
    let bench = Bench::new();
    bench.session("s", "1\n");
    let mut child = bench.spawn(&["append", "s", "--batch"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "2").expect("takes a line");
    wait_until("the claim", || bench.state("s") == "open");
    signal(&child, "-TERM");
    assert_eq!(ends(&mut child), Some(1));
    let said = Said::of(child.wait_with_output().expect("ends"));
    assert!(said.err.trim_end().ends_with("[interrupted]"), "{said:?}");
    assert_eq!(bench.state("s"), "released");
    assert_eq!(bench.done(&["cat", "s"]).out, "1\n");
}

#[test]
fn a_reader_that_takes_nothing_does_not_hold_the_journal() {
    let bench = Bench::new();
    let mut child = bench.spawn(&["--json", "append", "--create", "s", "--durability", "written"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    // Acknowledgements fill the pipe, and nobody takes them.
    let feed = std::thread::spawn(move || while stdin.write_all(&b"x\n".repeat(1000)).is_ok() {});
    wait_until("some records", || {
        bench.journal("s").exists() && bench.done(&["cat", "s"]).out.len() > 2000
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&child, "-TERM");
    assert!(ends(&mut child).is_some());
    feed.join().expect("ends");
    assert_eq!(bench.state("s"), "released");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let bench = Bench::new();
    bench.session("s", &"line\n".repeat(30_000));
    for args in [&["cat", "s"][..], &["--json", "cat", "s"], &["export", "s"]] {
        let mut child = bench.spawn(args);
        let mut first = [0; 4];
        child.stdout.take().expect("a pipe").read_exact(&mut first).expect("reads");
        assert_eq!(ends(&mut child), Some(0), "{args:?}");
        let said = Said::of(child.wait_with_output().expect("ends"));
        assert_eq!(said.err, "", "{args:?}");
    }
    let mut child = bench.spawn(&["append", "s"]);
    drop(child.stdout.take());
    writeln!(child.stdin.as_mut().expect("a pipe"), "x").expect("takes a line");
    assert_eq!(ends(&mut child), Some(0));
    assert_eq!(bench.state("s"), "released");
}

#[test]
fn a_gap_is_told_once_while_following() {
    let bench = Bench::new();
    bench.session("s", &"line\n".repeat(20));
    let journal = std::fs::File::options().write(true).open(bench.journal("s")).expect("opens");
    journal.set_len(5000).expect("cuts it");
    let mut child = bench.spawn(&["--json", "tail", "-f", "--gaps", "-n", "0", "s"]);
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut said = vec![answers.next().expect("a line").expect("reads")];
    // The opening behind the gap is there before any record is.
    assert_eq!(bench.run(&["repair", "s"]).code, Some(1));
    assert_eq!(bench.feed(&["append", "s"], "next\n").code, Some(0));
    while !said.last().is_some_and(|line: &String| line.contains("next")) {
        said.push(answers.next().expect("a line").expect("reads"));
    }
    signal(&child, "-INT");
    assert_eq!(ends(&mut child), Some(1));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("\"gap\":true"), "{said:?}");
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let bench = Bench::new();
    bench.session("s", "1\n");
    for args in [&["cat", "s"][..], &["ls"], &["export", "s"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("opens");
        let said = Said::of(bench.command(args).stdout(full).output().expect("runs"));
        said.fails(5, "no-space");
    }
}

#[test]
fn a_full_disk_is_an_error_and_not_the_end_of_what_was_stored() {
    let bench = Bench::new();
    bench.session("s", "kept\n");
    // The file size limit raises SIGXFSZ, which would kill a program that does not care.
    let script = "ulimit -f 64; exec \"$0\" append s";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sjournal")])
        .env_clear()
        .env("SESSION_JOURNAL_STORE", bench.path("store"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(&b"x".repeat(1 << 20));
    drop(stdin);
    Said::of(child.wait_with_output().expect("ends")).fails(5, "no-space");
    assert_eq!(bench.feed(&["append", "s"], "more\n").code, Some(0));
    assert_eq!(bench.done(&["cat", "s"]).out, "kept\nmore\n");
}

#[test]
fn an_import_that_was_killed_or_stopped_is_finished_by_the_next() {
    // Enough to be caught in the middle of it; what is shorter has no journal before it is whole.
    let count = if cfg!(debug_assertions) { 40_000 } else { 800_000 };
    for (name, code) in [("-KILL", None), ("-TERM", Some(1))] {
        let bench = Bench::new();
        let text = "x".repeat(500);
        let line = format!("{{\"type\":\"message\",\"message\":{{\"content\":\"{text}\"}}}}\n");
        let lines = line.repeat(count);
        bench.write("big.jsonl", &lines);
        let mut child = bench.spawn(&["import", "big.jsonl"]);
        wait_until("some records", || {
            std::fs::metadata(bench.journal("big")).is_ok_and(|journal| journal.len() > 1 << 18)
        });
        signal(&child, name);
        assert_eq!(ends(&mut child), code);
        if code.is_some() {
            Said::of(child.wait_with_output().expect("ends")).fails(1, "interrupted");
            assert_eq!(bench.state("big"), "released");
        }
        let report = &bench.done(&["--json", "import", "big.jsonl"]).json()[0];
        assert_eq!(report["outcome"], "extended");
        assert!(bench.done(&["export", "big"]).out == lines);
    }
}
