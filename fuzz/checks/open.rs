//! Opening arbitrary files. Nothing panics; whoever may write can append, and finds its record
//! again; what a reader saw before an opening it sees after it; and bytes that were only damaged
//! never give a record that nobody appended.
//!
//! The first byte of an input chooses the file: the input itself, or a small journal with edits. On
//! a forged one only those checks are made that hold for it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use session_journal::{Host, Journal, NewRecord, Reader, history, info, verify};

use super::edits::{base, edited};
use super::host::{FixedHost, options};
use super::readers::{forwards, read_every_way};

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let (content, is_forged) = match which % 3 {
        0 => (rest.to_vec(), true),
        1 => edited(&base(false), rest),
        _ => edited(&base(true), rest),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fuzzed.journal");
    fs::write(&path, content).expect("writes");
    examine(&path, is_forged, bytes.len().is_multiple_of(2));
}

fn examine(path: &Path, is_forged: bool, closes: bool) {
    let before = Reader::open(path).ok().map(|reader| read_every_way(&reader, is_forged));
    if let Some(before) = &before {
        let (verified, history) = (verify(path, &mut |_, _| ()), history(path));
        // Reading may have begun behind a frame of a kind that only a newer format has.
        if !is_forged {
            let verified = verified.expect("what a reader opens can be verified");
            assert_eq!(verified.records, before.len() as u64, "verify counts what readers read");
            drop(history.expect("what a reader opens has a history"));
        }
    }
    let host: Arc<dyn Host> = Arc::new(FixedHost::new(1000));
    drop(info(path, &*host));

    let options = options(host);
    let Ok(mut journal) = Journal::open(path, &options) else { return };
    let payload = "appended behind it all";
    let appended = journal.append(&NewRecord::new(payload)).expect("an owner can append");
    if closes {
        journal.close().expect("an owner can release");
    } else {
        drop(journal);
    }
    let again = Journal::open(path, &options);
    if is_forged {
        // What stands before a checkpoint may contradict it: then it depends on where one begins to
        // read, and only this holds, that everybody comes to an end.
        drop(again.and_then(|again| again.reader()).map(|reader| read_every_way(&reader, true)));
        return;
    }
    let again = again.expect("what was opened opens again");
    assert!(again.generation() > appended.generation, "generations rise");
    let reader = again.reader().expect("an owner can read");
    let found = reader.get(appended.sequence).expect("is not lost").expect("is there");
    assert_eq!(found.payload, payload);
    let after = forwards(&reader);
    assert_eq!(
        after.last_key_value().map(|(sequence, _)| *sequence),
        Some(appended.sequence.get())
    );
    for (sequence, record) in before.iter().flatten() {
        assert_eq!(after.get(sequence), Some(record), "an opening changed what readers see");
    }
}
