//! `sjournal tail`: the end of a session, then what comes.

use std::thread;
use std::time::Duration;

use serde_json::json;
use session_journal::{Cause, Error, Follower, Reader, Sequence};

use super::cat::{print, print_all};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::target;

/// How long to wait for a record before looking whether to stop.
const PATIENCE: Duration = Duration::from_millis(250);

/// Print the end of a session, and follow it
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal tail main/demo\n  \
    sjournal tail -f main/demo\n  \
    sjournal tail -f --gaps damaged\n  \
    sjournal --json tail -f -n 0 main/demo | jq .payload")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
    /// Go on with what comes, until a signal
    #[arg(short, long)]
    follow: bool,
    /// How many records of the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: u64,
    /// Go on behind damage, and say what is missing, instead of stopping there
    #[arg(long)]
    gaps: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let reader = Reader::open(target::find(context, &args.session)?)?;
    let mark = reader.mark();
    let mut gap = print_all(reader.last(args.lines)?, args.gaps, u64::MAX, context)?;
    if !args.follow {
        return Ok(exit(gap));
    }
    match follow(Follower::new(reader, mark)?, args.gaps, &mut gap, context) {
        // A signal is how it ends.
        Ok(()) | Err(Failure::Interrupted) => Ok(exit(gap)),
        Err(failure) => Err(failure),
    }
}

fn exit(gap: Option<Sequence>) -> Exit {
    if gap.is_none() { Exit::Done } else { Exit::Findings }
}

/// Prints what comes; a gap that was told already is not told again.
fn follow(
    mut follower: Follower,
    over_gaps: bool,
    told: &mut Option<Sequence>,
    context: &mut Context,
) -> Result<(), Failure> {
    // Without a wait while there is more, so that it is written in one go.
    let mut patience = PATIENCE;
    while !context.stop.is_requested() {
        if patience == PATIENCE {
            context.output.flush()?;
        }
        match follower.next_timeout(patience) {
            Ok(Some(record)) => {
                print(&record.lent(), context)?;
                patience = Duration::ZERO;
            }
            Ok(None) => patience = PATIENCE,
            Err(error) => {
                // What came before it is part of the answer.
                context.output.flush()?;
                let gap = Gap::of(&error).filter(|_| over_gaps).ok_or(error)?;
                if *told == Some(gap.first) {
                    // Nothing stands behind it yet.
                    thread::sleep(PATIENCE);
                    continue;
                }
                *told = Some(gap.first);
                gap.tell(context)?;
            }
        }
    }
    Ok(())
}

/// What a follower misses; it goes on behind it.
struct Gap {
    first: Sequence,
    records: u64,
    offset: u64,
}

impl Gap {
    fn of(error: &Error) -> Option<Self> {
        match *error.cause() {
            Cause::Corrupt { sequence: first, records, offset } => {
                Some(Self { first, records, offset: offset.get() })
            }
            _ => None,
        }
    }

    fn tell(&self, context: &mut Context) -> Result<(), Failure> {
        let Self { first, records, offset } = *self;
        if !context.json {
            context.note(&format!("{records} record(s) are missing from {first} on"));
            return Ok(());
        }
        Ok(context.output.json(&json!({
            "gap": true, "first_seq": first.get(), "records_lost": records, "offset": offset,
            "bytes": null, "verdict": "corrupt",
        }))?)
    }
}
