//! What the simulator, the fuzzer and the power cuts found in the engine, one schedule each.

mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use session_journal::format::{FrameKind, HEADER_LEN, PAGE_LEN};
use session_journal::storage::{Access, Disk, LocalDisk};
use session_journal::{
    AppendOptions, Durability, ErrorKind, Follower, Journal, Mark, NewRecord, Options, Reader,
    Sequence, Takeover, verify,
};
use support::disk::{EIO, FaultDisk, Op};
use support::power::PowerDisk;
use support::{
    Bench, by_force, cut, damage, frames, last_frame, lazily, options_on, overwrite, record,
    take_over, with_gaps,
};

/// A journal on a disk that can lose power. Nothing is synced besides what was asked for.
struct Machine {
    bench: Bench,
    disk: PowerDisk,
}

impl Machine {
    /// With one record, durable, and its owner.
    fn settled() -> (Self, Journal) {
        let machine = Self { bench: Bench::new(), disk: PowerDisk::default() };
        let mut journal = machine.bench.create_with(&machine.options());
        journal.append(&record("settled")).unwrap();
        journal.sync().unwrap();
        (machine, journal)
    }

    fn options(&self) -> Options {
        let disk = Arc::new(self.disk.clone());
        lazily(Options { disk, takeover: Takeover::Always, ..Options::default() })
    }

    fn path(&self) -> &Path {
        &self.bench.path
    }

    fn open(&self) -> session_journal::Result<Journal> {
        Journal::open(self.path(), &self.options())
    }

    /// Takes the journal and loses power right behind that: the claim and the header page are on the
    /// medium, the opening is not.
    fn lose_power_behind_a_takeover(&self) {
        drop(self.open().unwrap());
        self.disk.write_back(self.path(), &(0..PAGE_LEN));
        self.disk.lose_power();
        let all = frames(self.path());
        assert_eq!(all.last().unwrap().1.kind, FrameKind::Claim, "the opening is lost");
    }
}

fn append(journal: &mut Journal, texts: &[&str]) {
    for text in texts {
        journal.append(&record(text)).unwrap();
    }
}

// ---- power cuts ------------------------------------------------------------------------------

/// D4, H11: nothing is missing, but the slot knew of a claim that no opening followed. `verify`
/// called the journal damaged, and every opening wrote that down for the next one: whoever watches
/// for damage would have been alarmed for ever, and whoever opens without repair been refused.
#[test]
fn a_power_cut_right_behind_a_takeover_is_no_damage() {
    let (machine, journal) = Machine::settled();
    drop(journal);
    machine.lose_power_behind_a_takeover();
    let verified = verify(machine.path(), &mut |_, _| {}).unwrap();
    assert!(verified.ok && verified.damage.is_empty(), "{verified:?}");
    let options = Options { auto_repair: false, ..machine.options() };
    let mut journal = Journal::open(machine.path(), &options).unwrap();
    assert!(journal.opening().report.is_clean(), "{}", journal.opening().report);
    append(&mut journal, &["next"]);
    journal.close().unwrap();
    assert!(verify(machine.path(), &mut |_, _| {}).unwrap().ok);
    assert_eq!(machine.bench.texts(), ["settled", "next"]);
}

/// H14: a batch that nobody acknowledged is torn by one power cut; the next owner steps over it
/// and is cut off before its opening is durable. Its slot vouched for the batch, so that half a tool
/// call was read, and stayed.
#[test]
fn a_torn_batch_stays_void_behind_a_takeover_that_power_took() {
    let (machine, mut journal) = Machine::settled();
    let batch = ["half of", "a turn"].map(record);
    let first = journal.append_all(&batch, &AppendOptions::default()).unwrap()[0].offset.get();
    let second = last_frame(machine.path(), FrameKind::Record).offset;
    drop(journal);
    machine.disk.write_back(machine.path(), &(first..second + 10));
    machine.disk.lose_power();
    assert_eq!(machine.bench.texts(), ["settled"]);
    machine.lose_power_behind_a_takeover();
    assert_eq!(machine.bench.texts(), ["settled"]);
    append(&mut machine.open().unwrap(), &["next"]);
    assert_eq!(machine.bench.texts(), ["settled", "next"]);
}

