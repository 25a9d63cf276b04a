//! `sjournal tail`: the end of a session, then what comes.

use std::time::Duration;

use session_journal::{Follower, Reader};

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
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let reader = Reader::open(target::find(context, &args.session)?)?;
    let mark = reader.mark();
    let exit = print_all(reader.last(args.lines)?, false, usize::MAX, context)?;
    if !args.follow {
        return Ok(exit);
    }
    match follow(Follower::new(reader, mark)?, context) {
        // A signal is how it ends.
        Ok(()) | Err(Failure::Interrupted) => Ok(Exit::Done),
        Err(failure) => Err(failure),
    }
}

fn follow(mut follower: Follower, context: &mut Context) -> Result<(), Failure> {
    while !context.stop.is_requested() {
        context.output.flush()?;
        // Without a wait while there is more, so that it is written in one go.
        let mut next = follower.next_timeout(PATIENCE)?;
        while let Some(record) = next {
            print(&record, context)?;
            next = follower.next_timeout(Duration::ZERO)?;
        }
    }
    Ok(())
}
