//! What a file is and where reading it may begin: identity, slots, the last checkpoint.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::{Cause, Error, Result};
use crate::format::{
    Codec, Directory, FORMAT_VERSION, FrameHeader, FrameKind, HEADER_LEN, Identity, IdentityFault,
    PAGE_LEN, SLOT_LEN, Slot, decode_identity, slot_offset,
};
use crate::identity::Owner;
use crate::index::Index;
use crate::storage::Storage;
use crate::window::{CHUNK, Window};

/// So many bytes of a frame are read at once, before its length is known.
const FIRST_READ: usize = 4096;
/// The longest body that is read in search of an identity.
const SALVAGE_BODY_MAX: u64 = 1 << 20;

/// Who a file says that it is.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) identity: Identity,
    pub(crate) codec: Codec,
    /// The header page does not verify; a frame told.
    pub(crate) header_damaged: bool,
    /// The best of the intact slots.
    pub(crate) slot: Option<Slot>,
    /// The highest counter of any intact slot.
    pub(crate) slot_counter: u64,
    /// The highest generation of any intact slot.
    pub(crate) slot_generation: u64,
    /// Who wrote the intact slots.
    pub(crate) slot_owners: Vec<Owner>,
}

impl Located {
    /// Below this offset everything was synced, as far as slots know.
    pub(crate) fn durable_through(&self) -> u64 {
        self.slot.as_ref().map_or(0, |slot| slot.durable_through)
    }
}

/// Identifies a file before anything else is done with it.
pub(crate) fn locate(file: &Arc<dyn Storage>, path: &Path) -> Result<Located> {
    let mut page = vec![0; usize::try_from(PAGE_LEN).unwrap_or(4096)];
    let read = file.read_at(0, &mut page).map_err(|e| Error::io(path, "read", e))?;
    page.truncate(read);
    let (identity, header_damaged) = match decode_identity(&page) {
        Ok(identity) => (identity, false),
        Err(IdentityFault::Unsupported(version)) => return Err(unsupported(path, version)),
        Err(fault) => match salvage(file, path)? {
            Some(identity) => (identity, true),
            None => return Err(not_a_journal(path, fault, read)),
        },
    };
    let codec = Codec::new(identity.salt);
    let slots: Vec<Slot> =
        [0, 1].into_iter().filter_map(|which| slot_in(&page, which, &codec)).collect();
    Ok(Located {
        identity,
        codec,
        header_damaged,
        slot_counter: slots.iter().map(|slot| slot.counter).max().unwrap_or(0),
        slot_generation: slots.iter().map(|slot| slot.generation).max().unwrap_or(0),
        slot_owners: slots.iter().map(|slot| slot.owner.clone()).collect(),
        slot: slots.into_iter().max_by_key(|slot| (slot.generation, slot.counter)),
    })
}

fn slot_in(page: &[u8], counter: u64, codec: &Codec) -> Option<Slot> {
    let start = usize::try_from(slot_offset(counter)).ok()?;
    Slot::decode(page.get(start..start + SLOT_LEN)?, codec)
}

fn unsupported(path: &Path, version: u16) -> Error {
    let (found, supported) = (u32::from(version), u32::from(FORMAT_VERSION));
    Error::new(path, Cause::UnsupportedFormat { found, supported })
}

fn not_a_journal(path: &Path, fault: IdentityFault, len: usize) -> Error {
    let why = match fault {
        _ if len == 0 => "it is empty",
        IdentityFault::NoMagic => "it does not begin like one",
        _ => "its header page is damaged and no opening in it verifies",
    };
    Error::new(path, Cause::NotAJournal { why })
}

