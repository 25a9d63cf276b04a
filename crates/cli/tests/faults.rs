//! `sjournal serve` on files and disks that are not as they should be: what it answers, and how it goes
//! on when they are mended.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use support::Bench;
use support::gateway::{Gateway, command};

fn append(gateway: &Gateway, session: &str, query: &str, text: &str) -> (u16, Value) {
    let target = format!("/v1/sessions/a%2F{session}/records{query}");
    gateway.ask("POST", &target, Some(&json!({ "payload": text, "key": text })))
}

/// Without a key: where damage may hide keys, one that is not found may have been stored before.
fn plain(gateway: &Gateway, session: &str, text: &str) -> (u16, Value) {
    let target = format!("/v1/sessions/a%2F{session}/records");
    gateway.ask("POST", &target, Some(&json!({ "payload": text })))
}

fn refused((status, answer): (u16, Value)) -> (u16, String) {
    (status, answer["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned())
}

fn payloads(gateway: &Gateway, session: &str) -> Vec<String> {
    let target = format!("/v1/sessions/a%2F{session}/records?limit=1000");
    let (status, page) = gateway.ask("GET", &target, None);
    assert_eq!(status, 200, "{page}");
    let records = page["records"].as_array().expect("records").iter();
    records.map(|one| one["payload"].as_str().expect("a text").to_owned()).collect()
}

/// Runs a program; what it complains of.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A file system that goes when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn by(program: &str, arguments: &[&str], at: &Path) -> Result<Self, String> {
        fs::create_dir(at).expect("a folder");
        run(program, &[arguments, &[text(at)]].concat())?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if run("umount", &[text(&self.0)]).is_err() {
            let _ = run("umount", &["--lazy", text(&self.0)]);
        }
    }
}

