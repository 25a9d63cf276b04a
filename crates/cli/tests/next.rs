//! What to do next: where it is a command it can be pasted, whatever the names in it are.

mod support;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use session_journal::{Journal, NewRecord};
use session_journal_import::ImportOptions;
use support::{Bench, Said, fixtures};

/// The store; a shell has to be told what it is.
const STORE: &str = "the 'store'";

/// Checks every answer's next step, and counts the commands by their first word.
struct Pasting<'a> {
    bench: &'a Bench,
    commands: BTreeMap<String, usize>,
}

impl Pasting<'_> {
    /// Runs a command on the store, and pastes each next step that is one.
    fn run(&mut self, args: &[&str]) -> Said {
        let said = self.bench.run(&[&["--json", "--store", STORE], args].concat());
        let answers = said.json();
        assert!(!answers.is_empty(), "{args:?}: {said:?}");
        for answer in answers.iter().filter(|answer| !answer["next"].is_null()) {
            let next = answer["next"].as_str().expect("text");
            assert_ne!(next, "", "{answer}");
            if next.starts_with("sjournal") {
                self.paste(next);
            }
        }
        said
    }

    fn paste(&mut self, line: &str) {
        let words = words(line);
        let parsed = session_journal_cli::records_of(&words, std::io::empty(), 1);
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
        assert_eq!(words[1..3], ["--store", STORE], "{line}");
        let verb = words[3].to_str().expect("text").to_owned();
        *self.commands.entry(verb).or_default() += 1;
        let program = Path::new(env!("CARGO_BIN_EXE_sjournal")).parent().expect("a folder");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.bench.path("")).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin", program.display()));
        let said = Said::of(shell.output().expect("runs"));
        // What somebody holds is refused again; but it is no wrong usage, and what it names is there.
        assert!(matches!(said.code, Some(0 | 1 | 3)), "{line}: {said:?}");
    }
}

/// The words that a shell makes of a line.
fn words(line: &str) -> Vec<OsString> {
    let line = format!("printf '%s\\0' {line}");
    let said = Command::new("sh").args(["-c", &line]).output().expect("a shell").stdout;
    let words = said.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let mut words: Vec<_> = words.collect();
    words.pop();
    words
}

/// Sources whose names mean something to a shell, or to the program.
fn odd_names(bench: &Bench) {
    let names: [&[u8]; 9] = [
        b"in/-dash.jsonl",
        b"in/it's $HOME.jsonl",
        b"in/b\xff.jsonl",
        b"in/c\nd.jsonl",
        b"in/\x1b[31m.jsonl",
        b"in/~.jsonl",
        b"in/no feed.jsonl",
        b"in/not named like one",
        b"-top.jsonl",
    ];
    for name in names {
        let path = bench.path("").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
        let end = if name.ends_with(b"feed.jsonl") { "" } else { "\n" };
        fs::write(path, format!("{{\"type\":\"x\"}}{end}")).expect("writes");
    }
    bench.write("in/empty.jsonl", "");
    bench.write("in/torn.jsonl", "{\"type\":");
    std::os::unix::fs::symlink("it's $HOME.jsonl", bench.path("in/a link")).expect("links");
    std::os::unix::fs::symlink("nowhere", bench.path("in/a dead link")).expect("links");
    let packed = fs::read(fixtures("sqlite/native/openclaw-agent.sqlite.zst")).expect("reads");
    let database = zstd::decode_all(&packed[..]).expect("unpacks");
    bench.write("in/the agent.sqlite", database);
}

#[test]
fn every_next_step_of_an_import_can_be_pasted() {
    let bench = Bench::new();
    odd_names(&bench);
    let mut pasting = Pasting { bench: &bench, commands: BTreeMap::new() };
    let damaged = fixtures("damaged");
    let damaged = damaged.to_str().expect("text");
    pasting.run(&["doctor", "in", damaged]);
    // Some commands of a dry run import.
    pasting.run(&["import", "--dry-run", "in", "./-top.jsonl"]);
    pasting.run(&["import", "in", "./-top.jsonl", "missing.jsonl"]);
    pasting.run(&["import", "--verify", "in", damaged]);
    let sessions = fixtures("sessions/openclaw-2026.5.26");
    pasting.run(&["import", sessions.to_str().expect("text")]);
    pasting.run(&["doctor", sessions.to_str().expect("text")]);
    let commands = &pasting.commands;
    let enough = [("info", 10), ("import", 50), ("ls", 1)];
    assert!(enough.iter().all(|(verb, least)| commands[*verb] >= *least), "{commands:?}");
}

