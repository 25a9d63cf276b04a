//! Appending: keys, batches, conditions, takeovers, limits.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};

use serde_json::Value;

use support::{Bench, Said, fixtures, wait_until};

#[test]
fn a_key_is_stored_once() {
    let bench = Bench::new();
    let lines = "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\"}\n{\"id\":\"a\",\"n\":2}\n";
    let args = ["--json", "append", "--create", "s", "--key-field", "id"];
    let acknowledged = bench.feed(&args, lines).json();
    assert_eq!(acknowledged.len(), 3);
    assert_eq!(acknowledged[2]["duplicate"], true);
    assert_eq!(acknowledged[2]["seq"], 1);
    let again = bench.feed(&args, lines).json();
    assert!(again.iter().all(|one| one["duplicate"] == true), "{again:?}");
    let records = bench.done(&["--json", "cat", "s"]).json();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1]["key"], "b");
}

/// Whoever appends a session's lines once more, as a program does that is not sure, doubles none.
#[test]
fn the_lines_of_an_imported_session_are_not_stored_again() {
    for source in [
        "sessions/pi-0.73.1/branched-tree.jsonl",
        "sessions/pi-0.73.1/agent-tools.jsonl",
        "sessions/openclaw-2026.7.1/side-branch.jsonl",
        "sessions/openclaw-2026.5.26/agents/main/sessions/dc2e48f8-5da7-40af-9f33-51174b529c65.jsonl",
    ] {
        let bench = Bench::new();
        let path = fixtures(source);
        let said = bench.done(&["--json", "import", path.to_str().expect("text")]).json();
        let session = said[0]["session"].as_str().expect("a session");
        let cat = || bench.done(&["--json", "cat", session]).json();
        let before = cat();
        let text = fs::read_to_string(&path).expect("reads");
        // The id in the header is the session's, and no entry's.
        let (header, entries) = text.split_once('\n').expect("has lines");
        assert!(header.contains("\"type\":\"session\""), "{source}");
        let new = "{\"type\":\"message\",\"id\":\"new\"}\n";
        let args = ["--json", "append", session, "--key-field", "id"];
        let mut answers = bench.feed(&args, format!("{entries}{new}")).json();
        let stored = answers.pop().expect("an answer");
        assert_eq!(answers.len(), entries.lines().count(), "{source}");
        for (answer, line) in answers.iter().zip(entries.lines()) {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let imported = before.iter().find(|record| record["key"] == entry["id"]);
            let imported = imported.unwrap_or_else(|| panic!("{source}: {line}"));
            assert_eq!(answer["duplicate"], true, "{source}: {line}");
            assert_eq!(answer["seq"], imported["seq"], "{source}: {line}");
            assert_eq!(imported["kind"], entry["type"], "{source}: {line}");
            assert_eq!(imported["parent"], entry["parentId"], "{source}: {line}");
        }
        assert_eq!(stored.get("duplicate"), None, "{source}: {stored}");
        let after = cat();
        assert_eq!(after[..before.len()], before, "{source}");
        assert_eq!((after.len(), &after[before.len()]["key"]), (before.len() + 1, &"new".into()));
    }
}

#[test]
fn a_line_without_its_key_is_refused_and_the_ones_before_are_stored() {
    let bench = Bench::new();
    let args = ["--json", "append", "--create", "s", "--key-field", "id"];
    let said = bench.feed(&args, "{\"id\":\"a\"}\n{\"n\":1}\n{\"id\":\"c\"}\n");
    said.fails(2, "invalid");
    assert!(said.err.contains("line 2"), "{}", said.err);
    assert_eq!(said.json().len(), 1);
    assert_eq!(bench.done(&["cat", "s"]).out.lines().count(), 1);
    assert_eq!(bench.state("s"), "released");
}

#[test]
fn a_batch_is_all_or_nothing() {
    let bench = Bench::new();
    let args = ["--json", "append", "--create", "s", "--batch"];
    assert_eq!(bench.feed(&args, "1\n2\n3\n").json().len(), 3);
    let said = bench.feed(&["append", "s", "--batch", "--key-field", "id"], "{\"id\":\"a\"}\n{}\n");
    said.fails(2, "invalid");
    assert_eq!(bench.done(&["cat", "s"]).out, "1\n2\n3\n");
    assert_eq!(bench.feed(&args, "").code, Some(0));
}

