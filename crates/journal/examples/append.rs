//! Append a message, close, and read everything back.
//!
//! `cargo run -p session-journal --example append -- FOLDER`, twice to see it grow. Without a
//! folder it uses one that is gone afterwards.

use std::path::Path;

use session_journal::{Result, SessionName, Store, StoreOptions};

#[path = "support/folder.rs"]
mod support;

pub(crate) fn run(folder: &Path) -> Result<Vec<String>> {
    let store = Store::open(folder, StoreOptions::default())?;
    let name = SessionName::new(Some("main"), "first").expect("the name is a constant");
    let session = store.open_or_create_blocking(&name)?;
    let stored = session.append_blocking("the first message")?;
    assert!(stored.durable, "from here on it survives power loss");
    session.close_blocking()?;

    let text = |record: session_journal::Record| {
        format!("{}: {}", record.sequence, String::from_utf8_lossy(&record.payload))
    };
    store.reader(&name)?.records().map(|record| record.map(text)).collect()
}

fn main() -> Result<()> {
    support::in_folder(run)
}
