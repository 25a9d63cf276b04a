//! What a file says that it is: newer formats and foreign files are refused and left as they are,
//! frames of another journal do not verify, and slots are hints (D11, H17).

#[path = "support/damage_host.rs"]
mod host;
#[allow(dead_code, reason = "the oracle is for the damage tests")]
#[path = "support/damage_sample.rs"]
mod sample;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Random, StillHost, options};
use sample::{Ending, PAGE, Sample, fits};
use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, IDENTITY_LEN, OpeningBody, Slot, SlotState,
    slot_offset,
};
use session_journal::{
    ErrorKind, Journal, LocalHost, NewRecord, Options, Reader, SessionName, Verdict, history, info,
    verify,
};
use tempfile::TempDir;

fn sample() -> (TempDir, Sample, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let sample = Sample::build(folder.path(), Ending::Closed, |_| ());
    let path = folder.path().join("copy.journal");
    (folder, sample, path)
}

/// Readers, owners and inspectors refuse this file with one answer, and leave it as it is.
fn refused(path: &Path, bytes: &[u8], kind: ErrorKind, what: &str) {
    std::fs::write(path, bytes).expect("write");
    let host: Arc<StillHost> = StillHost::new(5);
    let careful = Options { auto_repair: false, ..options(&host) };
    let thorough = Options { full_scan: true, ..options(&host) };
    let answers = [
        ("reader", Reader::open(path).map(drop)),
        ("owner", Journal::open(path, &options(&host)).map(drop)),
        ("careful owner", Journal::open(path, &careful).map(drop)),
        ("thorough owner", Journal::open(path, &thorough).map(drop)),
        ("info", info(path, &LocalHost).map(drop)),
        ("verify", verify(path, &mut |_, _| {}).map(drop)),
        ("history", history(path).map(drop)),
    ];
    for (who, answer) in answers {
        let error = answer.expect_err(&format!("{what}, {who}"));
        assert_eq!(error.kind(), kind, "{what}, {who}: {error}");
        assert!(std::fs::read(path).expect("read") == bytes, "{what}: {who} touched the file");
    }
}

