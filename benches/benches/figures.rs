//! `cargo bench -p session-journal-benches --bench figures`: the README's table.
//!
//! Every figure stands beside what the machine itself does for the same bytes, measured in the same
//! rounds. `SESSION_JOURNAL_BENCH_DIR` names the folder to measure in.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints figures")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded when they are printed")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use session_journal::{
    AppendOptions, Durability, Journal, NewRecord, Options, Reader, Sequence, Session, SessionName,
    Store, StoreOptions,
};
use session_journal_benches::{
    Table, Times, folder, interleaved, machine, median, peak_memory, ratio, seconds,
};

const RECORD_BYTES: usize = 1024;
const ROUNDS: usize = 9;
const BIG_RECORDS: u64 = 400_000;
/// Names the journal that a child process is to open and read the end of.
const CHILD: &str = "SESSION_JOURNAL_BENCH_CHILD";

fn main() {
    if let Some(path) = std::env::var_os(CHILD) {
        return child(Path::new(&path));
    }
    let mut table = Table::default();
    written(&mut table);
    durable(&mut table);
    group_commit(&mut table);
    big(&mut table);
    println!("{}\n\n{}", machine(), table.markdown());
}

// ---- the candidates ------------------------------------------------------------------------

fn payload() -> Vec<u8> {
    let text = b"{\"type\":\"message\",\"role\":\"assistant\",\"text\":\"lorem ipsum\"} ";
    text.iter().copied().cycle().take(RECORD_BYTES).collect()
}

fn name(id: &str) -> SessionName {
    SessionName::new(Some("bench"), id).expect("a name")
}

fn options(durability: Durability) -> Options {
    Options { durability, ..Options::default() }
}

fn raw(folder: &Path) -> File {
    let path = folder.join("raw");
    OpenOptions::new().create(true).append(true).open(path).expect("a file")
}

fn journal(folder: &Path, durability: Durability) -> Journal {
    let path = folder.join("bare.journal");
    Journal::create(path, &name("bare"), &options(durability)).expect("creates")
}

fn session(folder: &Path, durability: Durability) -> Session {
    let options = StoreOptions { journal: options(durability), ..StoreOptions::default() };
    let store = Store::open(folder.join("store"), options).expect("opens");
    store.create_blocking(&name("session")).expect("creates")
}

// ---- appending -----------------------------------------------------------------------------

/// The medians over the rounds of what one round says of each candidate.
struct Rounds<const N: usize>([Vec<Times>; N]);

impl<const N: usize> Rounds<N> {
    fn values(&self, candidate: usize, of: impl Fn(&Times) -> f64) -> Vec<f64> {
        self.0[candidate].iter().map(of).collect()
    }

    fn beside(&self, table: &mut Table, what: &str, candidate: usize, of: impl Fn(&Times) -> f64) {
        let (this, limit) = (self.values(candidate, &of), self.values(0, &of));
        let text = |values: &[f64]| format!("{:.2} µs", median(values));
        table.beside(what, text(&this), text(&limit), ratio(&this, &limit));
    }
}

