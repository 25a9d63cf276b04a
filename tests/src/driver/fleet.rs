//! Makes session files to import.

use std::process::ExitCode;

use serde_json::json;
use session_journal_tests::Fleet;

use crate::flags::Flags;
use crate::said::Mouth;

/// `driver fleet FOLDER --files N --bytes N --seed N`; the defaults are what users report.
pub(crate) fn run(flags: &Flags) -> ExitCode {
    let usual = Fleet::REPORTED;
    let fleet = Fleet {
        files: flags.number("files", usual.files),
        bytes: flags.number("bytes", usual.bytes),
        seed: flags.number("seed", usual.seed),
    };
    let made = fleet.make(&flags.path);
    Mouth::of(flags).say(&json!({
        "files": fleet.files, "bytes": made.bytes, "events": made.events,
        "large": made.large, "large_bytes": made.large_bytes, "seed": fleet.seed,
    }));
    ExitCode::SUCCESS
}