/// H9, H11: behind a clean release nothing was settled, not even a claim whose sync had failed. The
/// next opener claimed on top of it, power took the claim below, and both generations were free again:
/// two owners had one generation, and whoever tells owners apart by it took one for the other.
#[test]
fn a_generation_that_stands_on_a_claim_whose_sync_failed_is_owned_once() {
    let (machine, journal) = Machine::settled();
    journal.close().unwrap();
    machine.disk.fail_sync();
    assert_eq!(machine.open().unwrap_err().kind(), ErrorKind::Io);
    let second = machine.open().unwrap();
    let owned = second.generation();
    drop(second);
    machine.disk.lose_power();
    let next = machine.open().unwrap().generation();
    assert!(next > owned, "generation {next} was given away, {owned} is owned already");
}

/// H9, H22: the sync of a keyed record failed, so its page is clean in memory and not on the disk;
/// it leaves the memory between an opener's survey and its settling. The opener built on it: it took
/// the next number, was told that its file had been cut, and reported a record as damaged that nobody
/// had acknowledged.
#[test]
fn a_record_that_leaves_the_memory_before_it_is_settled_was_never_there() {
    let bench = Bench::new();
    let mut journal = bench.create();
    append(&mut journal, &["one"]);
    let keyed = record("once").key("key");
    bench.disk.fail(Op::Sync, 1, EIO);
    assert_eq!(journal.append(&keyed).unwrap_err().kind(), ErrorKind::Unknown);
    drop(journal);
    let (path, lost) = (bench.path.clone(), last_frame(&bench.path, FrameKind::Record));
    assert_eq!(lost.sequence, 2);
    let zeros = vec![0; usize::try_from(lost.frame_len()).unwrap()];
    bench.disk.after(Op::Append, 1, move || overwrite(&path, lost.offset, &zeros));
    let mut next = bench.open().unwrap();
    let verified = verify(&bench.path, &mut |_, _| {}).unwrap();
    assert!(verified.ok, "{verified:?}");
    let again = next.append(&keyed).unwrap();
    assert!(!again.duplicate && again.durable && again.sequence.get() == 2, "{again:?}");
    assert_eq!(bench.texts(), ["one", "once"]);
}

/// D2, H16: who created the journal never synced its folder. The next owner is asked for a key that is
/// there already, and answered that the record is durable: power took the file's very name, and with
/// it what had been acknowledged.
#[test]
fn a_duplicate_is_durable_only_once_the_name_of_its_file_is() {
    let machine = Machine { bench: Bench::new(), disk: PowerDisk::default() };
    let mut creator = machine.bench.create_with(&machine.options());
    let keyed = record("once").key("key");
    creator.append(&keyed).unwrap();
    drop(creator);
    let options = Options { durability: Durability::Durable, ..machine.options() };
    let mut next = Journal::open(machine.path(), &options).unwrap();
    let again = next.append(&keyed).unwrap();
    assert!(again.duplicate && again.durable, "{again:?}");
    drop(next);
    machine.disk.lose_power();
    assert!(machine.path().exists(), "power took the name of what was called durable");
    assert_eq!(machine.bench.texts(), ["once"]);
}

/// H11, H15: a compaction was stopped between its rename and the sync of the folder. Another owner
/// opens the new file, and power brings the old one back: it gave the same generation away again, and
/// whoever tells owners apart by it took one for the other.
#[test]
fn a_generation_of_a_compacted_file_is_owned_once_though_power_takes_its_name() {
    let machine = Machine { bench: Bench::new(), disk: PowerDisk::default() };
    let mut journal = machine.bench.create();
    append(&mut journal, &["one"]);
    machine.bench.disk.die_at(Op::Rename, 1);
    assert!(journal.compact().is_err());
    drop(journal);
    let names = machine.bench.names();
    let successor = names.iter().find(|name| *name != "a.journal").unwrap();
    let successor = machine.bench.folder().join(successor);
    // Both files are on the medium, and the rename is not.
    for path in [&successor, machine.path()] {
        drop(machine.disk.open(path, Access::Read).unwrap());
    }
    machine.disk.rename(&successor, machine.path()).unwrap();

    let owner = machine.open().unwrap();
    let owned = owner.generation();
    drop(owner);
    machine.disk.lose_power();
    let next = machine.open().unwrap().generation();
    assert!(next > owned, "generation {next} was given away, {owned} is owned already");
    assert_eq!(machine.bench.texts(), ["one"]);
}

