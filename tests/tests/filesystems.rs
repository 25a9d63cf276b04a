//! The same journals on every file system of this machine's kernel: ext4, xfs, btrfs, overlayfs and
//! tmpfs, each made and mounted by the test.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs;
use std::path::{Path, PathBuf};

use session_journal::{
    AppendOptions, ErrorKind, Follower, Journal, Mark, NewRecord, OpenReason, Options, Reader,
    Sequence, SessionName, Takeover,
};
use session_journal_tests::{
    Acks, Ballast, Chance, FileSystem, Mount, Place, Program, Spec, Stored, Storm, agree, holds,
    id_of, is_long, names_in, rounds, say, skip,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");
/// The smallest that all of them can be made in; it takes room as it is written.
const IMAGE_BYTES: u64 = 320 << 20;
/// Room for all that a long storm writes.
const STORM_BYTES: u64 = 8 << 30;

/// A file system of a test's own. Dropped in this order.
struct Ground {
    name: &'static str,
    /// A place on it.
    place: Place,
    _mounts: Vec<Mount>,
    _folder: tempfile::TempDir,
}

/// What makes and mounts one of so many bytes in a folder: where journals go, and what to unmount, the
/// last first.
type Make = fn(&Path, u64) -> Result<(PathBuf, Vec<Mount>), String>;

const GROUNDS: [(&str, Make); 5] = [
    ("ext4", |folder, bytes| image(FileSystem::Ext4, folder, bytes)),
    ("xfs", |folder, bytes| image(FileSystem::Xfs, folder, bytes)),
    ("btrfs", |folder, bytes| image(FileSystem::Btrfs, folder, bytes)),
    ("overlayfs", |folder, bytes| {
        let layers = Layers::new(folder, bytes)?;
        let mounts = vec![layers.mount()?, layers.below];
        Ok((layers.merged, mounts))
    }),
    ("tmpfs", |folder, bytes| {
        // All of it is taken where the disk is to be full, and it is memory.
        let bytes = if is_long() { bytes } else { 64 << 20 };
        Ok((folder.to_owned(), vec![Mount::tmpfs(folder, bytes)?]))
    }),
];

fn image(kind: FileSystem, folder: &Path, bytes: u64) -> Result<(PathBuf, Vec<Mount>), String> {
    let image = folder.join("image");
    kind.make(&image, bytes)?;
    let at = folder.join("at");
    fs::create_dir(&at).unwrap();
    let mount = kind.mount(&image, &at)?;
    Ok((at, vec![mount]))
}

/// The folders of an overlay, on an ext4 of their own.
struct Layers {
    lower: PathBuf,
    upper: PathBuf,
    work: PathBuf,
    merged: PathBuf,
    below: Mount,
}

impl Layers {
    fn new(folder: &Path, bytes: u64) -> Result<Self, String> {
        let (at, mut mounts) = image(FileSystem::Ext4, folder, bytes)?;
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| at.join(name));
        let merged = folder.join("merged");
        for made in [&lower, &upper, &work, &merged] {
            fs::create_dir(made).unwrap();
        }
        Ok(Self { lower, upper, work, merged, below: mounts.remove(0) })
    }

    fn mount(&self) -> Result<Mount, String> {
        Mount::overlay(&self.lower, &self.upper, &self.work, &self.merged)
    }
}

/// Runs a check on each of them that can be had here.
fn on_each(check: impl Fn(&Ground)) {
    on_each_of(IMAGE_BYTES, check);
}

fn on_each_of(bytes: u64, check: impl Fn(&Ground)) {
    for (name, make) in GROUNDS {
        let folder = tempfile::tempdir().unwrap();
        match make(folder.path(), bytes) {
            Err(why) => skip(&format!("{name}: {why}")),
            Ok((at, mounts)) => {
                let place = Place::new_in(&at);
                check(&Ground { name, place, _mounts: mounts, _folder: folder });
                say(&format!("{name}: done"));
            }
        }
    }
}

fn with(takeover: Takeover) -> Options {
    Options { takeover, checkpoint_records: 5, ..Options::default() }
}

fn create(path: &Path) -> session_journal::Result<Journal> {
    Journal::create(path, &SessionName::new(None, "one").unwrap(), &with(Takeover::IfGone))
}

/// Numbered records, and which of them were acknowledged.
#[derive(Default)]
struct Producer {
    number: u64,
    acks: Acks,
}

impl Producer {
    fn append(&mut self, journal: &mut Journal, size: usize) -> session_journal::Result<()> {
        let id = format!("p.{}.0.1", self.number);
        let spec = Spec { id, size, keyed: self.number.is_multiple_of(2) };
        self.number += 1;
        let answer = journal.append(&spec.record())?;
        self.acks.stored.push(Stored {
            spec,
            sequence: answer.sequence.get(),
            generation: answer.generation.get(),
            durable: answer.durable,
            duplicate: answer.duplicate,
        });
        Ok(())
    }
}

