//! `sjournal storm`: short ones always, a long one where `SESSION_JOURNAL_LONG` says so. Each prints
//! its seed and how to replay it. No time is judged here.

mod support;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;
use support::{Bench, Said, has, signal, skip, wait_until};

/// A seed by chance, or the one that is to be replayed.
#[allow(clippy::print_stdout, reason = "how to replay it")]
fn seed() -> String {
    let named = std::env::var("SESSION_JOURNAL_SEED").ok();
    let seed = named.unwrap_or_else(|| RandomState::new().hash_one("storm").to_string());
    let variables = ["SESSION_JOURNAL_LONG", "SESSION_JOURNAL_STORM_SECONDS"];
    let set = variables.map(|name| std::env::var(name).map(|value| format!("{name}={value} ")));
    let set: String = set.into_iter().flatten().collect();
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    println!(
        "seed {seed}; replay with {set}SESSION_JOURNAL_SEED={seed} cargo test -p session-journal-cli --test storm {test}"
    );
    seed
}

/// A storm whose folder is within the bench.
fn storm(bench: &Bench, arguments: &[&str]) -> Said {
    let mut command = bench.command(&["--json", "storm"]);
    fs::create_dir_all(bench.path("tmp")).expect("makes a folder");
    command.args(arguments).env("TMPDIR", bench.path("tmp"));
    Said::of(command.output().expect("runs"))
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|one| one.expect("reads").file_name().to_string_lossy().into_owned()).collect()
}

/// Everything that was promised about data is kept, and something happened at all.
fn must_keep_its_promises(journal: &Value) {
    assert_eq!(journal["findings"], Value::Array(Vec::new()), "{journal}");
    for never in [
        "missing",
        "doubled",
        "disordered",
        "heartbeats_missing",
        "turns_lost",
        "sends_wrong",
        "send_answers_wrong",
        "announcements_wrong",
        "lock_waits",
    ] {
        assert_eq!(number(journal, never), 0, "{never}: {journal}");
    }
    assert_eq!(number(journal, "found"), number(journal, "acknowledged"));
    for always in ["acknowledged", "heartbeats", "turns_answered", "sends", "children", "killed"] {
        assert!(number(journal, always) > 0, "{always}: {journal}");
    }
    let taken = number(journal, "crashed") + number(journal, "taken");
    assert!(taken > 0, "a killed gateway's sessions are taken: {journal}");
}

