//! Finding by sequence and by key through checkpoints: the same answers as a naive model, with
//! damaged checkpoints too, and without reading the history.

mod support;

use std::collections::HashMap;

use session_journal::format::{FrameHeader, FrameKind, HEADER_LEN};
use session_journal::{
    AppendOptions, ErrorKind, Journal, NewRecord, Options, Reader, Record, Sequence,
};
use support::disk::{FaultDisk, Op};
use support::{Bench, Random, damage, frames, lazily, options_on, record, seed, text};

/// What was appended, as plainly as it can be kept.
#[derive(Clone, Default)]
struct Model {
    records: Vec<NewRecord>,
    by_key: HashMap<String, usize>,
}

impl Model {
    fn path_to_root(&self, key: &str) -> Vec<usize> {
        let mut path = Vec::new();
        let mut next = self.by_key.get(key).copied();
        while let Some(at) = next {
            path.push(at);
            let parent = self.records[at].parent.as_ref();
            next = parent.and_then(|parent| self.by_key.get(parent)).copied();
        }
        path
    }
}

/// A journal of `count` records: most with keys, a tree of parents, closed and reopened now and
/// then, so that checkpoints stand at odd places.
fn grown(bench: &Bench, count: u64, random: &mut Random) -> Model {
    let options = Options { checkpoint_records: 8, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    let mut model = Model::default();
    for number in 0..count {
        let mut one = record(&format!("{number}"));
        if random.below(10) > 0 {
            one = one.key(format!("key-{number}"));
            if number > 0 {
                // Mostly the one before, sometimes a branch, sometimes one that does not exist.
                let parent = match random.below(20) {
                    0 => random.below(number),
                    1 => number + 1_000_000,
                    _ => number - 1,
                };
                one = one.parent(format!("key-{parent}"));
            }
            model.by_key.insert(format!("key-{number}"), model.records.len());
        }
        journal.append(&one).unwrap();
        model.records.push(one);
        match random.below(400) {
            0 => {
                journal.close().unwrap();
                journal = Journal::open(&bench.path, &options).unwrap();
            }
            1 => {
                drop(journal);
                journal = Journal::open(&bench.path, &options).unwrap();
            }
            _ => {}
        }
    }
    journal.close().unwrap();
    model
}

fn assert_same(record: &Record, model: &Model) {
    let number = usize::try_from(record.sequence.get()).unwrap() - 1;
    let expected = &model.records[number];
    assert_eq!(record.payload, expected.payload, "record {}", number + 1);
    assert_eq!((&record.key, &record.parent), (&expected.key, &expected.parent));
}

/// Compares every answer for every `stride`-th record.
fn assert_answers(reader: &Reader, model: &Model, stride: usize) {
    let count = model.records.len();
    assert_eq!(reader.last_sequence().get(), count as u64);
    for number in (0..count).step_by(stride) {
        let sequence = Sequence::new(number as u64 + 1);
        assert_same(&reader.get(sequence).unwrap().expect("it is there"), model);
        let from: Vec<u64> = reader
            .records_from(sequence)
            .unwrap()
            .take(12)
            .map(|one| one.unwrap().sequence.get())
            .collect();
        let end = (number + 12).min(count) as u64;
        assert_eq!(from, (sequence.get()..=end).collect::<Vec<_>>());
        let last = reader.last((count - number) as u64).unwrap().next().unwrap().unwrap();
        assert_eq!(last.sequence, sequence);
        let key = format!("key-{number}");
        let found = reader.by_key(&key).unwrap();
        let expected = model.by_key.get(&key).map(|at| *at as u64 + 1);
        assert_eq!(found.map(|one| one.sequence.get()), expected, "{key}");
    }
    for number in (0..count).step_by(stride * 7) {
        let key = format!("key-{number}");
        if !model.by_key.contains_key(&key) {
            assert!(reader.path_to_root(&key).is_err());
            continue;
        }
        let path: Vec<usize> = reader
            .path_to_root(&key)
            .unwrap()
            .map(|one| usize::try_from(one.unwrap().sequence.get()).unwrap() - 1)
            .collect();
        assert_eq!(path, model.path_to_root(&key), "{key}");
    }
    for key in ["", "key-", "key--1", "key-1000000", "other"] {
        assert_eq!(reader.by_key(key).unwrap(), None);
    }
    assert_eq!(reader.get(Sequence::ZERO).unwrap(), None);
    assert_eq!(reader.get(Sequence::new(count as u64 + 1)).unwrap(), None);
    assert_eq!(reader.records_from(Sequence::new(count as u64 + 1)).unwrap().count(), 0);
    assert_eq!(reader.last(0).unwrap().count(), 0);
}

/// E3: levels and merges happen (thousands of records, a checkpoint behind every eight).
#[test]
fn every_sequence_and_key_is_found_as_a_naive_model_finds_it() {
    let mut random = Random::new(seed("--test index every_sequence_and_key"));
    let bench = Bench::new();
    let model = grown(&bench, 2200, &mut random);
    let checkpoints =
        frames(&bench.path).iter().filter(|(_, one)| one.kind == FrameKind::Checkpoint).count();
    assert!(checkpoints > 3 * 64, "there were merges, {checkpoints} checkpoints");
    assert_answers(&Reader::open(&bench.path).unwrap(), &model, 1);
    assert_eq!(support::records(&bench.path).len(), 2200);
}

#[test]
fn a_writer_answers_keys_as_the_model_does_while_the_index_grows() {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 4, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    let mut random = Random::new(seed("--test index a_writer_answers_keys"));
    let mut known: HashMap<String, u64> = HashMap::new();
    for _ in 0..2000 {
        let key = format!("{}", random.below(700));
        let answer = journal.append(&record("x").key(key.clone())).unwrap();
        let first = known.get(&key).copied();
        assert_eq!(answer.duplicate, first.is_some(), "{key}");
        assert_eq!(answer.sequence.get(), first.unwrap_or(known.len() as u64 + 1), "{key}");
        known.entry(key).or_insert(answer.sequence.get());
    }
}

/// The index is never the truth: with any part of any checkpoint turned to rubbish the answers are
/// the same, only slower.
#[test]
fn damaged_checkpoints_give_the_same_answers() {
    let mut random = Random::new(seed("--test index damaged_checkpoints"));
    let bench = Bench::new();
    let model = grown(&bench, 700, &mut random);
    let whole = bench.bytes();
    let checkpoints: Vec<(u64, u64)> = frames(&bench.path)
        .into_iter()
        .filter(|(_, one)| one.kind == FrameKind::Checkpoint)
        .map(|(at, one)| (at, one.frame_len()))
        .collect();
    assert!(checkpoints.len() > 80);
    let body = HEADER_LEN as u64;
    for part in ["magic", "header", "samples", "keys", "runs"] {
        let place = |at: u64, len: u64| match part {
            "magic" => at,
            "header" => at + 30,
            "samples" => at + body + 19,
            "keys" => at + body + (len - body) / 2,
            _ => at + len - 5,
        };
        // All of them at once, each alone for a few, and only the newest.
        let each = [0, 6, 7, 8, 63, 64, checkpoints.len() / 2, checkpoints.len() - 1];
        let mut choices: Vec<Vec<(u64, u64)>> =
            each.iter().map(|i| vec![checkpoints[*i]]).collect();
        choices.push(checkpoints.clone());
        for chosen in choices {
            std::fs::write(&bench.path, &whole).unwrap();
            for (at, len) in &chosen {
                damage(&bench.path, place(*at, *len));
            }
            let reader = Reader::open(&bench.path).unwrap();
            let stride = if chosen.len() > 1 { 60 } else { 25 };
            assert_answers(&reader, &model, stride);
            let back: Vec<u64> =
                reader.backwards().map(|one| one.unwrap().sequence.get()).collect();
            assert_eq!(back, (1..=700).rev().collect::<Vec<u64>>(), "{part}");
        }
    }
}

/// E3, A5: a record that was lost right before a checkpoint, whose table was lost as well: when that table
/// is made again for a merge, it is known that a key is missing. The key would be stored twice.
#[test]
fn a_key_that_was_lost_before_a_merge_is_not_absent_behind_it() {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 8, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    let keyed = |number: u64| record(&format!("{number}")).key(format!("key-{number}"));
    let checkpoints = |bench: &Bench| {
        let is_one = |one: &(u64, FrameHeader)| one.1.kind == FrameKind::Checkpoint;
        frames(&bench.path).into_iter().filter(is_one).collect::<Vec<_>>()
    };
    for number in 1..=80 {
        journal.append(&keyed(number)).unwrap();
    }
    journal.close().unwrap();
    let (first, merged) = (checkpoints(&bench)[0], checkpoints(&bench)[7]);
    damage(&bench.path, first.1.previous + HEADER_LEN as u64);
    damage(&bench.path, merged.0 + HEADER_LEN as u64 + 19);
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    let error = journal.append(&keyed(8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "before the merge: {error}");
    for number in 81..=520 {
        journal.append_all(&[keyed(number)], &unasked()).unwrap();
    }
    assert!(checkpoints(&bench).len() > 64, "it was merged twice");
    let error = journal.append(&keyed(8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "behind the merge: {error}");
}

/// An opening reads the last checkpoint whole, and one of the highest level is long.
#[test]
fn behind_the_longest_checkpoint_stands_one_that_is_read_at_once() {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 8, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    for number in 0..64 * 8 {
        journal.append_all(&[record("x").key(format!("key-{number}"))], &unasked()).unwrap();
    }
    journal.close().unwrap();
    let frames = frames(&bench.path);
    let is_checkpoint = |one: &&(u64, FrameHeader)| one.1.kind == FrameKind::Checkpoint;
    let lengths: Vec<u64> =
        frames.iter().filter(is_checkpoint).map(|(_, one)| one.frame_len()).collect();
    let longest = lengths.iter().copied().max().unwrap();
    assert!(longest > 64 * 8 * 10, "one has all keys: {longest} bytes");
    assert!(*lengths.last().unwrap() < 300, "the last one has none: {lengths:?}");
    assert_eq!(Reader::open(&bench.path).unwrap().by_key("key-3").unwrap().unwrap().payload, "x");
}

/// And an owner goes on appending behind damaged checkpoints, merging what it finds.
#[test]
fn an_owner_goes_on_behind_damaged_checkpoints() {
    let mut random = Random::new(seed("--test index an_owner_goes_on"));
    let bench = Bench::new();
    let mut model = grown(&bench, 300, &mut random);
    for (at, one) in frames(&bench.path) {
        if one.kind == FrameKind::Checkpoint && random.below(2) == 0 {
            damage(&bench.path, at + 80 + random.below(one.body_len()));
        }
    }
    let options = Options { checkpoint_records: 8, ..lazily(bench.options()) };
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    assert!(
        journal.append(&record("x").key(model.by_key.keys().next().unwrap())).unwrap().duplicate
    );
    for number in 300..700 {
        let one = record(&format!("{number}")).key(format!("key-{number}"));
        assert!(!journal.append(&one).unwrap().duplicate);
        model.by_key.insert(format!("key-{number}"), model.records.len());
        model.records.push(one);
    }
    journal.close().unwrap();
    assert_answers(&Reader::open(&bench.path).unwrap(), &model, 3);
}

/// Without looking each key up.
fn unasked() -> AppendOptions {
    AppendOptions { allow_duplicate_keys: true, ..AppendOptions::default() }
}

/// What one thing costs in bytes read.
fn cost(disk: &FaultDisk, run: impl FnOnce()) -> u64 {
    disk.forget_calls();
    run();
    disk.bytes(Op::ReadAt)
}

struct Costs {
    file: u64,
    open_to_read: u64,
    open_to_write: u64,
    get: u64,
    by_key: u64,
    absent: u64,
    last: u64,
}

/// A journal of `count` records of 200 bytes, a checkpoint behind every 128.
fn costs_of(count: u64) -> Costs {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 128, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    for hundred in 0..count / 100 {
        let keyed = |i| NewRecord::new(vec![b'x'; 100]).key(format!("key-{}", 100 * hundred + i));
        journal.append_all(&(0..100).map(keyed).collect::<Vec<_>>(), &unasked()).unwrap();
        // An opening believes a checkpoint only where it was synced.
        if hundred % 10 == 0 {
            journal.sync().unwrap();
        }
    }
    drop(journal);
    let disk = FaultDisk::new();
    let on_disk = options_on(&disk);
    let open_to_write = cost(&disk, || drop(Journal::open(&bench.path, &on_disk).unwrap()));
    let open_to_read = cost(&disk, || {
        drop(Reader::open_with(&bench.path, on_disk.disk.clone()).unwrap());
    });
    let reader = Reader::open_with(&bench.path, on_disk.disk.clone()).unwrap();
    let most = |run: &dyn Fn(u64)| {
        let spread = (0..20).map(|i| count * i / 20);
        spread.map(|number| cost(&disk, || run(number))).max().unwrap()
    };
    Costs {
        file: bench.len(),
        open_to_write,
        open_to_read,
        get: most(&|number| {
            assert!(reader.get(Sequence::new(number + 1)).unwrap().is_some());
        }),
        by_key: most(&|number| {
            assert!(reader.by_key(&format!("key-{number}")).unwrap().is_some());
        }),
        absent: most(&|number| {
            assert!(reader.by_key(&format!("none-{number}")).unwrap().is_none());
        }),
        last: cost(&disk, || assert_eq!(text(&last_of(&reader)).len(), 100)),
    }
}

fn last_of(reader: &Reader) -> Record {
    reader.last(1).unwrap().next().unwrap().unwrap()
}

/// E3: opening and one look-up touch a number of bytes that does not grow with the file. A count of
/// bytes, not a time.
#[test]
fn opening_and_one_lookup_do_not_read_more_of_a_file_twenty_times_as_long() {
    let small = costs_of(1_000);
    let large = costs_of(20_000);
    assert!(large.file > 19 * small.file);
    let pairs = [
        ("opening to read", small.open_to_read, large.open_to_read),
        ("opening to write", small.open_to_write, large.open_to_write),
        ("get", small.get, large.get),
        ("by key", small.by_key, large.by_key),
        ("absent key", small.absent, large.absent),
        ("last", small.last, large.last),
    ];
    let table: Vec<String> =
        pairs.iter().map(|(what, small, large)| format!("{what}: {small} -> {large}")).collect();
    for (what, small, large) in pairs {
        assert!(large <= 3 * small.max(64 << 10), "{what} grew with the file: {table:#?}");
    }
}
