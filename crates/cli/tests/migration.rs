//! Moving in and out, as a user does it: what is offered, verified, reported, taken back, killed on
//! the way, and short of room.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use session_journal::{Journal, NewRecord};
use support::{Bench, Said, fixtures, has, signal, skip};

const SESSIONS: &str = "sessions/openclaw-2026.5.26/agents";

fn openclaw() -> String {
    fixtures(SESSIONS).to_str().expect("text").to_owned()
}

fn summary(said: &Said) -> Value {
    said.json().pop().expect("a summary")
}

/// All files below a folder: their paths from there, and their bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("reads") {
            let path = entry.expect("reads").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let below = path.strip_prefix(root).expect("is below").to_owned();
            files.insert(below, fs::read(&path).expect("reads"));
        }
    }
    files
}

/// Sources of a few dozen KiB each, a line at a time.
fn sources(bench: &Bench, count: usize) {
    for n in 0..count {
        let line = format!(
            "{{\"type\":\"message\",\"id\":\"{n}\",\"text\":\"{}\"}}\n",
            "x".repeat(n % 97)
        );
        bench.write(&format!("in/agents/main/sessions/s{n}.jsonl"), line.repeat(200 + n % 300));
    }
}

#[test]
fn the_whole_tree_goes_in_and_comes_back() {
    let bench = Bench::new();
    let root = openclaw();
    let said = bench.done(&["--json", "import", "--verify", "--report", "report.json", &root]);
    let total = summary(&said);
    assert_eq!((&total["verified"], &total["balanced"]), (&18.into(), &true.into()));
    let sum = total["record_bytes"].as_u64().zip(total["line_feeds"].as_u64());
    assert_eq!(sum.map(|(records, feeds)| records + feeds), total["added_bytes"].as_u64());
    assert!(said.err.contains("are needed") && said.err.contains("are free"), "{}", said.err);
    let report = fs::read(bench.path("report.json")).expect("reads");
    let report: Value = serde_json::from_slice(&report).expect("one JSON text");
    assert_eq!(report["sources"].as_array().map(Vec::len), Some(19));
    assert_eq!(report["summary"], total);
    for source in report["sources"].as_array().expect("a list") {
        has(source, &["source", "outcome", "reason", "next", "damage", "role", "lineage"]);
        assert_ne!(source["reason"], "", "{source}");
        assert_ne!(source["next"], "", "{source}");
    }
    let said = bench.done(&["--json", "export", "--all", "back"]);
    assert_eq!((&summary(&said)["same"], &summary(&said)["failed"]), (&18.into(), &0.into()));
    let mut before = files(Path::new(&root));
    before.retain(|path, _| path.extension().is_none_or(|extension| extension != "lock"));
    assert!(files(&bench.path("back")) == before, "names and bytes");
    bench.run(&["export", "--all", "back"]).fails(2, "invalid");
    let plain = bench.done(&["import", "--verify", &root]);
    assert!(plain.out.contains("every byte is there"), "{}", plain.out);
    assert!(plain.out.contains("exported again, and the same"), "{}", plain.out);
}

