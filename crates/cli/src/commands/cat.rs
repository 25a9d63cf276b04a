//! `sjournal cat`: records.

use std::io::Write;

use session_journal::{ItemRef, Reader, RecordRef, Records, Sequence};

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
    let gap = print_all(records, args.gaps, args.limit.unwrap_or(u64::MAX), context)?;
    Ok(if gap.is_none() { Exit::Done } else { Exit::Findings })
}

fn from(reader: &Reader, first: Sequence) -> Result<Records, Failure> {
    if first > reader.last_sequence() {
        return Ok(reader.last(0)?);
    }
    Ok(reader.records_from(first)?)
}

/// Prints records; over gaps where that is wanted. Gives where the last gap begins that it told.
pub(crate) fn print_all(
    mut records: Records,
    over_gaps: bool,
    limit: u64,
    context: &mut Context,
) -> Result<Option<Sequence>, Failure> {
    let (mut last_gap, mut left) = (None, limit);
    if !over_gaps {
        while left > 0
            && let Some(record) = records.next_ref()
        {
            match record {
                Ok(record) => print(&record, context)?,
                Err(error) => {
                    context.output.flush()?;
                    return Err(error.into());
                }
            }
            left -= 1;
        }
        return Ok(None);
    }
    let mut items = records.with_gaps();
    while left > 0
        && let Some(item) = items.next_ref()
    {
        match item? {
            ItemRef::Record(record) => {
                print(&record, context)?;
                left -= 1;
            }
            ItemRef::Gap(gap) => {
                last_gap = Some(gap.first);
                if context.json {
                    context.output.json(&json::gap(&gap))?;
                } else {
                    let what = "record(s) are missing from";
                    context.note(&format!("{} {what} {} on", gap.records, gap.first));
                }
            }
        }
    }
    Ok(last_gap)
}

/// Prints a record.
pub(crate) fn print(record: &RecordRef<'_>, context: &mut Context) -> Result<(), Failure> {
    if context.stop.is_requested() {
        return Err(Failure::Interrupted);
    }
    if context.json {
        context.output.json(&json::record(record))?;
    } else {
        context.output.write_all(record.payload)?;
        context.output.write_all(b"\n")?;
    }
    Ok(())
}
