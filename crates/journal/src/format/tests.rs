//! The codecs, without a file: what is written is read again, and no bytes make a reader panic.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is an answer"
)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::RngSeed;

use super::*;
use crate::identity::{Incarnation, Owner};
use crate::position::{Offset, Sequence};
use crate::record::Verdict;
use crate::report::{Hole, RepairReport};

mod values;
use values::{checkpoint, header, identity, number, opening, owner, seal, slot};

/// How many cases: Miri looks at each a thousand times as long.
const CASES: u32 = if cfg!(miri) { 3 } else { 96 };

/// The same cases each time, so that a failure is replayed by running the test again; other ones
/// with `PROPTEST_RNG_SEED=<number>`.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(17),
        given @ RngSeed::Fixed(_) => given,
    };
    ProptestConfig { rng_seed, ..config }
}

// ---- what is written is read again ---------------------------------------------------------

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_header_is_read_as_it_was_written(header in header(), salt: u64, behind in vec(any::<u8>(), 0..9)) {
        let codec = Codec::new(salt);
        let bytes = [header.encode(&codec).as_slice(), &behind].concat();
        prop_assert_eq!(FrameHeader::decode(&bytes, &codec), Ok(header));
        prop_assert_eq!(FrameHeader::decode(&bytes[..79], &codec), Err(HeaderFault::NoMagic));
        let other = Codec::new(salt.wrapping_add(1));
        prop_assert_eq!(FrameHeader::decode(&bytes, &other), Err(HeaderFault::Damaged));
    }

    #[test]
    fn meta_is_read_as_it_was_written(
        kind in option::of("(?s).{0,60}"),
        key in option::of("(?s).{0,250}"),
        parent in option::of("(?s).{0,250}"),
    ) {
        let meta =
            Meta { kind: kind.as_deref(), key: key.as_deref(), parent: parent.as_deref() };
        let mut bytes = Vec::new();
        meta.encode(&mut bytes);
        prop_assert_eq!(bytes.len(), meta.len());
        prop_assert_eq!(Meta::decode(meta.flags(), &bytes), Ok(meta));
        prop_assert!(Meta::decode(meta.flags() | 8, &bytes).is_err(), "an unknown flag");
        bytes.push(0);
        prop_assert!(Meta::decode(meta.flags(), &bytes).is_err(), "something is left over");
    }

    #[test]
    fn bodies_are_read_as_they_were_written(
        replaces in number(),
        owner in owner(255),
        opening in opening(),
        seal in seal(),
        lost in vec((number(), number()), 0..50),
    ) {
        let claim = ClaimBody { replaces, owner: owner.clone() };
        prop_assert_eq!(ClaimBody::decode(&claim.encode()), Ok(claim));
        let reopen = ReopenBody { owner };
        prop_assert_eq!(ReopenBody::decode(&reopen.encode()), Ok(reopen));
        let compacted =
            CompactedBody { identity: opening.identity.clone(), replaced_len: replaces, lost };
        prop_assert_eq!(Identity::peek(&compacted.encode()), Ok(compacted.identity.clone()));
        prop_assert_eq!(CompactedBody::decode(&compacted.encode()), Ok(compacted));
        prop_assert_eq!(Identity::peek(&opening.encode()), Ok(opening.identity.clone()));
        prop_assert_eq!(OpeningBody::decode(&opening.encode()), Ok(opening));
        prop_assert_eq!(SealBody::decode(&seal.encode()), Ok(seal));
    }

    #[test]
    fn a_body_that_is_cut_or_has_something_behind_it_is_malformed(
        opening in opening(),
        seal in seal(),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = opening.encode();
        let cut = at.index(bytes.len());
        prop_assert!(OpeningBody::decode(&bytes[..cut]).is_err());
        prop_assert!(OpeningBody::decode(&[&bytes[..], &[0]].concat()).is_err());
        let bytes = seal.encode();
        let cut = at.index(bytes.len());
        prop_assert!(SealBody::decode(&bytes[..cut]).is_err());
        prop_assert!(SealBody::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn the_header_page_is_read_as_it_was_written(identity in identity(), slot in slot(), salt: u64) {
        let codec = Codec::new(salt);
        let page = encode_page(&identity, &slot, &codec);
        prop_assert_eq!(page.len() as u64, PAGE_LEN);
        prop_assert_eq!(decode_identity(&page), Ok(identity));
        prop_assert_eq!(Slot::decode(&page[3072..], &codec), Some(slot));
        prop_assert_eq!(Slot::decode(&page[3584..], &codec), None);
    }

    /// And every block of it is found where the formulas say.
    #[test]
    fn a_checkpoint_is_read_as_it_was_written(checkpoint in checkpoint(), salt: u64) {
        let codec = Codec::new(salt);
        let bytes = checkpoint.encode(&codec);
        prop_assert_eq!(Checkpoint::decode(&bytes, &codec), Ok(checkpoint.clone()));
        prop_assert!(Checkpoint::decode(&bytes[..bytes.len() - 1], &codec).is_err());
        let Checkpoint { summary, ref runs, .. } = checkpoint;
        prop_assert_eq!(Directory::decode(&bytes), Ok(Directory { summary, runs: runs.clone() }));
        prop_assert!(Directory::decode(&bytes[..bytes.len() - 1]).is_err());
        let run = Run {
            checkpoint: 0, start: 0, end: 0, before: 0, last: 0, level: 0, lossy: false,
            samples: checkpoint.samples.len() as u32,
            keys: checkpoint.keys.len() as u32,
        };
        let block = |(at, len): (u64, usize)| &bytes[at as usize..at as usize + len];
        for (i, expected) in checkpoint.samples.chunks(SAMPLES_PER_BLOCK).enumerate() {
            let found = sample_block(block(sample_block_at(&run, i)), &codec);
            prop_assert_eq!(found.as_deref(), Some(expected));
        }
        for (i, expected) in checkpoint.keys.chunks(KEYS_PER_BLOCK).enumerate() {
            let found = key_block(block(key_block_at(&run, i)), &codec);
            prop_assert_eq!(found.as_deref(), Some(expected));
        }
    }

    // ---- no bytes make a reader panic ------------------------------------------------------

    #[test]
    fn arbitrary_bytes_are_no_reason_to_panic(bytes in vec(any::<u8>(), 0..700), flags: u8, salt: u64) {
        let codec = Codec::new(salt);
        let _ = FrameHeader::decode(&bytes, &codec);
        let _ = FrameHeader::decode(&[&MAGIC, bytes.as_slice()].concat(), &codec);
        let _ = Meta::decode(flags, &bytes);
        let _ = ClaimBody::decode(&bytes);
        let _ = OpeningBody::decode(&bytes);
        let _ = SealBody::decode(&bytes);
        let _ = ReopenBody::decode(&bytes);
        let _ = CompactedBody::decode(&bytes);
        let _ = Identity::peek(&bytes);
        let _ = Checkpoint::decode(&bytes, &codec);
        let _ = Directory::decode(&bytes);
        let _ = Slot::decode(&bytes, &codec);
        let _ = decode_identity(&bytes);
        prop_assert!(sample_block(&bytes, &codec).is_none_or(|samples| samples.len() <= 60));
        prop_assert!(key_block(&bytes, &codec).is_none_or(|keys| keys.len() <= 70));
    }

    /// Checksums fit, so the fields are looked at.
    #[test]
    fn arbitrary_fields_behind_sound_checksums_are_no_reason_to_panic(
        bytes in vec(any::<u8>(), 4096),
        salt: u64,
    ) {
        let codec = Codec::new(salt);
        let mut slot = bytes[..SLOT_LEN].to_vec();
        slot[..4].copy_from_slice(b"SJST");
        let sum = codec.checksum(&[&slot[..4], &slot[8..]]);
        slot[4..8].copy_from_slice(&sum.to_le_bytes());
        let _ = Slot::decode(&slot, &codec);

        let mut page = bytes.clone();
        page[..8].copy_from_slice(b"\x89SJL\r\n\x1A\n");
        page[12..18].fill(0);
        let sum = crc32(&[&page[..8], &page[12..IDENTITY_LEN]].concat());
        page[8..12].copy_from_slice(&sum.to_le_bytes());
        prop_assert!(!matches!(
            decode_identity(&page),
            Err(IdentityFault::NoMagic | IdentityFault::Unsupported(_))
        ));

        let mut frame = bytes[..HEADER_LEN].to_vec();
        frame[..4].copy_from_slice(&MAGIC);
        let sum = codec.checksum(&[&frame[..12], &frame[16..]]);
        frame[12..16].copy_from_slice(&sum.to_le_bytes());
        if let Ok(header) = FrameHeader::decode(&frame, &codec) {
            let _ = (header.end(), header.batch_end(), header.is_alone(), header.is_self_placed(0));
        }
        let block = [&bytes[..1200], &codec.checksum(&[&bytes[..1200]]).to_le_bytes()].concat();
        prop_assert_eq!(sample_block(&block, &codec).map(|samples| samples.len()), Some(100));
        prop_assert_eq!(key_block(&block, &codec).map(|keys| keys.len()), Some(120));
    }
}

// ---- single facts --------------------------------------------------------------------------

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_checksum_is_that_of_the_salt_and_the_bytes_behind_it() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of CRC-32");
    let salt = 0x0123_4567_89AB_CDEF_u64;
    let whole = [salt.to_le_bytes().as_slice(), b"front", b"back"].concat();
    assert_eq!(Codec::new(salt).checksum(&[b"front", b"back"]), crc32(&whole));
}

