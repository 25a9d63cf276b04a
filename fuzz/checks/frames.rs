//! Journals written frame by frame as an input says: by writers that keep the protocol, with torn
//! and damaged places, claims and foreign bytes between their frames; and by liars, whose frames
//! verify and say what is not so.

use session_journal::format::{
    ClaimBody, Codec, FrameHeader, FrameKind, HEADER_LEN, Identity, Meta, OpeningBody, PAGE_LEN,
    Purpose, ReopenBody, SealBody, encode_identity,
};
use session_journal::{Host, Incarnation, JournalId, OpenReason, Owner, RepairReport, SessionName};

use super::host::FixedHost;

const STEP_LEN: usize = 4;
const STEPS_MAX: usize = 64;

/// A file, the lengths that it had between two steps of its making, and whether somebody lied.
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lengths: Vec<usize>,
    pub(crate) is_forged: bool,
}

/// Bytes of anything behind a sound header page without slots.
pub(crate) fn behind_a_page(bytes: &[u8]) -> Written {
    let file = [&page(&identity()), bytes].concat();
    let lengths = (PAGE_LEN as usize..file.len()).step_by(29).collect();
    Written { bytes: file, lengths, is_forged: true }
}

/// Carries out the steps of an input, four bytes each.
pub(crate) fn written(steps: &[u8]) -> Written {
    let mut pen = Pen::new();
    let mut lengths = Vec::new();
    for step in steps.chunks_exact(STEP_LEN).take(STEPS_MAX) {
        let [what, a, b, c] = *step else { continue };
        let from = pen.file.len();
        pen.step(what, a, b, c);
        let to = pen.file.len();
        lengths.extend([from.midpoint(to), to].map(|len| len.max(PAGE_LEN as usize)));
    }
    lengths.sort_unstable();
    Written { bytes: pen.file, lengths, is_forged: pen.is_forged }
}

fn identity() -> Identity {
    Identity {
        version: 1,
        journal: JournalId::from_bytes([7; 16]),
        salt: 7,
        created_ms: 1,
        compactions: 0,
        name: SessionName::new(None, "scanned").expect("a name"),
    }
}

fn page(identity: &Identity) -> Vec<u8> {
    let mut page = encode_identity(identity);
    page.resize(PAGE_LEN as usize, 0);
    page
}

/// What becomes of a frame that was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    /// Its body does not verify.
    Flipped,
    /// Its header is zeros.
    Zeroed,
    /// The file ends within it.
    Cut,
}

/// One field of the next header that is not as it should be.
#[derive(Clone, Copy)]
struct Lie {
    field: u8,
    value: u64,
}

struct Pen {
    file: Vec<u8>,
    codec: Codec,
    identity: Identity,
    owner: Owner,
    generation: u64,
    /// The highest generation that was claimed.
    claimed: u64,
    sequence: u64,
    /// The last frame of the chain.
    last: u64,
    /// Everything of the chain ends here.
    end: u64,
    kind: FrameKind,
    /// Power was lost, for it left holes in what was written: another owner goes on.
    is_lost: bool,
    lie: Option<Lie>,
    is_forged: bool,
}

impl Pen {
    fn new() -> Self {
        let identity = identity();
        let mut pen = Self {
            file: page(&identity),
            codec: Codec::new(identity.salt),
            identity,
            owner: FixedHost::default().owner("").expect("an owner"),
            generation: 0,
            claimed: 0,
            sequence: 0,
            last: 0,
            end: PAGE_LEN,
            kind: FrameKind::Release,
            is_lost: false,
            lie: None,
            is_forged: false,
        };
        pen.open();
        pen
    }

    fn step(&mut self, what: u8, a: u8, b: u8, c: u8) {
        match what % 12 {
            0 => self.record(a, b, Fate::Whole, true),
            1 => self.record(a, b, Fate::Flipped, c & 1 == 0),
            2 => self.record(a, b, Fate::Cut, false),
            3 => self.batch(a, b, c),
            4 => self.open(),
            5 => self.may_write(FrameKind::Release, &[]),
            6 => self.claim(a),
            7 => self.file.extend(std::iter::repeat_n(b, usize::from(a))),
            8 => self.quote(a, b, c),
            9 => self.seal(),
            10 => self.half(a),
            _ => self.lie(a, b, c),
        }
    }

