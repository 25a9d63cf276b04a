//! Damage of every kind to a small journal: whatever is not hit is read, what is lost is named, and
//! the journal stays appendable (D1 to D4, H8, H19). Worst collateral: no record.
//!
//! To stay within half a minute: the forward reader and `verify` look at every byte that can be cut
//! or flipped, the other readers at every 16th, owners (who sync) at every `OWNER_STEP`-th; and all
//! of them at the bytes at and beside every boundary (of page, slots, frames, bodies).

#[path = "support/damage_bench.rs"]
mod bench;
#[path = "support/damage_checks.rs"]
mod checks;
#[path = "support/damage_host.rs"]
mod host;
#[path = "support/damage_sample.rs"]
mod sample;

use std::collections::BTreeSet;

use bench::Bench;
use host::{Random, options};
use sample::{PAGE, Sample, fits};
use session_journal::format::FrameKind;
use session_journal::{ErrorKind, Journal, NewRecord, Options, Reader, SessionName, verify};

/// Owners look at every so many bytes.
const OWNER_STEP: usize = 211;

// ---- the samples are what they are meant to be ---------------------------------------------

#[test]
fn the_sample_holds_everything_that_can_be_damaged() {
    let bench = Bench::closed();
    assert_eq!(bench.sample.records.len(), 40);
    let kinds: Vec<FrameKind> = bench.sample.frames.iter().map(|span| span.header.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == FrameKind::Opening).count(), 2);
    assert_eq!(kinds.last(), Some(&FrameKind::Release));
    let batch = bench.record(17).header;
    assert!(!batch.is_alone() && batch.batch_before > 0);
    // Claim and displaced frames: bytes that are no frame of the chain, and all of them sound.
    let found = verify(bench.put(&bench.sample.bytes), &mut |_, _| {}).expect("verify");
    assert!(found.ok && found.void_bytes > 300 && !found.torn.is_empty(), "{found:?}");
    assert!(bench.record(31).range.len() > 80 + 150, "it quotes the claim");

    let indexed = Bench::indexed();
    let checkpoints =
        indexed.sample.frames.iter().filter(|s| s.header.kind == FrameKind::Checkpoint);
    assert!(checkpoints.count() >= 17, "one of them merges");
}

// ---- cuts ----------------------------------------------------------------------------------

/// D2.
#[test]
fn a_file_that_is_cut_anywhere_gives_every_record_before_the_cut() {
    let bench = Bench::closed();
    bench.every_byte("cut", |cut| bench.sample.bytes[..cut].to_vec());
    bench.readers(&bench.sample.bytes, "no cut");
    let bench = Bench::killed();
    for cut in bench.sample.places(9) {
        bench.readers(&bench.sample.bytes[..cut], &format!("cut at {cut}"));
    }
}

/// D2: the next append does not glue to what is torn.
#[test]
fn a_file_that_is_cut_is_appended_to_and_opened_again() {
    for bench in [Bench::closed(), Bench::killed()] {
        for cut in bench.sample.places(OWNER_STEP) {
            bench.owner(&bench.sample.bytes[..cut], &format!("cut at {cut}"));
        }
    }
}

/// C10, H14: nobody knows that the batch was ever durable.
#[test]
fn a_cut_in_the_middle_of_a_batch_leaves_all_of_it_or_nothing() {
    let bench = Bench::new(Sample::unsynced);
    let (first, last) = (bench.record(4).range.start, bench.record(8).range.end);
    for cut in first..=last {
        let damaged = &bench.sample.bytes[..cut];
        let reader = Reader::open(bench.put(damaged)).expect("open to read");
        let expected = if cut < last { 3 } else { 8 };
        assert_eq!(reader.last_sequence().get(), expected, "cut at {cut}");
        assert_eq!(reader.records().filter_map(Result::ok).count(), fits(expected), "cut at {cut}");
        bench.readers(damaged, &format!("cut at {cut}"));
        if cut % 11 == 0 || cut + 1 >= last {
            bench.owner(damaged, &format!("cut at {cut}"));
        }
    }
}

/// D2: what was acknowledged as durable is missed at the end of the file too.
#[test]
fn a_reader_that_goes_on_behind_gaps_names_what_the_end_of_the_file_lost() {
    let bench = Bench::closed();
    for sequence in [1, 12, 17, 40] {
        let cut = bench.record(sequence).range.start;
        let damaged = &bench.sample.bytes[..cut];
        let left = bench.sample.left(damaged).expect("the header page is whole");
        let reader = Reader::open(bench.put(damaged)).expect("open to read");
        let (_, forwards) = checks::split(reader.records().with_gaps(), "forwards");
        let (_, backwards) = checks::split(reader.backwards().with_gaps(), "backwards");
        assert_eq!(checks::sequences(&forwards), left.lost, "cut before {sequence}");
        assert_eq!(checks::sequences(&backwards), left.lost, "cut before {sequence}, backwards");
        let end = reader.records().last().expect("an answer");
        assert_eq!(end.expect_err("it is strict").kind(), ErrorKind::Corrupt);
    }
}

