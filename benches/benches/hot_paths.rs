//! `cargo bench -p session-journal-benches --bench hot_paths`: the parts of an append, for comparing
//! one change with another on one machine.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use session_journal::format::{Codec, FrameHeader, FrameKind, HEADER_LEN};
use session_journal::{Durability, Journal, NewRecord, Options, SessionName, Store, StoreOptions};
use session_journal_benches::folder;

fn header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Record,
        flags: 0,
        meta_len: 0,
        payload_len: 1024,
        body_checksum: 1,
        incarnation: 2,
        generation: 3,
        sequence: 4,
        offset: 5000,
        batch_before: 0,
        batch_len: 1104,
        previous: 4096,
        time_ms: 6,
        durable_through: 4096,
    }
}

fn codec(criterion: &mut Criterion) {
    let codec = Codec::new(7);
    let (frame, body) = (header().encode(&codec), [b'x'; 1024]);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(HEADER_LEN as u64));
    group.bench_function("encode a header", |b| b.iter(|| black_box(header()).encode(&codec)));
    group.bench_function("decode a header", |b| {
        b.iter(|| FrameHeader::decode(black_box(&frame), &codec).expect("is sound"));
    });
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("checksum 1 KiB", |b| b.iter(|| codec.checksum(&[black_box(&body)])));
    group.finish();
}

fn append(criterion: &mut Criterion) {
    let folder = folder().expect("a folder");
    let name = SessionName::new(None, "hot").expect("a name");
    let journal = Options { durability: Durability::Written, ..Options::default() };
    let record = NewRecord::new(vec![b'x'; 1024]);
    let mut group = criterion.benchmark_group("append 1 KiB written");
    group.throughput(Throughput::Elements(1));
    let path = folder.path().join("hot.journal");
    let mut owner = Journal::create(path, &name, &journal).expect("creates");
    group.bench_function("journal", |b| b.iter(|| owner.append(&record).expect("appends")));
    let mut keys = 0_u64..;
    group.bench_function("journal, with a key", |b| {
        b.iter(|| {
            let key = keys.next().unwrap_or_default().to_string();
            owner.append(&record.clone().key(key)).expect("appends")
        });
    });
    let options = StoreOptions { journal, ..StoreOptions::default() };
    let store = Store::open(folder.path().join("store"), options).expect("opens");
    let session = store.create_blocking(&name).expect("creates");
    group.bench_function("session", |b| {
        b.iter(|| session.append_blocking(record.clone()).expect("appends"));
    });
    group.finish();
}

criterion_group!(hot_paths, codec, append);
criterion_main!(hot_paths);