#[test]
fn a_session_is_found_by_its_registrys_key_everywhere() {
    let bench = Bench::new();
    bench.done(&["import", &openclaw()]);
    let info = bench.done(&["--json", "info", "agent:main:main"]).object();
    assert_eq!(info["session"], "main/17ab289f-68e8-4b07-a159-10809da821db");
    assert_eq!(info["session_key"], "agent:main:main");
    let known = &info["attributes"];
    has(known, &["role", "source", "title", "agent", "channel", "model", "counters", "lineage"]);
    assert_eq!(
        (&known["model"], &known["counters"]["outputTokens"]),
        (&"scripted".into(), &20.into())
    );
    let plain = bench.done(&["info", "agent:main:main"]).out;
    assert!(plain.contains("reset-from") && plain.contains("inputTokens 1009"), "{plain}");
    for args in [&["cat"][..], &["tail"], &["export"], &["history"], &["verify"], &["claim"]] {
        bench.done(&[args, &["agent:main:project-b"]].concat());
    }
    let said = bench.feed(&["append", "agent:main:project-b"], "{\"type\":\"note\"}\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    bench.run(&["info", "agent:main:nobody"]).fails(4, "not-found");
    let listed = bench.done(&["--json", "ls", "agent:main:project-b"]).json();
    let keys: Vec<_> = listed.iter().map(|one| one["session_key"].as_str()).collect();
    assert!(keys.len() >= 2 && keys.iter().all(Option::is_some), "{keys:?}");
    assert!(bench.done(&["ls"]).out.contains("agent:main:telegram:group:-1001:topic:42"));
}

#[test]
fn a_session_is_found_by_the_id_in_its_header() {
    let bench = Bench::new();
    let id = "01a20321-6956-7f7e-98c9-b6b217c9f849";
    let name = format!("2026-11-22T12-00-51-030Z_{id}");
    let header = format!("{{\"type\":\"session\",\"version\":3,\"id\":\"{id}\",\"cwd\":\"/w\"}}\n");
    bench.write(&format!("in/{name}.jsonl"), &header);
    bench.done(&["import", "in"]);
    let info = bench.done(&["--json", "info", id]).object();
    assert_eq!(info["session"], *name);
    assert_eq!(bench.done(&["export", id]).bytes, header.as_bytes());
    bench.run(&["info", &id[1..]]).fails(4, "not-found");
}

/// Two files that claim one id both arrive; asked for by it, one of them was taken without a word, and
/// appended to.
#[test]
fn an_id_that_two_sources_state_is_refused_with_both_names() {
    let bench = Bench::new();
    for file in ["one", "two"] {
        bench.write(&format!("in/{file}.jsonl"), "{\"type\":\"session\",\"id\":\"same\"}\n");
    }
    bench.done(&["import", "in"]);
    for said in [bench.run(&["info", "same"]), bench.feed(&["append", "same"], "x\n")] {
        said.fails(2, "invalid");
        assert!(said.err.contains("one") && said.err.contains("two"), "{}", said.err);
    }
    bench.done(&["info", "one"]);
}

/// The beginning of a name won over the id that another session states.
#[test]
fn what_is_meant_exactly_wins_over_the_beginning_of_a_name() {
    let bench = Bench::new();
    let header = |id: &str| format!("{{\"type\":\"session\",\"version\":3,\"id\":\"{id}\"}}\n");
    let folder = "agents/main/sessions";
    let registry = r#"{"whole":{"sessionId":"by-key","sessionFile":"by-key.jsonl"},
        "exact":{"sessionId":"by-key-2","sessionFile":"by-key-2.jsonl"}}"#;
    bench.write(&format!("{folder}/sessions.json"), registry);
    for (file, id) in [
        ("by-key", "other"),
        ("by-key-2", "another"),
        ("by-id", "abc"),
        ("abc-and-more", "abc-too"),
        ("whole-and-more", "x"),
        ("by-id-2", "whole"),
        ("exact", "y"),
        ("by-id-3", "exact"),
    ] {
        bench.write(&format!("{folder}/{file}.jsonl"), header(id));
    }
    bench.done(&["import", "agents"]);
    let found = |text: &str| {
        let session = bench.done(&["--json", "info", text]).object()["session"].clone();
        session.as_str().expect("text").strip_prefix("main/").expect("its agent").to_owned()
    };
    assert_eq!(found("abc"), "by-id", "an id before the beginning of a name");
    assert_eq!(found("abc-"), "abc-and-more", "nothing else begins so");
    assert_eq!(found("abc-too"), "abc-and-more");
    assert_eq!(found("whole"), "by-key", "a key before an id and the beginning of a name");
    assert_eq!(found("exact"), "exact", "a name before a key and an id");
    assert_eq!(found("main/abc"), "abc-and-more");
    bench.run(&["info", "by-"]).fails(2, "invalid");
}