/// C3: what a cut took may be the record that is appended once more.
#[test]
fn a_key_that_a_cut_may_hide_is_not_called_absent() {
    let bench = Bench::closed();
    let cut = bench.record(39).range.start;
    let path = bench.put(&bench.sample.bytes[..cut]).to_owned();
    let mut journal = Journal::open(path, &options(&bench.sample.host)).expect("open");
    let error = journal.append(&sample::record(39)).expect_err("it may be there");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(journal.append(&sample::record(36)).expect("its key is there").sequence.get(), 36);
}

// ---- flips ---------------------------------------------------------------------------------

/// I12, D3, H8, H19: the length that a damaged frame announces is not believed.
#[test]
fn a_flipped_byte_costs_the_frame_that_it_is_in() {
    let bench = Bench::closed();
    bench.every_byte("flip", |at| bench.flipped(at));
}

/// H8: a generation whose claim or opening is gone keeps its records.
#[test]
fn a_flipped_byte_in_an_unreleased_file_costs_the_frame_that_it_is_in() {
    let bench = Bench::killed();
    for at in bench.sample.places(9) {
        bench.readers(&bench.flipped(at), &format!("flip at {at}"));
    }
}

/// D4.
#[test]
fn a_file_with_a_flipped_byte_is_appended_to_and_opened_again() {
    for bench in [Bench::closed(), Bench::killed()] {
        for at in bench.sample.places(OWNER_STEP) {
            bench.owner(&bench.flipped(at), &format!("flip at {at}"));
        }
    }
}

/// D4, H9: the second generation settled what it inherited, so all of it was durable.
#[test]
fn the_loss_of_a_record_that_was_durable_is_corruption() {
    for bench in [Bench::closed(), Bench::killed()] {
        for record in &bench.sample.records {
            let range = bench.record(record.sequence.get()).range.clone();
            let damaged = bench.flipped(range.start + 40);
            let left = bench.sample.left(&damaged).expect("the header page is whole");
            if range.end as u64 > left.durable_through {
                continue;
            }
            let found = verify(bench.put(&damaged), &mut |_, _| {}).expect("verify");
            let sequence = record.sequence;
            assert!(!found.ok, "record {sequence} is lost: {found:?}");
            let lost = checks::lost_by(found.damage.iter());
            assert_eq!(lost, BTreeSet::from([sequence.get()]), "{found:?}");
        }
    }
}

/// D4: dead bytes that were told of, a claim, and then a record: the record is what is lost.
#[test]
fn a_loss_behind_dead_bytes_and_a_claim_is_told_where_it_is() {
    let bench = Bench::closed();
    let options = Options { full_scan: true, ..options(&bench.sample.host) };
    let path = bench.put(&bench.sample.bytes).to_owned();
    let mut journal = Journal::open(&path, &options).expect("open");
    // Dead bytes, and a claim that comes too late: it replaces a generation that is not current.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("open");
    let claim = bench.sample.bytes.windows(5).position(|bytes| bytes == b"\xF5SJ\x1E\x02");
    let claim = claim.expect("the sample holds a claim");
    let end = bench.frame(FrameKind::Opening, 2).range.start;
    std::io::Write::write_all(&mut file, b"dead bytes").expect("write");
    std::io::Write::write_all(&mut file, &bench.sample.bytes[claim..end]).expect("write");
    let lost = journal.append(&NewRecord::new("to be lost")).expect("append");
    journal.append(&NewRecord::new("behind it")).expect("append");
    journal.close().expect("close");
    // This opening tells of the dead bytes.
    let journal = Journal::open(&path, &options).expect("open");
    assert_eq!(journal.opening().report.holes.len(), 2, "{:?}", journal.opening().report);
    journal.close().expect("close");

    let mut bytes = std::fs::read(&path).expect("read");
    bytes[fits(lost.offset.get()) + 20] ^= 0xFF;
    std::fs::write(&path, &bytes).expect("write");
    let found = verify(&path, &mut |_, _| {}).expect("verify");
    let hole = found.damage.first().expect("the record was durable");
    assert_eq!((hole.first, hole.records_lost), (lost.sequence, 1), "{found:?}");
    assert!(hole.offset <= lost.offset && lost.offset.get() < hole.offset.get() + hole.bytes);
    assert_eq!(found.damage.len(), 1, "the dead bytes are none: {found:?}");
    let journal = Journal::open(&path, &options).expect("open");
    let report = &journal.opening().report;
    assert_eq!(report.records_lost(), 1, "it is new: {report:?}");
}

