//! Programs that know nothing of journals do things to the file of a living owner.
//!
//! What is checked after each deed: the owner ends, with an error that names what happened; from
//! then on it acknowledges nothing; and each record that it acknowledged, before the deed or
//! between the deed and that error, is found in the file that the path led to when the owner
//! opened it, or in the one that it leads to now, unless the deed itself destroyed it: then only
//! those acknowledged after the deed must be found.
#![allow(missing_docs, reason = "test names are sentences")]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use session_journal::{Item, Journal, Options, Reader, Takeover, verify};
use session_journal_tests::{
    Acks, Chance, Driver, Place, agree, holds, id_of, rounds, say, wait_until,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// The ids that a reader finds in a file, whatever is missing there. None where it is no journal.
fn found_in(path: &Path) -> HashSet<String> {
    let Ok(reader) = Reader::open(path) else { return HashSet::new() };
    let items: Result<Vec<Item>, _> = reader.records().with_gaps().collect();
    let records = items.unwrap().into_iter().filter_map(|item| match item {
        Item::Record(record) => Some(id_of(&record)),
        Item::Gap(_) => None,
    });
    records.collect()
}

/// What a stranger does, and what becomes of the records that were there.
struct Deed {
    name: &'static str,
    destroys: bool,
    /// Which answers tell of it.
    told_as: &'static [&'static str],
    does: fn(&Tools),
}

struct Tools {
    path: PathBuf,
    /// A copy that was taken while the journal had fewer records.
    old: PathBuf,
    /// A copy that went on elsewhere and is longer.
    longer: PathBuf,
    aside: PathBuf,
}

impl Tools {
    /// As `cp` does: the same file, cut and written anew.
    fn rewrite(&self, from: &Path) {
        let bytes = fs::read(from).unwrap();
        fs::write(&self.path, bytes).unwrap();
    }
}

const DEEDS: [Deed; 10] = [
    Deed {
        name: "rm",
        destroys: false,
        told_as: &["detached"],
        does: |tools| fs::remove_file(&tools.path).unwrap(),
    },
    Deed {
        name: "mv away",
        destroys: false,
        told_as: &["detached"],
        does: |tools| fs::rename(&tools.path, &tools.aside).unwrap(),
    },
    Deed {
        name: "mv an old copy over it",
        destroys: false,
        told_as: &["detached"],
        does: |tools| fs::rename(&tools.old, &tools.path).unwrap(),
    },
    Deed {
        name: "mv another file over it",
        destroys: false,
        told_as: &["detached"],
        does: |tools| {
            fs::write(&tools.aside, b"no journal").unwrap();
            fs::rename(&tools.aside, &tools.path).unwrap();
        },
    },
    Deed {
        name: "rm, then a copy in its place",
        destroys: false,
        told_as: &["detached"],
        does: |tools| {
            let bytes = fs::read(&tools.path).unwrap();
            fs::remove_file(&tools.path).unwrap();
            fs::write(&tools.path, bytes).unwrap();
        },
    },
    Deed {
        name: "cp an old copy onto it",
        destroys: true,
        told_as: &["shortened"],
        does: |tools| tools.rewrite(&tools.old),
    },
    Deed {
        name: "cp a longer copy onto it",
        destroys: true,
        told_as: &["shortened", "fenced"],
        does: |tools| tools.rewrite(&tools.longer),
    },
    Deed {
        name: "> file",
        destroys: true,
        told_as: &["shortened"],
        does: |tools| drop(File::create(&tools.path).unwrap()),
    },
    Deed {
        name: "copytruncate",
        destroys: true,
        told_as: &["shortened"],
        does: |tools| {
            fs::copy(&tools.path, &tools.aside).unwrap();
            OpenOptions::new().write(true).open(&tools.path).unwrap().set_len(0).unwrap();
        },
    },
    Deed {
        name: "truncate by one byte",
        destroys: true,
        told_as: &["shortened"],
        does: |tools| {
            let file = OpenOptions::new().write(true).open(&tools.path).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        },
    },
];

/// H5, H6, B9: whatever a stranger does to the file, a busy owner notices, says what happened, and
/// acknowledges nothing that nobody will find.
#[test]
fn an_owner_notices_what_strangers_do_to_its_file() {
    let mut chance = Chance::of_test("strangers", "an_owner_notices");
    for _ in 0..rounds(1) {
        for durability in ["durable", "written"] {
            for deed in &DEEDS {
                let (before, after) = do_and_watch(deed, durability, &mut chance);
                say(&format!("{durability}, {}: {before} before, {after} after", deed.name));
            }
        }
    }
}

