//! Follow a session while another part of the program appends to it, and resume at a mark.
//!
//! `cargo run -p session-journal --example follow -- FOLDER`

use std::path::Path;
use std::time::Duration;

use session_journal::{Follower, Mark, Record, Result, SessionName, Store, StoreOptions};

#[path = "support/folder.rs"]
mod support;

/// Longer than any of this takes; a follower that hears nothing says so instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(folder: &Path) -> Result<Vec<String>> {
    let store = Store::open(folder, StoreOptions::default())?;
    let name = SessionName::new(Some("main"), "followed").expect("the name is a constant");
    let session = store.open_or_create_blocking(&name)?;

    let mut follower = session.follow(session.mark())?;
    let producer = session.clone();
    let thread = std::thread::spawn(move || {
        for message in ["one", "two", "three"] {
            producer.append_blocking(message)?;
        }
        Ok::<(), session_journal::Error>(())
    });
    let mut seen = vec![next(&mut follower)?, next(&mut follower)?];

    // A mark may be kept anywhere: it names the journal, the record and its checksum.
    let mark: Mark = follower.mark();
    drop(follower);
    thread.join().expect("the producer does not panic")?;
    session.close_blocking()?;

    // Another process would do the same: a reader, and the mark where it left off.
    let mut resumed = Follower::new(store.reader(&name)?, mark)?;
    seen.push(next(&mut resumed)?);
    Ok(seen)
}

fn next(follower: &mut Follower) -> Result<String> {
    let record: Option<Record> = follower.next_timeout(PATIENCE)?;
    let record = record.expect("the producer appends three records");
    Ok(String::from_utf8_lossy(&record.payload).into_owned())
}

fn main() -> Result<()> {
    support::in_folder(run)
}
