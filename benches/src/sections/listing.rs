//! Listing a store, on one core.

use std::path::Path;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use session_journal::{Store, StoreOptions};

use super::Run;
use crate::Result;
use crate::bar::{Bar, Row, Unit, micros};
use crate::child::{Child, say, wait_for_the_end};
use crate::report::Series;
use crate::times::{median, seconds};

const ROUNDS: usize = 7;

pub(super) fn listing(run: &mut Run<'_>) -> Result<()> {
    let most = run.scale.lists.last().copied();
    let mut points = Vec::new();
    for sessions in run.scale.lists.clone() {
        let work = format!("list {sessions} sessions, warm, one core");
        let store = run.data.store(sessions)?;
        let row = times_of_child(&store, sessions).map(|micros_of| {
            let this = median(&micros_of);
            points.push((sessions.to_string(), this));
            if Some(sessions) == most {
                let bar = Bar::AtMost(150_000.0);
                Row::judged(&work, &micros(this), "", this, Unit::Micros, bar).for_users()
            } else {
                Row::told(&work, &micros(this), "", "")
            }
        });
        run.row(&work, row);
    }
    run.series.push(Series { title: "List sessions, by their number".to_owned(), points });
    Ok(())
}

fn times_of_child(store: &Path, sessions: usize) -> Result<Vec<f64>> {
    let mut child = Child::start("list", store, &sessions.to_string())?;
    let times = (0..ROUNDS).map(|_| child.number()).collect();
    child.end()?;
    times
}

/// A child: lists a store on one core, again and again, and says how many microseconds it took.
pub(super) fn list(store: &Path, sessions: &str) -> Result<()> {
    let sessions: usize = sessions.parse()?;
    keep_to_one_core()?;
    let store = Store::open(store, StoreOptions::default())?;
    // Once before, so that it is warm.
    store.list()?;
    for _ in 0..ROUNDS {
        let time = seconds(|| match store.list()?.len() {
            found if found == sessions => Ok(()),
            found => Err::<_, crate::Error>(format!("{found} of {sessions} sessions").into()),
        })?;
        say(time * 1e6)?;
    }
    wait_for_the_end()
}

/// The first core that this process may use.
fn keep_to_one_core() -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).ok_or("no core")?;
    let mut one = CpuSet::new();
    one.set(core);
    Ok(sched_setaffinity(None, &one)?)
}