#[test]
fn history_walks_from_fork_to_parent() {
    let bench = Bench::new();
    bench.done(&["import", &openclaw()]);
    let all = bench.done(&["--json", "history", "agent:main:rotated"]).json();
    let steps: Vec<_> = all.iter().filter(|one| one["event"] == "lineage").collect();
    assert_eq!(
        (&steps[0]["relation"], &steps[1]["relation"]),
        (&"fork-of".into(), &"continues".into())
    );
    for step in &steps {
        let to = "main/2026-11-22T12-00-51-030Z_01a20321-6956-7f7e-98c9-b6b217c9f849";
        assert_eq!(step["to"], to, "{step}");
    }
    assert!(all.iter().any(|one| one["event"] == "opening"));
    let plain = bench.done(&["history", "agent:main:main"]).out;
    assert!(plain.contains("reset-from") && plain.contains("(by its time)"), "{plain}");
}

#[test]
fn without_a_path_it_offers_what_the_home_folder_holds() {
    let bench = Bench::new();
    bench.write("home/.openclaw/agents/main/sessions/a.jsonl", "{}\n");
    bench.write("home/.pi/agent/sessions/--w--/b.jsonl", "{}\n");
    let home = bench.path("home");
    let run =
        |args: &[&str]| Said::of(bench.command(args).env("HOME", &home).output().expect("runs"));
    let said = run(&["import"]);
    said.fails(2, "invalid");
    assert!(said.out.contains(".openclaw") && said.out.contains(".pi"), "{}", said.out);
    assert!(said.err.contains("--yes"), "{}", said.err);
    assert!(!bench.path("store").exists());
    let said = run(&["--json", "import", "--yes"]);
    assert_eq!((said.code, &summary(&said)["imported"]), (Some(0), &2.into()));
    let empty = bench.path("");
    let said = Said::of(bench.command(&["import"]).env("HOME", empty).output().expect("runs"));
    said.fails(4, "not-found");
}

#[test]
fn an_import_is_taken_back_only_where_nothing_is_lost() {
    let bench = Bench::new();
    for name in ["same", "gone", "grown", "rewritten", "used"] {
        bench.write(&format!("in/{name}.jsonl"), format!("{{\"n\":\"{name}\"}}\n"));
    }
    bench.done(&["import", "in"]);
    bench.session("own", "mine\n");
    fs::remove_file(bench.path("in/gone.jsonl")).expect("removes");
    bench.write("in/grown.jsonl", "{\"n\":\"grown\"}\nmore\n");
    bench.write("in/rewritten.jsonl", "{\"n\":\"x\"}\n");
    bench.feed(&["append", "used"], "mine\n");
    let said = bench.run(&["--json", "import", "--rollback", "--dry-run"]);
    assert_eq!((said.code, &summary(&said)["removed"]), (Some(1), &2.into()));
    assert!(bench.journal("same").exists(), "a dry run");
    let said = bench.run(&["--json", "import", "--rollback"]);
    let total = summary(&said);
    assert_eq!((said.code, &total["removed"], &total["kept"]), (Some(1), &2.into(), &3.into()));
    for line in said.json().iter().filter(|line| line["outcome"] == "kept") {
        assert_ne!((&line["reason"], &line["next"]), (&"".into(), &"".into()), "{line}");
    }
    let is_there =
        ["same", "gone", "grown", "rewritten", "used", "own"].map(|n| bench.journal(n).exists());
    assert_eq!(is_there, [false, true, false, true, true, true]);
    bench.done(&["import", "in"]);
    let said = bench.run(&["--json", "import", "--rollback", "in/same.jsonl"]);
    assert_eq!(summary(&said)["removed"], 1, "only what came from there");
}

