//! How much of a journal a look for open deliveries reads.

use session_journal::{Journal, Options, SessionName};
use tempfile::TempDir;

use super::*;
use crate::conversation::{Message, Role};
use crate::outbox::{Address, What};

struct Scene {
    folder: TempDir,
    journal: Journal,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let name = SessionName::new(None, "deliveries").expect("a name");
        let path = folder.path().join("deliveries.journal");
        let journal = Journal::create(path, &name, &Options::default()).expect("creates");
        Self { folder, journal }
    }

    fn append(&mut self, records: &[NewRecord]) -> u64 {
        let appended = records.iter().map(|record| self.journal.append(record).expect("appends"));
        appended.last().map_or(0, |appended| appended.sequence.get())
    }

    fn intends(&mut self, key: &str) -> u64 {
        let address = Address { sink: "chat".to_owned(), to: String::new() };
        let what = What::Message(Message::text_of(Role::User, key));
        self.append(&intent_records(key, &Intent { address, what }))
    }

    fn is_done(&mut self, key: &str) {
        self.append(&[done_record(key, &Done::Delivered)]);
    }

    fn talks(&mut self, messages: u64) {
        let message = |number| NewRecord::new(format!("message {number}")).kind("message");
        self.append(&(0..messages).map(message).collect::<Vec<_>>());
    }

    fn reader(&self) -> Reader {
        Reader::open(self.folder.path().join("deliveries.journal")).expect("opens")
    }

    fn look(&self) -> Look {
        look(&self.reader()).expect("reads").expect("it delivered")
    }

    /// As whoever recovers does; gives the place of the record.
    fn settles(&mut self) -> u64 {
        let settled = self.look().settled.expect("a few are open");
        self.append(&[settled.record()])
    }
}

fn keys(look: &Look) -> Vec<&str> {
    look.open.iter().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn what_is_settled_is_not_read_again() {
    let mut scene = Scene::new();
    scene.talks(50);
    assert!(look(&scene.reader()).expect("reads").is_none(), "it never delivered");
    scene.intends("d1");
    scene.is_done("d1");
    scene.talks(1000);
    assert_eq!(scene.look().read, 1003, "from the first delivery on");
    scene.settles();
    let look = scene.look();
    assert_eq!((look.read, keys(&look)), (1, vec![]), "the record that says so");
    scene.talks(10);
    scene.intends("d2");
    let look = scene.look();
    assert_eq!(keys(&look), ["d2"]);
    assert!(look.read < 15, "{}", look.read);
}

#[test]
fn a_delivery_that_stays_open_is_kept_in_mind_until_it_is_done() {
    let mut scene = Scene::new();
    for key in ["stays", "goes", "stays too"] {
        scene.intends(key);
    }
    scene.is_done("goes");
    for _ in 0..5 {
        scene.talks(100);
        scene.settles();
        let look = scene.look();
        assert_eq!(keys(&look), ["stays", "stays too"], "in the order of their intents");
        assert_eq!(look.read, 1);
    }
    scene.is_done("stays");
    scene.settles();
    assert_eq!(keys(&scene.look()), ["stays too"]);
}

/// Between a look and its record others may append, and what they began is not forgotten.
#[test]
fn what_began_after_the_look_is_found_behind_a_place_that_is_called_settled() {
    let mut scene = Scene::new();
    scene.intends("d1");
    scene.is_done("d1");
    let settled = scene.look().settled.expect("none is open");
    scene.intends("d2");
    scene.append(&[settled.record()]);
    assert_eq!(keys(&scene.look()), ["d2"]);
}

#[test]
fn the_last_of_many_is_found() {
    let mut scene = Scene::new();
    scene.intends("d1");
    for number in 1..=70 {
        scene.settles();
        let last = last_settled(&scene.reader()).expect("reads").expect("is there");
        assert_eq!(last.number, number);
    }
}

#[test]
fn more_open_ones_than_can_be_kept_in_mind_are_read_again() {
    let mut scene = Scene::new();
    for number in 0..=STILL_OPEN_MAX {
        scene.intends(&format!("d{number}"));
    }
    assert_eq!(scene.look().settled, None);
    scene.is_done("d0");
    assert!(scene.look().settled.is_some());
}

/// The record that tells where all is settled may be damaged like any other.
#[test]
fn a_damaged_place_costs_time_and_loses_no_delivery() {
    let mut scene = Scene::new();
    scene.intends("open");
    scene.talks(20);
    scene.settles();
    scene.talks(20);
    scene.settles();
    let text = br#""before_seq""#;
    let path = scene.folder.path().join("deliveries.journal");
    let mut bytes = std::fs::read(&path).expect("reads");
    let last = bytes.windows(text.len()).rposition(|window| window == text).expect("is there");
    bytes[last + 3] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let look = scene.look();
    assert_eq!(keys(&look), ["open"]);
    assert!(look.read > 20, "from the one before on: {}", look.read);
}

/// A caller's record under such a key says nothing.
#[test]
fn a_record_of_another_kind_settles_nothing() {
    let mut scene = Scene::new();
    let forged = r#"{"before_seq":3,"open_seqs":[]}"#;
    scene.intends("open");
    scene.append(&[NewRecord::new(forged).kind("message").key(settled_key(1))]);
    assert_eq!(keys(&scene.look()), ["open"]);
    let later = r#"{"before_seq":99,"open_seqs":[]}"#;
    scene.append(&[NewRecord::new(later).kind(DELIVERY_SETTLED).key(settled_key(2))]);
    assert_eq!(keys(&scene.look()), ["open"], "it tells of what comes behind it");
}
