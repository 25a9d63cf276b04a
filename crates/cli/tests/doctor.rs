//! `sjournal doctor` on real folders: what it says of locks, damage and lists, and that it leaves no
//! trace.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;
use support::{Bench, Said, fixtures, has};

/// Everything that could change in a folder: names, bytes, times of change, permissions.
type Trace = BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)>;

fn trace(root: &Path) -> Trace {
    let mut all = Trace::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = path.symlink_metadata().expect("is there");
        let mut bytes = Vec::new();
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("reads");
            waiting.extend(entries.map(|entry| entry.expect("reads").path()));
        } else {
            bytes = fs::read(&path).expect("reads");
        }
        let times = (metadata.mtime(), metadata.mtime_nsec());
        all.insert(path, (bytes, times.0, times.1, metadata.mode()));
    }
    all
}

/// A copy of fixtures, below the bench's folder `in`.
fn copied(bench: &Bench, from: &str) -> PathBuf {
    let (from, to) = (fixtures(from), bench.path("in"));
    fs::create_dir_all(to.parent().expect("a folder")).expect("makes folders");
    let done = Command::new("cp").arg("-R").arg(&from).arg(&to).status().expect("cp runs");
    assert!(done.success());
    to
}

/// What doctor says of a folder; the folder stays as it was, and no store is made.
fn examined(bench: &Bench, path: &Path) -> (Said, Vec<Value>) {
    let before = trace(path);
    let said = bench.run(&["--json", "doctor", path.to_str().expect("text")]);
    assert!(trace(path) == before, "it changed something");
    assert!(!bench.path("store").exists(), "it made a store");
    let findings = said.json();
    for finding in &findings {
        has(finding, &["path", "severity", "code", "what", "next"]);
        assert_ne!((&finding["what"], &finding["next"]), (&"".into(), &"".into()), "{finding}");
    }
    (said, findings)
}

/// The one finding about the file of this name that is not a note of the import's.
fn of<'a>(findings: &'a [Value], name: &str) -> &'a Value {
    let mut about = findings.iter().filter(|finding| {
        let path = finding["path"].as_str().expect("text");
        path.ends_with(name)
    });
    let one = about.next().unwrap_or_else(|| panic!("nothing about {name}: {findings:?}"));
    assert_eq!(about.next(), None, "one finding about {name}");
    one
}

fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["code"].as_str().expect("text")).collect()
}

const ID: &str = "019e49c3-6399-7382-b980-bcecae987428.jsonl";

#[test]
fn every_lock_is_explained() {
    let bench = Bench::new();
    let folder = copied(&bench, "damaged/lock");
    let (said, findings) = examined(&bench, &folder);
    assert_eq!(said.code, Some(1));
    for (name, code, why) in [
        ("dead-pid", "lock-dead-owner", "process 999999999, which made it at 2026-05-21"),
        ("garbage", "lock-broken", "no JSON with a pid"),
        ("empty-payload", "lock-broken", "it is empty"),
    ] {
        let finding = of(&findings, &format!("{name}/{ID}.lock"));
        assert_eq!(finding["code"], code, "{finding}");
        assert!(finding["what"].as_str().expect("text").contains(why), "{finding}");
        assert!(finding["next"].as_str().expect("text").contains("rm "), "{finding}");
    }
    let plain = bench.run(&["doctor", folder.to_str().expect("text")]).out;
    assert!(plain.contains("[lock-dead-owner]") && plain.contains("next: "), "{plain}");
}

/// A process of ours, gone with it.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("starts"))
    }

    fn start_ticks(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(19)?.parse().ok()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().expect("is there");
        self.0.wait().expect("ends");
    }
}

fn now() -> String {
    let seconds = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(seconds.expect("date runs").stdout).expect("text").trim().to_owned()
}

#[test]
fn a_live_a_late_and_a_recycled_owner_are_told_apart() {
    let bench = Bench::new();
    let sleeper = Sleeper::start();
    let template = fixtures(&format!("damaged/lock/own-pid/{ID}.lock.template"));
    let template = fs::read_to_string(template).expect("reads");
    let template = template.replace("@PID@", &sleeper.0.id().to_string());
    let lock = |name: &str, text: String| {
        bench.write(&format!("in/{name}.jsonl"), "{}\n");
        bench.write(&format!("in/{name}.jsonl.lock"), text);
    };
    let at = |time: &str| template.replace("@NOW@", time);
    lock("held", at(&now()));
    lock("before", at("2026-05-21T09:10:00.000Z"));
    let mut known = 0;
    if let Some(ticks) = sleeper.start_ticks() {
        let with = |text: String, ticks: u64| {
            text.replace("300000", &format!("300000,\n  \"starttime\": {ticks}"))
        };
        lock("late", with(at("2026-05-21T09:10:00.000Z"), ticks));
        lock("recycled", with(at(&now()), ticks + 1));
        known = 1;
    } else {
        support::skip("no start times of processes here");
    }
    let (said, findings) = examined(&bench, &bench.path("in"));
    assert_eq!(said.code, Some(known), "{findings:?}");
    let code = |name: &str| of(&findings, &format!("{name}.jsonl.lock"))["code"].clone();
    assert_eq!(code("held"), "lock-held");
    if known == 1 {
        assert_eq!(code("before"), "lock-recycled-pid");
        assert_eq!(code("late"), "lock-overdue");
        assert_eq!(code("recycled"), "lock-recycled-pid");
        let what = &of(&findings, "recycled.jsonl.lock")["what"];
        assert!(what.as_str().expect("text").contains("(sleep)"), "{what}");
    }
}

