//! What every command answers: the fields that scripts rely on.

mod support;

use serde_json::Value;
use support::{Bench, Said, has, wait_until};

const COMMANDS: [&str; 13] = [
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
    "delete",
    "completions",
];

/// Thirty lines, once the spaces are line feeds.
const NUMBERS: &str =
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30";

#[test]
fn every_help_shows_examples() {
    let bench = Bench::new();
    assert!(bench.done(&["--help"]).out.contains("Examples:"));
    for command in COMMANDS {
        let help = bench.done(&[command, "--help"]);
        assert!(help.out.contains("Examples:\n  "), "{command}: {}", help.out);
        assert!(help.out.contains("--json"), "{command}");
    }
    assert!(!bench.path("store").exists());
}

#[test]
fn completions_name_the_commands() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.done(&["completions", shell]).out;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn append_and_cat_give_back_what_came() {
    let bench = Bench::new();
    let lines = "{\"a\":1}\n\n\u{1f600} text\r\nlast without line feed";
    let said = bench.feed(&["--json", "append", "--create", "main/demo", "--kind", "k"], lines);
    assert_eq!(said.code, Some(0), "{said:?}");
    let acknowledged = said.json();
    assert_eq!(acknowledged.len(), 4);
    for (index, one) in acknowledged.iter().enumerate() {
        has(one, &["seq", "generation", "offset", "durable"]);
        assert_eq!(one["seq"], index + 1);
        assert_eq!(one["durable"], true);
        assert!(one.get("duplicate").is_none());
    }
    assert_eq!(bench.done(&["cat", "main/demo"]).out, format!("{lines}\n"));
    let records = bench.done(&["--json", "cat", "main/demo"]).json();
    for record in &records {
        has(record, &["seq", "generation", "time_ms", "kind", "key", "parent", "bytes", "payload"]);
    }
    assert_eq!(records[0]["payload"], "{\"a\":1}");
    assert_eq!((&records[0]["kind"], &records[0]["key"]), (&Value::from("k"), &Value::Null));
}

#[test]
fn cat_takes_parts() {
    let bench = Bench::new();
    bench.session("s", &NUMBERS.replace(' ', "\n"));
    for (args, expected) in [
        (&["cat", "s", "--last", "2"][..], "29\n30\n"),
        (&["cat", "s", "--from", "29"], "29\n30\n"),
        (&["cat", "s", "--from", "5", "--limit", "2"], "5\n6\n"),
        (&["cat", "s", "--from", "31"], ""),
        (&["cat", "s", "--last", "0"], ""),
        (&["tail", "s", "-n", "1"], "30\n"),
    ] {
        assert_eq!(bench.done(args).out, expected, "{args:?}");
    }
    assert_eq!(bench.done(&["tail", "s"]).out.lines().count(), 10);
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let bench = Bench::new();
    bench.feed(&["append", "--create", "s"], b"\xff\xfe\n");
    let record = bench.done(&["--json", "cat", "s"]).object();
    assert_eq!(record["payload_base64"], "//4=");
    assert!(record.get("payload").is_none());
    assert_eq!(bench.done(&["cat", "s"]).bytes, b"\xff\xfe\n");
}

#[test]
fn info_history_and_ls_tell_the_facts() {
    let bench = Bench::new();
    bench.session("main/demo", "one\n");
    let info = bench.done(&["--json", "info", "main/demo"]).object();
    has(
        &info,
        &[
            "session",
            "id",
            "format",
            "generation",
            "state",
            "owner",
            "records",
            "last_seq",
            "bytes",
            "tail",
            "void_bytes",
            "durable_through",
            "torn",
            "damage",
        ],
    );
    assert_eq!(info["session"], "main/demo");
    assert_eq!(info["state"], "released");
    assert_eq!((&info["records"], &info["last_seq"]), (&1.into(), &1.into()));
    let listed = bench.done(&["--json", "ls"]).object();
    has(
        &listed,
        &[
            "session",
            "id",
            "generation",
            "state",
            "owner",
            "records",
            "bytes",
            "created_ms",
            "updated_ms",
            "damaged",
        ],
    );
    assert_eq!((&listed["session"], &listed["damaged"]), (&"main/demo".into(), &false.into()));
    let events = bench.done(&["--json", "history", "main/demo"]).json();
    for event in &events {
        has(
            event,
            &["time_ms", "event", "generation", "previous_generation", "reason", "owner", "report"],
        );
    }
    assert!(events.iter().any(|event| event["event"] == "opening"), "{events:?}");
    for command in ["info", "history"] {
        assert!(!bench.done(&[command, "main/demo"]).out.is_empty());
    }
    assert!(bench.done(&["ls"]).out.starts_with("SESSION"));
}