// ---- windows -------------------------------------------------------------------------------

/// I12, D3: runs of NUL bytes, as after a power loss on some file systems. A window of 4 KiB takes the
/// header page and the first opening with it, or the end of the file.
#[test]
fn zeroed_windows_cost_the_frames_that_they_touch() {
    for bench in [Bench::closed(), Bench::killed()] {
        for len in [512, 4096] {
            let steps = (0..bench.len()).step_by(64);
            for at in steps.chain(bench.sample.boundaries()).filter(|at| *at < bench.len()) {
                bench.readers(&bench.zeroed(at, len), &format!("{len} zeros at {at}"));
            }
        }
    }
}

/// D3.
#[test]
fn files_with_zeroed_windows_are_appended_to_and_opened_again() {
    let bench = Bench::closed();
    for len in [512, 4096] {
        for at in (0..bench.len()).step_by(512).chain([PAGE, bench.len() - 1]) {
            bench.owner(&bench.zeroed(at, len), &format!("{len} zeros at {at}"));
        }
    }
}

// ---- checkpoints ---------------------------------------------------------------------------

/// H12: an index is never the truth.
#[test]
fn damage_to_checkpoints_costs_time_and_no_record() {
    let bench = Bench::indexed();
    for at in bench.sample.places(41) {
        bench.readers(&bench.flipped(at), &format!("flip at {at}"));
    }
    for at in bench.sample.places(97) {
        bench.readers(&bench.sample.bytes[..at], &format!("cut at {at}"));
    }
    for at in bench.sample.boundaries().into_iter().step_by(9).filter(|at| *at < bench.len()) {
        bench.owner(&bench.flipped(at), &format!("flip at {at}"));
        bench.owner(&bench.sample.bytes[..at], &format!("cut at {at}"));
    }
}

/// H22: a key is found wherever it is, and never called absent where a gap could hide it.
#[test]
fn keys_and_sequences_are_found_in_every_damaged_copy() {
    for bench in [Bench::closed(), Bench::indexed()] {
        for at in bench.sample.places(1201) {
            let damaged = bench.flipped(at);
            let Some(left) = bench.sample.left(&damaged) else { continue };
            let reader = Reader::open(bench.put(&damaged)).expect("open to read");
            for record in &bench.sample.records {
                let there = left.records.contains(&record.sequence.get());
                match reader.get(record.sequence) {
                    Ok(found) => {
                        assert_eq!(found.as_ref(), there.then_some(record), "flip at {at}");
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "flip at {at}: {error}");
                        assert!(!there, "flip at {at}: {error}");
                    }
                }
                let Some(key) = &record.key else { continue };
                match reader.by_key(key) {
                    Ok(found) => {
                        assert_eq!(found.as_ref(), there.then_some(record), "flip at {at}");
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unknown, "flip at {at}: {error}");
                        assert!(!there, "flip at {at}: {error}");
                    }
                }
            }
        }
    }
}

/// H14: nothing stands behind the batch that could tell that it was whole, and nothing was synced.
#[test]
fn a_batch_that_is_not_durable_yet_is_read_from_its_middle() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host::StillHost::new(3);
    let path = folder.path().join("large.journal");
    let name = SessionName::new(None, "large").expect("a name");
    let mut journal = Journal::create(&path, &name, &options(&host)).expect("create");
    let batch: Vec<NewRecord> = (0..5).map(|i| NewRecord::new(vec![i; 40_000])).collect();
    journal.append_all(&batch, &session_journal::AppendOptions::default()).expect("append");
    let reader = journal.reader().expect("a reader");
    for record in reader.records().map(|record| record.expect("it is sound")) {
        assert_eq!(reader.get(record.sequence).expect("read"), Some(record));
    }
    assert_eq!(reader.last(2).expect("read").count(), 2);
}

// ---- the header page -----------------------------------------------------------------------

/// D1, H17.
#[test]
fn a_header_page_of_zeros_or_garbage_loses_nothing() {
    for bench in [Bench::closed(), Bench::killed(), Bench::indexed()] {
        let mut random = Random(17);
        let zeros = bench.zeroed(0, PAGE);
        let mut garbage = bench.sample.bytes.clone();
        garbage[..PAGE].fill_with(|| random.byte());
        for (damaged, what) in [(zeros, "zeros"), (garbage, "garbage")] {
            let left = bench.sample.left(&damaged).expect("the openings tell");
            assert_eq!(left.records.len(), 40);
            bench.readers(&damaged, what);
            bench.owner(&damaged, what);
        }
    }
}

