//! Header pages of arbitrary bytes. Decoding never panics, and what decodes is what it encodes to.
//! Behind whatever page stands a sound journal: a page may cost time, and never a record (I11).
//!
//! The first byte of an input says which journal that is, which checksums are made to fit, and
//! whether the rest is the page itself or a list of edits of the sound one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use session_journal::format::{
    Codec, IDENTITY_LEN, Identity, IdentityFault, PAGE_LEN, SLOT_LEN, Slot, decode_identity,
    encode_identity, encode_page, slot_offset,
};
use session_journal::storage::Disk;
use session_journal::{ErrorKind, Journal, NewRecord, Options, Reader, Record};

use super::edits::base;
use super::host::{FixedHost, options};
use super::memory::MemoryDisk;
use super::readers::forwards;

const PAGE: usize = PAGE_LEN as usize;
const EDIT_LEN: usize = 4;

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let base = base(mode & 1 != 0);
    let sound = decode_identity(&base).expect("the base is whole");
    let mut page = base[..PAGE].to_vec();
    if mode & 2 == 0 {
        rest.chunks_exact(EDIT_LEN).for_each(|edit| apply(edit, &mut page));
    } else {
        page.fill(0);
        let len = rest.len().min(PAGE);
        page[..len].copy_from_slice(&rest[..len]);
    }
    fit(&mut page, mode >> 2, sound.salt);

    let identity = decode_identity(&page);
    let salt = identity.as_ref().map_or(sound.salt, |identity| identity.salt);
    decoded(&page, identity.as_ref().ok(), &Codec::new(salt));
    let file = [&page, &base[PAGE..]].concat();
    match identity {
        Err(IdentityFault::Unsupported(_)) => {
            let refused = reader(&disk_with(file)).expect_err("a newer page is believed");
            assert_eq!(refused.kind(), ErrorKind::UnsupportedFormat);
        }
        Ok(identity) if identity.salt != sound.salt => {
            let reader = reader(&disk_with(file)).expect("a page that verifies is a journal");
            assert!(forwards(&reader).is_empty(), "no frame verifies with another salt");
        }
        _ => used(base, file),
    }
}

/// Writes a byte in its place, and up to seven of the largest behind it.
fn apply(edit: &[u8], page: &mut [u8]) {
    let [low, high, value, more] = *edit else { return };
    let at = usize::from(u16::from_le_bytes([low, high])) % PAGE;
    page[at] = value;
    page.iter_mut().skip(at + 1).take(usize::from(more % 8)).for_each(|byte| *byte = 0xFF);
}

/// Makes magics and checksums fit: of the identity, of each of the slots.
fn fit(page: &mut [u8], which: u8, salt: u64) {
    if which & 1 != 0 {
        page[..8].copy_from_slice(b"\x89SJL\r\n\x1A\n");
        let mut sum = crc32fast::Hasher::new();
        sum.update(&page[..8]);
        sum.update(&page[12..IDENTITY_LEN]);
        page[8..12].copy_from_slice(&sum.finalize().to_le_bytes());
    }
    let codec = Codec::new(decode_identity(page).map_or(salt, |identity| identity.salt));
    for counter in [0_u64, 1] {
        if which & (2 << counter) != 0 {
            let slot = &mut page[slot_offset(counter) as usize..][..SLOT_LEN];
            slot[..4].copy_from_slice(b"SJST");
            let sum = codec.checksum(&[b"SJST", &slot[8..]]);
            slot[4..8].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// What decodes comes back from its own encoding.
fn decoded(page: &[u8], identity: Option<&Identity>, codec: &Codec) {
    let slot = |counter| Slot::decode(&page[slot_offset(counter) as usize..][..SLOT_LEN], codec);
    for slot in [0, 1].into_iter().filter_map(slot) {
        // Long texts of the owner are cut when a slot is written, so only what is written comes back.
        let again = Slot::decode(&slot.encode(codec), codec).expect("what was encoded decodes");
        assert_eq!(Slot::decode(&again.encode(codec), codec), Some(again.clone()));
        if let Some(identity) = identity {
            let page = encode_page(identity, &again, codec);
            assert_eq!(page.len(), PAGE);
            assert_eq!(decode_identity(&page).as_ref(), Ok(identity));
        }
    }
    if let Some(identity) = identity {
        assert_eq!(decode_identity(&encode_identity(identity)).as_ref(), Ok(identity));
    }
}

/// The journal behind the page is read as ever, and opens, takes a record, and opens again.
fn used(base: Vec<u8>, file: Vec<u8>) {
    let whole = forwards(&reader(&disk_with(base)).expect("the base opens"));
    let disk = disk_with(file);
    let before = reader(&disk).expect("there is an identity in the frames");
    assert_eq!(forwards(&before), whole, "a page changed what readers see");

    let options = Options {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        ..options(Arc::new(FixedHost::new(1000)))
    };
    let Ok(mut journal) = Journal::open(path(), &options) else { return };
    let Ok(appended) = journal.append(&NewRecord::new("behind it all")) else { return };
    drop(journal);
    let again = match Journal::open(path(), &options) {
        // A slot may say that next to no numbers are left.
        Err(error) if error.kind() == ErrorKind::Invalid => return,
        again => again.expect("what was opened opens again"),
    };
    assert!(again.generation() > appended.generation, "generations rise");
    let mut after: BTreeMap<u64, Record> = forwards(&again.reader().expect("an owner can read"));
    let last = after.remove(&appended.sequence.get()).expect("what was acknowledged is there");
    assert_eq!(last.payload, "behind it all");
    assert_eq!(after, whole, "an opening changed what readers see");
}

fn path() -> &'static Path {
    Path::new("/paged.journal")
}

fn disk_with(file: Vec<u8>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.put(path(), file);
    disk
}

fn reader(disk: &MemoryDisk) -> session_journal::Result<Reader> {
    Reader::open_with(path(), Arc::new(disk.clone()))
}
