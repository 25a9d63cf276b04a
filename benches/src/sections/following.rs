//! How long a record takes from its append to a follower in another process.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use session_journal::{Durability, Follower, Journal, NewRecord, Reader};

use super::Run;
use crate::Result;
use crate::bar::{Row, micros};
use crate::child::{Child, say};
use crate::engine::{name, options};
use crate::machine::folder;
use crate::times::Times;

/// A record that does not come within this does not come.
const AT_MOST: Duration = Duration::from_secs(30);

pub(super) fn following(run: &mut Run<'_>) -> Result<()> {
    let folder = folder()?;
    let path = folder.path().join("followed.journal");
    let mut journal = Journal::create(&path, &name(0)?, &options(Durability::Written))?;
    let mut child = Child::start("follow", &path, &run.scale.followed.to_string())?;
    child.line()?;
    let mut times = Times::default();
    for _ in 0..run.scale.followed {
        journal.append(&NewRecord::new(now()?.to_le_bytes().to_vec()))?;
        times.push(Duration::from_nanos(child.line()?.parse()?));
    }
    child.end()?;
    let work = "follow in another process, from before the append to the record";
    let [p50, p99] = [0.5, 0.99].map(|share| micros(times.quantile(share)));
    let this = format!("p50 {p50}, p99 {p99}");
    run.row(work, Ok(Row::told(work, &this, "", "")));
    Ok(())
}

/// Nanoseconds of the clock that all processes share.
fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::Monotonic);
    Ok(u64::try_from(now.tv_sec)? * 1_000_000_000 + u64::try_from(now.tv_nsec)?)
}

/// A child: follows a journal whose records tell when they were appended, and says how long ago that is.
pub(super) fn follow(path: &Path, count: &str) -> Result<()> {
    let reader = Reader::open(path)?;
    let mark = reader.mark();
    let mut follower = Follower::new(reader, mark)?;
    // Asked once, it watches the file from now on.
    follower.next_timeout(Duration::ZERO)?;
    say("ready")?;
    for _ in 0..count.parse::<u64>()? {
        let record = follower.next_timeout(AT_MOST)?.ok_or("no record came")?;
        let appended = u64::from_le_bytes(record.payload.as_ref().try_into()?);
        say(now()?.saturating_sub(appended))?;
    }
    Ok(())
}
