//! A storm: processes that fight for journals, killed, stopped and set going again at random.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use session_journal::{
    HistoryEvent, Journal, LocalHost, OpenReason, Options, Record, SessionName, Takeover, info,
};

use crate::acks::Acks;
use crate::chance::{Chance, say};
use crate::child::{Shell, WATCHDOG};
use crate::namespace::NAMESPACE;
use crate::place::Place;
use crate::program::Program;
use crate::spec::Spec;
use crate::truth::{agree, goes_on, holds, in_order, names_in, openings, owners};

/// Lines that a process of the shipped program is fed; it ends when it has appended them.
const LINES: u64 = 400;
/// How the names of its processes begin.
const OF_PROGRAM: char = 'p';
/// So many deeds pass between two looks at how far the journals are.
const LOOK_EVERY: u64 = 32;
/// What a contender may be told. Everything else is a finding.
const EXPECTED: [&str; 5] = ["fenced", "held-by", "unknown", "detached", "sealed"];

/// The journal of this number in a folder.
#[must_use]
pub fn journal_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.journal"))
}

/// Where a driver that says things into `says` says what it did with one of its journals.
#[must_use]
pub fn says_of(says: &Path, number: u64) -> PathBuf {
    says.with_extension(number.to_string())
}

/// What is to happen, at least.
#[derive(Clone, Debug)]
pub struct Storm {
    /// Who fights.
    pub driver: String,
    /// The shipped program fights too.
    pub program: Option<Program>,
    /// How many fight at once.
    pub processes: u64,
    /// For how many journals.
    pub journals: u64,
    /// Every so manieth driver is pid 1 of a namespace of its own; 0: none.
    pub namespaced: u64,
    /// Whether owners compact at times.
    pub compacts: bool,
    /// Further flags of the drivers.
    pub flags: String,
    /// How often a journal is to be taken from somebody who had not released it.
    pub takeovers: u64,
    /// Processes that are to be killed.
    pub kills: u64,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Processes started.
    pub started: u64,
    /// Killed.
    pub kills: u64,
    /// Stopped, and set going again.
    pub stops: u64,
    /// Journals taken from an owner that had not released them, alive or not.
    pub takeovers: u64,
    /// Of these, by policy from one that was provably gone.
    pub crashed: u64,
    /// Openings of released journals.
    pub released: u64,
    /// Acknowledged records.
    pub acknowledged: u64,
    /// Records without an answer, of the drivers.
    pub unknown: u64,
    /// Refusals.
    pub refused: u64,
    /// Copies that interrupted compactions left.
    pub left: u64,
}

struct Fighter {
    process: Shell,
    is_paused: bool,
    is_driver: bool,
    name: String,
}

/// A storm under way.
struct Weather<'a> {
    storm: &'a Storm,
    place: &'a Place,
    chance: &'a mut Chance,
    fighters: Vec<Fighter>,
    /// Everybody that ever fought: a driver, or the program on one journal.
    names: Vec<(String, Option<u64>)>,
    figures: Figures,
}

impl Storm {
    /// Lets it rage in a new place until everything happened that is to, and checks what is left.
    pub fn rage(&self, place: &Place, chance: &mut Chance) -> Figures {
        let start = Instant::now();
        for number in 0..self.journals {
            let name = SessionName::new(None, &number.to_string()).expect("a name");
            let path = journal_of(&place.store, number);
            let created = Journal::create(path, &name, &Options::default());
            created.and_then(Journal::close).expect("a journal");
        }
        let (fighters, names) = (Vec::new(), Vec::new());
        let figures = Figures::default();
        let mut weather = Weather { storm: self, place, chance, fighters, names, figures };
        weather.rage();
        let names = weather.names;
        let mut figures = weather.figures;
        for number in 0..self.journals {
            self.check(place, number, &names, &mut figures);
        }
        self.must_be_alone(place, &mut figures);
        say(&format!("{figures:?} in {} s", start.elapsed().as_secs()));
        figures
    }