#[test]
fn an_expectation_that_fails_stores_nothing() {
    let bench = Bench::new();
    let args = |seq| ["append", "--create", "s", "--expect-seq", seq];
    assert_eq!(bench.feed(&args("0"), "1\n2\n").code, Some(0));
    bench.feed(&args("1"), "3\n").fails(3, "conflict");
    bench.feed(&["append", "s", "--batch", "--expect-seq", "3"], "3\n").fails(3, "conflict");
    assert_eq!(bench.feed(&args("2"), "3\n4\n").code, Some(0));
    assert_eq!(bench.done(&["cat", "s"]).out, "1\n2\n3\n4\n");
}

#[test]
fn written_is_acknowledged_as_written() {
    let bench = Bench::new();
    let args = ["--json", "append", "--create", "s", "--durability", "written"];
    assert_eq!(bench.feed(&args, "1\n").object()["durable"], false);
    assert_eq!(bench.state("s"), "released");
}

#[test]
fn an_owner_that_lives_is_not_robbed_unless_asked_for() {
    let bench = Bench::new();
    let mut owner = Owner::of(&bench, "s", &[]);
    owner.append("1");
    bench.feed(&["append", "s"], "2\n").fails(3, "held-by");
    bench.feed(&["append", "s", "--takeover", "never"], "2\n").fails(3, "held-by");
    bench.run(&["claim", "s"]).fails(3, "held-by");
    let said = bench.feed(&["append", "s", "--takeover", "always"], "2\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    owner.say("3");
    owner.end().fails(3, "fenced");
    assert_eq!(bench.done(&["cat", "s"]).out, "1\n2\n");
}

#[test]
fn a_fenced_owner_can_take_it_back() {
    let bench = Bench::new();
    let mut owner = Owner::of(&bench, "s", &["--on-fenced", "reclaim", "--key-field", "id"]);
    owner.append("{\"id\":\"1\"}");
    let other = ["append", "s", "--takeover", "always", "--key-field", "id"];
    assert_eq!(bench.feed(&other, "{\"id\":\"2\"}\n").code, Some(0));
    assert_eq!(owner.append("{\"id\":\"2\"}")["duplicate"], true);
    assert_eq!(owner.append("{\"id\":\"3\"}")["seq"], 3);
    let said = owner.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(bench.done(&["cat", "s"]).out.lines().count(), 3);
    assert_eq!(bench.state("s"), "released");
}

#[test]
fn acknowledgements_come_while_input_is_open() {
    let bench = Bench::new();
    let mut owner = Owner::of(&bench, "s", &[]);
    for n in 1..=3 {
        assert_eq!(owner.append("x")["seq"], n);
    }
    assert_eq!(bench.state("s"), "open");
    assert_eq!(bench.done(&["cat", "s"]).out, "x\nx\nx\n");
    assert_eq!(owner.end().code, Some(0));
}

#[test]
fn tail_follows() {
    let bench = Bench::new();
    bench.session("s", "1\n2\n");
    let mut tail = bench.spawn(&["tail", "-f", "-n", "1", "s"]);
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("reads");
    assert_eq!(next(), "2");
    bench.session("s", "3\n4\n");
    assert_eq!((next(), next()), ("3".to_owned(), "4".to_owned()));
    support::signal(&tail, "-TERM");
    wait_until("the end of tail", || tail.try_wait().expect("waits").is_some());
    assert_eq!(tail.wait().expect("ends").code(), Some(0));
}

#[test]
fn kinds_of_the_tools_are_refused() {
    let bench = Bench::new();
    let said = bench.feed(&["append", "--create", "s", "--kind", "sj.import"], "1\n");
    said.fails(2, "invalid");
    assert!(!bench.journal("s").exists());
}

#[test]
fn many_lines_are_quick() {
    let bench = Bench::new();
    let lines: String = "{\"n\":1}\n".repeat(20_000);
    let said = bench.feed(&["--json", "append", "--create", "s"], &lines);
    assert_eq!((said.code, said.json().len()), (Some(0), 20_000));
    assert!(bench.done(&["cat", "s"]).out == lines);
}

/// A running `append` that is fed line by line.
struct Owner {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Owner {
    fn of(bench: &Bench, session: &str, more: &[&str]) -> Self {
        let args = [&["--json", "append", "--create", session], more].concat();
        let mut child = bench.spawn(&args);
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, answers }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("takes a line");
    }

    fn append(&mut self, line: &str) -> serde_json::Value {
        self.say(line);
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("answers");
        serde_json::from_str(&answer).expect("an acknowledgement")
    }

    fn end(mut self) -> Said {
        drop(self.child.stdin.take());
        Said::of(self.child.wait_with_output().expect("ends"))
    }
}