/// I2, B12, G9: creating, appending, taking over, compacting, verifying and deleting are the same
/// everywhere, and the shipped program shows the same.
#[test]
fn the_life_of_a_journal_is_the_same_on_every_file_system() {
    let program = Program::beside(DRIVER);
    on_each(|ground| {
        let path = &ground.place.path;
        let mut producer = Producer::default();
        let mut first = create(path).unwrap();
        for n in 0..30 {
            producer.append(&mut first, 400 * n + 1).unwrap();
        }
        let mut second = Journal::open(path, &with(Takeover::Always)).unwrap();
        assert_eq!(second.opening().reason, OpenReason::TakenOver);
        let late = first.append(&NewRecord::new("late")).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Fenced, "{}: {late}", ground.name);
        producer.append(&mut second, 5000).unwrap();
        let compaction = second.compact().unwrap();
        assert!(compaction.bytes_after < compaction.bytes_before, "{compaction:?}");
        producer.append(&mut second, 5000).unwrap();
        second.close().unwrap();

        let records = agree(path);
        holds(&records, &producer.acks);
        program.shows(path, &records);
        let third = Journal::open(path, &with(Takeover::Never)).unwrap();
        assert_eq!(third.opening().reason, OpenReason::Released);
        third.delete().unwrap();
        assert!(names_in(&ground.place.store).is_empty(), "{}", ground.name);
    });
}

/// J1, J2, J3, H24: wherever in a journal's life the disk is full, it says `no-space`, everything
/// acknowledged is there, and the same owner goes on when there is room.
#[test]
fn a_full_disk_is_survived_at_every_stage_on_every_file_system() {
    let seed = Chance::of_test("filesystems", "a_full_disk_is_survived").number();
    let rounds = rounds(1);
    on_each(|ground| {
        let mut chance = Chance::of(seed);
        let mut ballast = Ballast::in_folder(ground.place.folder.path());
        let mut refusals = Refusals::default();
        for _ in 0..rounds {
            creating(ground, &mut ballast);
            let mut producer = Producer::default();
            let mut owner = create(&ground.place.path).unwrap();
            for pages in [6, 3, 1, 0] {
                let what = format!("{}, {pages} pages left", ground.name);
                appending(&what, (&mut ballast, pages), &mut owner, &mut producer, &mut chance);
                refusals.compactions += compacting(&what, &mut ballast, &mut owner, &mut producer);
            }
            refusals.claims += claiming(ground, &mut ballast, owner, &mut producer);
            refusals.releases += releasing(ground, &mut ballast, &mut producer);
            ballast.make_room();
            Journal::open(&ground.place.path, &with(Takeover::Always)).unwrap().delete().unwrap();
        }
        say(&format!("{}: {refusals:?}", ground.name));
    });
}

#[derive(Debug, Default)]
struct Refusals {
    compactions: u64,
    claims: u64,
    releases: u64,
}

/// Whether there was no room; anything else that goes wrong is a finding.
fn was_refused<T>(what: &str, done: session_journal::Result<T>) -> bool {
    let Err(error) = done else { return false };
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
    true
}

/// Without room nothing is created, and nothing is left of it.
fn creating(ground: &Ground, ballast: &mut Ballast) {
    ballast.leave(0);
    assert!(was_refused(ground.name, create(&ground.place.path)), "{}", ground.name);
    assert!(names_in(&ground.place.store).is_empty(), "{}", ground.name);
    ballast.make_room();
}

/// Appends, and the checkpoints among them, until there is no room, and a few more; then on.
fn appending(
    what: &str,
    (ballast, pages): (&mut Ballast, u64),
    owner: &mut Journal,
    producer: &mut Producer,
    chance: &mut Chance,
) {
    for _ in 0..6 {
        producer.append(owner, 2000).unwrap();
    }
    ballast.leave(pages);
    let mut refused = 0;
    for _ in 0..2000 {
        let size = usize::try_from(chance.below(9000)).unwrap() + 1;
        refused += u64::from(was_refused(what, producer.append(owner, size)));
        if refused == 4 {
            break;
        }
    }
    assert_eq!(refused, 4, "{what}: it is full at last");
    // As it is now: every reader sees what was acknowledged, and nothing else.
    holds(&agree(owner.path()), &producer.acks);
    ballast.make_room();
    producer.append(owner, 5000).unwrap();
}

