//! Small journals with everything in them, and edits of eight bytes each: 0 to 5 damage a file as
//! disks and outsiders do, 6 to 9 forge sound frames and slots.

use std::fs;
use std::sync::{Arc, OnceLock};

use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, SLOT_LEN, Slot, decode_identity, slot_offset,
};
use session_journal::{AppendOptions, Journal, NewRecord, Record, SessionName};

use super::host::{FixedHost, options};

const EDIT_LEN: usize = 8;
const EDITS_MAX: usize = 32;
const FILE_BYTES_MAX: usize = 1 << 20;

/// A small journal with everything in it: keys, parents, a batch, checkpoints, an owner that died in
/// the middle of a batch, one that released; and the same one compacted.
pub(crate) fn base(compacted: bool) -> Vec<u8> {
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
pub(crate) fn was_appended(record: &Record) -> bool {
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
pub(crate) fn edited(base: &[u8], edits: &[u8]) -> (Vec<u8>, bool) {
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
