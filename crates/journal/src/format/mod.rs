//! Bytes to values and back, without I/O. `docs/format.md` is the layout in words; golden files
//! under the crate's tests hold it.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects
)]

mod checkpoint;
mod control;
mod frame;
mod page;
#[cfg(test)]
mod tests;
mod wire;

pub use checkpoint::{
    Checkpoint, Directory, KEYS_PER_BLOCK, KeyEntry, KeyMatches, Run, SAMPLES_PER_BLOCK, Sample,
    Summary, TABLES_START, key_block, key_block_at, key_block_search, key_hash, sample_block,
    sample_block_at,
};
pub use control::{ClaimBody, CompactedBody, Identity, OpeningBody, Purpose, ReopenBody, SealBody};
pub use frame::{
    FrameHeader, FrameKind, HEADER_LEN, HeaderFault, KEY_BYTES_MAX, KIND_BYTES_MAX, MAGIC, Meta,
    NUMBER_LIMIT, PAYLOAD_BYTES_MAX,
};
pub use page::{
    FORMAT_VERSION, IDENTITY_LEN, IdentityFault, PAGE_LEN, SLOT_LEN, Slot, SlotState,
    decode_identity, encode_identity, encode_page, slot_offset,
};
pub use wire::Malformed;

/// Seeds every checksum of one journal with its salt, so that bytes of another file do not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    salt: u64,
    seed: u32,
}

impl Codec {
    /// The codec of a journal with this salt.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self { salt, seed: crc32fast::hash(&salt.to_le_bytes()) }
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> u64 {
        self.salt
    }

    /// CRC-32 (IEEE 802.3) of the parts, seeded with the salt.
    #[must_use]
    pub fn checksum(&self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.seed);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}
