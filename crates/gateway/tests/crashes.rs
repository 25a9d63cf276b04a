//! `kill -9` between every pair of steps of a turn, of a delivery and of the beginning of a child, at
//! each passing of each point that the code names. After it: nothing was delivered that no record
//! holds. After running again: everything is there once, and the same as if nothing had happened.
//!
//! `cargo test -p session-journal-gateway --features failpoints --test crashes`. A failure names the
//! point; replay it with `SESSION_JOURNAL_FAILPOINT=POINT:N` and the program `failpoint-scenario`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use session_journal::{Reader, Store, StoreOptions};
use session_journal_gateway::conversation::{DRAFT, Message};
use session_journal_gateway::failpoint::{Point, VARIABLE};
use tempfile::TempDir;

/// More often than any point is passed.
const PASSINGS_MAX: u32 = 100;

struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn run(&self, failpoint: Option<&str>) -> ExitStatus {
        let mut program = Command::new(env!("CARGO_BIN_EXE_failpoint-scenario"));
        program.args([self.folder.path().join("store"), self.folder.path().join("chat")]);
        program.env_remove(VARIABLE);
        if let Some(failpoint) = failpoint {
            program.env(VARIABLE, failpoint);
        }
        program.status().expect("it runs")
    }

    /// Kind, key and text of every record, by session. Keys of deliveries name the journal's random
    /// id, which is left out; so are drafts: a turn that is run again says it again.
    fn records(&self) -> BTreeMap<String, Vec<String>> {
        let store = Store::open(self.folder.path().join("store"), StoreOptions::default());
        let listed = store.expect("a store").list().expect("listed");
        let ids: Vec<String> =
            listed.iter().map(|one| one.id.expect("sound").to_string()).collect();
        let outline = |path: &Path| {
            let records = Reader::open(path).expect("a journal").records();
            let records = records.map(|record| record.expect("sound"));
            let records = records.filter(|record| record.kind.as_deref() != Some(DRAFT));
            let outlines = records.map(|record| {
                let text = String::from_utf8_lossy(&record.payload).into_owned();
                let line = format!("{:?} {:?} {text}", record.kind, record.key);
                ids.iter().fold(line, |line, id| line.replace(id, "ID"))
            });
            outlines.collect()
        };
        listed.iter().map(|one| (one.name.to_string(), outline(&one.path))).collect()
    }

    /// What the outside world got, by key.
    fn delivered(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("chat")) else {
            return Vec::new();
        };
        let files = files.map(|file| file.expect("a file").path());
        let is_text = |path: &PathBuf| !path.ends_with("attempts") && !path.ends_with("screen");
        let texts = files.filter(is_text);
        texts.map(|path| std::fs::read_to_string(path).expect("text")).collect()
    }

    fn attempts(&self) -> Vec<String> {
        let attempts = std::fs::read_to_string(self.folder.path().join("chat/attempts"));
        attempts.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// B11: every text that somebody saw stands in a record.
    fn nobody_saw_what_no_record_holds(&self, at: &str) {
        let (mut held, mut drafts) = (BTreeSet::new(), BTreeSet::new());
        let store = Store::open(self.folder.path().join("store"), StoreOptions::default());
        for one in store.expect("a store").list().expect("listed") {
            // One that was killed while it was created has no records.
            let Ok(reader) = Reader::open(&one.path) else { continue };
            for record in reader.records().map(|record| record.expect("sound")) {
                held.extend(Message::of(&record).map(|one| one.text()));
                if record.kind.as_deref() == Some(DRAFT) {
                    let said: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
                    drafts.insert(said["text"].as_str().expect("text").to_owned());
                }
            }
        }
        if let Ok(screen) = std::fs::read_to_string(self.folder.path().join("chat/screen")) {
            assert!(drafts.contains(&screen), "{at}: {screen:?} was seen and is in no draft");
        }
        for text in self.delivered() {
            assert!(held.contains(&text), "{at}: {text:?} was delivered and is in no record");
        }
    }

    fn each_delivery_was_tried_twice_at_most(&self, at: &str) {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        self.attempts().into_iter().for_each(|key| *times.entry(key).or_default() += 1);
        assert!(times.values().all(|times| *times <= 2), "{at}: {times:?}");
        assert_eq!(times.len(), self.delivered().len(), "{at}: {times:?}");
    }
}

/// The records of a session may stand in another order where a crash had some of them written later.
fn sorted(records: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let sort = |mut lines: Vec<String>| {
        lines.sort_unstable();
        lines
    };
    records.into_iter().map(|(name, lines)| (name, sort(lines))).collect()
}

#[test]
fn killed_at_any_point_nothing_is_lost_and_nothing_is_there_twice() {
    let undisturbed = World::new();
    assert!(undisturbed.run(None).success());
    let expected = undisturbed.records();
    assert_eq!(expected.len(), 3);
    assert_eq!(undisturbed.delivered(), ["tell ann"; 2]);
    assert!(undisturbed.run(None).success());
    assert_eq!(undisturbed.records(), expected, "run again it does nothing more");

    for point in Point::ALL {
        let passings = (1..=PASSINGS_MAX).take_while(|passing| {
            let at = format!("{}:{passing}", point.name());
            let world = World::new();
            let status = world.run(Some(&at));
            if status.success() {
                return false;
            }
            assert_eq!(status.signal(), Some(9), "{at}: {status}");
            world.nobody_saw_what_no_record_holds(&at);
            assert!(world.run(None).success(), "{at}: it is finished by running again");
            world.nobody_saw_what_no_record_holds(&at);
            world.each_delivery_was_tried_twice_at_most(&at);
            assert_eq!(world.delivered(), ["tell ann"; 2], "{at}");
            assert_eq!(sorted(world.records()), sorted(expected.clone()), "{at}");
            true
        });
        let passings = passings.count();
        assert!(passings > 0, "{}: nobody comes by there", point.name());
    }
}