/// Also where the test passes.
fn skip(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

#[test]
fn a_session_that_needs_repair_is_served_again_once_it_was_repaired() {
    let bench = Bench::new();
    let store = bench.path("store");
    let gateway = Gateway::start(command(&store, &[]));
    let mut offsets = Vec::new();
    for word in ["one", "two", "three"] {
        let (status, stored) = append(&gateway, "s", "?create=true", word);
        assert_eq!(status, 200, "{stored}");
        offsets.push(stored["offset"].as_u64().expect("a number"));
    }
    assert_eq!(append(&gateway, "well", "?create=true", "one").0, 200);
    gateway.signal("-KILL");
    gateway.end();
    // A record in the middle is damaged, and the end is torn.
    let file = OpenOptions::new().write(true).open(bench.journal("a/s")).expect("opens");
    file.write_all_at(&[0xff; 8], offsets[1] + 80).expect("writes");
    let length = file.metadata().expect("is there").len();
    file.write_all_at(b"half a frame", length).expect("writes");
    drop(file);
    let damaged = fs::read(bench.journal("a/s")).expect("reads");

    let gateway = Gateway::start(command(&store, &["--no-auto-repair"]));
    let claim = "/v1/sessions/a%2Fs/claim?takeover=always";
    for (status, answer) in [plain(&gateway, "s", "four"), gateway.ask("POST", claim, None)] {
        assert_eq!((status, &answer["code"]), (409, &json!("needs-repair")), "{answer}");
        assert_eq!(answer["report"]["damage"][0]["first_seq"], 2, "{answer}");
        assert_eq!(answer["report"]["records_lost"], 1);
        assert_eq!(answer["report"]["torn"][0]["bytes"], 12);
        assert!(answer["next"].as_str().is_some_and(|next| next.contains("repair")), "{answer}");
    }
    assert_eq!(payloads(&gateway, "s"), ["one", "three"], "it can be read");
    assert_eq!(append(&gateway, "well", "", "two").0, 200, "the others are served");
    assert!(fs::read(bench.journal("a/s")).expect("reads") == damaged, "nobody wrote to it");

    let repaired = bench.run(&["--json", "repair", "a/s"]);
    let said = repaired.object();
    assert_eq!((&said["applied"], &said["damage"][0]["first_seq"]), (&json!(true), &json!(2)));
    // The same gateway, as it stands.
    let (status, stored) = plain(&gateway, "s", "four");
    assert_eq!((status, &stored["seq"]), (200, &json!(4)), "{stored}");
    assert_eq!(payloads(&gateway, "s"), ["one", "three", "four"]);
    assert_eq!(append(&gateway, "s", "", "three").1["duplicate"], true);
    assert_eq!(refused(append(&gateway, "s", "", "two")), (500, "unknown".to_owned()));
    let (status, stored) = append(&gateway, "s", "?ignore_gaps=true", "two");
    assert_eq!((status, &stored["seq"], &stored["duplicate"]), (200, &json!(5), &json!(false)));
    let (_, history) = gateway.ask("GET", "/v1/sessions/a%2Fs/history", None);
    let repairs = history["events"].as_array().expect("events").iter();
    let repairs: Vec<_> = repairs.filter(|one| one["event"] == "repair").collect();
    assert_eq!(repairs.len(), 1, "{history}");
    assert_eq!(repairs[0]["report"]["records_lost"], 1);
    let after = fs::read(bench.journal("a/s")).expect("reads");
    // Behind the header page only what is new was written.
    assert!(after[4096..].starts_with(&damaged[4096..]), "nothing was overwritten");
}

#[test]
fn a_file_system_that_may_lie_is_read_and_not_written() {
    let bench = Bench::new();
    let (store, there) = (bench.path("store"), bench.path("fuse"));
    bench.session("a/s", "one\n");
    let mounted = Mounted::by("bindfs", &[text(&store)], &there);
    let _mounted = match mounted {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    let gateway = Gateway::start(command(&there, &[]));
    for session in ["s", "new"] {
        let answer = append(&gateway, session, "?create=true", "two");
        assert_eq!(refused(answer), (500, "unsupported-filesystem".to_owned()));
    }
    let answer = gateway.ask("POST", "/v1/sessions", Some(&json!({ "agent": "a" })));
    assert_eq!(refused(answer), (500, "unsupported-filesystem".to_owned()));
    assert_eq!(payloads(&gateway, "s"), ["one"], "it can be read");
    gateway.signal("-TERM");
    assert_eq!(gateway.end().0, Some(0));
    assert_eq!(bench.state("a/s"), "released");
}

/// A disk that is thinner than it says: an ext4 in a file for which there is not enough room. A write
/// goes well, and its sync fails, as on a medium that is worn out.
struct ThinDisk {
    // Dropped in this order.
    _disk: Mounted,
    _room: Mounted,
    store: PathBuf,
    ballast: PathBuf,
}

impl ThinDisk {
    fn new(bench: &Bench) -> Result<Self, String> {
        let at = bench.path("room");
        let room = Mounted::by("mount", &["-t", "tmpfs", "-o", "size=24m", "thin"], &at)?;
        let image = at.join("image");
        let file = fs::File::create_new(&image).expect("creates");
        file.set_len(64 << 20).expect("grows");
        // Without a journal of its own the file system stays writable when a block is lost.
        run("mkfs.ext4", &["-q", "-O", "^has_journal", "-E", "nodiscard", text(&image)])?;
        let options = ["-o", "loop,errors=continue", text(&image)];
        let disk = Mounted::by("mount", &options, &bench.path("disk"))?;
        Ok(Self {
            store: bench.path("disk").join("store"),
            ballast: at.join("ballast"),
            _disk: disk,
            _room: room,
        })
    }

    /// From now on no new block reaches the medium.
    fn fill(&self) {
        run("sync", &["-f", text(self.store.parent().expect("a folder"))]).expect("syncs");
        let mut ballast = fs::File::create(&self.ballast).expect("creates");
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(&self.ballast).expect("removes");
    }
}

/// An append that wants blocks of its own, under a key.
fn append_large(gateway: &Gateway, session: &str, key: &str) -> (u16, Value) {
    let target = format!("/v1/sessions/a%2F{session}/records");
    gateway.ask("POST", &target, Some(&json!({ "payload": large(key), "key": key })))
}

fn large(key: &str) -> String {
    format!("{key} {}", "x".repeat(20_000))
}

#[test]
fn a_sync_that_fails_is_unknown_then_poisoned_and_nothing_acknowledged_is_lost() {
    const SESSIONS: usize = 12;
    const PRODUCERS: usize = 12;
    let bench = Bench::new();
    let disk = match ThinDisk::new(&bench) {
        Ok(disk) => disk,
        Err(why) => return skip(&why),
    };
    let gateway = Gateway::start(command(&disk.store, &[]));
    let name = |at: usize| format!("s{at}");
    for at in 0..SESSIONS {
        assert_eq!(append(&gateway, &name(at), "?create=true", "first").0, 200);
    }
    disk.fill();
    let (mut acknowledged, mut codes) = (Vec::new(), BTreeSet::new());
    for at in 0..SESSIONS {
        thread::scope(|scope| {
            let produce = |key: String| (append_large(&gateway, &name(at), &key), key);
            let start = |n: usize| scope.spawn(move || produce(format!("{at}-{n}")));
            let producers: Vec<_> = (0..PRODUCERS).map(start).collect();
            for producer in producers {
                let (answer, key) = producer.join().expect("asks");
                if answer.0 == 200 {
                    acknowledged.push((at, key));
                } else {
                    codes.insert(refused(answer));
                }
            }
        });
    }
    let is = |status: u16, code: &str| codes.contains(&(status, code.to_owned()));
    assert!(is(500, "unknown") && is(503, "poisoned"), "{codes:?}");
    let known = [(500, "unknown"), (503, "poisoned"), (500, "io"), (507, "no-space")];
    assert!(codes.iter().all(|(status, code)| known.contains(&(*status, code))), "{codes:?}");
    let metrics = gateway.text("/metrics");
    assert!(metrics.contains("session_journal_poisonings_total{"), "{metrics}");

    disk.make_room();
    // The same gateway takes them again, asked or not, and appends what may be missing.
    for at in 0..SESSIONS {
        for n in 0..PRODUCERS {
            let (status, answer) = append_large(&gateway, &name(at), &format!("{at}-{n}"));
            assert_eq!(status, 200, "{answer}");
            let is_acknowledged = acknowledged.contains(&(at, format!("{at}-{n}")));
            assert!(!is_acknowledged || answer["duplicate"] == true, "it was lost: {answer}");
        }
        let mut stored = payloads(&gateway, &name(at));
        assert_eq!(stored.remove(0), "first");
        stored.sort();
        let mut wanted: Vec<_> = (0..PRODUCERS).map(|n| large(&format!("{at}-{n}"))).collect();
        wanted.sort();
        assert!(stored == wanted, "each is there once");
    }
    gateway.signal("-TERM");
    let (code, errors) = gateway.end();
    assert!(code == Some(0) && !errors.contains("panicked"), "{errors}");
}

/// A disk that stops: whoever writes waits, and goes on when it goes on.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn new(at: &'a Path) -> Result<Self, String> {
        run("fsfreeze", &["--freeze", text(at)]).map(|()| Self(at))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["--unfreeze", text(self.0)]);
    }
}