    /// Compares one journal with what was said of it.
    fn check(
        &self,
        place: &Place,
        number: u64,
        names: &[(String, Option<u64>)],
        figures: &mut Figures,
    ) {
        let path = journal_of(&place.store, number);
        let mut acks = Acks::default();
        for (name, of_program) in names {
            match of_program {
                None => acks.take(&says_of(&place.says(name), number)),
                Some(its) if *its == number => acks.take_program(ids(name), &place.says(name)),
                Some(_) => {}
            }
        }
        for said in &acks.errors {
            let code = said["code"].as_str().expect("a code");
            assert!(EXPECTED.contains(&code), "{}: {said}", path.display());
        }
        let records = agree(&path);
        holds(&records, &acks);
        in_order(&records);
        nothing_refused_was_stored(&acks);
        for opening in owners(&path, &acks) {
            figures.takeovers += u64::from(is_takeover(&opening));
            figures.crashed += u64::from(opening.reason == Some(OpenReason::Crashed));
            figures.released += u64::from(opening.reason == Some(OpenReason::Released));
        }
        if let Some(program) = &self.program {
            program.shows(&path, &records);
        }
        takes_one_more(&path, &records);
        figures.acknowledged += acks.stored.len() as u64;
        let unknown = acks.unknown.iter().flatten().filter(|spec| !is_line(spec));
        figures.unknown += unknown.count() as u64;
        figures.refused += acks.errors.len() as u64;
    }

    /// Nothing stands beside the journals but, where a compaction was interrupted and its owner's
    /// successor too, a hidden copy that nobody reads.
    fn must_be_alone(&self, place: &Place, figures: &mut Figures) {
        for name in names_in(&place.store) {
            let is_left = name.starts_with('.') && name.ends_with(".compact");
            assert!(name.ends_with(".journal") || self.compacts && is_left, "{name}");
            figures.left += u64::from(is_left);
        }
    }
}

fn is_takeover(opening: &HistoryEvent) -> bool {
    matches!(opening.reason, Some(OpenReason::TakenOver | OpenReason::Crashed))
}

/// Whether the program was fed it: it appends again by itself where it is told to.
fn is_line(spec: &Spec) -> bool {
    spec.id.starts_with(OF_PROGRAM)
}

/// The ids of what a process of the program is fed.
fn ids(name: &str) -> impl Iterator<Item = String> {
    (0..LINES).map(move |line| format!("{name}.{line}.0.1"))
}

/// A record that is there already when it is tried again had no answer, or an unknown one.
fn nothing_refused_was_stored(acks: &Acks) {
    let unknown: HashSet<&str> =
        acks.unknown.iter().flatten().map(|spec| spec.id.as_str()).collect();
    for stored in acks.stored.iter().filter(|stored| stored.duplicate) {
        assert!(
            is_line(&stored.spec) || unknown.contains(stored.spec.id.as_str()),
            "refused: {stored:?}"
        );
    }
}

/// The next owner finds what was there, appends and releases.
fn takes_one_more(path: &Path, before: &[Record]) {
    let options = Options { takeover: Takeover::Always, ..Options::default() };
    let mut journal = Journal::open(path, &options).expect("it opens");
    let spec = Spec { id: "last.0.0.1".to_owned(), size: 10, keyed: true };
    journal.append(&spec.record()).expect("it takes a record");
    journal.close().expect("it is released");
    goes_on(before, &agree(path));
}

