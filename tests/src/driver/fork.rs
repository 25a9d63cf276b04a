//! Uses handles in a child that was forked and did not become another program.

use std::process::ExitCode;

use serde_json::json;
use session_journal::{NewRecord, Reader, SessionName, Store, StoreOptions};
use session_journal_tests::Spec;

use crate::flags::Flags;
use crate::said::Mouth;

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    let mut journal = flags.open().expect("a journal");
    let store = Store::open(flags.path.with_extension("store"), StoreOptions::default());
    let name = SessionName::new(None, "forked").expect("a name");
    let session = store.expect("a store").create_blocking(&name).expect("a session");
    let record = |who: &str| Spec { id: format!("{who}.0.0.1"), size: 9, keyed: false }.record();
    journal.append(&record("before")).expect("the owner appends");

    let (journal_says, session_says) = if is_child() {
        let refused = journal.append(&record("child")).expect_err("a child does not own it");
        let rejected = session.append_blocking(NewRecord::new("x")).expect_err("nor this");
        assert!(Reader::open(&flags.path).is_ok(), "a child may read");
        (refused.code().to_owned(), rejected.error.code().to_owned())
    } else {
        // The child's answer first, so that both were at it.
        let child = rustix::process::wait(rustix::process::WaitOptions::empty());
        assert!(child.is_ok(), "the child ends: {child:?}");
        let appended = journal.append(&record("parent")).expect("the owner appends");
        session.append_blocking(NewRecord::new("y")).expect("the owner appends");
        (appended.sequence.to_string(), "stored".to_owned())
    };
    let answer = json!({ "event": "forked", "journal": journal_says, "session": session_says });
    mouth.say(&answer);
    ExitCode::SUCCESS
}

#[allow(unsafe_code, reason = "there is no safe fork")]
fn is_child() -> bool {
    // SAFETY: fork has no arguments to get wrong. The child goes on in a copy of this memory; the
    // only other threads, the engine's, are idle and hold no lock that it needs: it only asks
    // handles that refuse by pid, opens a file, and ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    pid == 0
}