fn do_and_watch(deed: &Deed, durability: &str, chance: &mut Chance) -> (usize, usize) {
    let place = Place::new();
    let path = &place.path;
    let tools = Tools {
        path: path.clone(),
        old: place.store.join("old"),
        longer: place.store.join("longer"),
        aside: place.store.join("aside"),
    };
    let flags = format!(
        "--create yes --durability {durability} --batch 3 --size 2000 --prefix o --seed {}",
        chance.number()
    );
    let mut owner = place.start(DRIVER, "owner", "append", &flags);
    let said = || Acks::read(&place.says("owner"));
    wait_until("it appends", || said().stored.len() > 5);
    owner.stop();
    fs::copy(path, &tools.old).unwrap();
    fs::copy(path, &tools.longer).unwrap();
    owner.go_on();
    let more = said().stored.len() + 5;
    wait_until("it appends more", || said().stored.len() > more);
    // Held open, the file of before can be read whatever becomes of its name.
    let held = File::open(path).unwrap();

    owner.stop();
    let before = said();
    go_on_elsewhere(&tools.longer, fs::metadata(path).unwrap().len());
    (deed.does)(&tools);
    owner.go_on();
    assert!(!owner.wait().success(), "{}: it went on", deed.name);
    let after = said();
    let mut told = after.codes();
    let last = told.pop().unwrap_or_default();
    assert!(deed.told_as.contains(&last), "{}: {:?}", deed.name, after.errors);
    // Of what was under way it may not know.
    assert!(told.iter().all(|code| *code == "unknown"), "{}: {:?}", deed.name, after.errors);

    let held = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    let found: HashSet<String> = found_in(&held).union(&found_in(path)).cloned().collect();
    // What was under way when it was stopped may have been stored before the deed.
    let under_way = before.unknown.iter().map(Vec::len).sum::<usize>();
    let destroyed = if deed.destroys { before.stored.len() + under_way } else { 0 };
    let must = after.stored.iter().skip(destroyed);
    let lost: Vec<_> = must.filter(|stored| !found.contains(&stored.spec.id)).collect();
    assert!(lost.is_empty(), "{} ({durability}): acknowledged and lost: {lost:?}", deed.name);
    (before.stored.len(), after.stored.len() - before.stored.len())
}

/// The copy gets another owner, who appends until it is longer than `len`.
fn go_on_elsewhere(copy: &Path, len: u64) {
    let options = Options { takeover: Takeover::Always, ..Options::default() };
    let mut journal = Journal::open(copy, &options).unwrap();
    while fs::metadata(copy).unwrap().len() <= len + 5000 {
        journal.append(&vec![b'x'; 900].into()).unwrap();
    }
    journal.close().unwrap();
}

/// H6: a rewrite to exactly the length that the file had is noticed too, although the next append
/// lands where it was meant to: here the foreign content has more and smaller records. Nothing that
/// is acknowledged as durable is hidden behind it.
#[test]
fn a_rewrite_of_exactly_the_same_length_is_noticed() {
    for durability in ["durable", "written"] {
        let place = Place::new();
        let path = &place.path;
        let flags = format!("--create yes --durability {durability}");
        let (mut owner, _) = Driver::serve(DRIVER, path, &flags);
        owner.must("append a.0.0.1:100:plain");
        let sibling = place.store.join("sibling");
        fs::copy(path, &sibling).unwrap();
        owner.must("append a.1.0.1:9000:plain");
        // An owner that writes without syncing looks at its file now and then only; what came since
        // its last look is its own word. Backups are older than that.
        std::thread::sleep(Duration::from_millis(400));
        owner.must("append a.2.0.1:10:plain");
        let len = fs::metadata(path).unwrap().len();
        fill_up_to(&sibling, len);
        let bytes = fs::read(&sibling).unwrap();
        assert_eq!(bytes.len() as u64, len);
        fs::write(path, bytes).unwrap();

        let mut number = 0;
        wait_until("the owner notices", || {
            let id = format!("b.{number}.0.1");
            number += 1;
            let answer = owner.ask(&format!("append {id}:50:plain"));
            let hidden = durability == "durable" && !found_in(path).contains(&id);
            assert!(answer["event"] == "error" || !hidden, "{answer}, and {id} is not there");
            answer["event"] == "error"
        });
        let told = owner.ask("append c.0.0.1:50:plain");
        assert!(["shortened", "fenced"].map(Into::into).contains(&told["code"]), "{told}");
        say(&format!("{durability}: {} acknowledged in between", number - 1));
    }
}

