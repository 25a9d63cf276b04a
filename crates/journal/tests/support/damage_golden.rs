//! The values of the golden files: one of every kind of frame.

use session_journal::format::{
    Checkpoint, ClaimBody, Codec, CompactedBody, FORMAT_VERSION, FrameHeader, FrameKind,
    HEADER_LEN, Identity, KeyEntry, Meta, OpeningBody, Purpose, ReopenBody, Run, Sample, SealBody,
    Slot, SlotState, Summary, encode_page,
};
use session_journal::{
    Hole, Incarnation, JournalId, Offset, OpenReason, Owner, RepairReport, Sequence, SessionName,
    Verdict,
};

use super::host::{EPOCH_MS, Random};

/// Seeds the checksums of all golden files.
pub(crate) const SALT: u64 = 0x0123_4567_89AB_CDEF;

/// A frame by name, as the values here encode it.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

fn identity() -> Identity {
    Identity {
        version: FORMAT_VERSION,
        journal: JournalId::from_bytes(*b"journal-of-a-day"),
        salt: SALT,
        created_ms: EPOCH_MS,
        compactions: 0,
        name: SessionName::new(Some("main"), "golden/😀").expect("a name"),
    }
}

fn owner(number: u8) -> Owner {
    Owner {
        incarnation: Incarnation::from_bytes([0x10 + number; 16]),
        host: "host".to_owned(),
        boot_id: *b"boot-of-a-golden",
        pid: 4242,
        pid_namespace: 4_026_531_836,
        start_ticks: 123_456,
        started_ms: EPOCH_MS - 1000,
        program: "program".to_owned(),
        label: format!("owner {number}"),
    }
}

/// A frame of generation 2 that is a batch of its own.
fn frame(kind: FrameKind, sequence: u64, offset: u64, meta: Meta<'_>, payload: &[u8]) -> Vec<u8> {
    let codec = Codec::new(SALT);
    let mut body = Vec::new();
    meta.encode(&mut body);
    let meta_len = u16::try_from(body.len()).expect("a short meta");
    body.extend_from_slice(payload);
    let batch_len = u32::try_from(HEADER_LEN + body.len()).expect("a short frame");
    let header = FrameHeader {
        kind,
        flags: meta.flags(),
        meta_len,
        payload_len: u32::try_from(payload.len()).expect("a short payload"),
        body_checksum: codec.checksum(&[&body]),
        incarnation: 0x1212_1212,
        generation: 2,
        sequence,
        offset,
        batch_before: 0,
        batch_len,
        previous: if offset == 4096 { 0 } else { offset - 100 },
        time_ms: EPOCH_MS + 5,
        durable_through: if kind == FrameKind::Release { offset } else { offset - 100 },
    };
    [header.encode(&codec).as_slice(), &body].concat()
}

/// The second of three records of one batch.
fn in_batch() -> Vec<u8> {
    let codec = Codec::new(SALT);
    let alone = frame(FrameKind::Record, 8, 10_000, Meta::default(), b"second of three");
    let header = FrameHeader::decode(&alone, &codec).expect("it is sound");
    let header = FrameHeader { batch_before: 90, batch_len: 285, previous: 9910, ..header };
    [header.encode(&codec).as_slice(), &alone[HEADER_LEN..]].concat()
}

fn opening(later: bool) -> Vec<u8> {
    let hole = |offset, verdict, first, records_lost| Hole {
        offset: Offset::new(offset),
        bytes: 77,
        verdict,
        first: Sequence::new(first),
        records_lost,
    };
    let first = OpeningBody {
        identity: identity(),
        previous_generation: 0,
        reason: OpenReason::Created,
        claim: 0,
        last_frame: 0,
        owner: owner(1),
        previous_owner: None,
        report: RepairReport::default(),
    };
    if !later {
        return frame(FrameKind::Opening, 0, 4096, Meta::default(), &first.encode());
    }
    let later = OpeningBody {
        previous_generation: 1,
        reason: OpenReason::TakenOver,
        claim: 8900,
        last_frame: 8000,
        owner: owner(2),
        previous_owner: Some(owner(1)),
        report: RepairReport {
            holes: vec![hole(7000, Verdict::Corrupt, 4, 2), hole(8200, Verdict::Torn, 7, 0)],
            more_holes: 3,
            header_damaged: true,
            settled_bytes: 4804,
        },
        ..first
    };
    frame(FrameKind::Opening, 7, 9200, Meta::default(), &later.encode())
}

