//! `sjournal cat`: records.

use std::io::Write;

use session_journal::{Item, Reader, Record, Records, Sequence};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::{json, target};

/// Print records: the payloads, a line each, or all of them in JSON
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal cat main/demo\n  \
    sjournal cat main/demo --last 5\n  \
    sjournal --json cat main/demo --from 100 --limit 10 | jq .payload\n  \
    sjournal cat damaged --gaps")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
    /// Only the last N records
    #[arg(long, value_name = "N", conflicts_with = "from")]
    last: Option<u64>,
    /// Begin at this sequence
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// At most N records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Go on behind damage, and say what is missing, instead of stopping there
    #[arg(long)]
    gaps: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let reader = Reader::open(target::find(context, &args.session)?)?;
    let records = match args.last {
        Some(last) => reader.last(last)?,
        None => from(&reader, Sequence::new(args.from.max(1)))?,
    };
    let limit = usize::try_from(args.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    print_all(records, args.gaps, limit, context)
}

fn from(reader: &Reader, first: Sequence) -> Result<Records, Failure> {
    if first > reader.last_sequence() {
        return Ok(reader.last(0)?);
    }
    Ok(reader.records_from(first)?)
}

/// Prints records; over gaps where that is wanted.
pub(crate) fn print_all(
    records: Records,
    over_gaps: bool,
    limit: usize,
    context: &mut Context,
) -> Result<Exit, Failure> {
    if !over_gaps {
        for record in records.take(limit) {
            match record {
                Ok(record) => print(&record, context)?,
                Err(error) => {
                    context.output.flush()?;
                    return Err(error.into());
                }
            }
        }
        return Ok(Exit::Done);
    }
    let mut exit = Exit::Done;
    for item in records.with_gaps().take(limit) {
        match item? {
            Item::Record(record) => print(&record, context)?,
            Item::Gap(gap) => {
                exit = Exit::Findings;
                if context.json {
                    context.output.json(&json::gap(&gap))?;
                } else {
                    let what = "record(s) are missing from";
                    context.note(&format!("{} {what} {} on", gap.records, gap.first));
                }
            }
        }
    }
    Ok(exit)
}

/// Prints a record.
pub(crate) fn print(record: &Record, context: &mut Context) -> Result<(), Failure> {
    if context.stop.is_requested() {
        return Err(Failure::Interrupted);
    }
    if context.json {
        context.output.json(&json::record(record))?;
    } else {
        context.output.write_all(&record.payload)?;
        context.output.write_all(b"\n")?;
    }
    Ok(())
}