fn some_header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Record,
        flags: 0,
        meta_len: 0,
        payload_len: 20,
        body_checksum: 0,
        incarnation: 1,
        generation: 1,
        sequence: 1,
        offset: 5000,
        batch_before: 0,
        batch_len: 100,
        previous: 4096,
        time_ms: 0,
        durable_through: 0,
    }
}

#[test]
fn numbers_that_no_file_can_hold_do_not_verify() {
    let codec = Codec::new(7);
    let sound = some_header();
    let beyond = NUMBER_LIMIT;
    let broken = [
        FrameHeader { generation: beyond, ..sound },
        FrameHeader { sequence: beyond, ..sound },
        FrameHeader { offset: beyond, ..sound },
        FrameHeader { previous: beyond, ..sound },
        FrameHeader { durable_through: beyond, ..sound },
        FrameHeader { payload_len: PAYLOAD_BYTES_MAX + 1, ..sound },
        FrameHeader { kind: FrameKind::Unknown(0), ..sound },
    ];
    assert_eq!(FrameHeader::decode(&sound.encode(&codec), &codec), Ok(sound));
    for header in broken {
        let decoded = FrameHeader::decode(&header.encode(&codec), &codec);
        assert_eq!(decoded, Err(HeaderFault::Damaged), "{header:?}");
    }
}

