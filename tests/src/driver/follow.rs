//! Says every record of a journal as it comes, until it is killed or something is wrong.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use session_journal::{Error, ErrorKind, Follower, Mark, Reader, Sequence};

use crate::flags::Flags;
use crate::said::Mouth;

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    match follow(flags, &mut mouth) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            mouth.refused(&error);
            ExitCode::FAILURE
        }
    }
}

fn follow(flags: &Flags, mouth: &mut Mouth) -> Result<(), Error> {
    let reader = loop {
        match Reader::open(&flags.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => break opened?,
        }
    };
    let start = Mark { journal: reader.id(), sequence: Sequence::ZERO, checksum: 0 };
    let mut follower = Follower::new(reader, start)?;
    mouth.say(&json!({ "event": "follows" }));
    loop {
        if let Some(record) = follower.next_timeout(Duration::from_secs(1))? {
            mouth.say(&json!({
                "event": "saw",
                "sequence": record.sequence.get(),
                "generation": record.generation.get(),
                "checksum": record.checksum,
                "bytes": record.payload.len(),
            }));
        }
    }
}