/// G1: storage never stands in the way of whoever does not wait for it.
#[test]
fn a_disk_that_hangs_holds_up_only_who_writes() {
    const SESSIONS: usize = 40;
    let bench = Bench::new();
    let disk = match ThinDisk::new(&bench) {
        Ok(disk) => disk,
        Err(why) => return skip(&why),
    };
    let gateway = Gateway::start(command(&disk.store, &[]));
    let name = |at: usize| format!("s{at}");
    for at in 0..SESSIONS {
        assert_eq!(append(&gateway, &name(at), "?create=true", "first").0, 200);
    }
    let at = bench.path("disk");
    let frozen = match Frozen::new(&at) {
        Ok(frozen) => frozen,
        Err(why) => return skip(&why),
    };
    thread::scope(|scope| {
        // More than the engine has threads, on sessions that are open and on new ones.
        let gateway = &gateway;
        let write = |session: String| {
            scope.spawn(move || append(gateway, &session, "?create=true", "second"))
        };
        let sessions = (0..SESSIONS).map(name).chain((0..4).map(|at| format!("new{at}")));
        let writers: Vec<_> = sessions.map(write).collect();
        // All of them have come in.
        while !gateway.text("/metrics").contains("session_journal_connections 45\n") {
            thread::yield_now();
        }
        for _ in 0..20 {
            assert_eq!(gateway.ask("GET", "/healthz", None).0, 200);
            for at in 0..SESSIONS {
                assert_eq!(payloads(gateway, &name(at)).first().expect("one"), "first");
            }
        }
        assert!(!writers.iter().any(thread::ScopedJoinHandle::is_finished), "they wait");
        drop(frozen);
        for writer in writers {
            let (status, answer) = writer.join().expect("asks");
            assert_eq!((status, &answer["durable"]), (200, &json!(true)), "{answer}");
        }
    });
    gateway.signal("-TERM");
    assert_eq!(gateway.end().0, Some(0));
}
