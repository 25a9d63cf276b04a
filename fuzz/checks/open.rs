//! Opening arbitrary files. Nothing panics; whoever may write can append, and finds its record
//! again; what a reader saw before an opening it sees after it; and bytes that were only damaged
//! never give a record that nobody appended.
//!
//! The first byte of an input chooses the file: the input itself, or a small journal with edits of
//! eight bytes each. Edits 0 to 5 damage it as disks and outsiders do; 6 to 9 forge sound frames and
//! slots, which only the checks that hold for a forged file are made on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, SLOT_LEN, Slot, decode_identity, slot_offset,
};
use session_journal::{
    AppendOptions, Durability, Host, Incarnation, Item, Journal, Liveness, NewRecord, Options,
    Owner, Reader, Record, Sequence, SessionName, Takeover, history, info, verify,
};

const EDIT_LEN: usize = 8;
const EDITS_MAX: usize = 32;
const FILE_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let (content, is_forged) = match which % 3 {
        0 => (rest.to_vec(), true),
        1 => edited(&base(false), rest),
        _ => edited(&base(true), rest),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fuzzed.journal");
    fs::write(&path, content).expect("writes");
    examine(&path, is_forged, bytes.len().is_multiple_of(2));
}

// ---- the files -----------------------------------------------------------------------------

/// A host without chance: the same journal, byte for byte, in every run.
#[derive(Debug, Default)]
struct FixedHost(AtomicU64);

impl Host for FixedHost {
    fn now_ms(&self) -> i64 {
        1_000_000
    }

    fn fill_random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        let seed = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        for (byte, i) in bytes.iter_mut().zip(1_u64..) {
            *byte = (seed.wrapping_mul(31).wrapping_add(i).wrapping_mul(0x9E37_79B9) >> 16) as u8;
        }
        Ok(())
    }

    fn owner(&self, label: &str) -> std::io::Result<Owner> {
        let mut incarnation = [0; 16];
        self.fill_random(&mut incarnation)?;
        Ok(Owner {
            incarnation: Incarnation::from_bytes(incarnation),
            host: "here".to_owned(),
            boot_id: [1; 16],
            pid: 1,
            pid_namespace: 1,
            start_ticks: 1,
            started_ms: 1,
            program: "fuzz".to_owned(),
            label: label.to_owned(),
        })
    }

    fn liveness(&self, _: &Owner) -> Liveness {
        Liveness::Unknown
    }

    fn retire(&self, _: &Owner) {}

    fn pid(&self) -> u32 {
        1
    }
}

fn options(host: Arc<dyn Host>) -> Options {
    Options {
        takeover: Takeover::Always,
        durability: Durability::Written,
        checkpoint_records: 3,
        claim_attempts: 2,
        host,
        ..Options::default()
    }
}

/// A small journal with everything in it: keys, parents, a batch, checkpoints, an owner that died in
/// the middle of a batch, one that released; and the same one compacted.
fn base(compacted: bool) -> Vec<u8> {
    static BASES: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    BASES[usize::from(compacted)].get_or_init(|| write_base(compacted)).clone()
}

fn write_base(compacted: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("base.journal");
    let options = options(Arc::new(FixedHost::default()));
    let name = SessionName::new(Some("agent"), "base").expect("a name");
    let mut journal = Journal::create(&path, &name, &options).expect("creates");
    let record = |n: u64| {
        let record = NewRecord::new(text(n)).kind("message").key(key(n));
        if n > 1 { record.parent(key(n - 1)) } else { record }
    };
    let append = |journal: &mut Journal, n| {
        journal.append(&record(n)).expect("appends");
    };
    (1..=4).for_each(|n| append(&mut journal, n));
    let batch: Vec<NewRecord> = (1..=3).map(|n| NewRecord::new(torn(n))).collect();
    let torn = journal.append_all(&batch, &AppendOptions::default()).expect("appends");
    drop(journal);
    // A power loss that took a page in the middle of the batch, and everything behind it.
    let mut content = fs::read(&path).expect("reads");
    content[torn[1].offset.get() as usize..][..HEADER_LEN].fill(0);
    content.truncate(torn[2].offset.get() as usize + HEADER_LEN + "torn 3".len());
    fs::write(&path, content).expect("writes");
    let mut journal = Journal::open(&path, &options).expect("opens");
    let batch: Vec<NewRecord> = (5..=7).map(record).collect();
    journal.append_all(&batch, &AppendOptions::default()).expect("appends");
    append(&mut journal, 8);
    journal.close().expect("closes");
    let mut journal = Journal::open(&path, &options).expect("opens");
    if compacted {
        journal.compact().expect("compacts");
    }
    append(&mut journal, 9);
    drop(journal);
    fs::read(&path).expect("reads")
}

