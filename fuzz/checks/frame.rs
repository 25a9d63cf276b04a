//! Decoding arbitrary bytes: it never panics, and what decodes is what it encodes to.
//!
//! Checksums would stop almost everything at the door, so they are made to fit: the first byte of
//! an input says what the rest is taken for.

use session_journal::format::{
    Checkpoint, ClaimBody, Codec, CompactedBody, FrameHeader, HEADER_LEN, MAGIC, Meta, OpeningBody,
    ReopenBody, SealBody, key_block, sample_block,
};

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let codec = Codec::new(7);
    let Some((what, bytes)) = bytes.split_first() else { return };
    match what % 10 {
        0 => header(bytes, &codec),
        1 => body(bytes, ClaimBody::decode, ClaimBody::encode),
        2 => body(bytes, OpeningBody::decode, OpeningBody::encode),
        3 => body(bytes, SealBody::decode, SealBody::encode),
        4 => body(bytes, ReopenBody::decode, ReopenBody::encode),
        5 => body(bytes, CompactedBody::decode, CompactedBody::encode),
        6 => body(bytes, |b| Checkpoint::decode(b, &codec), |c| c.encode(&codec)),
        7 => meta(bytes),
        8 => drop(sample_block(&with_sum_behind(bytes, &codec), &codec)),
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

fn with_sum_behind(bytes: &[u8], codec: &Codec) -> Vec<u8> {
    [bytes, &codec.checksum(&[bytes]).to_le_bytes()].concat()
}