/// CRC-32 of IEEE 802.3, bit by bit: nothing of the engine's.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The header page with this field in it, and a checksum that fits.
fn with_field(sample: &Sample, at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = sample.bytes.clone();
    bytes[at..at + field.len()].copy_from_slice(field);
    let sum = crc32(&[&bytes[..8], &bytes[12..IDENTITY_LEN]].concat());
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

// ---- newer ---------------------------------------------------------------------------------

/// D11.
#[test]
fn a_newer_version_is_refused_and_the_file_not_touched() {
    let (_folder, sample, path) = sample();
    let same = with_field(&sample, 16, &1_u16.to_le_bytes());
    assert!(same == sample.bytes, "version 1 is what is written, and the checksum is CRC-32");
    for version in [2_u16, 3, u16::MAX] {
        let newer = with_field(&sample, 16, &version.to_le_bytes());
        refused(&path, &newer, ErrorKind::UnsupportedFormat, &format!("version {version}"));
        let message = Reader::open(&path).expect_err("it is newer").to_string();
        assert!(message.contains(&version.to_string()), "{message}");
    }
}

/// D11: also where the newer version has another layout behind its fixed front.
#[test]
fn a_newer_version_of_another_layout_is_refused() {
    let (_folder, sample, path) = sample();
    let mut random = Random(3);
    let mut newer = sample.bytes.clone();
    newer[18..IDENTITY_LEN].fill_with(|| random.byte());
    newer[PAGE..].fill_with(|| random.byte());
    let newer = with_field(&Sample { bytes: newer, ..sample }, 16, &2_u16.to_le_bytes());
    refused(&path, &newer, ErrorKind::UnsupportedFormat, "another layout");
}

/// D11.
#[test]
fn an_unknown_feature_is_refused_and_the_file_not_touched() {
    let (_folder, sample, path) = sample();
    for bit in 0..32 {
        let newer = with_field(&sample, 12, &(1_u32 << bit).to_le_bytes());
        refused(&path, &newer, ErrorKind::UnsupportedFormat, &format!("feature bit {bit}"));
    }
}

/// D11: the header page is gone, and the opening that tells who the journal is, is of a newer one.
#[test]
fn a_newer_version_that_an_opening_tells_is_refused() {
    let (_folder, sample, path) = sample();
    let opening = &sample.frames[0];
    let body = OpeningBody::decode(&sample.bytes[PAGE + HEADER_LEN..opening.range.end]);
    let mut body = body.expect("the first frame is an opening");
    body.identity.version = 2;
    let body = body.encode();
    let header = FrameHeader { body_checksum: sample.codec.checksum(&[&body]), ..opening.header };
    let mut newer = vec![0; PAGE];
    newer.extend_from_slice(&header.encode(&sample.codec));
    newer.extend_from_slice(&body);
    newer.extend_from_slice(&sample.bytes[opening.range.end..]);
    refused(&path, &newer, ErrorKind::UnsupportedFormat, "version 2 in an opening");
}

/// D11: a frame that is sound and of a kind that is not known here is not damage.
#[test]
fn an_unknown_kind_of_frame_is_refused_and_the_file_not_touched() {
    let (_folder, sample, path) = sample();
    let last = sample.frames.last().expect("a release").header;
    let body = b"of a later day";
    for kind in [9, 77, 255] {
        let header = FrameHeader {
            kind: FrameKind::from(kind),
            payload_len: 14,
            body_checksum: sample.codec.checksum(&[body]),
            offset: last.end(),
            batch_len: 94,
            previous: last.offset,
            generation: last.generation + 1,
            ..last
        };
        let frame = [header.encode(&sample.codec).as_slice(), body].concat();
        let newer = [sample.bytes.as_slice(), &frame].concat();
        refused(&path, &newer, ErrorKind::UnsupportedFormat, &format!("kind {kind}"));

        // Where it does not verify, or stands elsewhere, it is dead bytes like any others.
        let mut torn = newer;
        *torn.last_mut().expect("a byte") ^= 1;
        let displaced = [sample.bytes.as_slice(), b"x", &frame].concat();
        for bytes in [torn, displaced] {
            std::fs::write(&path, &bytes).expect("write");
            let reader = Reader::open(&path).expect("open to read");
            assert_eq!(reader.records().filter_map(Result::ok).count(), sample.records.len());
        }
    }
}

/// A flipped bit in a frame's kind is damage, not a newer format.
#[test]
fn a_damaged_kind_is_not_taken_for_a_newer_one() {
    let (_folder, sample, path) = sample();
    for span in &sample.frames {
        let mut bytes = sample.bytes.clone();
        bytes[span.range.start + 4] = 9;
        std::fs::write(&path, &bytes).expect("write");
        Reader::open(&path).unwrap_or_else(|error| panic!("at {}: {error}", span.range.start));
    }
}

// ---- foreign -------------------------------------------------------------------------------

/// D11, B7: no error path renames, truncates or rewrites what it does not know.
#[test]
fn foreign_files_are_no_journals_and_are_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("foreign.journal");
    let mut random = Random(99);
    let line = "{\"type\":\"message\",\"role\":\"user\",\"content\":\"hello\"}\n";
    let noise: Vec<u8> = std::iter::repeat_with(|| random.byte()).take(20_000).collect();
    let mut magic_only = b"\x89SJL\r\n\x1A\n".to_vec();
    magic_only.extend_from_slice(&noise[..9000]);
    let mut frames_only = session_journal::format::MAGIC.to_vec().repeat(4000);
    frames_only.extend_from_slice(&noise);
    let foreign: [(&str, Vec<u8>); 11] = [
        ("nothing", Vec::new()),
        ("one byte", vec![0x89]),
        ("text", b"Dear diary,\n".repeat(700)),
        ("a short line", line.as_bytes().to_vec()),
        ("JSONL", line.repeat(400).into_bytes()),
        ("ELF", [b"\x7FELF\x02\x01\x01".as_slice(), &noise].concat()),
        ("SQLite", [b"SQLite format 3\0".as_slice(), &noise].concat()),
        ("zeros", vec![0; 12_000]),
        ("noise", noise.clone()),
        ("our magic and noise", magic_only),
        ("the magic of frames, again and again", frames_only),
    ];
    for (what, bytes) in foreign {
        refused(&path, &bytes, ErrorKind::NotAJournal, what);
    }
}

#[test]
fn the_front_of_a_header_page_alone_is_no_journal() {
    let (_folder, sample, path) = sample();
    for cut in [0, 1, 7, 8, 11, 12, 16, 100, 3071] {
        refused(&path, &sample.bytes[..cut], ErrorKind::NotAJournal, &format!("cut at {cut}"));
    }
}

// ---- a sibling -----------------------------------------------------------------------------

