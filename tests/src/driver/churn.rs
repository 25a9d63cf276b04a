//! Creates journals, appends, compacts and deletes them, for ever. Says what is certain, and says
//! before a deletion that one was begun.

use std::fs;
use std::process::ExitCode;

use serde_json::json;
use session_journal::{AppendOptions, Journal, Result};
use session_journal_tests::{Chance, Spec};

use crate::flags::{Flags, name_of};
use crate::said::Mouth;

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    let mut chance = Chance::of(flags.number("seed", 1));
    for number in 0.. {
        if let Err(error) = turn(flags, number, &mut mouth, &mut chance) {
            mouth.refused(&error);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The life of one journal.
fn turn(flags: &Flags, number: u64, mouth: &mut Mouth, chance: &mut Chance) -> Result<()> {
    let file = format!("{}-{number}.journal", flags.get("prefix").unwrap_or("p"));
    let path = flags.path.join(&file);
    let mut journal = Journal::create(&path, &name_of(&path), &flags.options())?;
    mouth.say(&json!({ "event": "created", "file": file }));
    for round in 0..flags.number("compactions", 0) {
        for inner in 0..4 {
            let prefix = format!("{}-{number}-{round}", flags.get("prefix").unwrap_or("p"));
            let batch = Spec::batch(&prefix, inner, (5, 20 << 10), chance);
            let records: Vec<_> = batch.iter().map(Spec::record).collect();
            mouth.will_try(&batch);
            mouth.stored(&journal.append_all(&records, &AppendOptions::default())?);
        }
        journal.compact()?;
        mouth.say(&json!({ "event": "compacted", "file": file }));
    }
    if flags.get("delete") == Some("yes") {
        mouth.say(&json!({ "event": "deleting", "file": file }));
        journal.delete()?;
        assert!(!fs::exists(&path).unwrap_or(true), "deleted and still there");
        mouth.say(&json!({ "event": "deleted", "file": file }));
    }
    Ok(())
}
