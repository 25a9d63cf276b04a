//! The hot paths. Each case prepares what it needs, and then does one thing so many times.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use session_journal::format::{Codec, FrameHeader, FrameKind, HEADER_LEN};
use session_journal::{
    AppendOptions, Durability, Journal, NewRecord, Options, Reader, Record, Sequence, Session,
    SessionName, Store, StoreOptions, verify,
};

use crate::host::Steady;

/// What is counted.
pub(crate) type Operations = Box<dyn FnMut()>;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many operations are in what is counted.
    pub(crate) operations: u64,
    pub(crate) prepare: fn(&Path) -> Operations,
}

pub(crate) const ALL: &[Case] = &[
    Case { name: "append-written", operations: 2000, prepare: append_written },
    Case { name: "append-written-keyed", operations: 2000, prepare: append_keyed },
    Case { name: "append-written-64k", operations: 32, prepare: append_long },
    Case { name: "append-batch-of-64", operations: 32, prepare: append_batches },
    Case { name: "append-session-blocking", operations: 2000, prepare: append_session },
    Case { name: "encode", operations: 10_000, prepare: encode },
    Case { name: "scan-10000", operations: RECORDS, prepare: scan },
    Case { name: "backwards-1000", operations: 1000, prepare: backwards },
    Case { name: "verify-10000", operations: RECORDS, prepare: verify_all },
    Case { name: "open-last-100", operations: 20, prepare: open_last },
    Case { name: "by-sequence", operations: 200, prepare: by_sequence },
    Case { name: "by-key", operations: 200, prepare: by_key },
    Case { name: "path-of-200", operations: 5, prepare: path_to_root },
    Case { name: "claim-and-append", operations: 10, prepare: claim },
    Case { name: "list-a-session", operations: SESSIONS, prepare: list },
];

/// Records of the journal that is read.
const RECORDS: u64 = 10_000;
const SESSIONS: u64 = 200;
/// Calls before what is counted: buffers have grown, and everything is bound.
const WARM_UP: usize = 64;

pub(crate) fn find(name: &str) -> Option<&'static Case> {
    ALL.iter().find(|case| case.name == name)
}

fn payload(bytes: usize) -> Vec<u8> {
    let text = b"{\"type\":\"message\",\"role\":\"assistant\",\"text\":\"lorem ipsum\"} ";
    text.iter().copied().cycle().take(bytes).collect()
}

fn name(id: &str) -> SessionName {
    SessionName::new(Some("count"), id).expect("a name")
}

fn options() -> Options {
    Options { durability: Durability::Written, host: Arc::new(Steady), ..Options::default() }
}

fn journal(folder: &Path) -> Journal {
    Journal::create(folder.join("a.journal"), &name("a"), &options()).expect("creates")
}

fn session(folder: &Path) -> Session {
    store(folder).create_blocking(&name("a")).expect("creates")
}

fn store(folder: &Path) -> Store {
    let options = StoreOptions { journal: options(), ..StoreOptions::default() };
    Store::open(folder.join("store"), options).expect("opens")
}

/// Does something so often before it is counted, and so often then.
fn repeated(operations: usize, mut run: impl FnMut() + 'static) -> Operations {
    (0..WARM_UP.min(operations)).for_each(|_| run());
    Box::new(move || (0..operations).for_each(|_| run()))
}

// ---- appending -----------------------------------------------------------------------------

fn append_written(folder: &Path) -> Operations {
    let mut journal = journal(folder);
    let record = NewRecord::new(payload(1024));
    repeated(2000, move || {
        black_box(journal.append(&record).expect("appends"));
    })
}

fn append_keyed(folder: &Path) -> Operations {
    let mut journal = journal(folder);
    let payload = Bytes::from(payload(1024));
    let mut keys = 0..;
    repeated(2000, move || {
        let record =
            NewRecord::new(payload.clone()).kind("message").key(key(keys.next().unwrap_or(0)));
        black_box(journal.append(&record).expect("appends"));
    })
}

fn append_long(folder: &Path) -> Operations {
    let mut journal = journal(folder);
    let record = NewRecord::new(payload(64 << 10));
    // Less before than there is room for until a sync is due.
    journal.append(&record).expect("appends");
    Box::new(move || {
        (0..32).for_each(|_| {
            black_box(journal.append(&record).expect("appends"));
        });
    })
}

fn append_batches(folder: &Path) -> Operations {
    let mut journal = journal(folder);
    let records = vec![NewRecord::new(payload(1024)); 64];
    let options = AppendOptions::default();
    journal.append_all(&records, &options).expect("appends");
    Box::new(move || {
        for _ in 0..32 {
            black_box(journal.append_all(&records, &options).expect("appends"));
        }
    })
}

fn append_session(folder: &Path) -> Operations {
    let session = session(folder);
    let record = NewRecord::new(payload(1024));
    repeated(2000, move || {
        black_box(session.append_blocking(record.clone()).expect("appends"));
    })
}