#[test]
fn a_short_storm_on_both_schemes_is_accounted_for_and_leaves_nothing() {
    let (bench, seed) = (Bench::new(), seed());
    let report = bench.path("report.jsonl");
    let report = report.to_str().expect("text");
    let arguments = ["--seconds", "12", "--agents", "16", "--compress", "300"];
    let more = ["--scheme", "both", "--seed", &seed, "--report", report];
    let said = storm(&bench, &[&arguments[..], &more].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let reports = said.json();
    let [journal, locks] = &reports[..] else { panic!("two reports: {said:?}") };
    assert_eq!((&journal["scheme"], &locks["scheme"]), (&"journal".into(), &"locks".into()));
    must_keep_its_promises(journal);
    for one in [journal, locks] {
        has(
            one,
            &[
                "gaps_ms",
                "writes_ms",
                "unwritable_max_ms",
                "late_max_ms",
                "memory_most_bytes",
                "memory_growth_bytes",
                "memory_session_bytes",
                "forks",
                "replay",
            ],
        );
        let replay = one["replay"].as_str().expect("text");
        assert!(replay.contains(&format!("--seed {seed} --seconds 12 --agents 16")), "{replay}");
        assert!(number(one, "turns_answered") > 0 && number(one, "killed") > 0, "{one}");
    }
    assert!(number(locks, "acknowledged") > 0, "{locks}");
    assert_eq!(fs::read_to_string(report).expect("a report"), said.out);
    assert_eq!(left(&bench.path("tmp")), [""; 0], "its folder is gone");
}

#[test]
fn a_promise_about_time_that_cannot_be_kept_ends_with_one_and_the_command_to_replay() {
    let bench = Bench::new();
    let arguments = ["--seconds", "1", "--agents", "2", "--seed", "7", "--unwritable-max-ms", "0"];
    let said = storm(&bench, &arguments);
    assert_eq!(said.code, Some(1), "{said:?}");
    let replay = "sjournal storm --seed 7 --seconds 1 --agents 2 --compress 60 --scheme journal --unwritable-max-ms 0";
    assert!(said.err.contains(replay), "{said:?}");
    assert_eq!(said.object()["in_time"], false);
}

/// The processes whose command line names this folder. One that ended has none.
fn processes(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.to_str().expect("text");
    let pids = fs::read_dir("/proc").expect("a list").flatten().map(|one| one.path());
    let names = |pid: &PathBuf| fs::read(pid.join("cmdline")).unwrap_or_default();
    let is_of_it = |pid: &PathBuf| String::from_utf8_lossy(&names(pid)).contains(folder);
    pids.filter(is_of_it).collect()
}

/// A storm whose gateways serve, and the folder for what it makes. A process that was only just started does
/// not say yet with whom it dies.
fn storm_of_ten_minutes(bench: &Bench, scheme: &str) -> (PathBuf, Child) {
    let folder = bench.path("tmp");
    fs::create_dir_all(&folder).expect("makes a folder");
    let mut command = bench.command(&["storm", "--seconds", "600", "--scheme", scheme]);
    command.args(["--agents", "4"]).env("TMPDIR", &folder);
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("starts");
    wait_until("both gateways", || processes(&folder).len() == 2);
    wait_until("a session", || {
        let stores = left(&folder).into_iter().map(|storm| folder.join(storm).join("store"));
        stores.filter_map(|store| fs::read_dir(store).ok()).flatten().next().is_some()
    });
    (folder, child)
}

fn is_stopped(pid: &Path) -> bool {
    fs::read_to_string(pid.join("stat")).is_ok_and(|stat| stat.contains(") T "))
}

/// Whoever replays the incident may be killed as well, and nobody is left to kill its gateways.
#[test]
fn the_gateways_of_a_storm_that_is_killed_are_gone_with_it_also_while_they_are_stopped() {
    for (scheme, stopped) in [("journal", false), ("journal", true), ("locks", true)] {
        let bench = Bench::new();
        let (folder, mut child) = storm_of_ten_minutes(&bench, scheme);
        // The storm itself may let one go on that was stopped here.
        while stopped && !processes(&folder).iter().all(|pid| is_stopped(pid)) {
            for pid in processes(&folder) {
                let pid = pid.file_name().expect("a number");
                let sent = Command::new("kill").arg("-STOP").arg(pid).status();
                assert!(sent.expect("kill runs").success());
            }
        }
        child.kill().expect("killed");
        child.wait().expect("ends");
        wait_until("no gateway", || processes(&folder).is_empty());
        assert_eq!(left(&folder).len(), 1, "{scheme}: nobody is left to remove its folder");
    }
}

#[test]
fn a_gateway_whose_parent_is_gone_already_does_not_start() {
    let bench = Bench::new();
    // No system gives this pid away.
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--dies-with", "4194304"];
    let mut child = bench.spawn(&arguments);
    let mut ended = None;
    wait_until("its end", || {
        ended = child.try_wait().expect("asked");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(5));
}

#[test]
fn a_signal_ends_a_storm_and_its_gateways_and_leaves_nothing() {
    for scheme in ["journal", "locks"] {
        let bench = Bench::new();
        let (folder, mut child) = storm_of_ten_minutes(&bench, scheme);
        signal(&child, "-INT");
        let code = child.wait().expect("ends").code();
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.trim_end().ends_with("[interrupted]"), "{said}");
        wait_until("no gateway", || processes(&folder).is_empty());
        assert_eq!(left(&folder), [""; 0], "{scheme}: its folder is gone");
    }
}

#[test]
fn its_help_shows_examples_and_not_the_command_of_its_own_gateways() {
    let bench = Bench::new();
    let help = bench.done(&["storm", "--help"]).out;
    assert!(help.contains("Examples:\n  ") && help.contains("--json"), "{help}");
    let all = bench.done(&["--help"]).out;
    assert!(all.contains("storm") && !all.contains("storm-locks"), "{all}");
}

#[test]
fn what_cannot_be_stormed_is_refused() {
    let bench = Bench::new();
    for arguments in [["--agents", "1"], ["--seconds", "0"], ["--compress", "0"]] {
        assert_eq!(storm(&bench, &arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the figures are the result")]
fn a_long_storm_keeps_its_promises() {
    if std::env::var_os("SESSION_JOURNAL_LONG").is_none() {
        skip(
            "set SESSION_JOURNAL_LONG=1, and SESSION_JOURNAL_STORM_SECONDS for another time than ten minutes",
        );
        return;
    }
    let seconds = std::env::var("SESSION_JOURNAL_STORM_SECONDS").unwrap_or_else(|_| "600".into());
    let (bench, seed) = (Bench::new(), seed());
    let said = storm(&bench, &["--seconds", &seconds, "--agents", "200", "--seed", &seed]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let journal = said.object();
    println!("{journal:#}");
    must_keep_its_promises(&journal);
    assert_eq!(left(&bench.path("tmp")), [""; 0], "its folder is gone");
}
