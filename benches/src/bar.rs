//! The bar: what was measured, what it stands beside, and whether that is good enough.

use std::fmt;

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many times the limit.
    Ratio,
    /// Microseconds.
    Micros,
    /// Mebibytes.
    Mebibytes,
}

impl Unit {
    /// A value with its unit.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2} x"),
            Self::Micros => micros(value),
            Self::Mebibytes => format!("{value:.1} MiB"),
        }
    }
}

/// A time in the unit that suits it.
pub(crate) fn micros(value: f64) -> String {
    match value {
        value if value.abs() >= 1e6 => format!("{:.2} s", value / 1e6),
        value if value.abs() >= 1e3 => format!("{:.2} ms", value / 1e3),
        value => format!("{value:.2} µs"),
    }
}

/// Operations a second.
pub(crate) fn rate(value: f64) -> String {
    format!("{value:.0} /s")
}

/// Bytes a second.
pub(crate) fn speed(value: f64) -> String {
    match value {
        value if value >= 1e9 => format!("{:.2} GB/s", value / 1e9),
        value if value >= 1e7 => format!("{:.0} MB/s", value / 1e6),
        value => format!("{:.2} MB/s", value / 1e6),
    }
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

impl Bar {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }

    fn text(self, unit: Unit) -> String {
        match self {
            Self::AtMost(value) => format!("at most {}", short(&unit.text(value))),
            Self::AtLeast(value) => format!("at least {}", short(&unit.text(value))),
        }
    }
}

/// Without zeros that say nothing: `20.00 x` is `20 x`.
fn short(text: &str) -> String {
    let Some((number, unit)) = text.split_once(' ') else { return text.to_owned() };
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number} {unit}")
}

/// What came of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bar is met.
    Pass,
    /// It is not.
    FallsShort,
    /// There is no bar: for information.
    Told,
    /// It could not be measured, and why.
    NotMeasured(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => write!(f, "pass"),
            Self::FallsShort => write!(f, "FALLS SHORT"),
            Self::Told => Ok(()),
            Self::NotMeasured(why) => write!(f, "NOT MEASURED: {why}"),
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// What was measured.
    pub this: String,
    /// What it stands beside, of the same run.
    pub limit: String,
    /// The figure that is judged.
    pub figure: String,
    /// What it must be.
    pub bar: String,
    /// Whether it is.
    pub verdict: Verdict,
    /// It is one of those that the README shows.
    pub for_users: bool,
}

impl Row {
    /// A figure that is judged.
    pub(crate) fn judged(
        work: &str,
        this: &str,
        limit: &str,
        figure: f64,
        unit: Unit,
        bar: Bar,
    ) -> Self {
        let verdict = match figure {
            figure if figure.is_nan() => Verdict::NotMeasured("no figure".to_owned()),
            figure if bar.holds(figure) => Verdict::Pass,
            _ => Verdict::FallsShort,
        };
        Self { bar: bar.text(unit), verdict, ..Self::told(work, this, limit, &unit.text(figure)) }
    }

    /// A figure without a bar.
    pub(crate) fn told(work: &str, this: &str, limit: &str, figure: &str) -> Self {
        Self {
            work: work.to_owned(),
            this: this.to_owned(),
            limit: limit.to_owned(),
            figure: figure.to_owned(),
            bar: String::new(),
            verdict: Verdict::Told,
            for_users: false,
        }
    }

    /// What could not be measured.
    pub(crate) fn unmeasured(work: &str, why: &str) -> Self {
        let verdict = Verdict::NotMeasured(why.replace('|', "/"));
        Self { verdict, ..Self::told(work, "", "", "") }
    }

    /// Shown on the README.
    pub(crate) fn for_users(mut self) -> Self {
        self.for_users = true;
        self
    }

    /// Whether it has a bar.
    pub fn is_judged(&self) -> bool {
        self.verdict != Verdict::Told
    }
}

/// A table in Markdown.
#[derive(Clone, Debug)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these columns.
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|name| (*name).to_owned()).collect()])
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..self.0[0].len()).filter_map(width).collect();
        for (number, row) in self.0.iter().enumerate() {
            let cell = |(text, width): (&String, &usize)| format!(" {text:<width$} |");
            writeln!(f, "|{}", row.iter().zip(&widths).map(cell).collect::<String>())?;
            if number == 0 {
                let rule = |width: &usize| format!("{}|", "-".repeat(width + 2));
                writeln!(f, "|{}", widths.iter().map(rule).collect::<String>())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(figure: f64, bar: Bar) -> Verdict {
        Row::judged("work", "", "", figure, Unit::Ratio, bar).verdict
    }

    #[test]
    fn a_figure_passes_up_to_its_bar_and_not_beyond() {
        assert_eq!(verdict(1.35, Bar::AtMost(1.35)), Verdict::Pass);
        assert_eq!(verdict(1.36, Bar::AtMost(1.35)), Verdict::FallsShort);
        assert_eq!(verdict(8.0, Bar::AtLeast(8.0)), Verdict::Pass);
        assert_eq!(verdict(7.99, Bar::AtLeast(8.0)), Verdict::FallsShort);
        assert!(matches!(verdict(f64::NAN, Bar::AtMost(1.0)), Verdict::NotMeasured(_)));
    }

    #[test]
    fn units_are_those_that_one_reads_at_a_glance() {
        assert_eq!(micros(0.5), "0.50 µs");
        assert_eq!(micros(1500.0), "1.50 ms");
        assert_eq!(micros(-2e6), "-2.00 s");
        assert_eq!(speed(2.5e9), "2.50 GB/s");
        assert_eq!(speed(4.6e5), "0.46 MB/s");
        assert_eq!(Bar::AtLeast(20.0).text(Unit::Ratio), "at least 20 x");
        assert_eq!(Bar::AtMost(1.35).text(Unit::Ratio), "at most 1.35 x");
        assert_eq!(Bar::AtMost(500.0).text(Unit::Micros), "at most 500 µs");
    }

    #[test]
    fn a_table_is_as_wide_as_what_is_in_it() {
        let mut table = Table::new(&["a", "long"]);
        table.push(vec!["wide".to_owned(), "µ".to_owned()]);
        assert_eq!(table.to_string(), "| a    | long |\n|------|------|\n| wide | µ    |\n");
    }
}
