//! No room: full disks, size limits, and folders that cannot be written.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_journal::{
    Cause, ErrorKind, Journal, NewRecord, OpenReason, Options, Reader, SessionName, Takeover, info,
    verify,
};
use session_journal_tests::{
    Chance, Driver, Mount, Place, Spec, Stored, agree, holds, id_of, names_in, rounds, say, skip,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");
const PAGE: u64 = 4096;

struct SmallDisk {
    /// Dropped first: a folder that is mounted on cannot be removed.
    mount: Mount,
    path: PathBuf,
    folder: PathBuf,
    place: Place,
}

fn small_disk(bytes: u64) -> Option<SmallDisk> {
    let place = Place::new();
    let folder = place.folder.path().join("small");
    fs::create_dir(&folder).unwrap();
    match Mount::tmpfs(&folder, bytes) {
        Ok(mount) => Some(SmallDisk { path: folder.join("one.journal"), folder, mount, place }),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

impl SmallDisk {
    /// Leaves so many pages free: a file takes the rest.
    fn leave(&self, pages: u64) {
        let ballast = self.folder.join("ballast");
        let _ = fs::remove_file(&ballast);
        let free = rustix::fs::statvfs(&self.folder).unwrap().f_bavail;
        let bytes = free.saturating_sub(pages) * PAGE;
        fs::write(ballast, vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

fn stored(spec: &Spec, answer: &Value) -> Stored {
    let answer = &answer["answers"][0];
    Stored {
        spec: spec.clone(),
        sequence: answer["sequence"].as_u64().unwrap(),
        generation: answer["generation"].as_u64().unwrap(),
        durable: answer["durable"] == true,
        duplicate: answer["duplicate"] == true,
    }
}

/// J1, J2, H24: at whatever level the disk fills up, the owner says `no-space`, loses nothing that
/// it acknowledged, and goes on with the same handle once there is room.
#[test]
fn an_owner_outlives_a_full_disk_at_many_fill_levels() {
    let mut chance = Chance::of_test("full", "an_owner_outlives_a_full_disk");
    let Some(disk) = small_disk(2 << 20) else { return };
    let mut refused = 0;
    for round in 0..rounds(6) {
        let path = disk.folder.join(format!("{round}.journal"));
        let policy = if round % 2 == 0 { "durable" } else { "written" };
        let flags = format!("--create yes --durability {policy} --checkpoint-records 7");
        let (mut owner, _) = Driver::serve(DRIVER, &path, &flags);
        let mut acks = session_journal_tests::Acks::default();
        let mut number = 0;
        for level in [9, 5, 3, 2, 1, 0, 4, 0, 1] {
            disk.leave(level);
            let mut refusals = 0;
            while refusals < 4 {
                // Long payloads are written from where they are, beside the buffer.
                let most = if chance.below(4) == 0 { 40_000 } else { 9000 };
                let size = usize::try_from(chance.below(most)).unwrap() + 1;
                let id = format!("r{round}.{number}.0.1");
                let spec = Spec { id, size, keyed: chance.below(2) == 0 };
                number += 1;
                let answer = owner.ask(&format!("append {spec}"));
                if answer["event"] == "stored" {
                    acks.stored.push(stored(&spec, &answer));
                } else {
                    assert_eq!(answer["code"], "no-space", "{answer}");
                    refusals += 1;
                    refused += 1;
                }
            }
            // As it is now, full: every reader sees what was acknowledged and nothing else.
            holds(&agree(&path), &acks);
            disk.make_room();
            let spec = Spec { id: format!("r{round}.{number}.0.1"), size: 5000, keyed: true };
            number += 1;
            acks.stored.push(stored(&spec, &owner.must(&format!("append {spec}"))));
            holds(&agree(&path), &acks);
        }
        owner.must("close");
        let mut journal = Journal::open(&path, &Options::default()).unwrap();
        assert_eq!(journal.opening().reason, OpenReason::Released);
        journal.append(&Spec { id: "z.0.0.1".into(), size: 1, keyed: false }.record()).unwrap();
        journal.close().unwrap();
        fs::remove_file(path).unwrap();
    }
    say(&format!("{refused} appends refused for lack of room"));
}

/// J1: a batch that does not fit is not there at all.
#[test]
fn a_batch_that_does_not_fit_is_absent_and_fits_later() {
    let Some(disk) = small_disk(1 << 20) else { return };
    let name = SessionName::new(None, "one").unwrap();
    let mut journal = Journal::create(&disk.path, &name, &Options::default()).unwrap();
    let sizes = [6000, 6000, 6000, 6000, 20_000];
    let spec = |(i, size)| Spec { id: format!("b.0.{i}.5"), size, keyed: true };
    let batch: Vec<NewRecord> =
        sizes.into_iter().enumerate().map(|one| spec(one).record()).collect();
    for pages in 0..8 {
        disk.leave(pages);
        let error = journal.append_all(&batch, &<_>::default()).unwrap_err();
        let Cause::NoSpace { needed, written, .. } = error.cause() else { panic!("{error}") };
        assert!(*needed > 30_000 && written < needed, "{error}");
        assert!(agree(&disk.path).is_empty());
        disk.make_room();
    }
    journal.append_all(&batch, &<_>::default()).unwrap();
    assert_eq!(agree(&disk.path).len(), 5);
}

/// H24: on a full disk a takeover works, or says `no-space` and leaves the journal as readable as
/// it was; with room it works.
#[test]
fn a_takeover_on_a_full_disk_works_or_says_so() {
    let mut chance = Chance::of_test("full", "a_takeover_on_a_full_disk");
    let Some(disk) = small_disk(1 << 20) else { return };
    let options = Options { takeover: Takeover::Always, ..Options::default() };
    let name = SessionName::new(None, "one").unwrap();
    let (mut worked, mut refused) = (0, 0);
    for round in 0..rounds(8) {
        let mut owner = Journal::create(&disk.path, &name, &options).unwrap();
        let size = usize::try_from(chance.below(2 * PAGE)).unwrap() + 1;
        owner.append(&Spec { id: "a.0.0.1".into(), size, keyed: false }.record()).unwrap();
        for pages in [0, 1, 2, 3, 4, 5, 6] {
            disk.leave(pages);
            let before: Vec<String> = agree(&disk.path).iter().map(id_of).collect();
            match Journal::open(&disk.path, &options) {
                Ok(taken) => {
                    worked += 1;
                    drop(taken);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NoSpace, "{pages} pages: {error}");
                    refused += 1;
                }
            }
            let after: Vec<String> = agree(&disk.path).iter().map(id_of).collect();
            assert_eq!(before, after);
            disk.make_room();
        }
        let mut last = Journal::open(&disk.path, &options).unwrap();
        let id = format!("b{round}.0.0.1");
        last.append(&Spec { id, size: 10, keyed: false }.record()).unwrap();
        let late = owner.append(&NewRecord::new("late")).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Fenced, "{late}");
        assert_eq!(agree(&disk.path).len(), 2);
        last.delete().unwrap();
    }
    say(&format!("{worked} takeovers worked without room, {refused} were refused"));
    assert!(refused > 0);
}

/// J1: creating or compacting without room says so and leaves no half of a file.
#[test]
fn creating_and_compacting_without_room_leave_nothing() {
    let Some(disk) = small_disk(1 << 20) else { return };
    let name = SessionName::new(None, "one").unwrap();
    disk.leave(1);
    let error = Journal::create(&disk.path, &name, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_eq!(names_in(&disk.folder), ["ballast"]);
    disk.make_room();

    let mut journal = Journal::create(&disk.path, &name, &Options::default()).unwrap();
    for n in 0..20 {
        let spec = Spec { id: format!("a.{n}.0.1"), size: 8000, keyed: true };
        journal.append(&spec.record()).unwrap();
    }
    for pages in [0, 1, 7, 30] {
        disk.leave(pages);
        let error = journal.compact().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{pages} pages: {error}");
        assert_eq!(names_in(&disk.folder), ["ballast", "one.journal"]);
        assert_eq!(agree(&disk.path).len(), 20);
        disk.make_room();
    }
    journal.append(&Spec { id: "b.0.0.1".into(), size: 9, keyed: true }.record()).unwrap();
    journal.compact().unwrap();
    assert_eq!(agree(&disk.path).len(), 21);
}

/// H24: a size limit of the process, with SIGXFSZ ignored as the documents ask, is `no-space` too.
#[test]
fn a_file_size_limit_says_no_space() {
    let place = Place::new();
    let script = "trap '' XFSZ; exec prlimit --fsize=20000 \"$@\"";
    let wrapper = ["sh", "-c", script, "sh"];
    let (mut owner, opened) = Driver::serve_in(DRIVER, &wrapper, &place.path, "--create yes");
    assert_eq!(opened["event"], "opened", "{opened}");
    let mut acks = session_journal_tests::Acks::default();
    let mut codes = Vec::new();
    for n in 0..40 {
        let spec = Spec { id: format!("a.{n}.0.1"), size: 1500, keyed: n % 2 == 0 };
        let answer = owner.ask(&format!("append {spec}"));
        if answer["event"] == "stored" {
            acks.stored.push(stored(&spec, &answer));
        } else {
            codes.push(answer["code"].as_str().unwrap().to_owned());
        }
    }
    assert!(!acks.stored.is_empty() && codes.iter().all(|code| code == "no-space"), "{codes:?}");
    assert!(codes.len() > 20, "{codes:?}");
    holds(&agree(&place.path), &acks);
    owner.process.kill();
    // A process without the limit goes on.
    let (mut next, _) = Driver::serve(DRIVER, &place.path, "");
    let spec = Spec { id: "b.0.0.1".into(), size: 30_000, keyed: true };
    acks.stored.push(stored(&spec, &next.must(&format!("append {spec}"))));
    holds(&agree(&place.path), &acks);
}

/// G6: on a read-only mount everything that reads works and nothing is written; an opening for
/// writing is refused and says why.
#[test]
fn a_read_only_mount_can_be_read_and_not_written() {
    let Some(disk) = small_disk(1 << 20) else { return };
    let name = SessionName::new(None, "one").unwrap();
    let mut journal = Journal::create(&disk.path, &name, &Options::default()).unwrap();
    for n in 0..9 {
        let spec = Spec { id: format!("a.{n}.0.1"), size: 500, keyed: true };
        journal.append(&spec.record()).unwrap();
    }
    drop(journal);
    disk.mount.make_read_only().unwrap();
    let before = fs::read(&disk.path).unwrap();
    assert_eq!(agree(&disk.path).len(), 9);
    let reader = Reader::open(&disk.path).unwrap();
    assert!(reader.by_key("a.3.0.1").unwrap().is_some());
    assert_eq!(info(&disk.path, &session_journal::LocalHost).unwrap().records, 9);
    assert!(verify(&disk.path, &mut |_, _| ()).unwrap().ok);
    for takeover in [Takeover::Always, Takeover::IfGone] {
        let options = Options { takeover, ..Options::default() };
        must_say_read_only(Journal::open(&disk.path, &options).unwrap_err().cause());
    }
    let other = disk.folder.join("two.journal");
    must_say_read_only(Journal::create(&other, &name, &Options::default()).unwrap_err().cause());
    assert_eq!(fs::read(&disk.path).unwrap(), before);
    assert!(Path::new(&disk.place.acks).exists());
}

fn must_say_read_only(cause: &Cause) {
    let Cause::Io { source, .. } = cause else { panic!("{cause:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{source}");
}
