//! Decoding arbitrary bytes: it never panics, and what decodes is what it encodes to.
//!
//! Checksums would stop almost everything at the door, so they are made to fit: the first byte of
//! an input says what the rest is taken for.

use session_journal::format::{
    Checkpoint, ClaimBody, Codec, CompactedBody, FrameHeader, HEADER_LEN, IDENTITY_LEN, MAGIC,
    Meta, OpeningBody, PAGE_LEN, ReopenBody, SLOT_LEN, SealBody, Slot, decode_identity,
    encode_page, key_block, sample_block,
};

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let codec = Codec::new(7);
    let Some((what, bytes)) = bytes.split_first() else { return };
    match what % 12 {
        0 => header(bytes, &codec),
        1 => body(bytes, ClaimBody::decode, ClaimBody::encode),
        2 => body(bytes, OpeningBody::decode, OpeningBody::encode),
        3 => body(bytes, SealBody::decode, SealBody::encode),
        4 => body(bytes, ReopenBody::decode, ReopenBody::encode),
        5 => body(bytes, CompactedBody::decode, CompactedBody::encode),
        6 => body(bytes, |b| Checkpoint::decode(b, &codec), |c| c.encode(&codec)),
        7 => meta(bytes),
        8 => slot(bytes, &codec),
        9 => page(bytes, &codec),
        10 => drop(sample_block(&with_sum_behind(bytes, &codec), &codec)),
        _ => drop(key_block(&with_sum_behind(bytes, &codec), &codec)),
    }
}

/// What decodes comes back from its own encoding.
fn body<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    let Ok(value) = decode(bytes) else { return };
    // The first encoding may cut texts to their limits; from then on nothing changes.
    let limited = decode(&encode(&value)).expect("what was encoded decodes");
    let again = decode(&encode(&limited)).expect("what was encoded decodes");
    assert_eq!(again, limited);
}

fn header(bytes: &[u8], codec: &Codec) {
    let _ = FrameHeader::decode(bytes, codec);
    let Some(mut frame) = bytes.first_chunk::<HEADER_LEN>().copied() else { return };
    frame[..4].copy_from_slice(&MAGIC);
    let sum = codec.checksum(&[&frame[..12], &frame[16..]]);
    frame[12..16].copy_from_slice(&sum.to_le_bytes());
    let Ok(header) = FrameHeader::decode(&frame, codec) else { return };
    assert_eq!(header.encode(codec), frame, "every bit of a header means something");
    let (first, end) = (header.batch_first(), header.batch_end());
    assert!(first <= header.offset && first <= end && header.offset <= header.end());
    if header.is_self_placed(header.offset) {
        assert!(header.end() <= end);
    }
    assert!(header.frame_len() >= HEADER_LEN as u64 && header.body_len() < header.frame_len());
}

fn meta(bytes: &[u8]) {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    let Ok(meta) = Meta::decode(*flags, bytes) else { return };
    let mut encoded = Vec::new();
    meta.encode(&mut encoded);
    assert_eq!((encoded.as_slice(), meta.flags(), meta.len()), (bytes, *flags, bytes.len()));
}

fn slot(bytes: &[u8], codec: &Codec) {
    drop(Slot::decode(bytes, codec));
    let mut slot = vec![0; SLOT_LEN];
    let (front, rest) = slot.split_at_mut(8);
    let len = bytes.len().min(rest.len());
    rest[..len].copy_from_slice(&bytes[..len]);
    front[..4].copy_from_slice(b"SJST");
    let sum = codec.checksum(&[b"SJST", rest]);
    front[4..].copy_from_slice(&sum.to_le_bytes());
    let Some(decoded) = Slot::decode(&slot, codec) else { return };
    let again = Slot::decode(&decoded.encode(codec), codec).expect("what was encoded decodes");
    // Long texts of the owner are cut when a slot is written, so only what is written comes back.
    assert_eq!(Slot::decode(&again.encode(codec), codec), Some(again));
}

fn page(bytes: &[u8], codec: &Codec) {
    drop(decode_identity(bytes));
    let mut page = vec![0; usize::try_from(PAGE_LEN).expect("4096 fits")];
    page[..8].copy_from_slice(&[0x89, b'S', b'J', b'L', 0x0D, 0x0A, 0x1A, 0x0A]);
    let rest = &mut page[12..IDENTITY_LEN];
    let len = bytes.len().min(rest.len());
    rest[..len].copy_from_slice(&bytes[..len]);
    let mut sum = crc32fast::Hasher::new();
    sum.update(&page[..8]);
    sum.update(&page[12..IDENTITY_LEN]);
    page[8..12].copy_from_slice(&sum.finalize().to_le_bytes());
    let Ok(identity) = decode_identity(&page) else { return };
    let Some(slot) = Slot::decode(&page[3072..3584], codec).or_else(|| any_slot(codec)) else {
        return;
    };
    assert_eq!(decode_identity(&encode_page(&identity, &slot, codec)), Ok(identity));
}

/// Some slot, to write a page with.
fn any_slot(codec: &Codec) -> Option<Slot> {
    let mut slot = vec![0; SLOT_LEN];
    slot[..4].copy_from_slice(b"SJST");
    slot[8 + 88] = 1; // open; every other field may be zero
    let sum = codec.checksum(&[b"SJST", &slot[8..]]);
    slot[4..8].copy_from_slice(&sum.to_le_bytes());
    Slot::decode(&slot, codec)
}

fn with_sum_behind(bytes: &[u8], codec: &Codec) -> Vec<u8> {
    [bytes, &codec.checksum(&[bytes]).to_le_bytes()].concat()
}