/// Everything that was ever appended to a base: a torn batch too, for where damage took the frame that
/// says that it was torn, its sound frames count.
fn was_appended(record: &Record) -> bool {
    let texts = (1..=9).map(text).chain((1..=3).map(torn));
    let payload = &record.payload;
    texts.zip(1..).any(|(text, n)| *payload == text && record.key == (n <= 9).then(|| key(n)))
}

fn text(n: u64) -> String {
    format!("record {n}, {}", "x".repeat(n as usize * 7 % 60))
}

fn torn(n: u64) -> String {
    format!("torn {n}")
}

fn key(n: u64) -> String {
    format!("key-{n}")
}

/// An edit: what, where, how much, with what.
struct Edit {
    what: u8,
    at: usize,
    len: usize,
    value: u8,
    number: u64,
}

/// Applies the edits; true where one of them forged something.
fn edited(base: &[u8], edits: &[u8]) -> (Vec<u8>, bool) {
    let codec = Codec::new(decode_identity(base).expect("the base is whole").salt);
    let mut file = base.to_vec();
    let mut is_forged = false;
    for edit in edits.chunks_exact(EDIT_LEN).take(EDITS_MAX) {
        let [what, at0, at1, len0, len1, value, shift, _] = *edit else { continue };
        let (at, len) = (u16::from_le_bytes([at0, at1]), u16::from_le_bytes([len0, len1]));
        let number = i64::from(at.cast_signed()).cast_unsigned() << (shift % 64);
        let edit = Edit {
            what: what % 10,
            at: usize::from(at) % (file.len() + 1),
            len: usize::from(len),
            value,
            number,
        };
        is_forged |= edit.what >= 6;
        edit.apply(&mut file, &codec);
        file.truncate(FILE_BYTES_MAX);
    }
    (file, is_forged)
}

impl Edit {
    fn apply(&self, file: &mut Vec<u8>, codec: &Codec) {
        let end = (self.at + self.len).min(file.len());
        match self.what {
            0 => {
                if let Some(byte) = file.get_mut(self.at) {
                    *byte = self.value;
                }
            }
            1 => file[self.at..end].fill(0),
            2 => file.truncate(self.at),
            3 => file.extend_from_within(self.at..end),
            4 => drop(file.splice(self.at..self.at, vec![self.value; self.len % 256])),
            5 => drop(file.drain(self.at..end)),
            6 => self.forge_header(file, codec, false),
            7 => self.forge_header(file, codec, true),
            8 => self.forge_slot(file, codec),
            _ => self.forge_body(file, codec),
        }
    }

    /// The frame that `value` chooses, and where it stands.
    fn frame(&self, file: &[u8], codec: &Codec) -> Option<(usize, FrameHeader)> {
        let sound = |at: usize| Some((at, FrameHeader::decode(file.get(at..)?, codec).ok()?));
        let whole = |(at, header): &(usize, FrameHeader)| {
            usize::try_from(header.frame_len())
                .is_ok_and(|len| at.saturating_add(len) <= file.len())
        };
        let frames: Vec<_> = (0..file.len()).filter_map(sound).filter(whole).collect();
        frames.get(usize::from(self.value) % frames.len().max(1)).copied()
    }

    /// Changes a field of a header, in place or of a copy that is put where it says: at the end.
    fn forge_header(&self, file: &mut Vec<u8>, codec: &Codec, at_end: bool) {
        let Some((at, mut header)) = self.frame(file, codec) else { return };
        let body =
            file[at + HEADER_LEN..][..usize::try_from(header.body_len()).unwrap_or(0)].to_vec();
        if at_end {
            header.offset = file.len() as u64;
        }
        let n = self.number;
        match self.len % 12 {
            0 => header.generation = n,
            1 => header.generation = header.generation.wrapping_add(n),
            2 => header.sequence = n,
            3 => header.sequence = header.sequence.wrapping_add(n),
            4 => header.previous = n,
            5 => header.durable_through = n,
            6 => header.batch_before = n as u32,
            7 => header.batch_len = n as u32,
            8 => header.kind = FrameKind::from(n as u8 % 10),
            9 => header.incarnation = n as u32,
            10 => header.flags = n as u8,
            _ => header.time_ms = n.cast_signed(),
        }
        let place = if at_end { file.len() } else { at };
        if at_end {
            file.resize(place + HEADER_LEN, 0);
            file.extend_from_slice(&body);
        }
        file[place..place + HEADER_LEN].copy_from_slice(&header.encode(codec));
    }

    fn forge_slot(&self, file: &mut [u8], codec: &Codec) {
        let at = usize::try_from(slot_offset(u64::from(self.value))).unwrap_or(0);
        let Some(bytes) = file.get_mut(at..at + SLOT_LEN) else { return };
        let Some(mut slot) = Slot::decode(bytes, codec) else { return };
        let n = self.number;
        match self.len % 9 {
            0 => slot.generation = n,
            1 => slot.sequence = n,
            2 => slot.tail = n,
            3 => slot.durable_through = n,
            4 => slot.checkpoint = n,
            5 => slot.opening = n,
            6 => slot.records = n,
            7 => slot.counter = n,
            _ => slot.void_bytes = n,
        }
        bytes.copy_from_slice(&slot.encode(codec));
    }