fn encode(_: &Path) -> Operations {
    let codec = Codec::new(0x0123_4567_89AB_CDEF);
    let payload = payload(1024);
    let mut buffer = vec![0; HEADER_LEN + payload.len()];
    let mut header = sample_header();
    repeated(10_000, move || {
        header.sequence += 1;
        header.body_checksum = codec.checksum(&[black_box(&payload)]);
        let (front, body) = buffer.split_first_chunk_mut::<HEADER_LEN>().expect("is longer");
        header.encode_into(&codec, front);
        body.copy_from_slice(&payload);
        black_box(&mut buffer);
    })
}

fn sample_header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Record,
        flags: 0,
        meta_len: 0,
        payload_len: 1024,
        body_checksum: 0,
        incarnation: 7,
        generation: 3,
        sequence: 0,
        offset: 1 << 20,
        batch_before: 0,
        batch_len: 1104,
        previous: (1 << 20) - 1104,
        time_ms: 0,
        durable_through: 1 << 19,
    }
}

// ---- reading -------------------------------------------------------------------------------

fn key(n: u64) -> String {
    format!("{n:08x}")
}

/// Records of 1 KiB with keys; the path from the last to the root has 200 entries. Released.
fn written(folder: &Path) -> PathBuf {
    let mut journal = journal(folder);
    let payload = Bytes::from(payload(1024));
    let step = RECORDS / 200;
    for n in 1..=RECORDS {
        let mut record = NewRecord::new(payload.clone()).kind("message").key(key(n));
        record.parent = n.checked_sub(step).filter(|n| *n > 0).map(key);
        journal.append(&record).expect("appends");
    }
    let path = journal.path().to_owned();
    journal.close().expect("closes");
    path
}

fn reader(folder: &Path) -> Reader {
    Reader::open(written(folder)).expect("opens")
}

/// Takes them all, and says how many there were.
fn read(records: impl Iterator<Item = session_journal::Result<Record>>) -> u64 {
    let mut read = 0;
    for record in records {
        black_box(record.expect("reads"));
        read += 1;
    }
    read
}

fn scan(folder: &Path) -> Operations {
    let reader = reader(folder);
    Box::new(move || {
        assert_eq!(read(reader.records()), RECORDS);
    })
}

fn backwards(folder: &Path) -> Operations {
    let reader = reader(folder);
    Box::new(move || {
        assert_eq!(read(reader.backwards().take(1000)), 1000);
    })
}

fn verify_all(folder: &Path) -> Operations {
    let path = written(folder);
    Box::new(move || {
        let found = verify(&path, &mut |_, _| ()).expect("reads");
        assert!(found.ok && found.records == RECORDS);
    })
}

fn open_last(folder: &Path) -> Operations {
    let path = written(folder);
    repeated(20, move || {
        let reader = Reader::open(&path).expect("opens");
        assert_eq!(read(reader.last(100).expect("reads")), 100);
    })
}

/// Places all over the journal, the same ones in every run.
fn places() -> impl Iterator<Item = u64> {
    (1..).map(|n: u64| n * 7919 * 13 % RECORDS + 1)
}

fn by_sequence(folder: &Path) -> Operations {
    let (reader, mut places) = (reader(folder), places());
    repeated(200, move || {
        let sequence = Sequence::new(places.next().unwrap_or(1));
        assert!(black_box(reader.get(sequence).expect("reads")).is_some());
    })
}

fn by_key(folder: &Path) -> Operations {
    let (reader, mut places) = (reader(folder), places());
    repeated(200, move || {
        let key = key(places.next().unwrap_or(1));
        assert!(black_box(reader.by_key(&key).expect("reads")).is_some());
    })
}

fn path_to_root(folder: &Path) -> Operations {
    let reader = reader(folder);
    repeated(5, move || {
        let path = reader.path_to_root(&key(RECORDS)).expect("reads");
        assert_eq!(read(path), 200);
    })
}

// ---- owning --------------------------------------------------------------------------------

/// Taking over from an owner that is gone, up to the first record that is acknowledged.
fn claim(folder: &Path) -> Operations {
    let mut journal = journal(folder);
    let record = NewRecord::new(payload(1024));
    (0..100).for_each(|_| {
        black_box(journal.append(&record).expect("appends"));
    });
    let path = journal.path().to_owned();
    drop(journal);
    repeated(10, move || {
        let mut journal = Journal::open(&path, &options()).expect("opens");
        black_box(journal.append(&record).expect("appends"));
    })
}

fn list(folder: &Path) -> Operations {
    let store = store(folder);
    for n in 0..SESSIONS {
        let session = store.create_blocking(&name(&format!("s{n}"))).expect("creates");
        session.append_blocking(payload(100)).expect("appends");
        session.close_blocking().expect("closes");
    }
    Box::new(move || assert_eq!(black_box(store.list().expect("lists")).len() as u64, SESSIONS))
}
