//! The burst that a user reports: 1,770 records and 2.31 MiB a second from 50 producers, 8 of them on
//! one session and each of the others on its own.

use std::time::Duration;

use session_journal::Durability::{Durable, Written};
use session_journal::Session;

use super::Run;
use super::appending::open_sessions;
use crate::Result;
use crate::bar::{Row, micros, rate};
use crate::drive::on_schedule;
use crate::machine::folder;
use crate::workload::payload;

const RATE: f64 = 1770.0;
const PRODUCERS: usize = 50;
const ON_ONE: usize = 8;
/// 2.31 MiB a second.
const BYTES: usize = 1368;

pub(super) fn burst(run: &mut Run<'_>) -> Result<()> {
    for (text, durability) in [("Durable", Durable), ("Written", Written)] {
        let work = format!(
            "burst: 1,770 records/s from 50 producers for {:.0?}, `{text}`",
            run.scale.burst
        );
        let folder = folder()?;
        let sessions = open_sessions(folder.path(), durability, 1 + PRODUCERS - ON_ONE)?;
        let of_producer = |producer: usize| sessions[(producer + 1).saturating_sub(ON_ONE)].clone();
        let producers: Vec<Session> = (0..PRODUCERS).map(of_producer).collect();
        let burst: Duration = run.scale.burst;
        let row = on_schedule(&run.runtime, &producers, RATE, &payload(BYTES), burst).map(
            |(sample, longest)| {
                let answered = format!("{} answered", rate(sample.rate));
                let times = [sample.p50, sample.p99, longest].map(micros).join(" / ");
                Row::told(&work, &format!("p50 / p99 / longest {times}"), &answered, "")
            },
        );
        run.row(&work, row);
    }
    Ok(())
}