#[test]
fn a_frame_is_in_its_place_where_offset_and_batch_agree_with_it() {
    let sound = some_header();
    assert!(sound.is_self_placed(5000) && sound.is_alone());
    assert!(!sound.is_self_placed(5001), "it stands elsewhere");
    assert!(!FrameHeader { kind: FrameKind::Claim, ..sound }.is_self_placed(5000), "it floats");
    assert!(!FrameHeader { batch_len: 99, ..sound }.is_self_placed(5000), "beyond its batch");
    let second = FrameHeader { batch_before: 904, batch_len: 1004, ..sound };
    assert!(second.is_self_placed(5000) && !second.is_alone());
    assert_eq!((second.batch_first(), second.batch_end(), second.end()), (4096, 5100, 5100));
    let far = FrameHeader { batch_before: 5001, batch_len: 6000, ..sound };
    assert!(!far.is_self_placed(5000), "its batch would begin before the file");
}

#[test]
fn every_kind_has_a_number_and_every_number_a_kind() {
    for number in 0..=u8::MAX {
        let kind = FrameKind::from(number);
        assert_eq!(u8::from(kind), number);
        assert_eq!(matches!(kind, FrameKind::Unknown(_)), !(1..=8).contains(&number));
    }
}

#[test]
fn texts_of_an_owner_are_cut_at_a_character() {
    let text = "é".repeat(200);
    let owner = Owner {
        incarnation: Incarnation::from_bytes([1; 16]),
        host: text.clone(),
        boot_id: [0; 16],
        pid: 1,
        pid_namespace: 2,
        start_ticks: 3,
        started_ms: 4,
        program: String::new(),
        label: text,
    };
    let claim = ClaimBody { replaces: 1, owner: owner.clone() };
    let read = ClaimBody::decode(&claim.encode()).expect("it is sound");
    assert_eq!((read.owner.host.len(), read.owner.label.len()), (254, 254));
    let slot = Slot {
        counter: 1,
        generation: 1,
        state: SlotState::Open,
        sequence: 0,
        tail: 0,
        durable_through: 0,
        checkpoint: 0,
        opening: 0,
        records: 0,
        void_bytes: 0,
        records_lost: 0,
        updated_ms: 0,
        owner,
    };
    let codec = Codec::new(0);
    let read = Slot::decode(&slot.encode(&codec), &codec).expect("it is sound");
    assert_eq!((read.owner.host.len(), read.owner.label.len()), (96, 96));
}

