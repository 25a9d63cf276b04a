//! What a scene plays on: files in memory, a host whose clock and randomness are counted, stores of one
//! or several processes, and a look at what was stored in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_journal::{
    Appended, Durability, Host, Incarnation, Liveness, NewRecord, Options, Owner, Reader, Rejected,
    Session, SessionName, Store, StoreOptions,
};
use shuttle::thread;

use super::disk::{MemoryDisk, step};

/// Each look at the clock moves it on by so much.
const TICK_MS: i64 = 1;

/// The process's share of the machine. Owners that are not retired are alive.
#[derive(Debug)]
struct CountedHost {
    pid: u32,
    machine: Machine,
}

#[derive(Debug, Default)]
struct Facts {
    now_ms: AtomicI64,
    drawn: AtomicU64,
    alive: Mutex<BTreeSet<[u8; 16]>>,
}

/// See the module. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) disk: MemoryDisk,
    facts: Arc<Facts>,
    /// A real folder, for a store makes its own; nothing is put into it.
    folder: PathBuf,
}

impl Host for CountedHost {
    fn now_ms(&self) -> i64 {
        self.machine.facts.now_ms.fetch_add(TICK_MS, Ordering::Relaxed)
    }

    /// `SplitMix64` over a counter.
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            let drawn = self.machine.facts.drawn.fetch_add(1, Ordering::Relaxed);
            let mut mixed = drawn.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = mixed.to_le_bytes()[7];
        }
        Ok(())
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        let mut incarnation = [0; 16];
        self.fill_random(&mut incarnation)?;
        self.machine.facts.alive.lock().unwrap().insert(incarnation);
        Ok(Owner {
            incarnation: Incarnation::from_bytes(incarnation),
            host: "explored".to_owned(),
            boot_id: *b"boot-of-a-test-0",
            pid: self.pid,
            pid_namespace: 1,
            start_ticks: 1,
            started_ms: 0,
            program: "schedules".to_owned(),
            label: label.to_owned(),
        })
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        step();
        let alive = self.machine.facts.alive.lock().unwrap();
        if alive.contains(&owner.incarnation.to_bytes()) { Liveness::Alive } else { Liveness::Gone }
    }

    /// Slowly: it may be the last that a dropped handle does.
    fn retire(&self, owner: &Owner) {
        thread::yield_now();
        self.machine.facts.alive.lock().unwrap().remove(&owner.incarnation.to_bytes());
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn pause(&self, _: Duration) {
        thread::yield_now();
    }

    fn run_aside(&self, job: Box<dyn FnOnce() + Send>) {
        drop(thread::spawn(job));
    }
}

pub(crate) fn name() -> SessionName {
    named("a")
}

pub(crate) fn named(id: &str) -> SessionName {
    SessionName::new(None, id).unwrap()
}

pub(crate) fn record(text: &str) -> NewRecord {
    NewRecord::new(text.to_owned())
}

impl Machine {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, ..Self::default() }
    }

    pub(crate) fn options(&self, pid: u32) -> Options {
        let host = CountedHost { pid, machine: self.clone() };
        Options { disk: Arc::new(self.disk.clone()), host: Arc::new(host), ..Options::default() }
    }

    /// The options of most scenes: two threads, so that turns meet.
    pub(crate) fn settings(&self, pid: u32) -> StoreOptions {
        let journal = self.options(pid);
        StoreOptions { journal, threads_max: 2, ..StoreOptions::default() }
    }

    /// The store as a process opens it.
    pub(crate) fn store(&self, pid: u32) -> Store {
        self.store_with(self.settings(pid))
    }

    pub(crate) fn store_with(&self, settings: StoreOptions) -> Store {
        Store::open(&self.folder, settings).unwrap()
    }

    /// What a journal holds, in order.
    pub(crate) fn texts(&self, store: &Store, name: &SessionName) -> Vec<String> {
        let reader = Reader::open_with(store.path_of(name), Arc::new(self.disk.clone())).unwrap();
        let texts = reader.records().map(|record| {
            let record = record.unwrap();
            String::from_utf8(record.payload.to_vec()).unwrap()
        });
        texts.collect()
    }

    /// What an acknowledgement promises at the moment at which it is heard.
    pub(crate) fn heard(&self, session: &Session, appended: &Appended) {
        assert!(session.last_sequence() >= appended.sequence, "it is published by then");
        assert!(!appended.duplicate, "no key was given");
        if appended.durable {
            assert!(session.durable_through() >= appended.sequence, "published as durable");
            let synced = self.disk.is_synced(session.path(), appended.offset.get());
            assert!(synced, "it is called durable, and was not synced");
        }
    }
}

/// What the producers of one journal were told, by their names. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Told {
    /// A producer was told of a record of its own.
    pub(crate) fn stored(&self, producer: &str, text: &str) {
        let mut told = self.0.lock().unwrap();
        told.entry(producer.to_owned()).or_default().push(text.to_owned());
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Each record that was acknowledged is there, once, in its producer's order; besides them only
    /// those are there that may be.
    pub(crate) fn check(&self, texts: &[String], may_be: &[&str]) {
        let told = self.0.lock().unwrap();
        for (producer, stored) in told.iter() {
            let of_producer: Vec<&String> =
                texts.iter().filter(|text| stored.contains(text)).collect();
            assert_eq!(of_producer, stored.iter().collect::<Vec<_>>(), "{producer}: in {texts:?}");
        }
        let known: BTreeSet<&String> = told.values().flatten().collect();
        let mut seen = BTreeSet::new();
        for text in texts {
            assert!(seen.insert(text), "{text} is there twice: {texts:?}");
            let expected = known.contains(text) || may_be.contains(&text.as_str());
            assert!(expected, "nobody was told of {text}: {texts:?}");
        }
    }
}

/// Sync soon, for scenes that are about that.
pub(crate) fn written_soon_synced(options: Options) -> Options {
    let sync_interval = Duration::from_millis(5);
    Options { durability: Durability::Written, sync_interval, ..options }
}

/// Why a record was not stored.
pub(crate) fn kind(refused: &Rejected) -> session_journal::ErrorKind {
    refused.error.kind()
}
