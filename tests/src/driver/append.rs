//! Appends batches of random records until it is killed, refused, or done.

use std::process::ExitCode;
use std::time::Duration;

use session_journal::{AppendOptions, Durability, ErrorKind, NewRecord};
use session_journal_tests::{Chance, Spec};

use crate::flags::Flags;
use crate::said::{Mouth, wait_for_gate};

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    let mut chance = Chance::of(flags.number("seed", 1));
    let prefix = flags.get("prefix").unwrap_or("p").to_owned();
    let size = usize::try_from(flags.number("size", 20 << 10)).expect("a size");
    let shape = (flags.number("batch", 5), size);
    let pause = Duration::from_micros(flags.number("pause", 0));
    let lies = flags.get("lies") == Some("yes");
    let alternating = flags.get("durability") == Some("alternating");

    wait_for_gate(flags);
    let mut journal = match flags.open() {
        Ok(journal) => journal,
        Err(error) => {
            mouth.refused(&error);
            return ExitCode::FAILURE;
        }
    };
    mouth.opened(&journal);
    for number in 0..flags.number("count", u64::MAX) {
        let batch = Spec::batch(&prefix, number, shape, &mut chance);
        let records: Vec<NewRecord> = batch.iter().map(Spec::record).collect();
        let durability = match (alternating, chance.below(2)) {
            (false, _) => None,
            (true, 0) => Some(Durability::Written),
            (true, _) => Some(Durability::Durable),
        };
        mouth.will_try(&batch);
        let options = AppendOptions { durability, ..AppendOptions::default() };
        match journal.append_all(&records, &options) {
            Ok(mut answers) => {
                // For a test of a test: what is only written is called durable.
                for answer in &mut answers {
                    answer.durable |= lies;
                }
                mouth.stored(&answers);
            }
            Err(error) => {
                mouth.refused(&error);
                // There may be room soon; and what became unknown is told of at the next append.
                if !matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Unknown) {
                    return ExitCode::FAILURE;
                }
            }
        }
        std::thread::sleep(pause);
    }
    if flags.get("close") == Some("yes") {
        let _ = journal.close().map_err(|error| mouth.refused(&error));
    }
    ExitCode::SUCCESS
}
