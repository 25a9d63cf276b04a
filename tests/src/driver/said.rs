//! What the driver says: one line, one write, so that what was said is there when it is killed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use serde_json::{Value, json};
use session_journal::{Appended, Cause, Error, Generation, Journal, Owner};
use session_journal_tests::Spec;

use crate::flags::Flags;

/// Where it goes.
pub(crate) struct Mouth(File);

impl Mouth {
    /// The file of `--ack`, or the standard output.
    pub(crate) fn of(flags: &Flags) -> Self {
        if let Some(path) = flags.get("ack") {
            return Self::at(path.as_ref());
        }
        // Not buffered, and not opened anew: that is another user's pipe perhaps.
        let output = std::io::stdout().as_fd().try_clone_to_owned();
        Self(output.expect("a place to speak").into())
    }

    /// This file.
    pub(crate) fn at(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(file.expect("a place to speak"))
    }

    pub(crate) fn say(&mut self, value: &Value) {
        self.0.write_all(format!("{value}\n").as_bytes()).expect("somebody listens");
    }

    pub(crate) fn opened(&mut self, journal: &Journal) {
        let opening = journal.opening();
        self.say(&json!({
            "event": "opened",
            "pid": std::process::id(),
            "generation": opening.generation.get(),
            "previous": opening.previous_generation.get(),
            "previous_owner": opening.previous_owner.as_ref().map(owner),
            "reason": opening.reason.as_str(),
            "records_lost": opening.report.records_lost(),
            "last": journal.last_sequence().get(),
            "id": journal.id().to_string(),
        }));
    }

    pub(crate) fn will_try(&mut self, specs: &[Spec]) {
        let specs: Vec<String> = specs.iter().map(ToString::to_string).collect();
        self.say(&json!({ "event": "try", "specs": specs }));
    }

    pub(crate) fn stored(&mut self, answers: &[Appended]) {
        let answers: Vec<Value> = answers.iter().map(answer).collect();
        self.say(&json!({ "event": "stored", "answers": answers }));
    }

    pub(crate) fn refused(&mut self, error: &Error) {
        let (by, generation, alive) = match error.cause() {
            Cause::Fenced { current, owner, .. } => (owner.as_ref(), Some(*current), None),
            Cause::HeldBy { generation, owner, alive } => {
                (owner.as_ref(), Some(*generation), *alive)
            }
            _ => (None, None, None),
        };
        self.say(&json!({
            "event": "error",
            "code": error.code(),
            "text": error.to_string(),
            "owner": by.map(owner),
            "generation": generation.map(Generation::get),
            "alive": alive,
        }));
    }
}

fn answer(appended: &Appended) -> Value {
    json!({
        "sequence": appended.sequence.get(),
        "generation": appended.generation.get(),
        "durable": appended.durable,
        "duplicate": appended.duplicate,
    })
}

fn owner(owner: &Owner) -> Value {
    json!({
        "pid": owner.pid,
        "label": owner.label,
        "program": owner.program,
        "host": owner.host,
    })
}

/// With `--gate yes` many drivers begin at once: when their test closes their input.
pub(crate) fn wait_for_gate(flags: &Flags) {
    if flags.get("gate") == Some("yes") {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    }
}