fn written(table: &mut Table) {
    let folder = folder();
    let (bytes, record) = (payload(), NewRecord::new(payload()));
    let mut raw = raw(folder.path());
    let mut journal = journal(folder.path(), Durability::Written);
    let session = session(folder.path(), Durability::Written);
    let mut rounds = Rounds([Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let times = [
            Times::of(20_000, || raw.write_all(&bytes).expect("writes")),
            Times::of(20_000, || journal.append(&record).expect("appends")),
            Times::of(20_000, || session.append_blocking(record.clone()).expect("appends")),
        ];
        for (all, times) in rounds.0.iter_mut().zip(times) {
            all.push(times);
        }
    }
    let p50 = |times: &Times| times.quantile(0.5);
    rounds.beside(table, "append 1 KiB written, median, beside `write(2)`", 1, p50);
    rounds.beside(table, "… mean, its syncs in the background included", 1, Times::mean);
    rounds.beside(table, "… through a session's actor, median", 2, p50);
    rounds.beside(table, "… through a session's actor, mean", 2, Times::mean);
}

fn durable(table: &mut Table) {
    let folder = folder();
    let (bytes, record) = (payload(), NewRecord::new(payload()));
    let mut raw = raw(folder.path());
    let mut journal = journal(folder.path(), Durability::Durable);
    let mut rounds = Rounds([Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let times = [
            Times::of(300, || {
                raw.write_all(&bytes).expect("writes");
                raw.sync_data().expect("syncs");
            }),
            Times::of(300, || journal.append(&record).expect("appends")),
        ];
        for (all, times) in rounds.0.iter_mut().zip(times) {
            all.push(times);
        }
    }
    let p50 = |times: &Times| times.quantile(0.5);
    let p99 = |times: &Times| times.quantile(0.99);
    rounds.beside(table, "append 1 KiB durable, median, beside `write` + `fdatasync`", 1, p50);
    rounds.beside(table, "… 99 of 100", 1, p99);
}

/// Durable records a second with so many producers on one session, beside one `write` and one
/// `fdatasync` for each.
fn group_commit(table: &mut Table) {
    for producers in [8, 64] {
        let folder = folder();
        let (bytes, record) = (payload(), NewRecord::new(payload()));
        let mut raw = raw(folder.path());
        let session = session(folder.path(), Durability::Durable);
        let each = 1600 / producers;
        let mut one_by_one = || {
            let write = |_| {
                raw.write_all(&bytes).expect("writes");
                raw.sync_data().expect("syncs");
            };
            400.0 / seconds(|| (0..400).for_each(write))
        };
        let mut together =
            || (each * producers) as f64 / seconds(|| produce(&session, &record, producers, each));
        let values = interleaved(ROUNDS, &mut [&mut one_by_one, &mut together]);
        let rate = |values: &[f64]| format!("{:.0} /s", median(values));
        let what = format!("durable records with {producers} producers on one session");
        table.beside(&what, rate(&values[1]), rate(&values[0]), ratio(&values[1], &values[0]));
    }
}

fn produce(session: &Session, record: &NewRecord, producers: usize, each: usize) {
    std::thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| {
                for _ in 0..each {
                    session.append_blocking(record.clone()).expect("appends");
                }
            });
        }
    });
}

// ---- a big journal -------------------------------------------------------------------------

fn big(table: &mut Table) {
    let folder = folder();
    let path = write_big(folder.path());
    let bytes = path.metadata().expect("is there").len();
    size(table, bytes);

    let open = || drop(Reader::open(&path).expect("opens"));
    let last = || {
        let reader = Reader::open(&path).expect("opens");
        seconds(|| assert_eq!(reader.last(100).expect("reads").count(), 100))
    };
    let by_sequence = |n: u64| {
        let reader = Reader::open(&path).expect("opens");
        seconds(|| assert!(reader.get(Sequence::new(n)).expect("reads").is_some()))
    };
    let by_key = |n: u64| {
        let reader = Reader::open(&path).expect("opens");
        seconds(|| assert!(reader.by_key(&key(n)).expect("reads").is_some()))
    };
    // A new place each time, so that no round finds what the one before has left.
    let mut places = (1..).map(|n: u64| n * 7919 * 13 % BIG_RECORDS + 1);
    let mut place = move || places.next().unwrap_or(1);
    let mut place_again = (1..).map(|n: u64| n * 104_729 % BIG_RECORDS + 1);
    let values = interleaved(
        101,
        &mut [&mut || seconds(open), &mut || last(), &mut || by_sequence(place()), &mut || {
            by_key(place_again.next().unwrap_or(1))
        }],
    );
    let milliseconds = |values: &[f64]| format!("{:.3} ms", median(values) * 1e3);
    let size = format!("{} MB", bytes / 1_000_000);
    table.alone(&format!("open a journal of {size} for reading"), milliseconds(&values[0]));
    table.alone("… read the last 100 records of it", milliseconds(&values[1]));
    table.alone("… one record by its number", milliseconds(&values[2]));
    table.alone("… one record by its key", milliseconds(&values[3]));
    let (nothing, memory) = (peak_of_child(Path::new("")), peak_of_child(&path));
    let text = |mebibytes: f64| format!("{mebibytes:.1} MiB");
    let what = "… memory of a process that does both, beside one that does nothing";
    table.beside(what, text(memory), text(nothing), memory / nothing);
    let [opened, released] = opened_for_writing(&path);
    table.alone("… open it for writing, a synced claim included", milliseconds(&opened));
    table.alone("… release it, two syncs included", milliseconds(&released));
    scan(table, &path, bytes);
    // Last, for it makes the journal longer.
    keyed(table, &path);
}

