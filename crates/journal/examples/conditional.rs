//! A turn that answers only if nothing came in between, and a delivery that is stored once.
//!
//! `cargo run -p session-journal --example conditional -- FOLDER`

use std::path::Path;

use session_journal::{
    AppendOptions, ErrorKind, Expect, NewRecord, Result, SessionName, Store, StoreOptions,
};

#[path = "support/folder.rs"]
mod support;

pub(crate) fn run(folder: &Path) -> Result<Vec<String>> {
    let store = Store::open(folder, StoreOptions::default())?;
    let name = SessionName::new(Some("main"), "turns").expect("the name is a constant");
    let session = store.open_or_create_blocking(&name)?;

    // A turn remembers the place that its prompt was made from.
    let mark = session.mark();
    session.append_blocking(NewRecord::new("tokens: 12").kind("meter"))?;
    session.append_blocking(NewRecord::new("wait, one more thing").kind("user"))?;

    let answer = NewRecord::new("the answer").kind("assistant");
    let only_meters = Expect::OnlyKindsSince(mark, vec!["meter".to_owned()]);
    let options = AppendOptions { expect: only_meters, ..AppendOptions::default() };
    let refused = session.append_all_blocking(vec![answer], options);
    let refused = refused.expect_err("the user said something that the turn has not seen");
    assert_eq!(refused.error.kind(), ErrorKind::Conflict);

    // The record comes back with the refusal, so the turn can decide and append it after all.
    let options =
        AppendOptions { expect: Expect::NothingSince(session.mark()), ..AppendOptions::default() };
    let stored = session.append_all_blocking(refused.records, options)?;

    // A key makes an append idempotent: delivered twice, stored once.
    let delivered = NewRecord::new("from the outside").key("delivery-7");
    let once = session.append_blocking(delivered.clone())?;
    let twice = session.append_blocking(delivered)?;
    session.close_blocking()?;
    Ok(vec![
        format!("{} of a turn made at record {}", refused.error.code(), mark.sequence),
        format!("stored as {}", stored[0].sequence),
        format!("key at {}, again at {}", once.sequence, twice.sequence),
        format!("duplicate: {}", twice.duplicate),
    ])
}

fn main() -> Result<()> {
    support::in_folder(run)
}