/// H15: a compaction came to its seal and no further, and somebody who had looked before it claims
/// behind it, in vain. The next opener took the seal back, found the claim, and was told that nobody
/// knows whether something is stored: an opening stores nothing.
#[test]
fn a_seal_is_taken_back_although_a_claim_stands_behind_it() {
    for comes_late in [false, true] {
        let bench = Bench::new();
        let mut journal = bench.create();
        append(&mut journal, &["one"]);
        let disk = FaultDisk::new();
        let takeover = Takeover::Always;
        let options = Options { claim_attempts: 1, takeover, ..options_on(&disk) };
        let (sealed, is_sealed) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let owner = bench.disk.clone();
        disk.before(Op::Append, 1, move || {
            owner.die_at(Op::Rename, 1);
            assert!(journal.compact().is_err());
            sealed.send(()).unwrap();
            may_go.recv().unwrap();
        });
        let path = bench.path.clone();
        let claimer = thread::spawn(move || Journal::open(&path, &options).unwrap_err().kind());
        is_sealed.recv().unwrap();
        for copy in bench.names().iter().filter(|name| *name != "a.journal") {
            fs::remove_file(bench.folder().join(copy)).unwrap();
        }
        let claim = move || {
            go.send(()).unwrap();
            assert_eq!(claimer.join().unwrap(), ErrorKind::Detached);
        };

        let disk = FaultDisk::new();
        let options = Options { takeover, ..options_on(&disk) };
        if comes_late {
            disk.before(Op::Append, 1, claim);
        } else {
            claim();
        }
        let mut next = Journal::open(&bench.path, &options).unwrap();
        append(&mut next, &["two"]);
        assert_eq!(bench.texts(), ["one", "two"]);
    }
}

// ---- strangers ---------------------------------------------------------------------------------

/// H5: an opener was stopped behind its claim, and a stranger moved the file away meanwhile. It opened
/// what had no name any more, and for a quarter of a second more it acknowledged written records there.
#[test]
fn an_opener_looks_at_the_name_before_it_acknowledges_its_first_record() {
    let bench = Bench::new();
    append(&mut bench.create(), &["one"]);
    let (from, to) = (bench.path.clone(), bench.folder().join("moved.journal"));
    bench.disk.after(Op::Append, 1, move || fs::rename(from, to).unwrap());
    let mut journal = bench.open().unwrap();
    let written = AppendOptions { durability: Some(Durability::Written), ..Default::default() };
    let refused = journal.append_all(&[record("two")], &written).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Detached);
}

/// H5, H22: a producer asks again for a key that is stored, after a stranger moved the file away. It was
/// told that its record is there and durable, and at the path there was nothing.
#[test]
fn a_duplicate_is_not_called_durable_in_a_file_that_has_lost_its_name() {
    for together in [false, true] {
        let bench = Bench::new();
        let mut journal = bench.create();
        let (one, two) = (record("one").key("1"), record("two").key("2"));
        let both = [one.clone(), two];
        journal.append_all(&both, &AppendOptions::default()).unwrap();
        fs::rename(&bench.path, bench.folder().join("moved.journal")).unwrap();
        let refused = if together {
            journal.append_all(&both, &AppendOptions::default()).map(drop)
        } else {
            journal.append(&one).map(drop)
        };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Detached);
    }
}

/// H5: a stranger moved a file away while somebody took it over. The owner before saw the takeover, and
/// that its record stands before it: it called it durable, and nothing was at the path.
#[test]
fn a_record_before_a_takeover_of_a_file_without_its_name_is_not_called_durable() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let (path, moved) = (bench.path.clone(), bench.folder().join("moved.journal"));
    bench.disk.before(Op::Sync, 1, move || {
        let other = FaultDisk::new();
        let (from, to) = (path.clone(), moved);
        other.after(Op::Append, 1, move || fs::rename(from, to).unwrap());
        let options = Options { takeover: Takeover::Always, ..options_on(&other) };
        drop(Journal::open(&path, &options).unwrap());
    });
    let unknown = journal.append(&record("one")).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unknown, "{unknown}");
    assert_eq!(journal.append(&record("two")).unwrap_err().kind(), ErrorKind::Fenced);
}

// ---- followers ---------------------------------------------------------------------------------