/// Another owner of the copy fills it up to exactly this length, with many small records.
fn fill_up_to(copy: &Path, len: u64) {
    let options = Options { takeover: Takeover::Always, ..Options::default() };
    let mut journal = Journal::open(copy, &options).unwrap();
    let here = || fs::metadata(copy).unwrap().len();
    let begin = here();
    journal.append(&Vec::new().into()).unwrap();
    let frame = here() - begin;
    while len - here() > 3 * frame {
        journal.append(&Vec::new().into()).unwrap();
    }
    let rest = usize::try_from(len - here() - frame).unwrap();
    journal.append(&vec![b'x'; rest].into()).unwrap();
}

/// B8: what touches the name, the times, the rights, or only reads, disturbs nobody.
#[test]
fn touching_linking_and_reading_disturb_nobody() {
    let place = Place::new();
    let path = &place.path;
    for durability in ["durable", "written"] {
        let flags = format!("--create yes --takeover always --durability {durability} --prefix p");
        let name = format!("owner-{durability}");
        let mut owner = place.start(DRIVER, &name, "append", &format!("{flags}{durability}"));
        let said = || Acks::read(&place.says(&name));
        let link = place.store.join(format!("{durability}.link"));
        let deeds: [(&str, &dyn Fn()); 7] = [
            ("touch", &|| {
                let file = File::options().append(true).open(path).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }),
            ("chmod", &|| fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap()),
            ("ln", &|| fs::hard_link(path, &link).unwrap()),
            ("rm of the other link", &|| fs::remove_file(&link).unwrap()),
            ("cp from it", &|| {
                fs::copy(path, place.folder.path().join("copy")).unwrap();
            }),
            ("reading", &|| drop(found_in(path))),
            ("verify", &|| drop(verify(path, &mut |_, _| ()).unwrap())),
        ];
        for (deed, does) in deeds {
            let enough = said().stored.len() + 20;
            wait_until("it appends", || said().stored.len() > enough || !said().errors.is_empty());
            does();
            assert!(said().errors.is_empty(), "{deed}: {:?}", said().errors);
        }
        let enough = said().stored.len() + 100;
        wait_until("it goes on", || said().stored.len() > enough || !said().errors.is_empty());
        owner.kill();
        assert!(said().errors.is_empty(), "{:?}", said().errors);
        agree(path);
    }
    let mut acks = Acks::read(&place.says("owner-durable"));
    acks.take(&place.says("owner-written"));
    holds(&agree(path), &acks);
}

/// G8: a copy of a living journal, taken with `cp` at any moment, is a prefix of the truth; it
/// opens, and goes on by itself.
#[test]
fn a_copy_of_a_living_journal_is_a_prefix_of_the_truth() {
    let mut chance = Chance::of_test("strangers", "a_copy_of_a_living_journal");
    let place = Place::new();
    let flags = "--create yes --durability alternating --prefix p --pause 300 --seed 3";
    let mut owner = place.start(DRIVER, "owner", "append", flags);
    wait_until("it appends", || !Acks::read(&place.says("owner")).stored.is_empty());
    let mut copies = Vec::new();
    for n in 0..rounds(25) {
        chance.nap(20_000);
        let acknowledged = Acks::read(&place.says("owner")).stored.len();
        let copy = place.store.join(format!("copy-{n}"));
        let status = std::process::Command::new("cp").arg(&place.path).arg(&copy).status();
        assert!(status.unwrap().success());
        copies.push((copy, acknowledged));
    }
    owner.kill();
    let truth = agree(&place.path);
    holds(&truth, &Acks::read(&place.says("owner")));
    for (copy, acknowledged) in copies {
        let records = agree(&copy);
        assert!(records.len() >= acknowledged, "{}: what was acknowledged before", copy.display());
        assert!(records == truth[..records.len()], "{}: a prefix", copy.display());
        let options = Options { takeover: Takeover::Always, ..Options::default() };
        let mut journal = Journal::open(&copy, &options).unwrap();
        assert_eq!(journal.opening().report.records_lost(), 0);
        journal.append(&b"elsewhere.0.0.1\n".to_vec().into()).unwrap();
        assert_eq!(found_in(&copy).len(), records.len() + 1);
    }
}