    fn may_write(&mut self, kind: FrameKind, body: &[u8]) {
        self.be_open();
        self.alone(kind, body);
    }

    /// Behind a release or a seal nothing of this owner counts, so another one begins.
    fn be_open(&mut self) {
        match self.kind {
            FrameKind::Seal => self.reopen(),
            FrameKind::Release => self.open(),
            _ if self.is_lost => self.open(),
            _ => {}
        }
    }

    fn next_owner(&mut self) -> u64 {
        let before = self.generation;
        self.generation = self.claimed.max(self.generation) + 1;
        self.claimed = self.generation;
        self.owner.incarnation = Incarnation::from_bytes([self.generation as u8; 16]);
        before
    }

    fn open(&mut self) {
        if self.kind == FrameKind::Seal {
            return self.reopen();
        }
        let previous_generation = self.next_owner();
        let body = OpeningBody {
            identity: self.identity.clone(),
            previous_generation,
            reason: OpenReason::Created,
            claim: 0,
            last_frame: self.last,
            owner: self.owner.clone(),
            previous_owner: None,
            report: RepairReport::default(),
        };
        self.alone(FrameKind::Opening, &body.encode());
    }

    fn reopen(&mut self) {
        self.next_owner();
        let body = ReopenBody { owner: self.owner.clone() }.encode();
        self.alone(FrameKind::Reopen, &body);
    }

    fn seal(&mut self) {
        let body = SealBody {
            purpose: Purpose::Replace,
            path: b"/elsewhere".to_vec(),
            successor: b"x".to_vec(),
            successor_len: 1,
        };
        self.may_write(FrameKind::Seal, &body.encode());
    }

    /// A claim that names the place where it stands, or one before it.
    fn claim(&mut self, back: u8) {
        let body = ClaimBody { replaces: self.claimed, owner: self.owner.clone() }.encode();
        self.claimed += 1;
        let offset = self.file.len() as u64 - u64::from(back % 64);
        let header = FrameHeader {
            generation: self.claimed,
            offset,
            ..self.header(FrameKind::Claim, 0, 0, &body)
        };
        self.file.extend_from_slice(&header.encode(&self.codec));
        self.file.extend_from_slice(&body);
    }

    fn header(&self, kind: FrameKind, flags: u8, meta_len: usize, body: &[u8]) -> FrameHeader {
        let payload_len = (body.len() - meta_len) as u32;
        FrameHeader {
            kind,
            flags,
            meta_len: meta_len as u16,
            payload_len,
            body_checksum: self.codec.checksum(&[body]),
            incarnation: u32::from_le_bytes([self.generation as u8; 4]),
            generation: self.generation,
            sequence: self.sequence,
            offset: self.file.len() as u64,
            batch_before: 0,
            batch_len: (HEADER_LEN + body.len()) as u32,
            previous: self.last,
            time_ms: 1,
            durable_through: if self.sequence.is_multiple_of(2) { self.end } else { 0 },
        }
    }

    /// A frame that is a batch of its own.
    fn alone(&mut self, kind: FrameKind, body: &[u8]) {
        let mut header = self.header(kind, 0, 0, body);
        if kind == FrameKind::Release {
            header.durable_through = header.offset;
        }
        self.put(&header, body, Fate::Whole);
        self.accept(&header);
    }

    fn accept(&mut self, header: &FrameHeader) {
        (self.last, self.end) = (header.offset, header.end());
        (self.kind, self.sequence) = (header.kind, header.sequence);
        self.is_lost = false;
    }

    fn put(&mut self, header: &FrameHeader, body: &[u8], fate: Fate) {
        let mut header = *header;
        if let Some(lie) = self.lie.take() {
            lie.tell(&mut header);
            self.is_forged = true;
        }
        if fate == Fate::Cut {
            // Whatever comes behind it does not make it whole.
            header.body_checksum ^= 1;
        }
        let start = self.file.len();
        self.file.extend_from_slice(&header.encode(&self.codec));
        self.file.extend_from_slice(body);
        match fate {
            Fate::Whole => {}
            Fate::Flipped => *self.file.last_mut().expect("there is a frame") ^= 0x55,
            Fate::Zeroed => self.file[start..start + HEADER_LEN].fill(0),
            Fate::Cut => self.file.truncate(start.midpoint(self.file.len())),
        }
    }