/// D4: the last record that a follower had given was damaged afterwards, and the one before it. It told
/// that both are missing, as if it had not given them, again and again.
#[test]
fn a_follower_whose_last_records_are_lost_says_that_it_cannot_go_on() {
    let bench = Bench::new();
    let mut journal = bench.create();
    append(&mut journal, &["one", "two"]);
    journal.close().unwrap();
    let reader = Reader::open(&bench.path).unwrap();
    let begin = Mark { journal: reader.id(), sequence: Sequence::ZERO, checksum: 0 };
    let mut follower = Follower::new(reader, begin).unwrap();
    for text in ["one", "two"] {
        assert_eq!(follower.try_next().unwrap().unwrap().payload, text);
    }
    let records = frames(&bench.path).into_iter().filter(|(_, one)| one.kind == FrameKind::Record);
    records.for_each(|(at, _)| damage(&bench.path, at + 20));
    append(&mut bench.open().unwrap(), &["three"]);
    assert_eq!(follower.try_next().unwrap_err().kind(), ErrorKind::Diverged);
}

// ---- shared descriptors ----------------------------------------------------------------------

/// H21, H22: a child wrote through its parent's descriptor, so that the parent had to look where its
/// record stands, and could not read the file. It was told that nothing is stored: it stood there, and
/// who stored it again had it twice.
#[test]
fn an_owner_that_cannot_look_where_its_record_stands_does_not_say_that_it_is_not_stored() {
    for nth in 1.. {
        let bench = Bench::new();
        let mut journal = bench.create();
        append(&mut journal, &["one"]);
        bench.disk.child_writes(1, b"of a child");
        bench.disk.fail(Op::ReadAt, nth, EIO);
        match journal.append(&record("two")) {
            Ok(_) => {
                assert!(nth > 1, "no read failed");
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unknown, "read {nth}: {error}"),
        }
        assert_eq!(bench.texts(), ["one", "two"]);
        // Behind its sync the owner knows where the record stands, and goes on.
        if let Err(error) = journal.append(&record("three")) {
            assert_eq!(error.kind(), ErrorKind::Poisoned, "read {nth}");
            drop(journal);
            append(&mut bench.open().unwrap(), &["three"]);
        }
        assert_eq!(bench.texts(), ["one", "two", "three"]);
    }
}

// ---- damage ----------------------------------------------------------------------------------

