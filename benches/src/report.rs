//! What is printed and kept: the bar, the details behind it, plots.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::bar::{Row, Table, Verdict, micros, rate, speed};
use crate::machine::Machine;
use crate::plot::{Mark, bars};
use crate::race::{BYTES, Entry, P50, P99, RATE, Race};

/// A figure that grows, or not, with a size.
#[derive(Clone, Debug)]
pub struct Series {
    /// What was measured.
    pub title: String,
    /// Each size, and microseconds.
    pub points: Vec<(String, f64)>,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What decided the order of the candidates.
    pub seed: u64,
    /// The bar, and what is told beside it.
    pub rows: Vec<Row>,
    /// Every race behind it.
    pub races: Vec<Race>,
    /// What grows with a size.
    pub series: Vec<Series>,
}

impl Report {
    /// Whether everything was measured.
    pub fn is_whole(&self) -> bool {
        !self.rows.iter().any(|row| matches!(row.verdict, Verdict::NotMeasured(_)))
    }

    fn count(&self, verdict: &Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == *verdict).count()
    }

    /// How many bars are met.
    pub fn summary(&self) -> String {
        let judged = self.rows.iter().filter(|row| row.is_judged()).count();
        let (passed, short) = (self.count(&Verdict::Pass), self.count(&Verdict::FallsShort));
        let missing = judged - passed - short;
        format!("{passed} of {judged} bars are met, {short} fall short, {missing} not measured")
    }

    /// The table of the bar.
    pub fn bar(&self) -> Table {
        table(self.rows.iter())
    }

    /// The rows that matter to a user.
    pub fn for_users(&self) -> Table {
        table(self.rows.iter().filter(|row| row.for_users))
    }

    fn subtitle(&self) -> String {
        format!("{}; the scale multiplies", self.machine.line())
    }

    /// Writes the report and its plots into a folder. Text that says how it was made stands above it.
    pub fn write(&self, folder: &Path, heading: &str) -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut text = format!("{heading}\n{}.\n\n{}\n", self.summary(), self.bar());
        text.push_str("## Behind it\n\n");
        for race in &self.races {
            let file = file_of(&race.title);
            let _ = writeln!(text, "### {}\n\n{}", race.title, details(race));
            let marks = marks(race);
            if marks.len() > 1 {
                let _ = writeln!(text, "![{}]({file})\n", race.title);
                fs::write(folder.join(file), bars(&race.title, &self.subtitle(), &marks))?;
            }
        }
        for series in &self.series {
            let file = file_of(&series.title);
            let _ = writeln!(text, "### {}\n\n![{}]({file})\n", series.title, series.title);
            let mark = |(name, value): &(String, f64)| Mark {
                name: name.clone(),
                value: *value,
                text: micros(*value),
                is_engine: true,
            };
            let marks: Vec<Mark> = series.points.iter().map(mark).collect();
            fs::write(folder.join(file), bars(&series.title, &self.subtitle(), &marks))?;
        }
        fs::write(folder.join("README.md"), text.trim_end().to_owned() + "\n")?;
        Ok(())
    }
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> Table {
    let mut table = Table::new(&["work", "measured", "beside it", "figure", "bar", "verdict"]);
    for row in rows {
        let Row { work, this, limit, figure, bar, verdict, .. } = row.clone();
        table.push(vec![work, this, limit, figure, bar, verdict.to_string()]);
    }
    table
}

/// The file of a plot: its title in small letters and dashes.
fn file_of(title: &str) -> String {
    let letters = title.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), " ");
    letters.split_whitespace().collect::<Vec<_>>().join("-") + ".svg"
}

fn known(value: f64, text: impl Fn(f64) -> String) -> String {
    if value.is_nan() { "–".to_owned() } else { text(value) }
}

fn details(race: &Race) -> Table {
    let mut table =
        Table::new(&["candidate", "p50", "p99", "rate", "bytes", "beside the first", ""]);
    let first = race.entries.iter().find(|entry| entry.failed.is_none());
    for entry in &race.entries {
        if let Some(why) = &entry.failed {
            let why = format!("failed: {}", why.replace('|', "/"));
            let empty = String::new;
            table.push(vec![entry.name.clone(), empty(), empty(), empty(), empty(), empty(), why]);
            continue;
        }
        let beside = first.and_then(|first| race.ratio(&entry.name, &first.name, RATE).ok());
        let bytes = entry.median(BYTES);
        table.push(vec![
            entry.name.clone(),
            known(entry.median(P50), micros),
            known(entry.median(P99), micros),
            known(entry.median(RATE), rate),
            if bytes > 0.0 { speed(bytes) } else { String::new() },
            beside.map_or_else(String::new, |ratio| format!("{ratio:.2} x the rate")),
            entry.told.clone(),
        ]);
    }
    table
}

/// A limit of the machine, by its name.
fn is_bare(name: &str) -> bool {
    name.starts_with("bare") || name.starts_with('`') || name.starts_with("one `")
}

/// Half of the times where there are any, else rates.
fn marks(race: &Race) -> Vec<Mark> {
    let measured = || race.entries.iter().filter(|entry| entry.failed.is_none());
    let times = measured().all(|entry| !entry.median(P50).is_nan());
    let of_engine = |entry: &&Entry| entry.name.starts_with("session-journal");
    let is_named = measured().any(|entry| of_engine(&entry));
    let mark = |entry: &Entry| {
        let value = entry.median(if times { P50 } else { RATE });
        Mark {
            name: entry.name.clone(),
            value,
            text: if times { micros(value) } else { rate(value) },
            is_engine: if is_named { of_engine(&entry) } else { !is_bare(&entry.name) },
        }
    };
    let mut marks: Vec<Mark> = measured().map(mark).collect();
    // The best first.
    marks.sort_by(|a, b| a.value.total_cmp(&b.value));
    if !times {
        marks.reverse();
    }
    marks
}
