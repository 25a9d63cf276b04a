//! What is measured, in the order of the bar.
#![allow(clippy::unnecessary_wraps, reason = "every section answers alike")]

mod appending;
mod beside;
mod bursting;
mod durable;
mod following;
mod importing;
mod listing;
mod reading;
mod scanning;
mod space;
mod taking;

use std::path::Path;

use tokio::runtime::Runtime;

use crate::bar::Row;
use crate::candidate::{Candidate, Role};
use crate::data::Data;
use crate::drive::runtime;
use crate::history::History;
use crate::machine::Machine;
use crate::race::Race;
use crate::report::{Report, Series};
use crate::scale::Scale;
use crate::{Result, engine, raw};

/// What a section needs.
struct Run<'a> {
    scale: &'a Scale,
    seed: u64,
    random: fastrand::Rng,
    /// The limits, the engine, and the other logs.
    candidates: Vec<Candidate>,
    /// Other stores, to read histories of.
    histories: Vec<History>,
    data: Data,
    runtime: Runtime,
    rows: Vec<Row>,
    races: Vec<Race>,
    series: Vec<Series>,
}

impl Run<'_> {
    /// The names of those that stand for this and took part.
    fn names(&self, role: Role, race: &Race) -> Vec<&'static str> {
        let of_role = self.candidates.iter().filter(|candidate| candidate.role == role);
        of_role.map(|candidate| candidate.name).filter(|name| race.has(name)).collect()
    }

    /// Adds a row, or that it could not be measured.
    fn row(&mut self, work: &str, row: Result<Row>) {
        self.rows.push(row.unwrap_or_else(|error| Row::unmeasured(work, &error.to_string())));
    }

    /// Keeps a race for the details. What a candidate failed at is a row, for the run is not whole then.
    fn keep(&mut self, race: Race) {
        for entry in &race.entries {
            if let Some(why) = &entry.failed {
                let work = format!("{}: {}", race.title, entry.name);
                self.rows.push(Row::unmeasured(&work, why));
            }
        }
        self.races.push(race);
    }
}

type Section = fn(&mut Run<'_>) -> Result<()>;

const ALL: [(&str, Section); 16] = [
    ("written", appending::written),
    ("pipelined", appending::pipelined),
    ("large", appending::large),
    ("durable", durable::alone),
    ("group", durable::group),
    ("parallel", durable::parallel),
    ("opening", reading::opening),
    ("looking-up", reading::looking_up),
    ("scanning", scanning::scanning),
    ("beside", beside::beside),
    ("listing", listing::listing),
    ("takeover", taking::takeover),
    ("space", space::space),
    ("sessions", appending::sessions),
    ("following", following::following),
    ("rest", rest),
];

/// The names of the sections, in order.
pub const SECTIONS: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut n = 0;
    while n < ALL.len() {
        names[n] = ALL[n].0;
        n += 1;
    }
    names
};

/// What has no bar and belongs to the whole picture.
fn rest(run: &mut Run<'_>) -> Result<()> {
    appending::mix(run)?;
    importing::importing(run)?;
    bursting::burst(run)
}

/// Measures these sections, all of them where none is named, and tells which one is next.
pub fn measure(
    scale: &Scale,
    seed: u64,
    (others, histories): (Vec<Candidate>, Vec<History>),
    only: &[String],
    next: &mut dyn FnMut(&str),
) -> Result<Report> {
    let machine = Machine::this()?;
    let mut candidates = raw::candidates();
    candidates.extend(engine::candidates());
    candidates.extend(others);
    let mut run = Run {
        scale,
        seed,
        random: fastrand::Rng::with_seed(seed),
        candidates,
        histories,
        data: Data::new()?,
        runtime: runtime()?,
        rows: Vec::new(),
        races: Vec::new(),
        series: Vec::new(),
    };
    for (name, section) in ALL {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            next(name);
            if let Err(error) = section(&mut run) {
                run.rows.push(Row::unmeasured(&format!("section {name}"), &error.to_string()));
            }
        }
    }
    let Run { rows, races, series, .. } = run;
    Ok(Report { machine, seed, rows, races, series })
}

/// What a child does.
pub(crate) fn child(what: &str, path: &Path, argument: &str) -> Result<()> {
    match what {
        "own" => taking::own(path, argument),
        "follow" => following::follow(path, argument),
        "list" => listing::list(path, argument),
        "memory" => space::memory_of(path, argument),
        what => Err(format!("no child does {what:?}").into()),
    }
}
