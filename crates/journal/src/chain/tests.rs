//! The admission table, row by row, and what acceptance measures.

use super::*;

const RECORD: FrameHeader = FrameHeader {
    kind: FrameKind::Record,
    flags: 0,
    meta_len: 0,
    payload_len: 20,
    body_checksum: 0,
    incarnation: 7,
    generation: 5,
    sequence: 10,
    offset: 5000,
    batch_before: 0,
    batch_len: 100,
    previous: 4900,
    time_ms: 0,
    durable_through: 0,
};

const KINDS: [FrameKind; 7] = [
    FrameKind::Record,
    FrameKind::Opening,
    FrameKind::Release,
    FrameKind::Seal,
    FrameKind::Reopen,
    FrameKind::Checkpoint,
    FrameKind::Compacted,
];

/// The frame that its writer would put behind `last`.
fn next(last: &FrameHeader, kind: FrameKind) -> FrameHeader {
    let sequence = last.sequence + u64::from(kind == FrameKind::Record);
    FrameHeader { kind, sequence, offset: last.end(), previous: last.offset, ..*last }
}

fn behind(kind: FrameKind) -> Chain {
    Chain::behind(&FrameHeader { kind, ..RECORD })
}

/// The rule in the words of the protocol, one after the other.
fn expected(last: &FrameHeader, sealed: bool, frame: &FrameHeader) -> bool {
    let generation = frame.generation >= last.generation;
    let sequence = match frame.kind {
        FrameKind::Record => frame.sequence > last.sequence,
        _ => frame.sequence >= last.sequence,
    };
    // Nobody opens a generation behind a seal, so a higher one proves that it was taken back.
    let takes_back = frame.kind == FrameKind::Reopen || frame.generation > last.generation;
    let seal = !sealed || takes_back;
    let takes_back = sealed && takes_back;
    let same_generation = frame.generation == last.generation && !takes_back;
    let release = !(same_generation && last.kind == FrameKind::Release);
    let incarnation = !same_generation || frame.incarnation == last.incarnation;
    generation && sequence && seal && release && incarnation
}

#[test]
fn the_table_of_admission_is_total_and_as_it_is_written() {
    let mut admitted = 0;
    let mut rows = 0;
    for last_kind in KINDS {
        let chain = behind(last_kind);
        let last = chain.last.unwrap();
        for kind in KINDS {
            for generation in [4, 5, 6, 9] {
                for sequence in [0, 9, 10, 11, 12, 1000] {
                    for incarnation in [7, 8] {
                        let frame =
                            FrameHeader { incarnation, generation, sequence, ..next(&last, kind) };
                        let sealed = last_kind == FrameKind::Seal;
                        let answer = chain.admits(&frame);
                        assert_eq!(
                            answer.is_ok(),
                            expected(&last, sealed, &frame),
                            "{last_kind:?} then {frame:?}: {answer:?}"
                        );
                        rows += 1;
                        admitted += usize::from(answer.is_ok());
                    }
                }
            }
        }
    }
    assert_eq!(rows, 7 * 7 * 4 * 6 * 2);
    assert!(admitted > 500 && rows - admitted > 500, "{admitted} of {rows}");
}

#[test]
fn the_first_frame_is_always_admitted() {
    for chain in [Chain::empty(), Chain::before(9000, 500)] {
        for kind in KINDS {
            assert_eq!(chain.admits(&FrameHeader { kind, ..RECORD }), Ok(()));
        }
    }
}

#[test]
fn each_ground_for_being_void_is_named() {
    use FrameKind::{Record, Release, Reopen, Seal};
    let of = |last: FrameKind, frame: fn(FrameHeader) -> FrameHeader| {
        let chain = behind(last);
        let record = next(&chain.last.unwrap(), FrameKind::Record);
        chain.admits(&frame(record)).unwrap_err()
    };
    let lower = |frame| FrameHeader { generation: 4, ..frame };
    let repeated = |frame| FrameHeader { sequence: 10, ..frame };
    let other = |frame| FrameHeader { incarnation: 8, ..frame };
    assert_eq!(of(Record, lower), Void::OlderGeneration);
    assert_eq!(of(Record, repeated), Void::SequenceBehind);
    assert_eq!(of(Record, other), Void::OtherIncarnation);
    assert_eq!(of(Seal, |frame| frame), Void::BehindSeal);
    assert_eq!(of(Release, |frame| frame), Void::BehindRelease);
    // A reopen takes back a seal and nothing else.
    let reopen = |frame| FrameHeader { kind: Reopen, sequence: 10, incarnation: 8, ..frame };
    assert_eq!(of(Record, reopen), Void::OtherIncarnation);
    assert_eq!(of(Release, reopen), Void::BehindRelease);
    let chain = behind(Seal);
    let record = next(&chain.last.unwrap(), Record);
    assert_eq!(chain.admits(&reopen(record)), Ok(()));
    // Nobody opens a generation behind a seal that was not taken back: the reopen is damaged.
    assert_eq!(chain.admits(&FrameHeader { generation: 99, ..record }), Ok(()));
}

