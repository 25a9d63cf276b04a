//! A frame: 80 bytes of header, then the body: what describes the record, and its payload.
//!
//! ```text
//! offset  size  field            rule
//!      0     4  magic            F5 53 4A 1E
//!      4     1  kind             1 record, 2 claim, 3 opening, 4 release, 5 seal, 6 reopen,
//!                                7 checkpoint, 8 compacted; another value: a newer format
//!      5     1  flags            record: 1 kind, 2 key, 4 parent are there; otherwise zero
//!      6     2  meta length      bytes of the body before the payload
//!      8     4  payload length   bytes, at most 1 GiB
//!     12     4  header checksum  over bytes 0..12 and 16..80
//!     16     4  body checksum    over meta and payload
//!     20     4  incarnation      the first 32 bits of its owner's
//!     24     8  generation       of its owner; never falls along the chain
//!     32     8  sequence         of the record; of the last record for every other kind
//!     40     8  offset           its own; in a claim, how far its author had read
//!     48     4  batch before     bytes from the start of its batch to this frame
//!     52     4  batch length     bytes of its whole batch
//!     56     8  previous         offset of the chain frame before it; zero for the first
//!     64     8  time             ms since the epoch
//!     72     8  durable through  an offset: everything below was synced before this was written
//! ```
//!
//! All fields are little-endian. The magic is not UTF-8, so text never holds it.

use super::Codec;
use super::wire::{Fields, Malformed, put_short};

/// Begins every frame.
pub const MAGIC: [u8; 4] = [0xF5, b'S', b'J', 0x1E];
/// Bytes of a frame before its body.
pub const HEADER_LEN: usize = 80;
/// The largest payload that a frame may announce: 1 GiB.
pub const PAYLOAD_BYTES_MAX: u32 = 1 << 30;
/// Generations, sequences, offsets and lengths are below this: 48 bits, so that arithmetic with
/// what stands in a file cannot overflow.
pub const NUMBER_LIMIT: u64 = 1 << 48;
/// The longest kind of a record.
pub const KIND_BYTES_MAX: usize = 255;
/// The longest key or parent key of a record.
pub const KEY_BYTES_MAX: usize = 1024;

const HAS_KIND: u8 = 1;
const HAS_KEY: u8 = 2;
const HAS_PARENT: u8 = 4;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// What a caller appended.
    Record,
    /// Takes a generation. The only kind that floats: it names no offset of its own.
    Claim,
    /// The first frame of a generation.
    Opening,
    /// The last frame of a generation.
    Release,
    /// Nothing but a reopen is valid behind it.
    Seal,
    /// Takes a seal back whose successor does not exist.
    Reopen,
    /// The state of the scan and an index of what came since the checkpoint before.
    Checkpoint,
    /// The first frame of a compacted file: what it stands for.
    Compacted,
    /// A kind that a newer format may have.
    Unknown(u8),
}

impl From<u8> for FrameKind {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Record,
            2 => Self::Claim,
            3 => Self::Opening,
            4 => Self::Release,
            5 => Self::Seal,
            6 => Self::Reopen,
            7 => Self::Checkpoint,
            8 => Self::Compacted,
            other => Self::Unknown(other),
        }
    }
}

impl From<FrameKind> for u8 {
    fn from(kind: FrameKind) -> Self {
        match kind {
            FrameKind::Record => 1,
            FrameKind::Claim => 2,
            FrameKind::Opening => 3,
            FrameKind::Release => 4,
            FrameKind::Seal => 5,
            FrameKind::Reopen => 6,
            FrameKind::Checkpoint => 7,
            FrameKind::Compacted => 8,
            FrameKind::Unknown(other) => other,
        }
    }
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// Which parts of the meta are there.
    pub flags: u8,
    /// Bytes of the body before the payload.
    pub meta_len: u16,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// Checksum of meta and payload.
    pub body_checksum: u32,
    /// The first 32 bits of the owner's incarnation.
    pub incarnation: u32,
    /// Of the owner.
    pub generation: u64,
    /// Of the record, or of the last one.
    pub sequence: u64,
    /// Its own; in a claim, how far its author had read.
    pub offset: u64,
    /// Bytes from the start of its batch to this frame.
    pub batch_before: u32,
    /// Bytes of its whole batch.
    pub batch_len: u32,
    /// Offset of the chain frame before it; zero for the first.
    pub previous: u64,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// Everything below this offset was synced before this frame was written.
    pub durable_through: u64,
}