    /// The flags, the meta's length and the body of the next record.
    fn body(&self, len: u8, what: u8) -> (u8, usize, Vec<u8>) {
        let key = format!("key {}", self.sequence);
        let meta = Meta {
            kind: (what & 1 != 0).then_some("kind"),
            key: (what & 2 != 0).then_some(key.as_str()),
            parent: (what & 4 != 0).then_some("key 0"),
        };
        let mut body = Vec::new();
        meta.encode(&mut body);
        let meta_len = body.len();
        body.extend(std::iter::repeat_n(what, usize::from(len)));
        (meta.flags(), meta_len, body)
    }

    /// A record; where its writer did not have it, nothing of it is ever mentioned again.
    fn record(&mut self, len: u8, what: u8, fate: Fate, had: bool) {
        self.be_open();
        let (flags, meta_len, body) = self.body(len, what);
        let header = FrameHeader {
            sequence: self.sequence + 1,
            ..self.header(FrameKind::Record, flags, meta_len, &body)
        };
        self.put(&header, &body, fate);
        if had {
            self.accept(&header);
        } else {
            self.is_lost |= fate != Fate::Cut;
        }
    }

    /// Two to five records as one batch, of which one may be broken.
    fn batch(&mut self, len: u8, broken: u8, how: u8) {
        self.be_open();
        let count = 2 + u64::from(len % 4);
        let (flags, meta_len, body) = self.body(len, how);
        let frame_len = (HEADER_LEN + body.len()) as u32;
        let first = self.header(FrameKind::Record, flags, meta_len, &body);
        let fates = [Fate::Flipped, Fate::Zeroed, Fate::Cut, Fate::Flipped];
        let fate = fates[usize::from(how % 4)];
        let broken = u64::from(broken % 8);
        let mut header = first;
        for nth in 0..count {
            header = FrameHeader {
                sequence: first.sequence + 1 + nth,
                offset: first.offset + nth * u64::from(frame_len),
                batch_before: nth as u32 * frame_len,
                batch_len: count as u32 * frame_len,
                previous: if nth == 0 { first.previous } else { header.offset },
                ..first
            };
            self.put(&header, &body, if nth == broken { fate } else { Fate::Whole });
            if nth == broken && fate == Fate::Cut {
                return;
            }
        }
        if broken >= count || how & 4 != 0 {
            self.accept(&header);
        } else {
            self.is_lost = true;
        }
    }

    /// A copy of what stands elsewhere in the file.
    fn quote(&mut self, at0: u8, at1: u8, len: u8) {
        let at = usize::from(u16::from_le_bytes([at0, at1])) % self.file.len();
        let end = (at + usize::from(len) * 4).min(self.file.len());
        self.file.extend_from_within(at..end);
    }

    /// A header that announces a body that never came.
    fn half(&mut self, len: u8) {
        let body = vec![0; usize::from(len) * 16];
        let header = self.header(FrameKind::Record, 0, 0, &body);
        let (sequence, body_checksum) = (header.sequence + 1, header.body_checksum ^ 1);
        let header = FrameHeader { sequence, body_checksum, ..header };
        self.file.extend_from_slice(&header.encode(&self.codec));
    }

    fn lie(&mut self, field: u8, value: u8, shift: u8) {
        let value = i64::from(value.cast_signed()).cast_unsigned() << (shift % 48);
        self.lie = Some(Lie { field, value });
    }
}

impl Lie {
    fn tell(self, header: &mut FrameHeader) {
        let value = self.value;
        match self.field % 12 {
            0 => header.generation = header.generation.wrapping_add(value),
            1 => header.generation = value,
            2 => header.sequence = header.sequence.wrapping_add(value),
            3 => header.sequence = value,
            4 => header.offset = header.offset.wrapping_add(value),
            5 => header.previous = header.previous.wrapping_add(value),
            6 => header.previous = value,
            7 => header.durable_through = value,
            8 => header.batch_before = value as u32,
            9 => header.batch_len = header.batch_len.wrapping_add(value as u32),
            10 => header.kind = FrameKind::from(value as u8 % 10),
            _ => header.incarnation = value as u32,
        }
    }
}
