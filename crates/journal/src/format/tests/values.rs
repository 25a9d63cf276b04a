//! Values to encode, of every sort.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::format::*;
use crate::identity::{Incarnation, JournalId, Owner};
use crate::name::SessionName;
use crate::position::{Offset, Sequence};
use crate::record::Verdict;
use crate::report::{Hole, OpenReason, RepairReport};

pub(super) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, 0..NUMBER_LIMIT]
}

pub(super) fn owner(text_max: usize) -> impl Strategy<Value = Owner> {
    let text = move || vec(any::<char>(), 0..=text_max / 4).prop_map(String::from_iter);
    let facts = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>(), any::<[u64; 2]>());
    (facts, any::<i64>(), [text(), text(), text()]).prop_map(
        |((incarnation, boot_id, pid, [pid_namespace, start_ticks]), started_ms, texts)| {
            let [host, program, label] = texts;
            let incarnation = Incarnation::from_bytes(incarnation);
            Owner {
                incarnation,
                host,
                boot_id,
                pid,
                pid_namespace,
                start_ticks,
                started_ms,
                program,
                label,
            }
        },
    )
}

pub(super) fn identity() -> impl Strategy<Value = Identity> {
    let name = (option::of("[^/]{1,40}"), "(?s).{1,200}")
        .prop_map(|(agent, id)| SessionName::new(agent.as_deref(), &id).expect("a name"));
    let ids = (0..=FORMAT_VERSION, any::<[u8; 16]>(), any::<u64>());
    (ids, any::<i64>(), any::<u32>(), name).prop_map(
        |((version, journal, salt), created_ms, compactions, name)| {
            let journal = JournalId::from_bytes(journal);
            Identity { version, journal, salt, created_ms, compactions, name }
        },
    )
}

pub(super) fn hole() -> impl Strategy<Value = Hole> {
    ([number(), number(), number(), number()], any::<bool>()).prop_map(
        |([offset, bytes, first, records_lost], torn)| Hole {
            offset: Offset::new(offset),
            bytes,
            verdict: if torn { Verdict::Torn } else { Verdict::Corrupt },
            first: Sequence::new(first),
            records_lost,
        },
    )
}

pub(super) fn report() -> impl Strategy<Value = RepairReport> {
    (vec(hole(), 0..20), number(), any::<bool>(), number()).prop_map(
        |(holes, more_holes, header_damaged, settled_bytes)| RepairReport {
            holes,
            more_holes,
            header_damaged,
            settled_bytes,
        },
    )
}

pub(super) fn reason() -> impl Strategy<Value = OpenReason> {
    use OpenReason::{Crashed, Created, Released, TakenOver};
    prop_oneof![Just(Created), Just(Released), Just(Crashed), Just(TakenOver)]
}

pub(super) fn opening() -> impl Strategy<Value = OpeningBody> {
    let places = [number(), number(), number()];
    (identity(), places, reason(), owner(255), option::of(owner(255)), report()).prop_map(
        |(
            identity,
            [previous_generation, claim, last_frame],
            reason,
            owner,
            previous_owner,
            report,
        )| {
            OpeningBody {
                identity,
                previous_generation,
                reason,
                claim,
                last_frame,
                owner,
                previous_owner,
                report,
            }
        },
    )
}

pub(super) fn seal() -> impl Strategy<Value = SealBody> {
    let bytes = || vec(any::<u8>(), 0..300);
    (any::<bool>(), bytes(), bytes(), number()).prop_map(
        |(replace, path, successor, successor_len)| SealBody {
            purpose: if replace { Purpose::Replace } else { Purpose::Delete },
            path,
            successor,
            successor_len,
        },
    )
}

pub(super) fn header() -> impl Strategy<Value = FrameHeader> {
    let small = (1..=u8::MAX, any::<u8>(), any::<u16>(), 0..=PAYLOAD_BYTES_MAX);
    let numbers = [number(), number(), number(), number(), number()];
    (small, any::<[u32; 4]>(), numbers, any::<i64>()).prop_map(
        |((kind, flags, meta_len, payload_len), words, numbers, time_ms)| {
            let [body_checksum, incarnation, batch_before, batch_len] = words;
            let [generation, sequence, offset, previous, durable_through] = numbers;
            FrameHeader {
                kind: kind.into(),
                flags,
                meta_len,
                payload_len,
                body_checksum,
                incarnation,
                generation,
                sequence,
                offset,
                batch_before,
                batch_len,
                previous,
                time_ms,
                durable_through,
            }
        },
    )
}

pub(super) fn slot() -> impl Strategy<Value = Slot> {
    let numbers = vec(number(), 10);
    (numbers, 0..3_u8, any::<i64>(), owner(96)).prop_map(|(numbers, state, updated_ms, owner)| {
        Slot {
            counter: numbers[0],
            generation: numbers[1],
            state: [SlotState::Open, SlotState::Released, SlotState::Sealed][usize::from(state)],
            sequence: numbers[2],
            tail: numbers[3],
            durable_through: numbers[4],
            checkpoint: numbers[5],
            opening: numbers[6],
            records: numbers[7],
            void_bytes: numbers[8],
            records_lost: numbers[9],
            updated_ms,
            owner,
        }
    })
}

pub(super) fn run() -> impl Strategy<Value = Run> {
    (
        [number(), number(), number(), number(), number()],
        any::<[u32; 2]>(),
        any::<u8>(),
        any::<bool>(),
    )
        .prop_map(|([checkpoint, start, end, before, last], [samples, keys], level, lossy)| {
            Run { checkpoint, start, end, before, last, samples, keys, level, lossy }
        })
}

pub(super) fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let sample = (number(), number()).prop_map(|(sequence, offset)| Sample { sequence, offset });
    let key = (any::<u32>(), number()).prop_map(|(hash, offset)| KeyEntry { hash, offset });
    let summary = [number(), number(), number(), number()].prop_map(|[a, b, c, d]| Summary {
        records: a,
        void_bytes: b,
        records_lost: c,
        opening: d,
    });
    (vec(sample, 0..700), vec(key, 0..900), summary, vec(run(), 0..20))
        .prop_map(|(samples, keys, summary, runs)| Checkpoint { samples, keys, summary, runs })
}
