//! Opens a journal and does what each line of its input says; one answer a line.

use std::io::BufRead;
use std::process::ExitCode;

use serde_json::json;
use session_journal::{AppendOptions, Durability, Journal, NewRecord, Result};
use session_journal_tests::Spec;

use crate::flags::Flags;
use crate::said::{Mouth, wait_for_gate};

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    wait_for_gate(flags);
    let mut journal = match flags.open() {
        Ok(journal) => Some(journal),
        Err(error) => {
            mouth.refused(&error);
            return ExitCode::FAILURE;
        }
    };
    if let Some(journal) = &journal {
        mouth.opened(journal);
    }
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if let Err(error) = obey(&line, &mut journal, &mut mouth) {
            mouth.refused(&error);
        }
    }
    ExitCode::SUCCESS
}

/// One question.
fn obey(line: &str, owned: &mut Option<Journal>, mouth: &mut Mouth) -> Result<()> {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap_or_default();
    let mut word = || words.next().unwrap_or_else(|| panic!("{line:?} is not whole"));
    let journal = owned.as_mut().expect("it is still owned");
    match command {
        "append" => mouth.stored(&[journal.append(&spec(word()).record())?]),
        "written" | "durable" => {
            let options = AppendOptions { durability: Some(durability(command)), ..<_>::default() };
            mouth.stored(&journal.append_all(&[spec(word()).record()], &options)?);
        }
        "quote" => {
            // A record of bytes that are in a file, under a key.
            let key = word().to_owned();
            let payload = std::fs::read(word()).expect("a file to quote");
            let record = NewRecord::new(payload).kind("quote").key(key);
            mouth.stored(&[journal.append(&record)?]);
        }
        "flood" => {
            // Appends until it is refused; then says how far it came.
            let prefix = word().to_owned();
            for number in 0_u64.. {
                let one = Spec { id: format!("{prefix}.{number}.0.1"), size: 100, keyed: false };
                mouth.will_try(std::slice::from_ref(&one));
                mouth.stored(&[journal.append(&one.record())?]);
            }
        }
        "sync" => {
            journal.sync()?;
            mouth.say(&json!({ "event": "synced" }));
        }
        "compact" => {
            let compaction = journal.compact()?;
            mouth.say(&json!({ "event": "compacted", "bytes": compaction.bytes_after }));
        }
        "close" => {
            owned.take().map_or(Ok(()), Journal::close)?;
            mouth.say(&json!({ "event": "closed" }));
        }
        "delete" => {
            owned.take().map_or(Ok(()), Journal::delete)?;
            mouth.say(&json!({ "event": "deleted" }));
        }
        _ => panic!("no command {command:?}"),
    }
    Ok(())
}

fn spec(text: &str) -> Spec {
    text.parse().expect("a spec")
}

fn durability(word: &str) -> Durability {
    if word == "written" { Durability::Written } else { Durability::Durable }
}