    /// Changes a byte of a body, and makes both checksums fit.
    fn forge_body(&self, file: &mut [u8], codec: &Codec) {
        let Some((at, mut header)) = self.frame(file, codec) else { return };
        let len = usize::try_from(header.body_len()).unwrap_or(0);
        let body = &mut file[at + HEADER_LEN..][..len];
        let Some(byte) = body.get_mut(self.len % len.max(1)) else { return };
        *byte = self.number as u8;
        header.body_checksum = codec.checksum(&[body]);
        file[at..at + HEADER_LEN].copy_from_slice(&header.encode(codec));
    }
}

// ---- the checks ----------------------------------------------------------------------------

fn examine(path: &Path, is_forged: bool, closes: bool) {
    let before = Reader::open(path).ok().map(|reader| read_every_way(&reader, is_forged));
    if let Some(before) = &before {
        let (verified, history) = (verify(path, &mut |_, _| ()), history(path));
        // Reading may have begun behind a frame of a kind that only a newer format has.
        if !is_forged {
            let verified = verified.expect("what a reader opens can be verified");
            assert_eq!(verified.records, before.len() as u64, "verify counts what readers read");
            drop(history.expect("what a reader opens has a history"));
        }
    }
    let host: Arc<dyn Host> = Arc::new(FixedHost(AtomicU64::new(1000)));
    drop(info(path, &*host));

    let options = options(host);
    let Ok(mut journal) = Journal::open(path, &options) else { return };
    let payload = "appended behind it all";
    let appended = journal.append(&NewRecord::new(payload)).expect("an owner can append");
    if closes {
        journal.close().expect("an owner can release");
    } else {
        drop(journal);
    }
    let again = Journal::open(path, &options);
    if is_forged {
        // What stands before a checkpoint may contradict it: then it depends on where one begins to
        // read, and only this holds, that everybody comes to an end.
        drop(again.and_then(|again| again.reader()).map(|reader| read_every_way(&reader, true)));
        return;
    }
    let again = again.expect("what was opened opens again");
    assert!(again.generation() > appended.generation, "generations rise");
    let reader = again.reader().expect("an owner can read");
    let found = reader.get(appended.sequence).expect("is not lost").expect("is there");
    assert_eq!(found.payload, payload);
    let after = forwards(&reader);
    assert_eq!(
        after.last_key_value().map(|(sequence, _)| *sequence),
        Some(appended.sequence.get())
    );
    for (sequence, record) in before.iter().flatten() {
        assert_eq!(after.get(sequence), Some(record), "an opening changed what readers see");
    }
}

fn read_every_way(reader: &Reader, is_forged: bool) -> BTreeMap<u64, Record> {
    let forwards = forwards(reader);
    let backwards = records(reader.backwards().with_gaps());
    reader.records().for_each(drop);
    reader.backwards().for_each(drop);
    reader.last(3).into_iter().flatten().for_each(drop);
    drop(reader.records_after(&reader.mark()));
    for (sequence, record) in &forwards {
        let got = reader.get(Sequence::new(*sequence));
        let by_key = record.key.as_deref().map(|key| reader.by_key(key));
        if let Some(key) = &record.key {
            reader.path_to_root(key).into_iter().flatten().take(20).for_each(drop);
        }
        if is_forged {
            continue;
        }
        assert_eq!(got.expect("a record that is read can be got").as_ref(), Some(record));
        if let Some(Ok(by_key)) = by_key {
            assert_eq!(by_key.as_ref(), Some(record), "a key leads to its record");
        }
    }
    if !is_forged {
        let turned: Vec<&Record> = backwards.iter().rev().collect();
        assert_eq!(turned, forwards.values().collect::<Vec<_>>(), "backwards is forwards turned");
        assert!(forwards.values().all(was_appended), "a record that nobody appended");
    }
    forwards
}

fn forwards(reader: &Reader) -> BTreeMap<u64, Record> {
    let records = records(reader.records().with_gaps());
    let ascend = |two: &[Record]| two[0].sequence < two[1].sequence;
    assert!(records.windows(2).all(ascend), "sequences rise");
    records.into_iter().map(|record| (record.sequence.get(), record)).collect()
}

/// The records until the reader says that it cannot go on.
fn records(items: impl Iterator<Item = session_journal::Result<Item>>) -> Vec<Record> {
    let record = |item| match item {
        Item::Record(record) => Some(record),
        Item::Gap(_) => None,
    };
    items.map_while(Result::ok).filter_map(record).collect()
}