#[test]
fn a_journal_whose_import_was_cut_short_is_kept_until_it_is_whole() {
    let bench = Bench::new();
    let source = "{\"n\":1}\n{\"n\":2}\n";
    bench.write("in/cut.jsonl", source);
    fs::create_dir_all(bench.path("store")).expect("makes a folder");
    let options = session_journal_import::ImportOptions::default().journal;
    let name = "cut".parse().expect("a name");
    let journal = Journal::create(bench.journal("cut"), &name, &options);
    let mut journal = journal.expect("makes a journal");
    journal.append(&NewRecord::new("{\"n\":1}")).expect("appends");
    journal.close().expect("closes");
    bench.session("own", "mine\n");
    let said = bench.run(&["--json", "import", "--rollback"]);
    let [line, total] = &said.json()[..] else { panic!("{said:?}") };
    assert_eq!((said.code, &line["outcome"], &total["kept"]), (Some(1), &"kept".into(), &1.into()));
    assert_eq!(line["reason"], "its import was cut short");
    assert_eq!(line["next"], "import its source once more, then run this again");
    assert!(bench.journal("cut").exists());
    // Nothing tells where it is from, so it is listed whatever is named.
    bench.write("other/a.jsonl", "{}\n");
    bench.write("in/b.jsonl", "{}\n");
    bench.done(&["import", "other", "in/b.jsonl"]);
    let said = bench.run(&["--json", "import", "--rollback", "in/b.jsonl"]);
    let all = said.json();
    let outcomes: Vec<_> = all.iter().map(|one| (&one["session"], &one["outcome"])).collect();
    let expected = [("b", "removed"), ("cut", "kept")].map(|(s, o)| (s.into(), o.into()));
    assert_eq!(outcomes[..2], expected.each_ref().map(|(s, o): &(Value, Value)| (s, o)));
    assert_eq!((all.len(), said.code), (3, Some(1)), "{said:?}");
    assert!(bench.journal("a").exists(), "it is from elsewhere");
    bench.done(&["import", "in"]);
    assert_eq!(bench.done(&["export", "cut"]).out, source);
    let said = bench.done(&["--json", "import", "--rollback"]);
    assert_eq!((&summary(&said)["removed"], &summary(&said)["kept"]), (&3.into(), &0.into()));
    assert!(!bench.journal("cut").exists() && bench.journal("own").exists());
}