fn checkpoint() -> Vec<u8> {
    let codec = Codec::new(SALT);
    let body = Checkpoint {
        samples: vec![Sample { sequence: 1, offset: 4400 }, Sample { sequence: 5, offset: 69_940 }],
        keys: vec![
            KeyEntry { hash: 7, offset: 69_940 },
            KeyEntry { hash: 7, offset: 70_040 },
            KeyEntry { hash: 0xFFFF_FFFE, offset: 4400 },
        ],
        summary: Summary { records: 6, void_bytes: 255, records_lost: 0, opening: 4096 },
        runs: vec![run(80_000, (4096, 80_000), (0, 6), (2, 3), 0)],
    };
    frame(FrameKind::Checkpoint, 6, 80_000, Meta::default(), &body.encode(&codec))
}

/// A merged one: full blocks of samples and keys, and blocks that are not full behind them.
fn merged() -> Vec<u8> {
    let mut random = Random(1);
    let mut keys: Vec<KeyEntry> = (0..409 * 2 + 5)
        .map(|i| KeyEntry { hash: (random.next() >> 32) as u32, offset: 4400 + i * 160 })
        .collect();
    keys.sort_unstable();
    let sample = |i: u64| Sample { sequence: 1 + i * 400, offset: 4400 + i * 65_600 };
    let samples: Vec<Sample> = (0..341 + 4).map(sample).collect();
    let at = 30_000_000;
    let body = Checkpoint {
        summary: Summary { records: 140_000, void_bytes: 0, records_lost: 2, opening: 9200 },
        runs: vec![
            run(20_000_000, (4096, 1_000_000), (0, 5000), (900, 70_000), 1),
            Run { lossy: true, ..run(at, (1_000_100, at), (5000, 140_002), (345, 823), 1) },
        ],
        samples,
        keys,
    };
    frame(FrameKind::Checkpoint, 140_002, at, Meta::default(), &body.encode(&Codec::new(SALT)))
}

fn run(at: u64, stretch: (u64, u64), records: (u64, u64), tables: (u32, u32), level: u8) -> Run {
    Run {
        checkpoint: at,
        start: stretch.0,
        end: stretch.1,
        before: records.0,
        last: records.1,
        samples: tables.0,
        keys: tables.1,
        level,
        lossy: false,
    }
}

fn seal(purpose: Purpose) -> Vec<u8> {
    let replaces = purpose == Purpose::Replace;
    let body = SealBody {
        purpose,
        path: b"/sessions/golden.journal".to_vec(),
        successor: if replaces { b".successor.compact".to_vec() } else { Vec::new() },
        successor_len: if replaces { 65_536 } else { 0 },
    };
    frame(FrameKind::Seal, 9, 12_000, Meta::default(), &body.encode())
}

/// One of every kind.
pub(crate) fn frames() -> Vec<Golden> {
    let meta = Meta { kind: Some("message"), key: Some("m-2"), parent: Some("m-1") };
    let claim = ClaimBody { replaces: 1, owner: owner(2) };
    let reopen = ReopenBody { owner: owner(3) };
    let lost = vec![(4, 2), (90, 1)];
    let identity = Identity { compactions: 1, ..identity() };
    let compacted = CompactedBody { identity, replaced_len: 65_000, lost };
    let bare = Meta::default();
    let golden = |name, bytes| Golden { name, bytes };
    vec![
        golden("record-bare", frame(FrameKind::Record, 1, 4400, bare, b"hello")),
        golden("record-empty", frame(FrameKind::Record, 2, 4485, bare, b"")),
        golden("record-full", frame(FrameKind::Record, 3, 4600, meta, b"{\"role\":\"user\"}")),
        golden("record-in-batch", in_batch()),
        golden("claim", frame(FrameKind::Claim, 7, 8900, bare, &claim.encode())),
        golden("opening-first", opening(false)),
        golden("opening-later", opening(true)),
        golden("release", frame(FrameKind::Release, 9, 12_000, bare, b"")),
        golden("seal-replace", seal(Purpose::Replace)),
        golden("seal-delete", seal(Purpose::Delete)),
        golden("reopen", frame(FrameKind::Reopen, 9, 12_400, bare, &reopen.encode())),
        golden("checkpoint", checkpoint()),
        golden("checkpoint-merged", merged()),
        golden("compacted", frame(FrameKind::Compacted, 0, 4096, bare, &compacted.encode())),
    ]
}

/// A header page with both slots.
pub(crate) fn page() -> Vec<u8> {
    let codec = Codec::new(SALT);
    let slot = Slot {
        counter: 4,
        generation: 2,
        state: SlotState::Open,
        sequence: 7,
        tail: 9600,
        durable_through: 9500,
        checkpoint: 8800,
        opening: 9200,
        records: 5,
        void_bytes: 154,
        records_lost: 2,
        updated_ms: EPOCH_MS + 9,
        owner: owner(2),
    };
    let mut page = encode_page(&identity(), &slot, &codec);
    let released = Slot { counter: 5, state: SlotState::Released, ..slot };
    page[3584..].copy_from_slice(&released.encode(&codec));
    page
}