fn key(n: u64) -> String {
    format!("{n:08x}")
}

/// A journal of 400 MB, released.
fn write_big(folder: &Path) -> PathBuf {
    let path = folder.join("big.journal");
    let options = options(Durability::Written);
    let mut journal = Journal::create(&path, &name("big"), &options).expect("creates");
    let record = |n: u64| NewRecord::new(payload()).kind("message").key(key(n));
    let mut next = 1;
    while next <= BIG_RECORDS {
        let batch: Vec<NewRecord> = (next..(next + 100).min(BIG_RECORDS + 1)).map(record).collect();
        next += batch.len() as u64;
        journal.append_all(&batch, &AppendOptions::default()).expect("appends");
    }
    journal.close().expect("closes");
    path
}

fn size(table: &mut Table, keyed: u64) {
    let folder = folder();
    let mut journal = journal(folder.path(), Durability::Written);
    let record = NewRecord::new(payload());
    for _ in 0..50_000 {
        journal.append(&record).expect("appends");
    }
    let path = journal.path().to_owned();
    journal.close().expect("closes");
    let plain = path.metadata().expect("is there").len() as f64 / 50_000.0;
    let keyed = keyed as f64 / BIG_RECORDS as f64;
    let limit = RECORD_BYTES as f64;
    let text = |bytes: f64| format!("{bytes:.0} bytes");
    table.beside("file per record of 1 KiB", text(plain), text(limit), plain / limit);
    table.beside(
        "… with a kind and a key of 8 bytes, indexed",
        text(keyed),
        text(limit),
        keyed / limit,
    );
}

fn opened_for_writing(path: &Path) -> [Vec<f64>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..41 {
        let mut opened = None;
        times[0].push(seconds(|| {
            opened = Some(Journal::open(path, &Options::default()).expect("opens"));
        }));
        let Some(journal) = opened else { continue };
        times[1].push(seconds(|| journal.close().expect("closes")));
    }
    times
}

/// Written appends to the big journal; a new key is looked for in all of its history first.
fn keyed(table: &mut Table, path: &Path) {
    let mut journal = Journal::open(path, &options(Durability::Written)).expect("opens");
    let plain = NewRecord::new(payload());
    let mut keys = BIG_RECORDS + 1..;
    let mut rounds = Rounds([Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let without = Times::of(2000, || journal.append(&plain).expect("appends"));
        let with = Times::of(2000, || {
            let record = plain.clone().key(key(keys.next().unwrap_or_default()));
            journal.append(&record).expect("appends")
        });
        for (all, times) in rounds.0.iter_mut().zip([without, with]) {
            all.push(times);
        }
    }
    let p50 = |times: &Times| times.quantile(0.5);
    rounds.beside(table, "… append with a new key to it, beside one without", 1, p50);
    journal.close().expect("closes");
}

/// What the child of this program does, and says.
fn child(path: &Path) {
    if !path.as_os_str().is_empty() {
        let reader = Reader::open(path).expect("opens");
        assert_eq!(reader.last(100).expect("reads").count(), 100);
    }
    println!("{}", peak_memory());
}

fn peak_of_child(path: &Path) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).env(CHILD, path).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("the child failed: {output:?}"))
}

fn scan(table: &mut Table, path: &Path, bytes: u64) {
    let mut read = || {
        let mut file = File::open(path).expect("opens");
        let mut buffer = vec![0; 1 << 20];
        bytes as f64 / 1e9 / seconds(|| while file.read(&mut buffer).expect("reads") > 0 {})
    };
    let reader = Reader::open(path).expect("opens");
    let mut records = || {
        bytes as f64 / 1e9 / seconds(|| assert_eq!(reader.records().count() as u64, BIG_RECORDS))
    };
    let mut verify = || {
        let verify = || session_journal::verify(path, &mut |_, _| ()).expect("verifies");
        bytes as f64 / 1e9 / seconds(|| assert!(verify().ok))
    };
    let values = interleaved(5, &mut [&mut read, &mut records, &mut verify]);
    let rate = |values: &[f64]| format!("{:.2} GB/s", median(values));
    for (what, values_of) in [("read every record of it", 1), ("verify every byte of it", 2)] {
        let (this, limit) = (&values[values_of], &values[0]);
        table.beside(
            &format!("… {what}, beside `read(2)`"),
            rate(this),
            rate(limit),
            ratio(this, limit),
        );
    }
}