#[test]
fn clean_pi_lines_leave_damage_out_and_name_it() {
    let bench = Bench::new();
    let torn = fixtures("damaged/torn-tail/in-key.jsonl");
    bench.done(&["import", torn.to_str().expect("text")]);
    let said = bench.run(&["export", "in-key", "--format", "pi"]);
    assert_eq!((said.code, said.out.lines().count()), (Some(1), 8), "{said:?}");
    assert!(said.err.contains("line 9: not JSON"), "{}", said.err);
    let said = bench.run(&["export", "in-key", "--format", "pi", "-o", "clean.jsonl"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    bench.done(&["import", "clean.jsonl"]);
    assert_eq!(bench.done(&["export", "clean", "--format", "pi"]).out.lines().count(), 8);
}

#[test]
fn a_dry_run_says_how_much_room_is_needed() {
    let bench = Bench::new();
    bench.write("in/a.jsonl", "{}\n");
    let said = bench.done(&["import", "--dry-run", "in"]);
    assert!(said.err.contains("are needed, ") && said.err.contains("are free"), "{}", said.err);
    assert!(!bench.path("store").exists());
}

/// Killed again and again: every journal that is there is sound, and the last run completes it all.
#[test]
fn an_import_of_many_that_is_killed_on_the_way_is_completed() {
    let bench = Bench::new();
    sources(&bench, 300);
    let mut pause = 20;
    for _ in 0..10 {
        let mut child = bench.spawn(&["--json", "import", "in"]);
        // It may end before: then it had time enough, and the next pause is shorter.
        std::thread::sleep(Duration::from_millis(pause));
        if child.try_wait().expect("looks").is_none() {
            signal(&child, "-KILL");
            pause += pause / 2;
        } else {
            pause /= 2;
        }
        child.wait().expect("ends");
        bench.done(&["verify", "--all"]);
    }
    let said = bench.done(&["--json", "import", "--verify", "in"]);
    let total = summary(&said);
    assert_eq!((&total["sources"], &total["verified"]), (&300.into(), &300.into()));
    assert_eq!(fs::read_dir(bench.path("store/main")).expect("reads").count(), 300, "none twice");
    bench.done(&["export", "--all", "back"]);
    assert!(files(&bench.path("back")) == files(&bench.path("in")));
}

/// A small disk of its own, gone with it.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, size: &str) -> Result<Self, String> {
        fs::create_dir_all(&at).expect("makes a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(&at);
        let output = command.output().map_err(|error| format!("mount cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(Self(at));
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

#[test]
fn a_disk_that_fills_up_half_way_leaves_whole_journals_and_the_next_run_goes_on() {
    let bench = Bench::new();
    let _disk = match Disk::mount(bench.path("store"), "3m") {
        Ok(disk) => disk,
        Err(why) => return skip(&format!("no small disk here: {why}")),
    };
    sources(&bench, 100);
    let ballast = bench.write("store/ballast", vec![0; 1 << 20]);
    let said = bench.run(&["import", "in"]);
    said.fails(5, "no-space");
    assert!(said.err.contains("are needed, and"), "{}", said.err);
    assert!(!bench.path("store/main").exists(), "told before it began");
    let said = bench.run(&["--json", "import", "--ignore-space", "in"]);
    let total = summary(&said);
    assert_eq!(said.code, Some(1), "{total}");
    assert!(total["imported"].as_u64() > Some(0) && total["failed"].as_u64() > Some(0), "{total}");
    for line in said.json().iter().filter(|line| line["outcome"] == "failed") {
        assert_eq!(line["code"], "no-space", "{line}");
    }
    for line in said.json().iter().filter(|line| line["outcome"] == "imported") {
        let source = fs::read(bench.path(line["source"].as_str().expect("text"))).expect("reads");
        let session = line["session"].as_str().expect("text");
        assert!(bench.done(&["export", session]).bytes == source, "{line}");
    }
    let stored = fs::read_dir(bench.path("store/main")).expect("reads").count() as u64;
    assert_eq!(Some(stored), total["imported"].as_u64(), "whole journals only");
    fs::remove_file(ballast).expect("removes");
    for n in 60..100 {
        fs::remove_file(bench.path(&format!("in/agents/main/sessions/s{n}.jsonl")))
            .expect("removes");
    }
    let said = bench.run(&["--json", "import", "--ignore-space", "--verify", "in"]);
    assert_eq!(said.code, Some(0), "{:?}", summary(&said));
    assert_eq!(summary(&said)["verified"], 60);
}

#[test]
fn an_import_beside_a_writer_converges_with_a_second_run() {
    let bench = Bench::new();
    sources(&bench, 20);
    let folder = bench.path("in/agents/main/sessions");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut n = 0;
        while stopped.try_recv().is_err() {
            let path = folder.join(format!("s{}.jsonl", n % 20));
            let mut file = fs::OpenOptions::new().append(true).open(path).expect("opens");
            std::io::Write::write_all(&mut file, format!("{{\"n\":{n}}}\n").as_bytes())
                .expect("writes");
            n += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    for _ in 0..5 {
        bench.done(&["--json", "import", "in"]);
    }
    stop.send(()).expect("is there");
    writer.join().expect("ends");
    bench.done(&["--json", "import", "in"]);
    let said = bench.done(&["--json", "import", "--verify", "in"]);
    assert_eq!(
        (&summary(&said)["unchanged"], &summary(&said)["verified"]),
        (&20.into(), &20.into())
    );
    bench.done(&["export", "--all", "back"]);
    assert!(files(&bench.path("back")) == files(&bench.path("in")));
}