#[test]
fn each_damaged_transcript_is_named_with_what_would_be_saved() {
    let bench = Bench::new();
    let folder = copied(&bench, "damaged");
    let (said, findings) = examined(&bench, &folder);
    assert_eq!(said.code, Some(1));
    for (name, code, severity) in [
        ("torn-tail/in-key.jsonl", "torn", "error"),
        ("nul/tail-to-page.jsonl", "nul", "error"),
        ("header/missing.jsonl", "header-missing", "error"),
        ("encoding/ff-in-text.jsonl", "not-utf8", "error"),
        ("duplicate/id-reused.jsonl", "id-again", "warning"),
        ("torn-tail/no-newline.jsonl", "no-line-feed", "warning"),
        ("empty/zero-bytes.jsonl", "empty", "note"),
    ] {
        let is_it = |finding: &&Value| {
            finding["code"] == code && finding["path"].as_str().expect("text").ends_with(name)
        };
        let finding = findings.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {code}"));
        assert_eq!(finding["severity"], severity, "{finding}");
        if code != "empty" {
            let bytes = fs::metadata(folder.join(name)).expect("is there").len();
            let saved = format!("an import saves all {bytes} bytes");
            assert!(finding["what"].as_str().expect("text").contains(&saved), "{finding}");
        }
    }
    let is_twice = |finding: &Value| {
        finding["code"] == "remark" && finding["what"].as_str().expect("text").starts_with("line")
    };
    assert!(!findings.iter().any(is_twice), "{findings:?}");
    let torn = findings.iter().find(|finding| finding["code"] == "torn").expect("is there");
    assert!(torn["what"].as_str().expect("text").contains("1 as they are"), "{torn}");
}

#[test]
fn lists_and_files_that_do_not_agree_are_named_both_ways() {
    let bench = Bench::new();
    let folder = copied(&bench, "damaged/folder/registry-names-missing-file");
    bench.write("in/agents/main/sessions/lost.jsonl", "{\"type\":\"session\",\"id\":\"lost\"}\n");
    bench.write("in/agents/other/sessions/sessions.json", "[1]");
    let (said, findings) = examined(&bench, &folder);
    assert_eq!(said.code, Some(1));
    let coded = |code: &str| {
        let mut all = findings.iter().filter(|finding| finding["code"] == code);
        let first = all.next().unwrap_or_else(|| panic!("no {code}: {findings:?}"));
        assert_eq!(all.next(), None, "one {code}");
        first
    };
    let entry = coded("entry-without-file");
    assert!(entry["path"].as_str().expect("text").ends_with("sessions.json"), "{entry}");
    assert!(entry["what"].as_str().expect("text").contains("is not there"), "{entry}");
    let file = coded("file-without-entry");
    assert!(file["path"].as_str().expect("text").ends_with("lost.jsonl"), "{file}");
    assert_eq!(coded("registry-broken")["severity"], "error");
}

#[test]
fn a_gateways_whole_tree_is_explained_and_an_import_of_it_is_weighed() {
    let bench = Bench::new();
    let folder = copied(&bench, "sessions/openclaw-2026.5.26/agents");
    let (_, findings) = examined(&bench, &folder);
    let lock = of(&findings, "-topic-42.jsonl.lock");
    assert!(lock["code"].as_str().expect("text").starts_with("lock-"), "{lock}");
    let needs = findings.last().expect("a last one");
    assert_eq!((&needs["code"], &needs["severity"]), (&"import-needs".into(), &"note".into()));
    let what = needs["what"].as_str().expect("text");
    assert!(what.contains("reads 18 sources") && what.contains("bytes are needed"), "{what}");
    assert!(needs["next"].as_str().expect("text").starts_with("sjournal import /"), "{needs}");
}

#[test]
fn a_folder_without_findings_ends_well_and_one_that_is_not_there_does_not() {
    let bench = Bench::new();
    let session = fixtures("sessions/pi-0.73.1");
    let whole = fs::read_dir(&session).expect("reads").map(|entry| entry.expect("reads").path());
    let whole: Vec<_> =
        whole.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    let first = whole.iter().min().expect("a fixture");
    bench.write("in/a.jsonl", fs::read(first).expect("reads"));
    let (said, findings) = examined(&bench, &bench.path("in"));
    assert_eq!((said.code, codes(&findings)), (Some(0), vec!["import-needs"]));
    bench.run(&["doctor", "none"]).fails(4, "not-found");
}

#[test]
fn without_a_path_it_looks_at_what_the_home_folder_holds() {
    let bench = Bench::new();
    bench.write("home/.openclaw/agents/main/sessions/a.jsonl", "{\"torn");
    let run = |home: PathBuf| {
        Said::of(bench.command(&["--json", "doctor"]).env("HOME", home).output().expect("runs"))
    };
    let said = run(bench.path("home"));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(codes(&said.json()).contains(&"torn"), "{said:?}");
    run(bench.path("")).fails(4, "not-found");
}