/// Searches the frames for one that repeats the identity: an opening, or the first frame of a
/// compacted file. It verifies with the salt that it brings, and must stand at its own offset.
fn salvage(file: &Arc<dyn Storage>, path: &Path) -> Result<Option<Identity>> {
    let read = |e| Error::io(path, "read", e);
    let limit = file.len().map_err(read)?;
    let mut window = Window::new(Arc::clone(file), limit, CHUNK);
    let mut from = PAGE_LEN;
    while let Some(at) = window.find_magic(from).map_err(read)? {
        from = at + 1;
        let Some(head) = window.get(at, HEADER_LEN as u64).map_err(read)? else { break };
        let Some(head) = head.first_chunk::<HEADER_LEN>().copied() else { break };
        let kind = FrameKind::from(head[4]);
        let body_len = u64::from(u32::from_le_bytes([head[8], head[9], head[10], head[11]]));
        if !matches!(kind, FrameKind::Opening | FrameKind::Compacted) || body_len > SALVAGE_BODY_MAX
        {
            continue;
        }
        let Some(body) = window.get(at + HEADER_LEN as u64, body_len).map_err(read)? else {
            continue;
        };
        let Ok(identity) = Identity::peek(body) else { continue };
        let codec = Codec::new(identity.salt);
        let Ok(header) = FrameHeader::decode(&head, &codec) else { continue };
        if header.is_self_placed(at) && codec.checksum(&[body]) == header.body_checksum {
            if identity.version > FORMAT_VERSION {
                return Err(unsupported(path, identity.version));
            }
            return Ok(Some(identity));
        }
    }
    Ok(None)
}

/// Where a scan begins: at the last sound checkpoint, or behind the header page.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) chain: Chain,
    pub(crate) checkpoint: Option<Directory>,
}

/// Finds the checkpoint that the slot names. It is believed only where it stands below what the
/// slot knows to be durable, verifies, and is in its place.
pub(crate) fn start(file: &dyn Storage, path: &Path, located: &Located) -> Result<Start> {
    let from_zero = Start { chain: Chain::empty(), checkpoint: None };
    let Some(slot) = located.slot.as_ref().filter(|slot| slot.checkpoint != 0) else {
        return Ok(from_zero);
    };
    let Some((header, body)) = read_frame(file, path, &located.codec, slot.checkpoint)? else {
        return Ok(from_zero);
    };
    if header.kind != FrameKind::Checkpoint
        || header.end() > slot.durable_through
        || header.generation > slot.generation
    {
        return Ok(from_zero);
    }
    let Ok(checkpoint) = Directory::decode(&body) else { return Ok(from_zero) };
    // One that landed elsewhere than its writer meant describes another place.
    if checkpoint.runs.last().is_none_or(|own| own.checkpoint != header.offset) {
        return Ok(from_zero);
    }
    Ok(Start { chain: Chain::behind(&header), checkpoint: Some(checkpoint) })
}

/// The index as it is where a scan begins.
pub(crate) fn index_at(located: &Located, start: &Start) -> Index {
    let (journal, codec) = (located.identity.journal, located.codec);
    Index::new(journal, codec, &start.chain, start.checkpoint.as_ref())
}

/// Reads one frame at its own offset, verified; `None` where there is none.
pub(crate) fn read_frame(
    file: &dyn Storage,
    path: &Path,
    codec: &Codec,
    at: u64,
) -> Result<Option<(FrameHeader, Vec<u8>)>> {
    let io = |e| Error::io(path, "read", e);
    // Most frames are short: one read has them whole.
    let mut bytes = vec![0; FIRST_READ];
    let read = file.read_at(at, &mut bytes).map_err(io)?;
    bytes.truncate(read);
    let Ok(header) = FrameHeader::decode(&bytes, codec) else { return Ok(None) };
    if !header.is_self_placed(at) {
        return Ok(None);
    }
    let len = usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
    if read < len {
        // The length is bounded by the file before anything is allocated.
        if read < FIRST_READ || header.end() > file.len().map_err(io)? {
            return Ok(None);
        }
        bytes.resize(len, 0);
        let rest = bytes.get_mut(read..).unwrap_or_default();
        if file.read_at(at + read as u64, rest).map_err(io)? < rest.len() {
            return Ok(None);
        }
    }
    bytes.truncate(len);
    bytes.drain(..HEADER_LEN);
    Ok((codec.checksum(&[&bytes]) == header.body_checksum).then_some((header, bytes)))
}

/// The same in a window; it must end within the window's limit.
pub(crate) fn frame_in(
    window: &mut Window,
    codec: &Codec,
    at: u64,
) -> io::Result<Option<FrameHeader>> {
    let Some(bytes) = window.get(at, HEADER_LEN as u64)? else { return Ok(None) };
    let Ok(header) = FrameHeader::decode(bytes, codec) else { return Ok(None) };
    if !header.is_self_placed(at) {
        return Ok(None);
    }
    let body = window.get(at + HEADER_LEN as u64, header.body_len())?;
    let sound = body.is_some_and(|body| codec.checksum(&[body]) == header.body_checksum);
    Ok(sound.then_some(header))
}