impl Weather<'_> {
    fn rage(&mut self) {
        for _ in 0..self.storm.processes {
            self.start();
        }
        let (mut risen, mut since, mut enough) = (0, Instant::now(), self.storm.takeovers);
        for deed in 1_u64.. {
            self.deed();
            self.chance.nap(6000);
            if deed % LOOK_EVERY > 0 {
                continue;
            }
            let generations = self.generations();
            if generations > risen {
                (risen, since) = (generations, Instant::now());
            }
            assert!(since.elapsed() < WATCHDOG, "nobody takes anything any more");
            if generations >= enough && self.figures.kills >= self.storm.kills {
                let missing = self.storm.takeovers.saturating_sub(self.takeovers());
                if missing == 0 {
                    break;
                }
                enough = generations + missing;
            }
        }
        for mut fighter in self.fighters.drain(..) {
            fighter.process.kill();
            self.figures.kills += 1;
        }
    }

    /// Reads every journal; fewer than generations, for not every winner of one comes to open it.
    fn takeovers(&self) -> u64 {
        let taken = |number| {
            let openings = openings(&journal_of(&self.place.store, number));
            openings.iter().filter(|opening| is_takeover(opening)).count() as u64
        };
        (0..self.storm.journals).map(taken).sum()
    }

    fn generations(&self) -> u64 {
        let generation = |number| {
            let info = info(journal_of(&self.place.store, number), &LocalHost);
            info.expect("a journal tells of itself").generation.get()
        };
        (0..self.storm.journals).map(generation).sum()
    }

    /// One thing happens to somebody.
    fn deed(&mut self) {
        let which = self.chance.below(self.fighters.len() as u64);
        let which = usize::try_from(which).unwrap_or_default();
        let fighter = &mut self.fighters[which];
        if fighter.process.has_ended() {
            let errors = self.place.says(&fighter.name).with_extension("stderr");
            let errors = fs::read_to_string(errors).unwrap_or_default();
            assert!(!fighter.is_driver, "{} ended by itself: {errors}", fighter.name);
            self.fighters.swap_remove(which);
            return self.start();
        }
        if fighter.is_paused {
            fighter.process.go_on();
            fighter.is_paused = false;
        } else if self.chance.below(4) == 0 {
            fighter.process.kill();
            self.figures.kills += 1;
            self.fighters.swap_remove(which);
            self.start();
        } else {
            fighter.process.pause();
            fighter.is_paused = true;
            self.figures.stops += 1;
        }
    }

    fn start(&mut self) {
        self.figures.started += 1;
        let number = self.figures.started;
        let program = self.storm.program.as_ref().filter(|_| number.is_multiple_of(5));
        let name = format!("{}{number}", if program.is_some() { OF_PROGRAM } else { 'd' });
        let process = if let Some(program) = program {
            let journal = self.chance.below(self.storm.journals);
            self.names.push((name.clone(), Some(journal)));
            self.start_program(program, &name, journal)
        } else {
            self.names.push((name.clone(), None));
            self.start_driver(&name, number)
        };
        let is_driver = program.is_none();
        self.fighters.push(Fighter { process, is_paused: false, is_driver, name });
    }

    fn start_program(&mut self, program: &Program, name: &str, journal: u64) -> Shell {
        let path = journal_of(&self.place.store, journal);
        let durability = ["durable", "written"][usize::from(self.chance.below(2) == 0)];
        let takeover = ["always", "if-gone"][usize::from(self.chance.below(4) == 0)];
        let fenced = ["fail", "reclaim"][usize::from(self.chance.below(2) == 0)];
        let flags = format!(
            "--durability {durability} --takeover {takeover} --on-fenced {fenced} --label {name}"
        );
        program.append(&path, &flags, ids(name), &self.place.says(name))
    }

    fn start_driver(&mut self, name: &str, number: u64) -> Shell {
        let Storm { journals, namespaced, compacts, flags, .. } = self.storm;
        let seed = self.chance.number();
        let checkpoint = 1 + self.chance.below(200);
        let compacts = if *compacts { "yes" } else { "no" };
        let flags = format!(
            "--seed {seed} --prefix {name} --label {name} --journals {journals} \
             --durability alternating --checkpoint-records {checkpoint} --compacts {compacts} {flags}"
        );
        let is_namespaced = *namespaced > 0 && number.is_multiple_of(*namespaced);
        let wrapper: &[&str] = if is_namespaced { &NAMESPACE } else { &[] };
        let asked = ("storm", self.place.store.as_path());
        let mut command = self.place.command(wrapper, &self.storm.driver, name, asked, &flags);
        if !is_namespaced {
            return Shell::spawn(&mut command);
        }
        // The wrapper complains where what it runs is killed.
        let errors = self.place.says(name).with_extension("stderr");
        command.stderr(File::create(errors).expect("a file of errors"));
        Shell::spawn_wrapper(&mut command)
    }
}