#[test]
fn every_next_step_of_a_way_back_can_be_pasted() {
    let bench = Bench::new();
    odd_names(&bench);
    let mut pasting = Pasting { bench: &bench, commands: BTreeMap::new() };
    for name in ["-gone", "it's gone", "-used", "-held", "-cut"] {
        bench.write(&format!("in/{name}.jsonl"), "{}\n");
    }
    pasting.run(&["import", "in"]);
    for name in ["in/-gone.jsonl", "in/it's gone.jsonl"] {
        fs::remove_file(bench.path(name)).expect("removes");
    }
    let said = bench.feed(&["--store", STORE, "append", "--", "-used"], "mine\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    let options = ImportOptions::default().journal;
    let path = bench.path(STORE).join("-cut.journal");
    let mut cut = Journal::open(path, &options).expect("opens");
    cut.append(&NewRecord::new("{}")).expect("appends");
    cut.close().expect("closes");
    bench.write("in/-held.jsonl", "{}\n{}\n");
    let mut owner = bench.spawn(&["--store", STORE, "append", "--", "-held"]);
    writeln!(owner.stdin.as_mut().expect("a pipe"), "{{}}").expect("takes a line");
    let mut one = [0];
    std::io::Read::read_exact(owner.stdout.as_mut().expect("a pipe"), &mut one).expect("answers");
    let said = pasting.run(&["import", "./in/-held.jsonl"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    pasting.run(&["delete", "--yes", "--", "-held"]);
    pasting.run(&["import", "--rollback", "--dry-run"]);
    let said = pasting.run(&["import", "--rollback"]);
    let kept = said.json().iter().filter(|line| line["outcome"] == "kept").count();
    assert!(kept >= 5, "{said:?}");
    drop(owner.stdin.take());
    owner.wait().expect("ends");
    let commands = &pasting.commands;
    assert!(["info", "import", "export"].iter().all(|verb| commands[*verb] > 1), "{commands:?}");
}

#[test]
fn people_are_told_what_to_do_next_once_for_what_went_well() {
    let bench = Bench::new();
    for name in ["a", "b"] {
        bench.write(&format!("in/{name}.jsonl"), "{\"type\":\"x\"}\n");
    }
    let next = |said: &Said| -> Vec<String> {
        let lines = said.out.lines().filter_map(|line| line.split_once("next: "));
        lines.map(|(_, next)| next.to_owned()).collect()
    };
    assert_eq!(next(&bench.done(&["import", "--dry-run", "in"])), ["sjournal import in"]);
    let said = bench.done(&["--json", "import", "--dry-run", "--format", "pi", "in/a.jsonl", "in"]);
    let steps: Vec<_> = said.json().iter().map(|one| one["next"].clone()).collect();
    let (a, all) =
        ("sjournal import --format pi in/a.jsonl", "sjournal import --format pi in/a.jsonl in");
    assert_eq!((&steps[0], &steps[3]), (&a.into(), &all.into()), "{steps:?}");
    assert_eq!(next(&bench.done(&["import", "in"])), ["sjournal ls"]);
    assert_eq!(next(&bench.done(&["import", "in"])), ["nothing to do"]);
    bench.write("in/c.jsonl", "{\"type\":\"x\"}");
    bench.write("in/notes", "");
    let said = bench.run(&["import", "in", "missing.jsonl"]);
    let expected = ["sjournal info c", "sjournal import in/notes", "check the path", "sjournal ls"];
    assert_eq!(next(&said), expected, "{said:?}");
    let said = bench.done(&["import", "--rollback", "--dry-run", "in"]);
    assert_eq!(next(&said), ["sjournal import --rollback in"]);
    fs::remove_file(bench.path("in/b.jsonl")).expect("removes");
    let said = bench.run(&["import", "--rollback", "in"]);
    assert_eq!(next(&said), ["sjournal export -o b.exported.jsonl b"]);
}
