//! Power cuts: the device under a file system is copied at random moments while journals are
//! written to it, and the copy is mounted, as a machine does that starts again. What the file system
//! had in memory only is not in the copy.
#![allow(missing_docs, reason = "test names are sentences")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use session_journal::{Journal, OpenReason, Options, SessionName};
use session_journal_tests::{
    Acks, Backing, Chance, FileSystem, Mount, Place, Shell, Spec, Stored, goes_on, id_of, is_long,
    journal_of, lost, names_in, say, says_of, skip,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");
const IMAGE_BYTES: u64 = 1 << 30;
const JOURNALS: u64 = 3;

/// A machine: a file system in an image, mounted. Dropped in this order.
struct Machine {
    mount: Option<Mount>,
    kind: FileSystem,
    /// Where it is mounted.
    at: PathBuf,
    image: PathBuf,
    backing: Backing,
    /// What was said, which is not on this machine's disk.
    place: Place,
}

/// A copy of its disk, and how much had been said when the copy began.
struct Cut {
    image: PathBuf,
    said: HashMap<PathBuf, u64>,
}

impl Machine {
    fn new(kind: FileSystem, backing: fn(&Path) -> Result<Backing, String>) -> Option<Self> {
        let place = Place::new();
        let at = place.folder.path().join("machine");
        fs::create_dir(&at).unwrap();
        let made = backing(place.folder.path()).and_then(|backing| {
            let image = backing.folder.join(format!("{}.image", kind.name()));
            kind.make(&image, IMAGE_BYTES)?;
            let mount = kind.mount(&image, &at)?;
            Ok((backing, image, mount))
        });
        match made {
            Ok((backing, image, mount)) => {
                Some(Self { mount: Some(mount), kind, at, image, backing, place })
            }
            Err(why) => {
                skip(&format!("{}: {why}", kind.name()));
                None
            }
        }
    }

    fn start(&self, name: &str, command: &str, path: &Path, flags: &str) -> Shell {
        self.place.start_at(DRIVER, name, command, path, flags)
    }

    /// Two that fight for a few journals, one that has one for itself, one that makes new ones.
    fn load(&self, chance: &mut Chance) -> Vec<Shell> {
        for number in 0..JOURNALS {
            let name = SessionName::new(None, &number.to_string()).unwrap();
            let path = journal_of(&self.at, number);
            Journal::create(path, &name, &Options::default()).and_then(Journal::close).unwrap();
        }
        let mut load: Vec<Shell> = Vec::new();
        for name in ["f0", "f1"] {
            let seed = chance.number();
            let flags = format!(
                "--seed {seed} --prefix {name} --journals {JOURNALS} --durability alternating \
                 --size 20000 --checkpoint-records 20 --compacts yes"
            );
            load.push(self.start(name, "storm", &self.at, &flags));
        }
        let seed = chance.number();
        let flags = format!("--create yes --durability durable --seed {seed} --prefix own");
        load.push(self.start("own", "append", &self.own(), &flags));
        let flags = format!("--prefix new --compactions 1 --seed {seed}");
        load.push(self.start("churn", "churn", &self.at, &flags));
        load
    }

    fn own(&self) -> PathBuf {
        self.at.join("own.journal")
    }

    /// What was said of which journal: before the power went, and at all.
    fn said(&self, cut: &Cut) -> Vec<(PathBuf, Acks, Acks)> {
        let mut said: Vec<(PathBuf, Acks, Acks)> = Vec::new();
        for number in 0..JOURNALS {
            let says = ["f0", "f1"].map(|name| says_of(&self.place.says(name), number));
            let (mut before, mut all) = (Acks::default(), Acks::default());
            for says in says {
                before.take_text(&cut.text(&says));
                all.take(&says);
            }
            said.push((journal_of(&self.at, number), before, all));
        }
        said.push(self.said_of_own(cut));
        let churn = self.place.says("churn");
        let mut before = by_file(&cut.text(&churn));
        for (file, all) in by_file(&fs::read_to_string(churn).unwrap()) {
            let before = before.remove(&file).unwrap_or_default();
            said.push((self.at.join(file), before, all));
        }
        said
    }

    fn said_of_own(&self, cut: &Cut) -> (PathBuf, Acks, Acks) {
        let says = self.place.says("own");
        let mut before = Acks::default();
        before.take_text(&cut.text(&says));
        (self.own(), before, Acks::read(&says))
    }

    /// The power goes.
    fn cut(&self, number: u64, load: &[Shell]) -> Cut {
        let length = |name: &String| {
            let path = self.place.says(name);
            (path.clone(), fs::metadata(path).unwrap().len())
        };
        let said = names_in(&self.place.acks).iter().map(length).collect();
        let image = self.backing.folder.join(format!("cut-{number}"));
        self.backing.cut(&self.image, &self.at, load, &image);
        Cut { image, said }
    }

    /// It comes back with the disk of the cut. The one so far goes first: two of one identity are
    /// never mounted at once.
    fn start_again(&mut self, cut: &Cut) {
        self.mount = None;
        let mounted = self.kind.mount(&cut.image, &self.at);
        let mount = mounted.unwrap_or_else(|why| panic!("{}: the copy: {why}", self.kind.name()));
        self.mount = Some(mount);
    }
}

impl Cut {
    /// What had been said into this file.
    fn text(&self, says: &Path) -> String {
        let length = self.said.get(says).copied().unwrap_or_default();
        let mut text = fs::read(says).unwrap_or_default();
        text.truncate(usize::try_from(length).unwrap());
        String::from_utf8(text).unwrap()
    }
}

/// What a driver said that makes one journal after the other, by journal.
fn by_file(text: &str) -> HashMap<String, Acks> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        if said["event"] == "created" {
            parts.push((said["file"].as_str().unwrap().to_owned(), String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
        }
    }
    let acks = |text: String| {
        let mut acks = Acks::default();
        acks.take_text(&text);
        acks
    };
    parts.into_iter().map(|(file, text)| (file, acks(text))).collect()
}

/// The durable records that a journal had before the power went and has no more.
fn lost_of(path: &Path, before: &Acks, all: &mut Acks, figures: &mut Figures) -> Vec<Stored> {
    let durable = before.stored.iter().filter(|stored| stored.durable).count();
    figures.durable += durable as u64;
    if !path.exists() {
        // Its name is durable with the first record that is.
        return before.stored.iter().filter(|stored| stored.durable).cloned().collect();
    }
    let (missing, there) = lost(path, before, all);
    figures.records += there.len() as u64;
    let ids: HashSet<String> = there.iter().map(id_of).collect();
    let written = before.stored.iter().filter(|stored| !stored.durable);
    figures.gone += written.filter(|stored| !ids.contains(&stored.spec.id)).count() as u64;
    // The next owner finds the same, and appends.
    let mut journal = Journal::open(path, &Options::default()).unwrap();
    figures.crashed += u64::from(journal.opening().reason == OpenReason::Crashed);
    let spec = Spec { id: "last.0.0.1".into(), size: 10, keyed: true };
    journal.append(&spec.record()).unwrap();
    journal.close().unwrap();
    all.unknown.push(vec![spec]);
    let (_, after) = lost(path, before, all);
    goes_on(&there, &after);
    missing
}

#[derive(Debug, Default)]
struct Figures {
    images: u64,
    /// Durable acknowledgements from before the power went, all found.
    durable: u64,
    /// Records that were only written, and are gone.
    gone: u64,
    /// Records found.
    records: u64,
    /// Journals whose owner had not released them.
    crashed: u64,
}

/// Cuts the power so often, in several lives of the machine; gives the figures.
fn cut_often(
    kind: FileSystem,
    backing: fn(&Path) -> Result<Backing, String>,
    (lives, cuts): (u64, u64),
    chance: &mut Chance,
) {
    let mut figures = Figures::default();
    let mut how = "";
    for _ in 0..lives {
        let Some(mut machine) = Machine::new(kind, backing) else { return };
        how = machine.backing.how();
        let load = machine.load(chance);
        let mut cut = |number| {
            chance.nap(400_000);
            machine.cut(number, &load)
        };
        let all: Vec<Cut> = (0..cuts).map(&mut cut).collect();
        drop(load);
        for cut in all {
            machine.start_again(&cut);
            for (path, before, mut all) in machine.said(&cut) {
                let lost = lost_of(&path, &before, &mut all, &mut figures);
                assert!(lost.is_empty(), "{}: {}: lost {lost:?}", kind.name(), path.display());
            }
            figures.images += 1;
        }
    }
    say(&format!("{}, {how}: {figures:?}", kind.name()));
    assert!(figures.durable > 0 && figures.crashed > 0, "the test meets what it is for");
}

/// D3, I6, J1, H9, H11, H13: whenever the power goes, everything acknowledged as durable before is
/// there when the file system has recovered; nothing is damaged, and the journals take appends.
#[test]
fn what_was_durable_is_there_after_the_power_was_cut() {
    let mut chance = Chance::of_test("power", "what_was_durable_is_there_after");
    let often = if is_long() { (6, 10) } else { (1, 4) };
    for kind in FileSystem::ALL {
        cut_often(kind, Backing::new, often, &mut chance);
    }
}

/// The same where images cannot share extents, so that other machines test what they can.
#[test]
fn what_was_durable_is_there_in_a_copy_of_a_machine_that_stood_still() {
    let mut chance = Chance::of_test("power", "what_was_durable_is_there_in_a_copy");
    cut_often(FileSystem::Ext4, Backing::plain, (1, 2), &mut chance);
}

/// The check finds what a liar loses: a driver that calls durable what is only written.
#[test]
fn a_driver_that_lies_about_durability_is_found_out() {
    let mut chance = Chance::of_test("power", "a_driver_that_lies");
    for kind in FileSystem::ALL {
        let Some(mut machine) = Machine::new(kind, Backing::new) else { continue };
        let seed = chance.number();
        let flags =
            format!("--create yes --durability written --lies yes --seed {seed} --pause 2000");
        let load = [machine.start("own", "append", &machine.own(), &flags)];
        let mut cut = |number| {
            chance.nap(400_000);
            machine.cut(number, &load)
        };
        let all: Vec<Cut> = (0..6).map(&mut cut).collect();
        drop(load);
        let mut lost = Vec::new();
        for cut in all {
            machine.start_again(&cut);
            let (path, before, mut all) = machine.said_of_own(&cut);
            lost.push(lost_of(&path, &before, &mut all, &mut Figures::default()).len());
        }
        say(&format!("{}: records lost in each image: {lost:?}", kind.name()));
        assert!(lost.iter().any(|lost| *lost > 0), "{}: nobody is found out", kind.name());
    }
}
