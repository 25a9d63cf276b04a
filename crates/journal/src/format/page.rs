//! The header page: who the journal is, written once, and two slots with hints, written alternately.
//!
//! ```text
//! offset  size  field
//!      0     8  magic     89 53 4A 4C 0D 0A 1A 0A
//!      8     4  checksum  CRC-32 of bytes 0..8 and 12..3072; the same rule in every version
//!     12     4  features  what a reader must know to read the file; unknown bits: a newer format
//!     16     …  identity  version (16 bits), journal id (16), salt (8), created (8), compactions (4),
//!                         agent and session id, each behind a length of 16 bits
//!   3072   512  slot A
//!   3584   512  slot B
//! ```
//!
//! A slot is a hint. It is written after the sync that makes true what it says; losing both, or
//! finding an old one, costs time.

use crate::identity::Owner;

use super::Codec;
use super::control::{Identity, decode_owner, encode_owner};
use super::wire::{Fields, Malformed};

/// Bytes before the first frame.
pub const PAGE_LEN: u64 = 4096;
/// Bytes of the page that are written once.
pub const IDENTITY_LEN: usize = 3072;
/// Bytes of one slot.
pub const SLOT_LEN: usize = 512;
/// The version of the format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

const PAGE_MAGIC: [u8; 8] = [0x89, b'S', b'J', b'L', 0x0D, 0x0A, 0x1A, 0x0A];
const SLOT_MAGIC: [u8; 4] = *b"SJST";
/// Texts of the owner are cut in a slot; the opening has them whole.
const SLOT_TEXT_MAX: usize = 96;

/// Why the front of a file gives no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    /// It does not begin with the magic.
    NoMagic,
    /// It does not verify.
    Damaged,
    /// It verifies and is of this newer version, or has features unknown here.
    Unsupported(u16),
}

/// The part of the header page that is written once.
#[must_use]
pub fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut fields = Vec::with_capacity(IDENTITY_LEN);
    fields.extend_from_slice(&0_u32.to_le_bytes());
    identity.encode(&mut fields);
    fields.resize(IDENTITY_LEN.saturating_sub(12), 0);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&PAGE_MAGIC);
    hasher.update(&fields);
    [PAGE_MAGIC.as_slice(), &hasher.finalize().to_le_bytes(), &fields].concat()
}

/// The whole header page of a new file.
#[must_use]
pub fn encode_page(identity: &Identity, slot: &Slot, codec: &Codec) -> Vec<u8> {
    let mut page = encode_identity(identity);
    page.extend_from_slice(&slot.encode(codec));
    page.resize(4096, 0);
    page
}

/// Reads the identity from the front of a file.
///
/// # Errors
/// See [`IdentityFault`]. A version is believed only where the checksum fits.
pub fn decode_identity(page: &[u8]) -> Result<Identity, IdentityFault> {
    if !page.starts_with(&PAGE_MAGIC) {
        return Err(IdentityFault::NoMagic);
    }
    let area = page.get(..IDENTITY_LEN).ok_or(IdentityFault::Damaged)?;
    let mut fields = Fields::new(area, "header page");
    let parts = || -> Result<(&[u8], u32, &[u8]), Malformed> {
        let magic = fields.bytes(8)?;
        let sum = fields.u32()?;
        Ok((magic, sum, fields.bytes(IDENTITY_LEN.saturating_sub(12))?))
    };
    let (magic, sum, rest) = { parts }().map_err(|_| IdentityFault::Damaged)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(magic);
    hasher.update(rest);
    if hasher.finalize() != sum {
        return Err(IdentityFault::Damaged);
    }
    let mut fields = Fields::new(rest, "header page");
    let features = fields.u32().map_err(|_| IdentityFault::Damaged)?;
    let mut ahead = Fields::new(rest.get(4..).unwrap_or_default(), "header page");
    let version = ahead.u16().map_err(|_| IdentityFault::Damaged)?;
    if version > FORMAT_VERSION || features != 0 {
        return Err(IdentityFault::Unsupported(version));
    }
    Identity::fields(&mut fields).map_err(|_| IdentityFault::Damaged)
}

