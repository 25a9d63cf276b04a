//! What the tests of the engine share: a folder, a disk that misbehaves, and ways to look at what
//! is in a journal.
#![allow(dead_code, reason = "every test takes what it needs of it")]

pub(crate) mod disk;
pub(crate) mod held_up;
pub(crate) mod power;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, Identity, MAGIC, PAGE_LEN, decode_identity,
};
use session_journal::storage::{Disk, LocalDisk};
use session_journal::{
    AppendOptions, Durability, Expect, Item, Journal, NewRecord, Options, Reader, Record,
    SessionName, Store, StoreOptions, Takeover,
};
use tempfile::TempDir;

use disk::FaultDisk;

/// A temporary folder, a journal's place in it, and the disk of the owner under test.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) disk: FaultDisk,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        Self { folder, path, disk: FaultDisk::new() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Options with the disk that misbehaves.
    pub(crate) fn options(&self) -> Options {
        options_on(&self.disk)
    }

    /// A new journal on the disk that misbehaves.
    pub(crate) fn create(&self) -> Journal {
        self.create_with(&self.options())
    }

    pub(crate) fn create_with(&self, options: &Options) -> Journal {
        Journal::create(&self.path, &name("a"), options).unwrap()
    }

    /// Opens it on the disk that misbehaves.
    pub(crate) fn open(&self) -> session_journal::Result<Journal> {
        Journal::open(&self.path, &self.options())
    }

    /// Takes it, whoever holds it, through a disk of its own.
    pub(crate) fn take_over(&self, label: &str) -> Journal {
        take_over(&self.path, label)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    pub(crate) fn len(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }

    /// File names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        texts(&self.path)
    }
}

pub(crate) fn name(id: &str) -> SessionName {
    SessionName::new(None, id).unwrap()
}

pub(crate) fn options_on(disk: &FaultDisk) -> Options {
    Options { disk: Arc::new(disk.clone()) as Arc<dyn Disk>, ..Options::default() }
}

/// Acknowledges after the write, and syncs only when asked to.
pub(crate) fn lazily(options: Options) -> Options {
    let long = Duration::from_secs(100_000);
    Options {
        durability: Durability::Written,
        sync_interval: long,
        sync_bytes: u64::MAX,
        ..options
    }
}

/// What a taker by force opens with.
pub(crate) fn by_force(label: &str) -> Options {
    let takeover = Takeover::Always;
    Options { takeover, label: label.to_owned(), ..options_on(&FaultDisk::new()) }
}

pub(crate) fn take_over(path: &Path, label: &str) -> Journal {
    Journal::open(path, &by_force(label)).unwrap()
}

/// A runtime to await on; the engine needs none of its own.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

/// A store with one new session.
pub(crate) fn session_in(bench: &Bench) -> (Store, session_journal::Session) {
    let store = store_in(bench.folder(), bench.options());
    let session = store.create_blocking(&name("a")).unwrap();
    (store, session)
}

pub(crate) fn store_in(folder: &Path, journal: Options) -> Store {
    Store::open(folder.join("store"), StoreOptions { journal, ..StoreOptions::default() }).unwrap()
}

pub(crate) fn record(text: &str) -> NewRecord {
    NewRecord::new(text.to_owned())
}

pub(crate) fn expecting(expect: Expect) -> AppendOptions {
    AppendOptions { expect, ..AppendOptions::default() }
}

pub(crate) fn text(record: &Record) -> String {
    String::from_utf8_lossy(&record.payload).into_owned()
}

/// Every record, read strictly from the front by an independent reader; checks that the numbers
/// are dense and that backwards tells the same.
pub(crate) fn records(path: &Path) -> Vec<Record> {
    let reader = Reader::open_with(path, Arc::new(LocalDisk)).unwrap();
    let records: Vec<Record> = reader.records().map(Result::unwrap).collect();
    for (i, record) in records.iter().enumerate() {
        assert_eq!(record.sequence.get(), i as u64 + 1, "sequences are dense from 1");
    }
    let mut back: Vec<Record> = reader.backwards().map(Result::unwrap).collect();
    back.reverse();
    assert_eq!(records, back, "backwards gives the same records");
    assert_eq!(reader.last_sequence().get(), records.len() as u64);
    records
}

pub(crate) fn texts(path: &Path) -> Vec<String> {
    records(path).iter().map(text).collect()
}

/// What a tolerant reader gives: texts, and `None` per gap.
pub(crate) fn with_gaps(path: &Path) -> Vec<Option<String>> {
    let reader = Reader::open(path).unwrap();
    let item = |item| match item {
        Item::Record(record) => Some(text(&record)),
        Item::Gap(_) => None,
    };
    reader.records().with_gaps().map(|one| item(one.unwrap())).collect()
}

/// Puts foreign bytes at the end of a file, as somebody who does not know the protocol would.
pub(crate) fn scribble(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Changes bytes in place.
pub(crate) fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Turns over all bits of one byte.
pub(crate) fn damage(path: &Path, offset: u64) {
    let byte = fs::read(path).unwrap()[usize::try_from(offset).unwrap()];
    overwrite(path, offset, &[!byte]);
}

pub(crate) fn cut(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Who a file says that it is, read from its header page by the published format alone.
pub(crate) fn identity(path: &Path) -> Identity {
    decode_identity(&fs::read(path).unwrap()).unwrap()
}

/// Every frame whose header verifies in its place, found without the engine's scanner.
pub(crate) fn frames(path: &Path) -> Vec<(u64, FrameHeader)> {
    let bytes = fs::read(path).unwrap();
    let codec = Codec::new(identity(path).salt);
    let mut found = Vec::new();
    let mut at = usize::try_from(PAGE_LEN).unwrap();
    while at + HEADER_LEN <= bytes.len() {
        let offset = at as u64;
        match FrameHeader::decode(&bytes[at..], &codec) {
            Ok(header) if bytes[at..].starts_with(&MAGIC) => {
                if header.kind == FrameKind::Claim || header.is_self_placed(offset) {
                    found.push((offset, header));
                }
                at += usize::try_from(header.frame_len()).unwrap();
            }
            _ => at += 1,
        }
    }
    found
}

/// The last frame of a kind.
pub(crate) fn last_frame(path: &Path, kind: FrameKind) -> FrameHeader {
    frames(path).into_iter().rfind(|(_, header)| header.kind == kind).unwrap().1
}

/// A seed, from the environment where one is to be replayed.
#[allow(clippy::print_stdout, reason = "shown where the test fails")]
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("SJ_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap()
    });
    println!("seed {seed}; replay: SJ_TEST_SEED={seed} cargo test -p session-journal {test}");
    seed
}

/// Small, fast, and the same everywhere (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