/// H3: nothing of its generation is valid behind a seal but a reopen; then all is as before.
#[test]
fn a_reopened_chain_goes_on() {
    let mut chain = behind(FrameKind::Seal);
    assert!(chain.sealed);
    let reopen = FrameHeader { incarnation: 8, ..next(&RECORD, FrameKind::Reopen) };
    chain.admits(&reopen).unwrap();
    chain.accept(&reopen);
    assert!(!chain.sealed);
    chain.admits(&next(&reopen, FrameKind::Record)).unwrap();
    let old = FrameHeader { incarnation: 7, ..next(&reopen, FrameKind::Record) };
    assert_eq!(chain.admits(&old), Err(Void::OtherIncarnation), "the sealer does not go on");
}

/// `previous` and `sequence + 1` measure; they do not decide.
#[test]
fn acceptance_measures_what_is_missing() {
    for (kind, sequence, missing) in [
        (FrameKind::Record, 11, 0),
        (FrameKind::Record, 12, 1),
        (FrameKind::Record, 1000, 989),
        (FrameKind::Opening, 10, 0),
        (FrameKind::Opening, 11, 1),
        (FrameKind::Release, 15, 5),
    ] {
        let mut chain = behind(FrameKind::Record);
        let frame = FrameHeader { sequence, ..next(&RECORD, kind) };
        chain.admits(&frame).unwrap();
        let measure = chain.accept(&frame);
        assert_eq!(measure, Measure { missing, first_missing: 11, frame_lost: false });
        assert_eq!(chain, Chain::behind(&frame));
        assert_eq!((chain.sequence(), chain.generation()), (sequence, 5));
    }
}

#[test]
fn acceptance_says_where_a_frame_without_a_number_was_lost() {
    for (previous, lost) in [(5000, false), (5100, true), (4900, true), (0, true)] {
        let mut chain = behind(FrameKind::Record);
        let frame = FrameHeader { previous, ..next(&RECORD, FrameKind::Record) };
        assert_eq!(chain.accept(&frame).frame_lost, lost, "previous {previous}");
    }
    // Where the frame before is not known, nothing can be said about it.
    let mut chain = Chain::before(5000, 9);
    let measure = chain.accept(&RECORD);
    assert_eq!(measure, Measure { missing: 0, first_missing: 10, frame_lost: false });
    let mut chain = Chain::empty();
    assert_eq!(chain.accept(&RECORD).missing, 9);
}

#[test]
fn only_a_release_that_says_so_of_its_own_offset_is_sound() {
    for (kind, durable_through, sound) in [
        (FrameKind::Release, 5000, true),
        (FrameKind::Release, 4999, false),
        (FrameKind::Release, 5001, false),
        (FrameKind::Release, 0, false),
        (FrameKind::Record, 5000, false),
        (FrameKind::Checkpoint, 5000, false),
    ] {
        let chain = Chain::behind(&FrameHeader { kind, durable_through, ..RECORD });
        assert_eq!(chain.is_soundly_released(), sound, "{kind:?} {durable_through}");
        assert_eq!(chain.is_released(), kind == FrameKind::Release);
    }
    assert!(!Chain::empty().is_released());
}

#[test]
fn an_empty_chain_begins_behind_the_header_page() {
    let chain = Chain::empty();
    assert_eq!((chain.end, chain.sequence(), chain.generation()), (PAGE_LEN, 0, 0));
    assert_eq!(chain.last_offset(), 0);
    let known = Chain::before(9000, 500);
    assert_eq!((known.end, known.sequence(), known.last_offset()), (9000, 500, 0));
}

/// What is taken without a look at the rule is what the rule takes.
#[test]
fn what_goes_on_is_admitted() {
    let mut gone_on = 0;
    for (before, kind) in KINDS.iter().flat_map(|before| KINDS.map(|kind| (*before, kind))) {
        let chain = behind(before);
        for (generation, incarnation, sequence) in
            [(5, 7, 11), (5, 7, 12), (5, 7, 10), (5, 7, 9), (4, 7, 11), (6, 7, 11), (5, 8, 11)]
        {
            let frame = next(&FrameHeader { kind: before, ..RECORD }, kind);
            let frame = FrameHeader { incarnation, generation, sequence, ..frame };
            if chain.goes_on_with(&frame) {
                assert_eq!(chain.admits(&frame), Ok(()), "{frame:?} behind {before:?}");
                gone_on += 1;
            }
        }
    }
    assert_eq!(gone_on, 2, "a record behind a record of the same owner, with and without a gap");
    assert!(!Chain::empty().goes_on_with(&RECORD));
}
