//! Owners killed at random moments, in the middle of anything.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs;
use std::path::Path;

use session_journal::{
    AppendOptions, ErrorKind, Journal, NewRecord, OpenReason, Options, Reader, Takeover,
};
use session_journal_tests::{
    Acks, Chance, Place, Spec, Stored, agree, holds, names_in, openings, rounds, say, wait_until,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

fn options() -> Options {
    Options { takeover: Takeover::IfGone, ..Options::default() }
}

fn append(journal: &mut Journal, batch: &[Spec]) -> Vec<Stored> {
    let records: Vec<NewRecord> = batch.iter().map(Spec::record).collect();
    let answers = journal.append_all(&records, &AppendOptions::default()).unwrap();
    let stored = batch.iter().zip(answers).map(|(spec, answer)| Stored {
        spec: spec.clone(),
        sequence: answer.sequence.get(),
        generation: answer.generation.get(),
        durable: answer.durable,
        duplicate: answer.duplicate,
    });
    stored.collect()
}

/// A1, B5, C1, C10, C3: whenever an owner is killed, everything acknowledged is there once and in
/// order, batches are whole or absent, a keyed record tried again is stored once, no file is left
/// beside the journal, and the next owner opens it.
#[test]
fn a_killed_owner_loses_nothing_and_leaves_nothing_to_clean() {
    let mut chance = Chance::of_test("kill", "a_killed_owner_loses_nothing");
    let mut told = [0; 3];
    for journal in 0..rounds(20) {
        let place = Place::new();
        let mut acks = Acks::default();
        for life in 0..10 {
            let name = format!("life-{journal}-{life}");
            let seed = chance.number();
            let flags = format!(
                "--create yes --durability alternating --batch 5 --size 20480 --prefix {name} \
                 --seed {seed}"
            );
            let mut owner = place.start(DRIVER, &name, "append", &flags);
            if chance.below(4) > 0 {
                wait_until("it opens", || !Acks::read(&place.says(&name)).opened.is_empty());
            }
            chance.nap(12_000);
            owner.kill();
            acks.take(&place.says(&name));
            assert!(acks.errors.is_empty(), "{:?}", acks.errors);
            if !place.path.exists() {
                assert!(acks.opened.is_empty() && names_in(&place.store).is_empty());
                continue;
            }
            assert_eq!(names_in(&place.store), ["one.journal"], "nothing beside it");
            holds(&agree(&place.path), &acks);
            try_again(&place.path, &mut acks, &mut chance, &mut told);
        }
        // Each life has a generation of its own, whoever saw it.
        assert!(!openings(&place.path).is_empty());
    }
    let [stored, duplicates, crashed] = told;
    say(&format!(
        "tried again: {stored} stored, {duplicates} there already; {crashed} crashes met"
    ));
    assert!(duplicates > 0 && crashed > 0, "the test meets what it is for");
}

/// What was answered is a duplicate; what was not is stored now, or was.
fn try_again(path: &Path, acks: &mut Acks, chance: &mut Chance, told: &mut [u64; 3]) {
    let mut journal = Journal::open(path, &options()).unwrap();
    told[2] += u64::from(journal.opening().reason == OpenReason::Crashed);
    let (keyed, plain): (Vec<_>, Vec<_>) =
        acks.unknown.drain(..).partition(|batch| batch.iter().all(|spec| spec.keyed));
    acks.unknown = plain;
    for batch in keyed {
        let stored = append(&mut journal, &batch);
        assert!(stored.iter().all(|one| one.durable), "{stored:?}");
        let duplicates = stored.iter().filter(|one| one.duplicate).count();
        assert!(duplicates == 0 || duplicates == batch.len(), "half a batch: {stored:?}");
        told[usize::from(duplicates > 0)] += 1;
        acks.stored.extend(stored);
    }
    let answered: Vec<Stored> = acks.stored.iter().filter(|one| one.spec.keyed).cloned().collect();
    if !answered.is_empty() {
        let pick = usize::try_from(chance.below(answered.len() as u64)).unwrap();
        let again = append(&mut journal, std::slice::from_ref(&answered[pick].spec));
        assert!(again[0].duplicate, "{again:?}");
        assert_eq!(again[0].sequence, answered[pick].sequence);
        told[1] += 1;
    }
    // Dropped, it would belong to this process, which is alive.
    journal.close().unwrap();
}

/// A1, H16: a creator that is killed leaves a whole journal or nothing at all.
#[test]
fn a_killed_creator_leaves_whole_journals_and_nothing_else() {
    let mut chance = Chance::of_test("kill", "a_killed_creator");
    let place = Place::new();
    let mut made = 0;
    for life in 0..rounds(30) {
        let name = format!("life-{life}");
        let flags = format!("--prefix {name}");
        let mut creator = place.start_at(DRIVER, &name, "churn", &place.store, &flags);
        chance.nap(25_000);
        creator.kill();
        let said = files_said(&place.says(&name), "created");
        let there = names_in(&place.store);
        for file in &said {
            assert!(there.contains(file), "{file} was created and is not there");
        }
        for file in there {
            let path = place.store.join(&file);
            assert!(agree(&path).is_empty());
            let journal =
                Journal::open(&path, &options()).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert_eq!(journal.name().id(), file.trim_end_matches(".journal"));
            fs::remove_file(path).unwrap();
            made += 1;
        }
    }
    assert!(made > 0, "some were created");
    say(&format!("{made} journals created"));
}

fn files_said(says: &Path, event: &str) -> Vec<String> {
    let text = fs::read_to_string(says).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|said| said["event"] == event)
        .map(|said| said["file"].as_str().unwrap().to_owned())
        .collect()
}