#[test]
fn info_tells_who_has_it_while_it_is_open() {
    let bench = Bench::new();
    let mut owner = bench.spawn(&["append", "--create", "s", "--label", "day shift"]);
    wait_until("the session", || bench.journal("s").exists());
    wait_until("its owner", || bench.state("s") == "open");
    let info = bench.done(&["--json", "info", "s"]).object();
    has(
        &info["owner"],
        &["incarnation", "host", "boot_id", "pid", "started_ms", "program", "label", "alive"],
    );
    assert_eq!(info["owner"]["pid"], owner.id());
    assert_eq!(
        (&info["owner"]["label"], &info["owner"]["alive"]),
        (&"day shift".into(), &true.into())
    );
    assert!(bench.done(&["info", "s"]).out.contains("day shift"));
    assert!(bench.done(&["ls"]).out.contains("day shift"));
    owner.kill().expect("is killed");
    owner.wait().expect("ends");
    assert_eq!(bench.state("s"), "orphaned");
    assert_eq!(bench.done(&["--json", "claim", "s"]).object()["reason"], "crashed");
}

#[test]
fn claim_takes_the_next_generation_and_releases_it() {
    let bench = Bench::new();
    bench.session("s", "one\n");
    let claim = bench.done(&["--json", "claim", "s", "--label", "night watch"]).object();
    has(&claim, &["session", "generation", "previous_generation", "previous_owner", "reason"]);
    let (new, old) = (claim["generation"].as_u64(), claim["previous_generation"].as_u64());
    assert_eq!(new, old.map(|old| old + 1));
    assert_eq!(claim["reason"], "released");
    assert_eq!(bench.state("s"), "released");
    assert!(bench.done(&["history", "s"]).out.contains("night watch"));
}

#[test]
fn verify_and_repair_of_a_sound_session() {
    let bench = Bench::new();
    bench.session("a", "one\n");
    bench.session("b", "one\ntwo\n");
    let fields = ["session", "ok", "records", "void_bytes", "torn", "damage"];
    let all = bench.done(&["--json", "verify", "--all"]).json();
    assert_eq!(all.len(), 2);
    for one in &all {
        has(one, &fields);
        assert_eq!(one["ok"], true);
    }
    let one = bench.done(&["--json", "verify", "b"]).object();
    assert_eq!((&one["session"], &one["records"]), (&"b".into(), &2.into()));
    let before = std::fs::read(bench.journal("a")).expect("reads");
    let dry = bench.done(&["--json", "repair", "a", "--dry-run"]).object();
    has(&dry, &fields);
    assert_eq!(dry["applied"], false);
    assert!(std::fs::read(bench.journal("a")).expect("reads") == before);
    let repaired = bench.done(&["--json", "repair", "a"]).object();
    assert_eq!((&repaired["applied"], &repaired["ok"]), (&true.into(), &true.into()));
    assert_eq!(bench.state("a"), "released");
}