/// Decision 1, D3, J1: the disk was full in the middle of a batch, which was refused. Others write where
/// it announced its frames, and an opening there is damaged later: the frame behind it names the
/// opening, a place within the batch. So the refused record was shown, in the place of one that had
/// been acknowledged.
#[test]
fn a_refused_batch_does_not_come_back_when_what_stands_in_its_place_is_damaged() {
    let bench = Bench::new();
    let mut journal = bench.create();
    append(&mut journal, &["one", "two"]);
    let batch = [record("refused"), NewRecord::new(vec![b'x'; 2000])];
    bench.disk.short(1, HEADER_LEN + "refused".len() + 10);
    let refused = journal.append_all(&batch, &AppendOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    drop(journal);
    append(&mut bench.take_over("next"), &["three"]);
    assert_eq!(bench.texts(), ["one", "two", "three"]);

    let torn = frames(&bench.path).into_iter().find(|(_, one)| one.batch_len > 2000).unwrap().1;
    let last = last_frame(&bench.path, FrameKind::Record);
    let within = torn.batch_first()..torn.batch_end();
    assert!(within.contains(&last.previous) && within.contains(&last.offset));
    damage(&bench.path, last.previous + 20);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// Decision 1, D3, J1: the same, and what stands in the place of the refused batch is one record, in its
/// body damaged. The next sound frame, an opening, names its place: the refused record was shown.
#[test]
fn a_refused_batch_does_not_come_back_when_the_record_in_its_place_is_damaged() {
    // The second header of the batch is there, or is not.
    for written in [10, HEADER_LEN + 10] {
        let bench = Bench::new();
        let mut journal = bench.create();
        append(&mut journal, &["one"]);
        let batch = [record("refused"), NewRecord::new(vec![b'x'; 200])];
        bench.disk.short(1, HEADER_LEN + "refused".len() + written);
        let refused = journal.append_all(&batch, &AppendOptions::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NoSpace);
        append(&mut journal, &[&"2".repeat(3000)]);
        let stands = last_frame(&bench.path, FrameKind::Record);
        drop(journal);
        append(&mut bench.take_over("next"), &["three"]);
        damage(&bench.path, stands.end() - 1);
        let found = with_gaps(&bench.path);
        assert_eq!(found, [Some("one".to_owned()), None, Some("three".to_owned())]);
    }
}

/// B12: a stranger cuts the file within an owner's last record, and another owner opens what is
/// left. The claim stands where the first one has read already, and the opening's number is behind
/// that owner's: so it was void for it, and it acknowledged records that no reader sees.
#[test]
fn an_owner_whose_last_record_was_cut_acknowledges_nothing_behind_an_opening() {
    let bench = Bench::new();
    let mut old = bench.create();
    append(&mut old, &["one", "two", &"3".repeat(100)]);
    let third = last_frame(&bench.path, FrameKind::Record);
    cut(&bench.path, third.offset + HEADER_LEN as u64 + 20);
    let mut new = bench.take_over("new");
    let opening = last_frame(&bench.path, FrameKind::Opening);
    assert!(third.end() <= opening.offset, "the claim before it begins where the owner has read");
    assert!(opening.sequence < third.sequence);

    // Both are true.
    let refused = old.append(&record("late")).unwrap_err().kind();
    assert!(matches!(refused, ErrorKind::Fenced | ErrorKind::Shortened), "{refused:?}");
    append(&mut new, &["three"]);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// B12: a stranger cuts the file within the body of an owner's last record, another owner opens there
/// and appends beyond the place where that record ended; its slots are lost. The first one found its
/// header as it was, read on behind its end, saw nobody, and acknowledged what no reader sees.
#[test]
fn an_owner_whose_last_record_others_write_in_acknowledges_nothing() {
    let bench = Bench::new();
    let mut old = bench.create();
    append(&mut old, &["one", "two", &"3".repeat(4000)]);
    let page = bench.bytes()[..usize::try_from(PAGE_LEN).unwrap()].to_vec();
    let third = last_frame(&bench.path, FrameKind::Record);
    cut(&bench.path, third.offset + HEADER_LEN as u64 + 20);
    let (mut new, across) = (bench.take_over("new"), "4".repeat(8000));
    append(&mut new, &[&across]);
    overwrite(&bench.path, 0, &page);
    assert!(last_frame(&bench.path, FrameKind::Record).offset < third.end());
    assert!(third.end() < bench.len(), "what the first owner appends is displaced");

    assert_eq!(old.append(&record("late")).unwrap_err().kind(), ErrorKind::Shortened);
    append(&mut new, &["last"]);
    assert_eq!(bench.texts(), ["one", "two", &across, "last"]);
}

/// B12: damage takes the claim of a new owner, and everything behind it, before the old one looks.
/// That one saw nobody and appended on: readers saw its record in the place of a lost one that had been
/// acknowledged. The slot of the new owner stands somewhere else, and tells.
#[test]
fn an_owner_whose_successor_was_zeroed_is_fenced_by_the_slot() {
    let bench = Bench::new();
    let mut old = bench.create();
    append(&mut old, &["one"]);
    append(&mut bench.take_over("new"), &["two"]);
    let (claim, _) =
        frames(&bench.path).into_iter().rfind(|(_, one)| one.kind == FrameKind::Claim).unwrap();
    overwrite(&bench.path, claim, &vec![0; usize::try_from(bench.len() - claim).unwrap()]);
    assert_eq!(old.append(&record("late")).unwrap_err().kind(), ErrorKind::Fenced);
    assert!(!support::with_gaps(&bench.path).contains(&Some("late".to_owned())));
}

/// I6: two claim the same generation, the first one wins and opens it, and damage takes its claim
/// before the second one looks. The second claim seemed to be the first: a generation had two owners.
#[test]
fn a_generation_that_is_open_is_not_won_because_its_claim_was_damaged() {
    let bench = Bench::new();
    drop(bench.create());
    let (at_opening, is_there) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let first = FaultDisk::new();
    first.before(Op::Append, 2, move || {
        at_opening.send(()).unwrap();
        wait.recv().unwrap();
    });
    let (owned, winner) = mpsc::channel();
    let path = bench.path.clone();
    bench.disk.before(Op::Append, 1, move || {
        thread::spawn(move || {
            let takeover = Takeover::Always;
            let opened = Journal::open(&path, &Options { takeover, ..options_on(&first) });
            owned.send(opened.unwrap()).unwrap();
        });
        is_there.recv().unwrap();
    });
    let (path, (kept, won)) = (bench.path.clone(), mpsc::channel());
    bench.disk.after(Op::Append, 1, move || {
        go.send(()).unwrap();
        kept.send(winner.recv().unwrap()).unwrap();
        let (claim, _) =
            frames(&path).into_iter().find(|(_, one)| one.kind == FrameKind::Claim).unwrap();
        damage(&path, claim + 20);
    });
    let options = Options { disk: bench.options().disk, ..by_force("second") };
    let second = Journal::open(&bench.path, &options).map(|journal| journal.generation());
    let first = won.recv().unwrap().generation();
    assert_ne!(second.ok(), Some(first), "both own it");
}

/// D3: a compaction died behind its seal, its copy is gone, the seal was taken back, and the
/// journal went on. One bad byte in the frame that took it back made everything behind it void: all
/// that was appended since was not read any more, and the next opener wrote over its numbers.
#[test]
fn a_damaged_reopen_costs_nothing_of_what_stands_behind_it() {
    let bench = Bench::new();
    let mut journal = bench.create();
    append(&mut journal, &["one"]);
    bench.disk.die_at(Op::Rename, 1);
    assert!(journal.compact().is_err());
    drop(journal);
    for name in bench.names().iter().filter(|name| *name != "a.journal") {
        fs::remove_file(bench.folder().join(name)).unwrap();
    }
    append(&mut take_over(&bench.path, "next"), &["two", "three"]);
    damage(&bench.path, last_frame(&bench.path, FrameKind::Reopen).offset + 20);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
    append(&mut take_over(&bench.path, "last"), &["four"]);
    assert_eq!(bench.texts(), ["one", "two", "three", "four"]);
}

// ---- names -----------------------------------------------------------------------------------

/// How often a name is raced for. One loss in a hundred would show.
const RACES: u32 = 10_000;

/// Runs this again and again while a stranger does something to the names; stops where it fails.
#[allow(clippy::print_stdout, reason = "says why it is skipped")]
fn race(mut stranger: impl FnMut() + Send, run: impl Fn(u32) -> io::Result<()>) {
    if !Path::new("/proc/self/fd").exists() {
        println!("skipped: /proc is not mounted, and a second descriptor is found by name");
        return;
    }
    let over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                stranger();
            }
        });
        let outcome = (0..RACES).try_for_each(run);
        over.store(true, Ordering::Relaxed);
        outcome
    });
    outcome.unwrap();
}

