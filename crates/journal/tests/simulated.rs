//! What the simulator, the fuzzer and the power cuts found in the engine, one schedule each.

mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_journal::format::{FrameKind, HEADER_LEN, PAGE_LEN};
use session_journal::storage::{Access, Disk, LocalDisk};
use session_journal::{AppendOptions, ErrorKind, Journal, NewRecord, Options, Takeover, verify};
use support::disk::{EIO, Op};
use support::power::PowerDisk;
use support::{Bench, cut, damage, frames, last_frame, lazily, overwrite, record, take_over};

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