/// H3, H15, B1: an owner that is killed while it compacts leaves a journal with everything in it,
/// old or new; the next owner opens it and can compact it.
#[test]
fn a_killed_compaction_leaves_a_whole_journal() {
    let mut chance = Chance::of_test("kill", "a_killed_compaction");
    let (mut left, mut left_behind, mut compacted) = (0, 0, 0);
    for life in 0..rounds(40) {
        let place = Place::new();
        let flags = format!("--prefix p --compactions 1000 --seed {}", chance.number());
        let mut owner = place.start_at(DRIVER, "owner", "churn", &place.store, &flags);
        let says = place.says("owner");
        wait_until("it appends", || !Acks::read(&says).stored.is_empty());
        chance.nap(40_000);
        owner.kill();
        compacted += files_said(&says, "compacted").len();
        left += leftovers(&place.store).len();
        let path = place.store.join("p-0.journal");
        let acks = Acks::read(&says);
        assert!(acks.errors.is_empty(), "{:?}", acks.errors);
        holds(&agree(&path), &acks);

        let mut journal = Journal::open(&path, &options()).unwrap();
        assert_eq!(journal.opening().reason, OpenReason::Crashed, "life {life}");
        holds(&agree(&path), &acks);
        let mut acks = acks;
        let spec = Spec { id: "after.0.0.1".into(), size: 10, keyed: true };
        acks.stored.extend(append(&mut journal, &[spec]));
        journal.compact().unwrap();
        journal.close().unwrap();
        holds(&agree(&path), &acks);
        left_behind += leftovers(&place.store).len();
    }
    assert!(compacted > 0, "some were compacted");
    say(&format!(
        "{compacted} compactions; unfinished files: {left} after the kills, {left_behind} after \
         the next successful compaction"
    ));
}

/// Nothing but journals, and copies that a compaction did not finish.
fn leftovers(store: &Path) -> Vec<String> {
    let is_journal = |name: &String| Path::new(name).extension().is_some_and(|e| e == "journal");
    let (_, others): (Vec<_>, Vec<_>) = names_in(store).into_iter().partition(is_journal);
    let is_copy = |name: &String| Path::new(name).extension().is_some_and(|e| e == "compact");
    assert!(others.iter().all(is_copy), "{others:?}");
    others
}

/// H4, H15: a deletion that was begun is finished by the next opening, or did not begin.
#[test]
fn a_killed_deletion_leaves_a_whole_journal_or_none() {
    let mut chance = Chance::of_test("kill", "a_killed_deletion");
    let (mut finished, mut kept) = (0, 0);
    for _ in 0..rounds(40) {
        let place = Place::new();
        let flags = format!("--prefix p --delete yes --seed {}", chance.number());
        let mut owner = place.start_at(DRIVER, "owner", "churn", &place.store, &flags);
        chance.nap(30_000);
        owner.kill();
        let deleting = files_said(&place.says("owner"), "deleting");
        for file in files_said(&place.says("owner"), "created") {
            assert!(place.store.join(&file).exists() || deleting.contains(&file), "{file} is lost");
        }
        for file in names_in(&place.store) {
            let path = place.store.join(&file);
            assert!(Reader::open(&path).is_ok(), "{file} still reads");
            match Journal::open(&path, &options()) {
                Ok(_) => kept += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    assert!(deleting.contains(&file), "{file} was not to be deleted");
                    assert!(!path.exists());
                    finished += 1;
                }
            }
        }
    }
    say(&format!("{finished} deletions finished by the next opening, {kept} journals kept"));
    assert!(finished + kept > 0, "some were met in the middle");
}
