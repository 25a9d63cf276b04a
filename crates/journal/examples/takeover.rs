//! Take a journal from an owner that is alive, and see what that owner is told.
//!
//! `cargo run -p session-journal --example takeover -- FOLDER`

use std::path::Path;

use session_journal::{
    ErrorKind, HistoryKind, Journal, NewRecord, Options, Result, SessionName, Takeover, history,
};

#[path = "support/folder.rs"]
mod support;

pub(crate) fn run(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("contested.journal");
    let name = SessionName::new(None, "contested").expect("the name is a constant");
    let labelled =
        |label: &str, takeover| Options { label: label.to_owned(), takeover, ..Options::default() };

    let mut first = Journal::create(&path, &name, &labelled("first", Takeover::IfGone))?;
    first.append(&NewRecord::new("by the first owner"))?;

    // Without a word of force a living owner keeps its journal.
    let polite = Journal::open(&path, &labelled("second", Takeover::IfGone));
    let refused = polite.expect_err("the first owner is alive");
    assert_eq!(refused.kind(), ErrorKind::HeldBy);

    let mut second = Journal::open(&path, &labelled("second", Takeover::Always))?;
    second.append(&NewRecord::new("by the second owner"))?;

    // The first owner learns it from its next append, which is in no reader's history.
    let fenced = first.append(&NewRecord::new("too late")).expect_err("it was taken over");
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
    second.close()?;

    let openings = history(&path)?.into_iter().filter(|one| one.event == HistoryKind::Opening);
    let told = openings.map(|one| {
        let owner = one.owner.map(|owner| owner.label).unwrap_or_default();
        let reason = one.reason.map_or("", session_journal::OpenReason::as_str);
        format!("generation {}: {owner}, {reason}", one.generation)
    });
    let codes = [refused.code(), fenced.code()].map(str::to_owned);
    Ok(codes.into_iter().chain(told).collect())
}

fn main() -> Result<()> {
    support::in_folder(run)
}
