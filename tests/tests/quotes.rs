//! Records that quote journals: an agent that reads its own session puts frames into a payload.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs;
use std::path::Path;
use std::process::Command;

use session_journal::{Journal, NewRecord, OpenReason, Options, Reader, Takeover};
use session_journal_tests::{
    Acks, Chance, Driver, Place, agree, names_in, openings, rounds, say, wait_until,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// A copy of the journal that another owner went on with: the same salt, higher generations.
fn go_on_elsewhere(path: &Path, copy: &Path, chance: &mut Chance) {
    fs::copy(path, copy).unwrap();
    let options = Options { takeover: Takeover::Always, ..Options::default() };
    for life in 0..=chance.below(3) {
        let mut journal = Journal::open(copy, &options).unwrap();
        for n in 0..=chance.below(4) {
            let size = usize::try_from(chance.below(5000)).unwrap();
            let record = NewRecord::new(vec![b'x'; size]).kind("elsewhere");
            journal.append(&record.key(format!("elsewhere-{life}-{n}"))).unwrap();
        }
        if chance.below(2) == 0 {
            journal.close().unwrap();
        }
    }
}

/// What is to be quoted: the journal, or the copy that went on; whole, from a frame on, or often.
fn quote(path: &Path, copy: &Path, to: &Path, chance: &mut Chance) {
    go_on_elsewhere(path, copy, chance);
    let mut bytes = fs::read(if chance.below(2) == 0 { path } else { copy }).unwrap();
    match chance.below(4) {
        0 => {}
        1 => drop(bytes.drain(..4096)),
        2 => {
            let cut = chance.below(bytes.len() as u64);
            bytes.truncate(usize::try_from(cut).unwrap());
        }
        _ => bytes = bytes.repeat(3),
    }
    // Journals that quote themselves grow fast.
    bytes.truncate(4 << 20);
    fs::write(to, bytes).unwrap();
}

/// H18, L6: whatever of itself, or of a copy that went on, stands in a payload, every reader agrees
/// with a scan from scratch after each step, and generations never fall.
#[test]
fn a_quoted_journal_is_a_payload_and_nothing_else() {
    let mut chance = Chance::of_test("quotes", "a_quoted_journal_is_a_payload");
    for round in 0..rounds(6) {
        let place = Place::new();
        let (copy, bytes) = (place.acks.join("copy"), place.acks.join("quote"));
        let (mut owner, _) = Driver::serve(DRIVER, &place.path, "--create yes");
        owner.must("append a.0.0.1:300:keyed");
        let _follower = place.start(DRIVER, "follower", "follow", "");
        for step in 0..6 {
            quote(&place.path, &copy, &bytes, &mut chance);
            owner.must(&format!("quote q{round}-{step} {}", bytes.display()));
            let records = agree(&place.path);
            let last = records.last().unwrap();
            assert_eq!(last.payload[..], fs::read(&bytes).unwrap()[..], "as it was appended");
            assert_eq!(last.generation.get(), 1 + step, "quoted claims are nobody's");
            let flags = format!("--takeover always --label taker-{step}");
            owner = Driver::serve(DRIVER, &place.path, &flags).0;
            must_be_of_one_journal(&place.path, step + 2);
            place.must_have_followed("follower");
        }
        assert_eq!(names_in(&place.store), ["one.journal"]);
        owner.leave();
    }
}

/// Quoted openings and claims are in no history.
fn must_be_of_one_journal(path: &Path, generations: u64) {
    let openings: Vec<u64> = openings(path).iter().map(|o| o.generation.get()).collect();
    assert_eq!(openings, (1..=generations).collect::<Vec<_>>());
}

/// H18, H2: a large quotation that is torn by a kill in the middle of its write is nothing: the
/// frames in it are nobody's, for the follower that watched the write grow and for everyone else.
#[test]
fn a_torn_quotation_is_nothing() {
    let mut chance = Chance::of_test("quotes", "a_torn_quotation_is_nothing");
    let (mut torn, mut whole, mut absent) = (0, 0, 0);
    for _ in 0..rounds(3) {
        let place = Place::new();
        let (copy, bytes) = (place.acks.join("copy"), place.acks.join("quote"));
        let (mut owner, _) = Driver::serve(DRIVER, &place.path, "--create yes");
        owner.must("append a.0.0.1:300:keyed");
        let _follower = place.start(DRIVER, "follower", "follow", "");
        let mut expected = 1;
        for step in 0..4 {
            go_on_elsewhere(&place.path, &copy, &mut chance);
            large_quote(&place.path, &copy, &bytes, &mut chance);
            let before = fs::metadata(&place.path).unwrap().len();
            owner.tell(&format!("quote q-{step} {}", bytes.display()));
            if chance.below(8) > 0 {
                wait_until("the write begins", || {
                    fs::metadata(&place.path).unwrap().len() > before
                });
            }
            chance.nap(2000);
            owner.process.kill();

            let length = fs::metadata(&place.path).unwrap().len() - before;
            let now = agree(&place.path).len();
            match (now == expected, length) {
                (true, 0) => absent += 1,
                (true, _) => torn += 1,
                (false, _) => whole += 1,
            }
            assert!(now == expected || now == expected + 1);
            let reader = Reader::open(&place.path).unwrap();
            assert_eq!(reader.by_key("elsewhere-0-0").unwrap(), None, "not of this journal");
            let (next, opened) = Driver::serve(DRIVER, &place.path, "--takeover if-gone");
            owner = next;
            assert_eq!(opened["reason"], OpenReason::Crashed.as_str(), "{opened}");
            assert_eq!(opened["generation"], step + 2, "quoted claims took nothing");
            assert_eq!(opened["last"], now);
            owner.must(&format!("append b{step}.0.0.1:100:keyed"));
            expected = now + 1;
            assert_eq!(agree(&place.path).len(), expected);
            must_be_of_one_journal(&place.path, step + 2);
            place.must_have_followed("follower");
        }
        drop(owner);
    }
    say(&format!("{torn} torn, {whole} whole, {absent} not begun"));
    assert!(torn > 0, "the test meets what it is for");
}

/// Both journals, over and over, for some megabytes: it takes a while to be written.
fn large_quote(path: &Path, copy: &Path, to: &Path, chance: &mut Chance) {
    let mut once = fs::read(path).unwrap();
    once.truncate(256 << 10);
    let mut elsewhere = fs::read(copy).unwrap();
    elsewhere.truncate(256 << 10);
    once.extend(elsewhere);
    let times = (10 << 20) / once.len() + usize::try_from(chance.below(3)).unwrap();
    fs::write(to, once.repeat(times)).unwrap();
}

/// H18, J1: the same where a size limit cut the quotation short under a living owner: it is told of
/// the limit each time, is fenced by nobody, and goes on when the limit goes.
#[test]
fn a_quotation_cut_short_by_a_limit_fences_nobody() {
    let mut chance = Chance::of_test("quotes", "a_quotation_cut_short_by_a_limit");
    let place = Place::new();
    let (copy, bytes) = (place.acks.join("copy"), place.acks.join("quote"));
    let script = "trap '' XFSZ; exec prlimit --fsize=60000:unlimited \"$@\"";
    let wrapper = ["sh", "-c", script, "sh"];
    let (mut owner, _) = Driver::serve_in(DRIVER, &wrapper, &place.path, "--create yes");
    owner.must("append a.0.0.1:300:keyed");
    go_on_elsewhere(&place.path, &copy, &mut chance);
    fs::write(&bytes, fs::read(&copy).unwrap().repeat(20)).unwrap();
    let refused = owner.ask(&format!("quote q {}", bytes.display()));
    assert_eq!(refused["code"], "no-space", "{refused}");
    assert_eq!(fs::metadata(&place.path).unwrap().len(), 60_000, "it was cut short");
    for n in 1..4 {
        let refused = owner.ask(&format!("append a.{n}.0.1:300:keyed"));
        assert_eq!(refused["code"], "no-space", "{refused}");
    }
    let pid = owner.process.pid().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status();
    assert!(raised.unwrap().success());
    owner.must("append b.0.0.1:300:keyed");
    assert_eq!(agree(&place.path).len(), 2);
    must_be_of_one_journal(&place.path, 1);
}

/// The acknowledgements of one driver are read to the last whole line.
#[test]
fn a_line_that_was_cut_short_was_never_said() {
    let place = Place::new();
    let says = place.says("nobody");
    fs::write(&says, "{\"event\":\"try\",\"specs\":[\"a.0.0.1:1:plain\"]}\n{\"event\":\"sto")
        .unwrap();
    let acks = Acks::read(&says);
    assert!(acks.stored.is_empty());
    assert_eq!(acks.unknown.len(), 1, "it may be stored");
}
