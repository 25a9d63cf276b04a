//! Takeovers between processes: a stopped owner is displaced at any moment, and learns of it.
#![allow(missing_docs, reason = "test names are sentences")]

use std::collections::HashMap;

use session_journal::{OpenReason, verify};
use session_journal_tests::{
    Acks, Chance, Driver, NAMESPACE, Place, Shell, Spec, agree, has_namespaces, holds, id_of,
    openings, rounds, say, skip, wait_until,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// A5, B12, L4: wherever the owner stands when it is stopped, whoever takes over appends at once;
/// the old owner's append is answered with who took over, and nobody ever sees it.
#[test]
fn an_owner_stopped_anywhere_is_fenced_by_the_next_and_learns_by_whom() {
    let mut chance = Chance::of_test("takeover", "an_owner_stopped_anywhere");
    for round in 0..rounds(30) {
        let place = Place::new();
        let path = &place.path;
        let durability = if round % 3 == 0 { "durable" } else { "written" };
        let seed = chance.number();
        let flags =
            format!("--create yes --durability {durability} --label old --prefix a --seed {seed}");
        let mut a = place.start(DRIVER, "a", "append", &flags);
        let _follower = place.start(DRIVER, "follower", "follow", "");
        let a_says = place.says("a");
        wait_until("the owner appends", || !Acks::read(&a_says).stored.is_empty());
        chance.nap(5000);
        a.stop();

        let (mut b, opened) = Driver::serve(DRIVER, path, "--takeover always --label new");
        assert_eq!(opened["reason"], "taken-over", "{opened}");
        assert_eq!(opened["previous_owner"]["label"], "old");
        assert_eq!(opened["previous_owner"]["pid"], a.pid());
        let first = b.must("append b.0.0.1:50:keyed");
        let before = agree(path);
        a.go_on();
        let status = a.wait();
        assert!(!status.success(), "the old owner was refused");
        b.must("append b.1.0.1:50:plain");

        let said = Acks::read(&a_says);
        assert_eq!(said.codes(), ["fenced"], "{:?}", said.errors);
        let by = &said.errors[0];
        assert_eq!(by["owner"]["label"], "new", "{by}");
        assert_eq!(by["owner"]["pid"], b.process.pid(), "{by}");
        assert_eq!(by["generation"], opened["generation"], "{by}");

        // Nothing of the old owner behind the takeover; nothing before it went away.
        let records = agree(path);
        assert_eq!(records[..before.len()], before[..]);
        let behind: Vec<String> = records[before.len()..].iter().map(id_of).collect();
        assert_eq!(behind, ["b.1.0.1"], "nothing but the new owner's");
        let at = first["answers"][0]["sequence"].as_u64().unwrap();
        let old = records.iter().filter(|record| record.sequence.get() > at);
        assert!(old.clone().all(|record| record.generation.get() == 2), "no late record");
        let ours: Vec<_> = records.iter().filter(|r| r.generation.get() == 1).cloned().collect();
        holds(&ours, &said);
        let reasons: Vec<_> = openings(path).iter().map(|event| event.reason.unwrap()).collect();
        assert_eq!(reasons, [OpenReason::Created, OpenReason::TakenOver]);
        // The late write is there, dead, and told of.
        let verification = verify(path, &mut |_, _| ()).unwrap();
        assert!(!verification.torn.is_empty(), "{verification:?}");
        place.must_have_followed("follower");
        b.leave();
    }
}

/// B1, B12, B5: the same where the taker replaces the file by a compacted one: what the old owner is
/// told of its last append is true all the same. Refused means not stored, or said to be unknown.
#[test]
fn an_owner_whose_file_was_taken_and_compacted_is_told_the_truth() {
    let mut chance = Chance::of_test("takeover", "an_owner_whose_file_was_taken_and_compacted");
    let mut codes = HashMap::new();
    for _ in 0..rounds(20) {
        let place = Place::new();
        let seed = chance.number();
        let flags =
            format!("--create yes --durability durable --size 500 --prefix a --seed {seed}");
        let mut a = place.start(DRIVER, "a", "append", &flags);
        let _follower = place.start(DRIVER, "follower", "follow", "");
        wait_until("the owner appends", || !Acks::read(&place.says("a")).stored.is_empty());
        chance.nap(8000);
        a.stop();
        let (mut b, _) = Driver::serve(DRIVER, &place.path, "--takeover always --label new");
        b.must("compact");
        a.go_on();
        a.wait();
        b.must("append b.0.0.1:50:plain");
        let said = Acks::read(&place.says("a"));
        for code in said.codes() {
            assert!(["fenced", "detached", "unknown"].contains(&code), "{:?}", said.errors);
            *codes.entry(code.to_owned()).or_insert(0) += 1;
        }
        let mut records = agree(&place.path);
        assert_eq!(records.pop().as_ref().map(id_of).as_deref(), Some("b.0.0.1"));
        holds(&records, &said);
        place.must_have_followed("follower");
    }
    say(&format!("told: {codes:?}"));
}

/// B12: an owner that is stopped for several generations is fenced by the newest one.
#[test]
fn an_owner_that_slept_through_three_generations_is_fenced_by_the_last() {
    let Place { path, .. } = &Place::new();
    let (mut a, _) = Driver::serve(DRIVER, path, "--create yes --label first");
    a.must("append a.0.0.1:10:plain");
    a.process.stop();
    a.tell("append a.1.0.1:10:plain");
    for n in 0..3 {
        let flags = format!("--takeover always --label taker-{n}");
        let (mut taker, opened) = Driver::serve(DRIVER, path, &flags);
        assert_eq!(opened["previous"], n + 1);
        taker.must(&format!("append t{n}.0.0.1:10:plain"));
        taker.leave();
    }
    a.process.go_on();
    let refused = a.answer();
    assert_eq!((&refused["code"], &refused["generation"]), (&"fenced".into(), &4.into()));
    assert_eq!(refused["owner"]["label"], "taker-2");
    assert_eq!(a.ask("append a.2.0.1:10:plain")["code"], "fenced", "and stays so");
    let ids: Vec<String> = agree(path).iter().map(id_of).collect();
    assert_eq!(ids, ["a.0.0.1", "t0.0.0.1", "t1.0.0.1", "t2.0.0.1"]);
    let labels: Vec<_> = openings(path).into_iter().map(|o| o.owner.unwrap().label).collect();
    assert_eq!(labels, ["first", "taker-0", "taker-1", "taker-2"]);
}

/// A5, C6: who asks only for a journal whose owner is gone is told who holds it, hung or not, and
/// writes nothing; once the owner was killed it opens.
#[test]
fn if_gone_names_a_stopped_owner_and_opens_behind_a_killed_one() {
    let Place { path, .. } = &Place::new();
    let (mut a, _) = Driver::serve(DRIVER, path, "--create yes --label holder");
    a.must("append a.0.0.1:10:plain");
    a.process.stop();
    let before = std::fs::read(path).unwrap();
    for policy in ["if-gone", "never"] {
        let (_, refused) = Driver::serve(DRIVER, path, &format!("--takeover {policy}"));
        assert_eq!(refused["code"], "held-by", "{refused}");
        assert_eq!(refused["owner"]["label"], "holder");
        assert_eq!(refused["owner"]["pid"], a.process.pid());
        assert_eq!(refused["alive"], true);
    }
    assert_eq!(std::fs::read(path).unwrap(), before, "a refused opening writes nothing");
    a.process.kill();
    let (_, refused) = Driver::serve(DRIVER, path, "--takeover never");
    assert_eq!((&refused["code"], &refused["alive"]), (&"held-by".into(), &false.into()));
    let (b, opened) = Driver::serve(DRIVER, path, "--takeover if-gone");
    assert_eq!(opened["reason"], "crashed", "{opened}");
    b.leave();
}

/// A released journal opens for everybody, and says so.
#[test]
fn a_released_journal_opens_for_who_never_takes_over() {
    let Place { path, .. } = &Place::new();
    let (mut a, _) = Driver::serve(DRIVER, path, "--create yes");
    a.must("close");
    let (_b, opened) = Driver::serve(DRIVER, path, "--takeover never");
    assert_eq!(opened["reason"], "released", "{opened}");
}

/// A4, I1: in two containers every owner has pid 1. Nobody takes a living one for its own dead
/// predecessor, and an explicit takeover fences it all the same. Twice in a row.
#[test]
fn equal_pids_in_two_namespaces_are_two_owners() {
    if !has_namespaces() {
        return;
    }
    let Place { path, .. } = &Place::new();
    let open = |flags: &str| Driver::serve_in(DRIVER, &NAMESPACE, path, flags);
    let (mut a, opened) = open("--create yes --label one");
    assert_eq!(opened["pid"], 1, "{opened}");
    a.must("append a.0.0.1:10:plain");
    for (n, label) in ["two", "three"].into_iter().enumerate() {
        let (_, refused) = open("--takeover if-gone");
        assert_eq!(refused["code"], "held-by", "what cannot be told counts as held: {refused}");
        assert_eq!(refused["alive"], serde_json::Value::Null, "{refused}");
        let (mut b, opened) = open(&format!("--takeover always --label {label}"));
        assert_eq!((&opened["pid"], &opened["reason"]), (&1.into(), &"taken-over".into()));
        b.must(&format!("append b{n}.0.0.1:10:plain"));
        let refused = a.ask("append late.0.0.1:10:plain");
        assert_eq!(refused["code"], "fenced");
        assert_eq!(refused["owner"]["label"], label);
        a = b;
    }
    assert_eq!(agree(path).len(), 3);
}

/// A3: a new process that got the pid of the dead owner is not taken for it.
#[test]
fn a_recycled_pid_opens_at_once() {
    if !has_namespaces() {
        return;
    }
    let Place { path, acks, .. } = &Place::new();
    let script = format!(
        "{DRIVER} append {path} --create yes --count 3 --prefix a --ack {acks}/a & a=$!; wait $a\n\
         echo $((a - 1)) > /proc/sys/kernel/ns_last_pid || exit 9\n\
         {DRIVER} append {path} --takeover if-gone --count 3 --prefix b --ack {acks}/b & b=$!\n\
         wait $b || exit 8; test $a = $b || exit 9",
        path = path.display(),
        acks = acks.display()
    );
    let mut command = std::process::Command::new(NAMESPACE[0]);
    let mut shell = Shell::spawn(command.args(&NAMESPACE[1..]).args(["sh", "-c", &script]));
    match shell.wait().code() {
        Some(0) => {}
        Some(9) => return skip("this kernel does not let a test choose a pid"),
        other => panic!("the second owner did not open: {other:?}"),
    }
    let mut said = Acks::read(&acks.join("a"));
    said.take(&acks.join("b"));
    assert_eq!(said.opened[0]["pid"], said.opened[1]["pid"], "the same pid twice");
    assert_eq!(said.opened[1]["reason"], "crashed");
    holds(&agree(path), &said);
}

/// The checks of these tests do find a late record.
#[test]
fn the_check_finds_what_nobody_appended() {
    let Place { path, .. } = &Place::new();
    let (mut a, _) = Driver::serve(DRIVER, path, "--create yes");
    let spec = Spec { id: "a.0.0.1".into(), size: 10, keyed: false };
    a.must(&format!("append {spec}"));
    let records = agree(path);
    let nobody = std::panic::catch_unwind(|| holds(&records, &Acks::default()));
    assert!(nobody.is_err());
}