/// How the generation of a slot stood when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Owned.
    Open,
    /// Released.
    Released,
    /// Sealed.
    Sealed,
}

/// A hint about the state of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Rises with every slot that is written; its lowest bit says in which place it stands.
    pub counter: u64,
    /// The newest generation.
    pub generation: u64,
    /// How it stood.
    pub state: SlotState,
    /// The last record below `durable_through`.
    pub sequence: u64,
    /// End of the chain.
    pub tail: u64,
    /// Everything below is synced.
    pub durable_through: u64,
    /// The last checkpoint below `durable_through`; zero for none.
    pub checkpoint: u64,
    /// The opening of the generation.
    pub opening: u64,
    /// Records in the journal.
    pub records: u64,
    /// Bytes that are no frame of the chain.
    pub void_bytes: u64,
    /// Records known to be lost.
    pub records_lost: u64,
    /// When it was written, ms since the epoch.
    pub updated_ms: i64,
    /// Who owns the generation; long texts are cut.
    pub owner: Owner,
}

/// Where the slot with this counter stands.
#[must_use]
pub fn slot_offset(counter: u64) -> u64 {
    if counter & 1 == 0 { 3072 } else { 3584 }
}

impl Slot {
    /// Its 512 bytes.
    #[must_use]
    pub fn encode(&self, codec: &Codec) -> Vec<u8> {
        let mut fields = Vec::with_capacity(SLOT_LEN);
        for value in [
            self.counter,
            self.generation,
            self.sequence,
            self.tail,
            self.durable_through,
            self.checkpoint,
            self.opening,
            self.records,
            self.void_bytes,
            self.records_lost,
        ] {
            fields.extend_from_slice(&value.to_le_bytes());
        }
        fields.extend_from_slice(&self.updated_ms.to_le_bytes());
        fields.push(match self.state {
            SlotState::Open => 1,
            SlotState::Released => 2,
            SlotState::Sealed => 3,
        });
        encode_owner(&self.owner, SLOT_TEXT_MAX, &mut fields);
        fields.resize(SLOT_LEN.saturating_sub(8), 0);
        let sum = codec.checksum(&[&SLOT_MAGIC, &fields]);
        [SLOT_MAGIC.as_slice(), &sum.to_le_bytes(), &fields].concat()
    }

    /// Reads a slot; `None` where the bytes do not verify.
    #[must_use]
    pub fn decode(bytes: &[u8], codec: &Codec) -> Option<Self> {
        let mut front = Fields::new(bytes.get(..SLOT_LEN)?, "slot");
        let magic = front.array::<4>().ok()?;
        let sum = front.u32().ok()?;
        let rest = front.bytes(SLOT_LEN.saturating_sub(8)).ok()?;
        if magic != SLOT_MAGIC || codec.checksum(&[&magic, rest]) != sum {
            return None;
        }
        Self::fields(&mut Fields::new(rest, "slot")).ok()
    }

    fn fields(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let counter = fields.number()?;
        let generation = fields.number()?;
        let sequence = fields.number()?;
        let tail = fields.number()?;
        let durable_through = fields.number()?;
        let checkpoint = fields.number()?;
        let opening = fields.number()?;
        let records = fields.number()?;
        let void_bytes = fields.number()?;
        let records_lost = fields.number()?;
        let updated_ms = fields.i64()?;
        let state = match fields.u8()? {
            1 => SlotState::Open,
            2 => SlotState::Released,
            3 => SlotState::Sealed,
            _ => return Err(fields.malformed()),
        };
        let owner = decode_owner(fields)?;
        Ok(Self {
            counter,
            generation,
            state,
            sequence,
            tail,
            durable_through,
            checkpoint,
            opening,
            records,
            void_bytes,
            records_lost,
            updated_ms,
            owner,
        })
    }
}