/// Why bytes are no frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// They do not begin with the magic.
    NoMagic,
    /// The checksum does not fit, or a field is out of its range.
    Damaged,
}

impl FrameHeader {
    /// A header with nothing in it yet.
    pub(crate) const BLANK: Self = Self {
        kind: FrameKind::Record,
        flags: 0,
        meta_len: 0,
        payload_len: 0,
        body_checksum: 0,
        incarnation: 0,
        generation: 0,
        sequence: 0,
        offset: 0,
        batch_before: 0,
        batch_len: 0,
        previous: 0,
        time_ms: 0,
        durable_through: 0,
    };

    /// The header of a frame that is a batch of its own, with this body.
    pub(crate) fn alone(kind: FrameKind, codec: &Codec, body: &[u8], fields: Self) -> Self {
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self {
            kind,
            payload_len: len,
            batch_len: len.saturating_add(u32::try_from(HEADER_LEN).unwrap_or(0)),
            body_checksum: codec.checksum(&[body]),
            ..fields
        }
    }

    /// Bytes of the body.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        u64::from(self.meta_len).saturating_add(u64::from(self.payload_len))
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        (HEADER_LEN as u64).saturating_add(self.body_len())
    }

    /// Where the frame ends if it stands at its own offset.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.frame_len())
    }

    /// Where its batch begins.
    #[must_use]
    pub fn batch_first(&self) -> u64 {
        self.offset.saturating_sub(u64::from(self.batch_before))
    }

    /// Where its batch ends.
    #[must_use]
    pub fn batch_end(&self) -> u64 {
        self.batch_first().saturating_add(u64::from(self.batch_len))
    }

    /// It is a batch of its own.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.batch_before == 0 && u64::from(self.batch_len) == self.frame_len()
    }

    /// It stands at the offset that it names, and its batch can be where it says.
    #[must_use]
    pub fn is_self_placed(&self, at: u64) -> bool {
        self.offset == at
            && self.kind != FrameKind::Claim
            && u64::from(self.batch_before) <= at
            && self.end() <= self.batch_end()
    }

    /// The header's bytes, with its checksum.
    #[must_use]
    pub fn encode(&self, codec: &Codec) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        self.encode_into(codec, &mut out);
        out
    }

    /// Writes the header's bytes, with its checksum, to where they belong.
    #[inline]
    pub fn encode_into(&self, codec: &Codec, out: &mut [u8; HEADER_LEN]) {
        let two = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let kind = u32::from(u8::from(self.kind))
            | u32::from(self.flags) << 8
            | u32::from(self.meta_len) << 16;
        // By whole words: parts of a word that were just written are slow to read as one.
        let words = [
            two(u32::from_le_bytes(MAGIC), kind),
            two(self.payload_len, 0),
            two(self.body_checksum, self.incarnation),
            self.generation,
            self.sequence,
            self.offset,
            two(self.batch_before, self.batch_len),
            self.previous,
            self.time_ms.cast_unsigned(),
            self.durable_through,
        ];
        for (place, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        let ((front, _), (_, back)) = (out.split_at(12), out.split_at(16));
        let checksum = codec.checksum(&[front, back]);
        if let Some(place) = out.as_chunks_mut::<4>().0.get_mut(3) {
            *place = checksum.to_le_bytes();
        }
    }

    /// Reads a header from the front of `bytes`.
    ///
    /// # Errors
    /// `NoMagic` where there is none (or fewer than 80 bytes), `Damaged` where it does not verify.
    pub fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, HeaderFault> {
        if !bytes.starts_with(&MAGIC) {
            return Err(HeaderFault::NoMagic);
        }
        let (front, rest) = bytes.split_first_chunk::<12>().ok_or(HeaderFault::NoMagic)?;
        let (sum, rest) = rest.split_first_chunk::<4>().ok_or(HeaderFault::NoMagic)?;
        let (back, _) =
            rest.split_first_chunk::<{ HEADER_LEN - 16 }>().ok_or(HeaderFault::NoMagic)?;
        if codec.checksum(&[front, back]) != u32::from_le_bytes(*sum) {
            return Err(HeaderFault::Damaged);
        }
        Self::fields(front, back).map_err(|_| HeaderFault::Damaged)
    }

    fn fields(front: &[u8], back: &[u8]) -> Result<Self, Malformed> {
        let mut front = Fields::new(front, "frame header");
        front.array::<4>()?;
        let mut back = Fields::new(back, "frame header");
        let header = Self {
            kind: front.u8()?.into(),
            flags: front.u8()?,
            meta_len: front.u16()?,
            payload_len: front.u32()?,
            body_checksum: back.u32()?,
            incarnation: back.u32()?,
            generation: back.u64()?,
            sequence: back.u64()?,
            offset: back.u64()?,
            batch_before: back.u32()?,
            batch_len: back.u32()?,
            previous: back.u64()?,
            time_ms: back.i64()?,
            durable_through: back.u64()?,
        };
        let numbers = [
            header.generation,
            header.sequence,
            header.offset,
            header.previous,
            header.durable_through,
        ];
        let bounded = numbers.iter().all(|number| *number < NUMBER_LIMIT);
        let nobody = header.kind == FrameKind::Unknown(0)
            || (header.kind == FrameKind::Record && header.sequence == 0);
        if header.payload_len > PAYLOAD_BYTES_MAX || !bounded || nobody {
            return Err(front.malformed());
        }
        Ok(header)
    }
}