/// H17: on drives with large sectors they are lost together.
#[test]
fn without_header_page_and_first_frame_a_later_opening_tells_who_the_journal_is() {
    let bench = Bench::closed();
    let id = Reader::open(bench.put(&bench.sample.bytes)).expect("open to read").id();
    let first = bench.frame(FrameKind::Opening, 1).range.clone();
    let damaged = bench.zeroed(0, first.end);
    let reader = Reader::open(bench.put(&damaged)).expect("open to read");
    assert_eq!((reader.id(), reader.name().to_string()), (id, "main/sample".to_owned()));
    assert_eq!(bench.sample.left(&damaged).expect("it tells").records.len(), 40);
    bench.readers(&damaged, "header page and first opening");
    bench.owner(&damaged, "header page and first opening");

    let second = bench.frame(FrameKind::Opening, 2).range.clone();
    let mut nothing = damaged;
    nothing[second].fill(0);
    assert!(bench.sample.left(&nothing).is_none());
    bench.readers(&nothing, "nobody can tell");
    bench.owner(&nothing, "nobody can tell");
}

/// D5: a damaged header page is told of once: the opening puts the identity right again.
#[test]
fn a_damaged_header_page_is_reported_once() {
    let bench = Bench::closed();
    let careful = Options { auto_repair: false, ..options(&bench.sample.host) };
    let damaged = bench.flipped(100);
    let path = bench.put(&damaged).to_owned();
    let error = Journal::open(&path, &careful).expect_err("nobody has repaired it");
    assert_eq!(error.kind(), ErrorKind::NeedsRepair, "{error}");
    assert!(std::fs::read(&path).expect("read") == damaged, "the file was touched");
    Journal::open(&path, &options(&bench.sample.host)).expect("repair").close().expect("close");
    let again = Journal::open(&path, &careful).expect("it was repaired");
    assert!(again.opening().report.is_clean(), "{:?}", again.opening().report);
    let after = std::fs::read(&path).expect("read");
    assert!(after[..3072] == bench.sample.bytes[..3072], "the identity, and nothing else");
}

/// "Nothing was written" holds for a file that ends within its slots, too.
#[test]
fn a_file_that_needs_repair_is_not_touched_while_repair_is_off() {
    let bench = Bench::closed();
    let careful = Options { auto_repair: false, ..options(&bench.sample.host) };
    for cut in [3584, 3600, 4095, 4096, 4200, bench.record(20).range.end, bench.len() - 1] {
        let damaged = &bench.sample.bytes[..cut];
        let path = bench.put(damaged).to_owned();
        let error = Journal::open(&path, &careful).expect_err("it needs repair");
        assert_eq!(error.kind(), ErrorKind::NeedsRepair, "cut at {cut}: {error}");
        assert!(std::fs::read(&path).expect("read") == damaged, "cut at {cut}: it was touched");
    }
}

// ---- many wounds at once -------------------------------------------------------------------

/// Flips, zeros, garbage and a cut at random places. `DAMAGE_SEED` replays one case, `DAMAGE_CASES`
/// asks for more of them.
#[test]
fn many_wounds_at_once_cost_the_frames_that_they_touch() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let given = number("DAMAGE_SEED");
    let benches = [Bench::closed(), Bench::killed(), Bench::indexed()];
    let seeds = given.map_or(0..number("DAMAGE_CASES").unwrap_or(400), |seed: u64| seed..seed + 1);
    for seed in seeds {
        let bench = &benches[fits(seed % 3)];
        let mut random = Random(seed);
        let mut damaged = bench.sample.bytes.clone();
        for _ in 0..=random.below(5) {
            wound(&mut damaged, &mut random);
        }
        let what = format!(
            "seed {seed}; replay with DAMAGE_SEED={seed} cargo test -p session-journal \
             --test damage many_wounds"
        );
        bench.readers(&damaged, &what);
        if seed % 4 == 0 || given.is_some() {
            bench.owner(&damaged, &what);
        }
    }
}

fn wound(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    let len = 1 + random.below(700);
    let end = (at + len).min(bytes.len());
    match random.below(8) {
        0..3 => bytes[at] ^= random.byte() | 1,
        3..5 => bytes[at..end].fill(0),
        5..7 => bytes[at..end].fill_with(|| random.byte()),
        _ => bytes.truncate(at.max(PAGE / 2)),
    }
}