/// Compacts without room; then with.
fn compacting(
    what: &str,
    ballast: &mut Ballast,
    owner: &mut Journal,
    producer: &mut Producer,
) -> u64 {
    ballast.leave(2);
    let refused = was_refused(what, owner.compact());
    let store = owner.path().parent().unwrap();
    assert_eq!(names_in(store), ["one.journal"], "{what}");
    holds(&agree(owner.path()), &producer.acks);
    ballast.make_room();
    owner.compact().unwrap();
    producer.append(owner, 100).unwrap();
    holds(&agree(owner.path()), &producer.acks);
    u64::from(refused)
}

/// Takes over without room, after the owner crashed; then with.
fn claiming(
    ground: &Ground,
    ballast: &mut Ballast,
    owner: Journal,
    producer: &mut Producer,
) -> u64 {
    drop(owner);
    let path = &ground.place.path;
    let mut refused = 0;
    for pages in [0, 0, 1, 2] {
        ballast.leave(pages);
        refused +=
            u64::from(was_refused(ground.name, Journal::open(path, &with(Takeover::Always))));
        holds(&agree(path), &producer.acks);
        ballast.make_room();
    }
    let mut next = Journal::open(path, &with(Takeover::Always)).unwrap();
    producer.append(&mut next, 100).unwrap();
    next.close().unwrap();
    refused
}

/// Releases without room.
fn releasing(ground: &Ground, ballast: &mut Ballast, producer: &mut Producer) -> u64 {
    let path = &ground.place.path;
    let mut owner = Journal::open(path, &with(Takeover::Never)).unwrap();
    producer.append(&mut owner, 3000).unwrap();
    ballast.leave(0);
    // What room the file system had in reserve for this file goes, too.
    for _ in 0..2000 {
        if was_refused(ground.name, producer.append(&mut owner, 1)) {
            break;
        }
    }
    let refused = was_refused(ground.name, owner.close());
    holds(&agree(path), &producer.acks);
    ballast.make_room();
    let mut next = Journal::open(path, &with(Takeover::Always)).unwrap();
    let is_released = next.opening().reason == OpenReason::Released;
    assert_eq!(is_released, !refused, "{}: a release that was refused is none", ground.name);
    producer.append(&mut next, 100).unwrap();
    next.close().unwrap();
    holds(&agree(path), &producer.acks);
    u64::from(refused)
}

/// A6, B12, C6: the storm, on each of them.
#[test]
fn a_storm_loses_nothing_on_any_file_system() {
    let seed = Chance::of_test("filesystems", "a_storm_loses_nothing").number();
    let (times, bytes) = if is_long() { (5, STORM_BYTES) } else { (1, IMAGE_BYTES) };
    on_each_of(bytes, |ground| {
        let storm = Storm {
            driver: DRIVER.to_owned(),
            program: Some(Program::beside(DRIVER)),
            processes: 6,
            journals: 2,
            namespaced: 0,
            compacts: true,
            flags: "--size 8000".to_owned(),
            takeovers: 60 * times,
            kills: 10 * times,
        };
        storm.rage(&ground.place, &mut Chance::of(seed));
    });
}

/// G8, H23: a journal in the lower layer of an overlay, as in an image of a container, is taken over
/// and appended to in the upper one; a follower from before goes on, and the lower file is as it was.
#[test]
fn a_journal_in_a_lower_layer_is_appended_to_in_the_upper_one() {
    let folder = tempfile::tempdir().unwrap();
    let layers = match Layers::new(folder.path(), IMAGE_BYTES) {
        Ok(layers) => layers,
        Err(why) => return skip(&why),
    };
    let below = layers.lower.join("one.journal");
    let mut producer = Producer::default();
    let mut journal = create(&below).unwrap();
    for _ in 0..20 {
        producer.append(&mut journal, 3000).unwrap();
    }
    journal.close().unwrap();
    let before = fs::read(&below).unwrap();
    let _mount = match layers.mount() {
        Ok(mount) => mount,
        Err(why) => return skip(&why),
    };

    let path = layers.merged.join("one.journal");
    let reader = Reader::open(&path).unwrap();
    let start = Mark { journal: reader.id(), sequence: Sequence::ZERO, checksum: 0 };
    let mut follower = Follower::new(reader, start).unwrap();
    let mut follow = || follower.next_timeout(session_journal_tests::WATCHDOG).unwrap().unwrap();
    let seen: Vec<String> = (0..20).map(|_| id_of(&follow())).collect();
    let mut owner = Journal::open(&path, &with(Takeover::IfGone)).unwrap();
    let batch = [Spec { id: "b.0.0.1".into(), size: 3000, keyed: true }.record()];
    owner.append_all(&batch, &AppendOptions::default()).unwrap();
    assert_eq!(id_of(&follow()), "b.0.0.1", "behind {seen:?}");
    owner.close().unwrap();
    assert_eq!(agree(&path).len(), 21);
    assert_eq!(fs::read(&below).unwrap(), before);
}