/// A compaction puts its file in place at that moment. Opening answered `io`, which a caller takes
/// for a broken disk.
#[test]
fn a_file_that_is_replaced_while_it_is_opened_is_opened_all_the_same() {
    let bench = Bench::new();
    let in_folder = |name: &str| bench.folder().join(name);
    fs::write(&bench.path, "").unwrap();
    fs::write(in_folder("old"), "").unwrap();
    fs::write(in_folder("new"), "").unwrap();
    let replace = || {
        for file in ["old", "new"] {
            fs::hard_link(in_folder(file), in_folder("copy")).unwrap();
            fs::rename(in_folder("copy"), &bench.path).unwrap();
        }
    };
    race(replace, |_| LocalDisk.open(&bench.path, Access::Write).map(drop));
}

/// B12: a successor removes the copy of an owner that compacts. That owner was told `not-found`, with
/// the name of a hidden file, and not that it is fenced.
#[test]
fn a_new_file_whose_name_is_removed_at_once_is_created_all_the_same() {
    let bench = Bench::new();
    let remove = || {
        for name in bench.names() {
            let _ = fs::remove_file(bench.folder().join(name));
        }
    };
    race(remove, |nth| LocalDisk.create_new(&bench.folder().join(nth.to_string())).map(drop));
}

/// C9, D3: an owner that compacts is stopped between its seal and its rename. Damage takes the seal, and the
/// opening that names the owner; another one opens the file and appends. The first one wakes: its copy
/// must not take the place of what was acknowledged since. The slots tell whose copy it may be.
#[test]
fn a_copy_whose_seal_was_damaged_takes_nobodys_place() {
    let bench = Bench::new();
    drop(bench.create());
    let mut owner = bench.take_over("compacts");
    append(&mut owner, &["one"]);
    drop(owner);
    let mut owner = bench.take_over("compacts");
    append(&mut owner, &["two"]);
    let path = bench.path.clone();
    let disk = FaultDisk::new();
    drop(owner);
    let options = Options { disk: options_on(&disk).disk, ..by_force("compacts") };
    let mut owner = Journal::open(&path, &options).unwrap();
    disk.before(Op::Rename, 1, move || {
        let opening = last_frame(&path, FrameKind::Opening);
        let end = fs::metadata(&path).unwrap().len();
        let bytes = usize::try_from(end - opening.offset).unwrap();
        overwrite(&path, opening.offset, &vec![0; bytes]);
        append(&mut take_over(&path, "next"), &["three"]);
    });
    assert!(owner.compact().is_err(), "it was replaced");
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}