/// H18: two journals of one name and one history differ in their salt, and that is enough.
#[test]
fn frames_of_a_sibling_do_not_verify() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |seed: u64, records: std::ops::RangeInclusive<u64>| {
        let path = folder.path().join(format!("sibling-{seed}.journal"));
        let name = SessionName::new(None, "sibling").expect("a name");
        let host = StillHost::new(seed);
        let mut journal = Journal::create(&path, &name, &options(&host)).expect("create");
        for i in records {
            journal.append(&sample::record(i)).expect("append");
        }
        drop(journal);
        std::fs::read(&path).expect("read")
    };
    let (ours, theirs) = (make(1, 1..=5), make(2, 1..=9));
    let kept = ours.len();
    let path = folder.path().join("mixed.journal");

    // Their frames stand at their own offsets, right behind ours.
    let behind = [&ours[..], &theirs[kept..]].concat();
    let codec = Codec::new(session_journal::format::decode_identity(&theirs).expect("sound").salt);
    let foreign = FrameHeader::decode(&behind[kept..], &codec).expect("it is theirs");
    assert!(foreign.is_self_placed(kept as u64) && foreign.sequence == 6);
    std::fs::write(&path, &behind).expect("write");
    let reader = Reader::open(&path).expect("open to read");
    assert_eq!(reader.last_sequence().get(), 5);
    let host = StillHost::new(1);
    let mut journal = Journal::open(&path, &options(&host)).expect("open");
    let [hole] = journal.opening().report.holes[..] else { panic!("{:?}", journal.opening()) };
    assert_eq!((fits(hole.offset.get()), hole.verdict), (kept, Verdict::Torn));
    assert_eq!(fits(hole.bytes), theirs.len() - kept);
    assert_eq!(journal.append(&NewRecord::new("ours")).expect("append").sequence.get(), 6);

    // Our header page, all their frames: not one record is taken for ours.
    let swapped = [&ours[..PAGE], &theirs[PAGE..]].concat();
    std::fs::write(&path, &swapped).expect("write");
    let reader = Reader::open(&path).expect("open to read");
    assert_eq!(reader.records().filter_map(Result::ok).count(), 0);
}

// ---- slots ---------------------------------------------------------------------------------

/// H10, H12: slots are hints.
#[test]
fn slots_that_are_lost_old_or_of_a_fenced_owner_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let often = |options: &mut Options| {
        options.checkpoint_records = 2;
        options.sync_bytes = 1;
    };
    let sample = Sample::build(folder.path(), Ending::Closed, often);
    let path = folder.path().join("copy.journal");
    let read = |counter| Slot::decode(&sample.bytes[fits(slot_offset(counter))..], &sample.codec);
    let (even, odd) = (read(0).expect("a slot"), read(1).expect("a slot"));
    let newest = if even.counter > odd.counter { even } else { odd };
    assert_eq!((newest.state, newest.generation), (SlotState::Released, 2));
    assert_ne!(newest.checkpoint, 0);

    let put = |first: Option<&Slot>, second: Option<&Slot>| {
        let mut bytes = sample.bytes.clone();
        for (at, slot) in [(3072, first), (3584, second)] {
            let encoded = slot.map_or(vec![0; 512], |slot| slot.encode(&sample.codec));
            bytes[at..at + 512].copy_from_slice(&encoded);
        }
        bytes
    };
    let fenced = Slot { generation: 1, counter: newest.counter + 7, ..newest.clone() };
    let durable_through = PAGE as u64;
    let old = Slot { counter: 1, checkpoint: 0, durable_through, sequence: 0, ..fenced.clone() };
    let nowhere = Slot { checkpoint: newest.checkpoint + 1, ..newest.clone() };
    let copies = [
        ("both lost", put(None, None)),
        ("one lost", put(None, Some(&newest))),
        ("old ones", put(Some(&old), Some(&old))),
        ("a fenced owner's, and none", put(Some(&fenced), None)),
        ("the newest, and a fenced owner's", put(Some(&newest), Some(&fenced))),
        ("a checkpoint that is none", put(Some(&nowhere), None)),
    ];
    for (what, bytes) in copies {
        std::fs::write(&path, &bytes).expect("write");
        let reader = Reader::open(&path).expect("open to read");
        let records: Vec<_> = reader.records().map_while(Result::ok).collect();
        assert!(records == sample.records, "{what}");
        assert_eq!(reader.last_sequence().get(), 40, "{what}");
        assert!(verify(&path, &mut |_, _| {}).expect("verify").ok, "{what}");
        let mut journal = Journal::open(&path, &options(&sample.host)).expect("open");
        assert_eq!(journal.generation().get(), 3, "{what}");
        assert!(!journal.opening().report.is_corrupt(), "{what}: {:?}", journal.opening());
        assert_eq!(journal.append(&NewRecord::new("next")).expect("append").sequence.get(), 41);
        journal.close().expect("close");
    }
}
