//! Many processes want one journal at once.
#![allow(missing_docs, reason = "test names are sentences")]

use std::collections::HashSet;
use std::process::Stdio;

use session_journal_tests::{
    Acks, Chance, Place, Shell, agree, holds, names_in, openings, rounds, say, wait_until,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// Starts drivers that wait for one gate, and opens it: all of them have the same pipe as input.
fn at_once(place: &Place, names: &[String], flags: impl Fn(&str) -> String) -> Vec<Shell> {
    let (gate, opener) = std::io::pipe().unwrap();
    let start = |name: &String| {
        let flags = format!("--gate yes {}", flags(name));
        let mut command = place.command(&[], DRIVER, name, ("append", &place.path), &flags);
        command.stdin(gate.try_clone().unwrap()).stdout(Stdio::null());
        Shell::spawn(&mut command)
    };
    let started = names.iter().map(start).collect();
    drop(opener);
    started
}

/// A6, C6: of many that open one journal at once, each generation has one owner; everyone gets an
/// owner or a typed refusal; what each was told is stored is there once.
#[test]
fn twenty_processes_open_one_journal_at_once() {
    let mut chance = Chance::of_test("race", "twenty_processes");
    let (mut owners, mut fenced, mut held) = (0, 0, 0);
    for round in 0..rounds(12) {
        let place = Place::new();
        let durability = if round % 2 == 0 { "written" } else { "durable" };
        let mut names: Vec<String> = vec!["creator".into()];
        let mut creator = place.start(DRIVER, "creator", "append", "--create yes --count 3");
        creator.wait();
        let _follower = place.start(DRIVER, "follower", "follow", "");
        let racers: Vec<String> = (0..20).map(|n| format!("r{round}-{n}")).collect();
        let seed = chance.number();
        let processes = at_once(&place, &racers, |name| {
            format!(
                "--takeover always --label {name} --prefix {name} --count 4 --size 3000 \
                 --durability {durability} --seed {seed}"
            )
        });
        for mut process in processes {
            process.wait();
        }
        names.extend(racers);

        let mut acks = Acks::default();
        let mut generations = HashSet::new();
        for name in &names {
            let one = Acks::read(&place.says(name));
            let answers = one.opened.len() + one.errors.len();
            assert!((1..=2).contains(&answers), "an owner or a typed refusal: {one:?}");
            for opened in &one.opened {
                assert!(generations.insert(opened["generation"].as_u64()), "one owner each");
                owners += 1;
            }
            for code in one.codes() {
                match code {
                    "fenced" => fenced += 1,
                    "held-by" => held += 1,
                    other => panic!("{name}: {other}: {:?}", one.errors),
                }
            }
            acks.take(&place.says(name));
        }
        let records = agree(&place.path);
        holds(&records, &acks);
        let openings = openings(&place.path);
        let opened: HashSet<_> = openings.iter().map(|o| Some(o.generation.get())).collect();
        assert!(generations.is_subset(&opened), "who owned it stands in its history");
        place.must_have_followed("follower");
        assert_eq!(names_in(&place.store), ["one.journal"]);
    }
    say(&format!("{owners} owners, {fenced} fenced, {held} gave up"));
    assert!(fenced > 0, "they did compete");
}

/// C6, H16: of many that create one session at once, one does; the others open what it made.
#[test]
fn of_many_creators_one_creates_and_the_others_open() {
    let mut chance = Chance::of_test("race", "of_many_creators");
    for round in 0..rounds(12) {
        let place = Place::new();
        let names: Vec<String> = (0..12).map(|n| format!("r{round}-{n}")).collect();
        let seed = chance.number();
        let processes = at_once(&place, &names, |name| {
            format!(
                "--create yes --takeover always --label {name} --prefix {name} --count 2 \
                 --size 500 --durability written --seed {seed}"
            )
        });
        for mut process in processes {
            process.wait();
        }
        let mut acks = Acks::default();
        for name in &names {
            acks.take(&place.says(name));
        }
        let created = acks.opened.iter().filter(|opened| opened["reason"] == "created").count();
        assert_eq!(created, 1, "{:?}", acks.opened);
        let ids: HashSet<_> = acks.opened.iter().map(|opened| opened["id"].as_str()).collect();
        assert_eq!(ids.len(), 1, "one journal");
        assert!(acks.codes().iter().all(|code| ["fenced", "held-by"].contains(code)), "{acks:?}");
        holds(&agree(&place.path), &acks);
        assert_eq!(names_in(&place.store), ["one.journal"], "the losers leave nothing");
    }
}

/// D10, C6: followers in other processes see a prefix that only grows, under an owner that is
/// killed and replaced, and end where a scan from scratch ends.
#[test]
fn followers_in_other_processes_see_a_growing_prefix_of_one_truth() {
    let mut chance = Chance::of_test("race", "followers_in_other_processes");
    for round in 0..rounds(3) {
        let place = Place::new();
        let _early = place.start(DRIVER, "early", "follow", "");
        let mut late = None;
        for life in 0..6 {
            let name = format!("owner-{life}");
            let flags = format!(
                "--create yes --takeover always --durability alternating --prefix {name} --seed {}",
                chance.number()
            );
            let mut owner = place.start(DRIVER, &name, "append", &flags);
            wait_until("it appends", || !Acks::read(&place.says(&name)).stored.is_empty());
            chance.nap(20_000);
            if life == 2 {
                late = Some(place.start(DRIVER, "late", "follow", ""));
            }
            owner.kill();
        }
        place.must_have_followed("early");
        place.must_have_followed("late");
        drop(late);
        say(&format!("round {round}: {} records", agree(&place.path).len()));
    }
}