#[test]
fn damage_is_a_finding() {
    let bench = Bench::new();
    let line = "x".repeat(2000);
    bench.session("s", &format!("{line}\n{line}\n{line}\n"));
    let path = bench.journal("s");
    let mut bytes = std::fs::read(&path).expect("reads");
    let at = bytes.windows(100).position(|part| part.iter().all(|b| *b == b'x')).expect("a record");
    bytes[at + 2500] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let said = bench.run(&["--json", "verify", "s"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let found = said.object();
    assert_eq!(found["ok"], false);
    has(&found["damage"][0], &["offset", "bytes", "first_seq", "records_lost"]);
    assert_eq!(found["damage"][0]["first_seq"], 2);
    bench.run(&["cat", "s"]).fails(1, "corrupt");
    let with_gaps: Said = bench.run(&["cat", "s", "--gaps"]);
    assert_eq!((with_gaps.code, with_gaps.out.lines().count()), (Some(1), 2));
    bench.run(&["export", "s"]).fails(1, "corrupt");
    assert_eq!(bench.run(&["export", "s", "--gaps"]).out.lines().count(), 2);
    assert_eq!(bench.run(&["repair", "s"]).code, Some(1));
    assert_eq!(bench.feed(&["append", "s"], "more\n").code, Some(0));
}

#[test]
fn a_journal_file_or_the_beginning_of_a_name_will_do() {
    let bench = Bench::new();
    bench.session("main/first", "1\n");
    bench.session("main/second", "2\n");
    assert_eq!(bench.done(&["cat", "main/f"]).out, "1\n");
    assert_eq!(bench.done(&["cat", "sec"]).out, "2\n");
    bench.run(&["cat", "main/"]).fails(2, "invalid");
    let path = bench.journal("main/first");
    let path = path.to_str().expect("text");
    assert_eq!(bench.done(&["cat", path]).out, "1\n");
    assert_eq!(bench.done(&["--json", "info", path]).object()["session"], "main/first");
    assert_eq!(bench.done(&["cat", "store/main/first.journal"]).out, "1\n");
    let new = bench.feed(&["append", "--create", "new.journal"], "3\n");
    assert_eq!(new.code, Some(0), "{new:?}");
    assert_eq!(bench.done(&["cat", "./new.journal"]).out, "3\n");
    // The full name of a new session is not taken for the beginning of another.
    bench.session("main/fir", "4\n");
    assert_eq!(bench.done(&["cat", "main/first"]).out, "1\n");
}

#[test]
fn the_store_is_where_the_arguments_say() {
    let bench = Bench::new();
    let said = bench.feed(&["--store", "other", "append", "--create", "s"], "1\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(bench.path("other/s.journal").exists());
    let mut command = bench.command(&["--json", "ls"]);
    command.env_remove("SESSION_JOURNAL_STORE").env("HOME", bench.path("home"));
    let said = Said::of(command.output().expect("runs"));
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(!bench.path("home").exists());
    command.env_remove("HOME");
    Said::of(command.output().expect("runs")).fails(2, "invalid");
}

#[test]
fn plain_answers_have_no_colour_unless_asked_for() {
    let bench = Bench::new();
    bench.session("s", "1\n");
    assert!(!bench.done(&["ls"]).out.contains('\x1b'));
    assert!(bench.done(&["--color", "always", "ls"]).out.contains("\x1b[1m"));
    assert!(!bench.done(&["--color", "always", "--json", "ls"]).out.contains('\x1b'));
}

#[test]
fn a_limit_counts_records_and_no_gaps() {
    let bench = Bench::new();
    damaged(&bench);
    let said = bench.run(&["cat", "s", "--gaps", "--limit", "3"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), "one\nthree\nfour\n"));
}

#[test]
fn tail_goes_on_behind_damage_where_it_is_told_to() {
    let bench = Bench::new();
    damaged(&bench);
    bench.run(&["tail", "s"]).fails(1, "corrupt");
    let said = bench.run(&["tail", "s", "--gaps"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), "one\nthree\nfour\n"));
    let said = bench.run(&["--json", "tail", "s", "--gaps"]);
    assert_eq!((&said.json()[1]["gap"], &said.json()[1]["first_seq"]), (&true.into(), &2.into()));
}

/// A session of four records, the second of which does not verify.
fn damaged(bench: &Bench) {
    bench.session("s", "one\ntwo\nthree\nfour\n");
    let mut bytes = std::fs::read(bench.journal("s")).expect("reads");
    let at = bytes.windows(3).position(|window| window == b"two").expect("is there");
    bytes[at] ^= 1;
    std::fs::write(bench.journal("s"), bytes).expect("writes");
}
