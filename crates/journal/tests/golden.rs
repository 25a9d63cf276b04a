//! The format's bytes, held by files: `tests/golden` has one file for every kind of frame, for the
//! header page, and for a small journal, each with the text that decoding it must give.
//!
//! A change of bytes is a change of version. Where one is meant,
//!
//! ```text
//! SESSION_JOURNAL_GOLDEN=write cargo test -p session-journal --test golden
//! ```
//!
//! writes the files anew, and fails so that it cannot pass by accident: look at the difference,
//! then run the tests without it.

#[path = "support/damage_dump.rs"]
mod dump;
#[path = "support/damage_golden.rs"]
mod golden;
#[path = "support/damage_host.rs"]
mod host;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dump::line;
use golden::SALT;
use host::{StillHost, options};
use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, IDENTITY_LEN, SLOT_LEN, Slot, decode_identity,
    key_hash,
};
use session_journal::{
    AppendOptions, Journal, JournalId, NewRecord, Reader, SessionName, history, info, verify,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn is_writing() -> bool {
    match std::env::var("SESSION_JOURNAL_GOLDEN") {
        Ok(word) if word == "write" => true,
        Ok(word) => {
            panic!("SESSION_JOURNAL_GOLDEN is {word:?}; the only word that it takes is \"write\"")
        }
        Err(_) => false,
    }
}

/// Compares with the file, or writes it.
fn hold(name: &str, bytes: &[u8], wrong: &mut Vec<String>) {
    let path = folder().join(name);
    if is_writing() {
        std::fs::write(&path, bytes).expect("write a golden file");
        wrong.push(format!("{name} was written; look at it, then run again without writing"));
        return;
    }
    match std::fs::read(&path) {
        Ok(there) if there == bytes => {}
        Ok(there) => {
            let same = there.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            wrong.push(format!("{name} differs from byte {same} on"));
        }
        Err(error) => wrong.push(format!("{name}: {error}")),
    }
}

fn codec() -> Codec {
    Codec::new(SALT)
}

#[test]
fn frames_are_encoded_and_decoded_as_the_golden_files_say() {
    let mut wrong = Vec::new();
    for frame in golden::frames() {
        hold(&format!("{}.bin", frame.name), &frame.bytes, &mut wrong);
        let text = dump::frame(&frame.bytes, &codec()).expect("it is sound");
        hold(&format!("{}.txt", frame.name), text.as_bytes(), &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_header_page_is_encoded_and_decoded_as_the_golden_file_says() {
    let mut wrong = Vec::new();
    let page = golden::page();
    hold("page.bin", &page, &mut wrong);
    hold("page.txt", dump::page(&page, &codec()).expect("it is sound").as_bytes(), &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A kind without a golden file is one that may change unnoticed.
#[test]
fn every_kind_has_a_golden_file() {
    let kinds: BTreeSet<u8> = golden::frames().iter().map(|frame| frame.bytes[4]).collect();
    assert!(kinds.into_iter().eq(1..=8));
    for unknown in (9..=u8::MAX).map(FrameKind::from) {
        assert!(matches!(unknown, FrameKind::Unknown(_)), "{unknown:?} has no golden file");
    }
    let names: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("the golden files are there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .filter(|name| !name.starts_with('.'))
        .collect();
    let stems = golden::frames().into_iter().map(|frame| frame.name).chain(["page"]);
    let expected = stems.flat_map(|stem| [format!("{stem}.bin"), format!("{stem}.txt")]);
    let journal = ["small.journal", "small.txt"].map(str::to_owned);
    assert_eq!(names, expected.chain(journal).collect());
}

#[test]
fn a_golden_file_that_is_cut_anywhere_is_no_frame() {
    for frame in golden::frames() {
        for cut in 0..frame.bytes.len() {
            let text = dump::frame(&frame.bytes[..cut], &codec());
            assert_eq!(text, None, "{} cut at {cut}", frame.name);
        }
    }
    let page = golden::page();
    for cut in 0..page.len() {
        assert_eq!(decode_identity(&page[..cut]).is_ok(), cut >= IDENTITY_LEN, "cut at {cut}");
        assert_eq!(dump::page(&page[..cut], &codec()), None, "cut at {cut}");
    }
}

/// Every bit of every file; of the merged checkpoint, whose body is large, every bit of its header
/// and one bit of each byte behind.
#[test]
fn a_flipped_bit_is_noticed_by_the_checksum_that_covers_it() {
    for frame in golden::frames() {
        let large = frame.bytes.len() > 4096;
        let mut bytes = frame.bytes;
        for bit in 0..bytes.len() * 8 {
            let at = bit / 8;
            if large && at >= HEADER_LEN && bit % 8 != at % 8 {
                continue;
            }
            bytes[at] ^= 1 << (bit % 8);
            let header = FrameHeader::decode(&bytes, &codec());
            assert_eq!(header.is_ok(), at >= HEADER_LEN, "{}: bit {bit}", frame.name);
            if let Ok(header) = header {
                let body = codec().checksum(&[&bytes[HEADER_LEN..]]);
                assert_ne!(body, header.body_checksum, "{}: bit {bit}", frame.name);
            }
            bytes[at] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_flipped_bit_of_the_header_page_costs_the_identity_or_one_slot() {
    let mut page = golden::page();
    for bit in 0..page.len() * 8 {
        let at = bit / 8;
        page[at] ^= 1 << (bit % 8);
        let first = Slot::decode(&page[IDENTITY_LEN..], &codec());
        let second = Slot::decode(&page[IDENTITY_LEN + SLOT_LEN..], &codec());
        let sound = [decode_identity(&page).is_ok(), first.is_some(), second.is_some()];
        let hit = if at < IDENTITY_LEN { 0 } else { 1 + (at - IDENTITY_LEN) / SLOT_LEN };
        let expected: Vec<bool> = (0..3).map(|part| part != hit).collect();
        assert_eq!(sound.as_slice(), expected, "bit {bit}");
        page[at] ^= 1 << (bit % 8);
    }
}

/// By an implementation of SipHash-1-3 that is not the engine's.
#[test]
fn hashes_of_keys_are_what_the_document_says() {
    let journal = JournalId::from_bytes(*b"journal-of-a-day");
    assert_eq!(key_hash(journal, "m-2"), 0x01C1_6EBD);
    assert_eq!(key_hash(journal, "a key of more than eight bytes"), 0xF516_964E);
}

// ---- a whole journal -----------------------------------------------------------------------

/// Writes the small journal: two owners, the first of which is taken over, comes back and is
/// fenced; a batch, a torn write, a checkpoint, a release.
fn write_small(path: &Path) {
    let host = StillHost::new(7);
    let options = session_journal::Options {
        checkpoint_records: 6,
        label: "first".to_owned(),
        ..options(&host)
    };
    let name = SessionName::new(Some("main"), "small").expect("a name");
    let mut first = Journal::create(path, &name, &options).expect("create");
    let say = |journal: &mut Journal, record: NewRecord| {
        host.tick(10);
        journal.append(&record).map(drop)
    };
    say(&mut first, NewRecord::new("hello").kind("message").key("m1")).expect("append");
    say(&mut first, NewRecord::new("hi").kind("message").key("m2").parent("m1")).expect("append");
    say(&mut first, NewRecord::new("")).expect("append");
    let step = |i: u8| NewRecord::new(vec![b'a' + i; 9]).kind("step").key(format!("s{i}"));
    let batch: Vec<NewRecord> = (0..3).map(step).collect();
    first.append_all(&batch, &AppendOptions::default()).expect("append a batch");

    let options = session_journal::Options { label: "second".to_owned(), ..options };
    let mut second = Journal::open(path, &options).expect("take it over");
    say(&mut first, NewRecord::new("too late")).expect_err("it is fenced");
    say(&mut second, NewRecord::new("taken over").parent("s2").time_ms(42)).expect("append");
    drop(second);

    let mut torn = std::fs::OpenOptions::new().append(true).open(path).expect("open");
    std::io::Write::write_all(&mut torn, b"\xF5SJ\x1E\x01 torn").expect("write");
    drop(torn);
    let options = session_journal::Options { label: "third".to_owned(), ..options };
    let mut third = Journal::open(path, &options).expect("open");
    say(&mut third, NewRecord::new("the end").kind("message")).expect("append");
    third.close().expect("close");
}

/// What readers and inspectors say of it.
fn told(path: &Path) -> String {
    let mut out = String::new();
    let reader = Reader::open(path).expect("open to read");
    line!(out, "journal {}, session {}", reader.id(), reader.name());
    line!(out, "created {} ms, last {}", reader.created_ms(), reader.last_sequence());
    line!(out, "\nrecords");
    for record in reader.records() {
        let record = record.expect("it is sound");
        let (sequence, generation, offset) = (record.sequence, record.generation, record.offset);
        line!(out, "{sequence} of generation {generation} at {offset}, {} ms", record.time_ms);
        line!(out, "  kind {:?}, key {:?}, parent {:?}", record.kind, record.key, record.parent);
        line!(out, "  {:?}, checksum {:08x}", record.payload, record.checksum);
    }
    line!(out, "\nverify");
    let found = verify(path, &mut |_, _| {}).expect("verify");
    line!(out, "ok {}, {} records, {} bytes", found.ok, found.records, found.bytes);
    line!(out, "{} void, header damaged {}", found.void_bytes, found.header_damaged);
    found.torn.iter().chain(&found.damage).for_each(|hole| dump::hole(hole, &mut out));
    line!(out, "\ninfo");
    let facts = info(path, &*StillHost::new(0)).expect("info");
    line!(
        out,
        "{} at generation {}, format {}",
        facts.state.as_str(),
        facts.generation,
        facts.format
    );
    line!(out, "tail {}, durable through {}", facts.tail, facts.durable_through);
    line!(out, "\nhistory");
    for event in history(path).expect("history") {
        let (what, generation, offset) = (event.event.as_str(), event.generation, event.offset);
        line!(out, "{what} of generation {generation} at {offset}, {} ms", event.time_ms);
        let label = event.owner.map(|owner| owner.label);
        line!(
            out,
            "  before {:?}, reason {:?}, owner {label:?}",
            event.previous_generation.map(session_journal::Generation::get),
            event.reason
        );
        event.report.iter().for_each(|report| dump::report(report, &mut out));
    }
    out
}

/// The file is only read: how an owner comes to write such bytes may change, what they mean not.
#[test]
fn the_golden_journal_is_read_as_its_text_says() {
    let path = folder().join("small.journal");
    if is_writing() {
        let temporary = tempfile::tempdir().expect("a folder");
        let made = temporary.path().join("small.journal");
        write_small(&made);
        std::fs::copy(&made, &path).expect("copy");
    }
    let before = std::fs::read(&path).expect("the golden journal is there");
    let mut wrong = Vec::new();
    hold("small.txt", told(&path).as_bytes(), &mut wrong);
    assert!(std::fs::read(&path).expect("read") == before, "reading changed the file");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// And it is still appended to: on a copy.
#[test]
fn the_golden_journal_is_opened_and_appended_to() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("copy.journal");
    let bytes = std::fs::read(folder().join("small.journal")).expect("it is there");
    std::fs::write(&path, bytes).expect("write");
    let mut journal = Journal::open(&path, &options(&StillHost::new(8))).expect("open");
    assert!(journal.opening().report.is_clean(), "{:?}", journal.opening());
    assert_eq!(journal.generation().get(), 4);
    let again = journal.append(&NewRecord::new("hello").key("m1")).expect("append");
    assert!(again.duplicate && again.sequence.get() == 1);
    assert_eq!(journal.append(&NewRecord::new("more")).expect("append").sequence.get(), 9);
}

// ---- the document --------------------------------------------------------------------------

/// The worked example of `docs/format.md` is the golden record, byte for byte.
#[test]
fn the_worked_example_of_the_document_is_what_the_code_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/format.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let (_, example) = text.split_once("## A worked example").expect("it has an example");
    let mut bytes = Vec::new();
    for line in example.lines() {
        let mut words = line.split_whitespace();
        let is_dump = words.next().is_some_and(|at| at == format!("{:04x}", bytes.len()));
        if is_dump && line.get(4..6) == Some("  ") {
            let pairs = words.take_while(|word| word.len() == 2);
            bytes.extend(pairs.take(16).map_while(|pair| u8::from_str_radix(pair, 16).ok()));
        }
    }
    let frames = golden::frames();
    let record = frames.iter().find(|frame| frame.name == "record-full").expect("it is there");
    assert_eq!(bytes, record.bytes, "as it is: {:02x?}", record.bytes);
}