/// D5: a report is bounded, and says by how much.
#[test]
fn a_report_lists_so_many_holes_and_counts_the_rest() {
    let hole = Hole {
        offset: Offset::new(5000),
        bytes: 1,
        verdict: Verdict::Torn,
        first: Sequence::new(1),
        records_lost: 0,
    };
    let holes = vec![hole; RepairReport::HOLES_MAX + 3];
    let report = RepairReport { holes, more_holes: 4, ..RepairReport::default() };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let opening = opening().new_tree(&mut runner).expect("an opening").current();
    let bytes = OpeningBody { report, ..opening }.encode();
    let read = OpeningBody::decode(&bytes).expect("it is sound").report;
    assert_eq!((read.holes.len(), read.more_holes), (RepairReport::HOLES_MAX, 7));
}

#[test]
fn a_newer_version_is_believed_only_where_the_checksum_fits() {
    let mut page = vec![0; PAGE_LEN as usize];
    page[..8].copy_from_slice(b"\x89SJL\r\n\x1A\n");
    page[16] = 2;
    assert_eq!(decode_identity(&page), Err(IdentityFault::Damaged));
    let sum = crc32(&[&page[..8], &page[12..IDENTITY_LEN]].concat());
    page[8..12].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(decode_identity(&page), Err(IdentityFault::Unsupported(2)));
    assert_eq!(decode_identity(&page[..IDENTITY_LEN - 1]), Err(IdentityFault::Damaged));
    page[0] = b'S';
    assert_eq!(decode_identity(&page), Err(IdentityFault::NoMagic));
}

#[test]
fn a_flipped_bit_in_a_table_costs_its_block_alone() {
    let codec = Codec::new(11);
    let keys: Vec<KeyEntry> =
        (0..1000).map(|i| KeyEntry { hash: i, offset: u64::from(i) }).collect();
    let checkpoint =
        Checkpoint { samples: Vec::new(), keys, summary: Summary::default(), runs: Vec::new() };
    let mut bytes = checkpoint.encode(&codec);
    let run = Run {
        checkpoint: 0,
        start: 0,
        end: 0,
        before: 0,
        last: 0,
        samples: 0,
        keys: 1000,
        level: 0,
        lossy: false,
    };
    let (second, _) = key_block_at(&run, 1);
    bytes[second as usize + 5] ^= 1;
    let read = |i| {
        let (at, len) = key_block_at(&run, i);
        key_block(&bytes[at as usize..at as usize + len], &codec).map(|keys| keys.len())
    };
    assert_eq!([read(0), read(1), read(2)], [Some(409), None, Some(182)]);
    assert!(Checkpoint::decode(&bytes, &codec).is_err());
}