/// What describes a record: kind, key, parent key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// What kind of record it is.
    pub kind: Option<&'a str>,
    /// Its unique name.
    pub key: Option<&'a str>,
    /// The key of the record that it follows.
    pub parent: Option<&'a str>,
}

impl<'a> Meta<'a> {
    /// The flags of a frame with this meta.
    #[must_use]
    pub fn flags(&self) -> u8 {
        let flag = |there: bool, flag| if there { flag } else { 0 };
        flag(self.kind.is_some(), HAS_KIND)
            | flag(self.key.is_some(), HAS_KEY)
            | flag(self.parent.is_some(), HAS_PARENT)
    }

    /// Appends its bytes. Lengths were checked by the caller.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for text in [self.kind, self.key, self.parent].into_iter().flatten() {
            put_short(out, text.as_bytes());
        }
    }

    /// Bytes that it takes in a body.
    #[must_use]
    pub fn len(&self) -> usize {
        let one = |text: Option<&str>| text.map_or(0, |text| text.len().saturating_add(2));
        one(self.kind).saturating_add(one(self.key)).saturating_add(one(self.parent))
    }

    /// There is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flags() == 0
    }

    /// Reads the meta of a record's body.
    ///
    /// # Errors
    /// `Malformed` where flags and bytes do not agree.
    pub fn decode(flags: u8, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(bytes, "record meta");
        if flags & !(HAS_KIND | HAS_KEY | HAS_PARENT) != 0 {
            return Err(fields.malformed());
        }
        let mut text = |flag| -> Result<Option<&'a str>, Malformed> {
            if flags & flag == 0 {
                return Ok(None);
            }
            let bytes = fields.short_bytes()?;
            std::str::from_utf8(bytes).map(Some).map_err(|_| Malformed("record meta"))
        };
        let meta = Self { kind: text(HAS_KIND)?, key: text(HAS_KEY)?, parent: text(HAS_PARENT)? };
        fields.end()?;
        Ok(meta)
    }
}
