//! The committed counts, and what is more than they allow.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// So much more than in the baseline is a failure.
const GROWTH_MAX: f64 = 0.05;
/// So much is noise: where memory happens to lie.
const MOVED: f64 = 0.01;
/// System calls and allocations are whole numbers over thousands of operations.
const WHOLE: f64 = 0.011;

/// What one operation costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) instructions: f64,
    pub(crate) system_calls: f64,
    pub(crate) allocations: f64,
}

impl Counts {
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { instructions, system_calls, allocations } = self;
        format!("{name:<24} {instructions:>14.1} {system_calls:>12.2} {allocations:>12.2}")
    }

    /// What grew beyond what is allowed.
    fn grew(&self, before: &Self) -> Option<String> {
        let more = |now: f64, before: f64| now > before * (1.0 + GROWTH_MAX) + WHOLE;
        let pairs = [
            ("instructions", self.instructions, before.instructions),
            ("system calls", self.system_calls, before.system_calls),
            ("allocations", self.allocations, before.allocations),
        ];
        let (what, now, before) = pairs.into_iter().find(|(_, now, before)| more(*now, *before))?;
        Some(format!("{what} grew from {before:.2} to {now:.2}"))
    }

    fn moved(&self, before: &Self) -> bool {
        let far = |now: f64, before: f64| (now - before).abs() > before * MOVED + WHOLE;
        far(self.instructions, before.instructions)
            || far(self.system_calls, before.system_calls)
            || far(self.allocations, before.allocations)
    }
}

/// A line of the baseline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    name: String,
    counts: Counts,
    why: String,
}

impl Line {
    pub(crate) const HEAD: &str =
        "case                       instructions system calls  allocations";

    fn parse(line: &str) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let (word, behind) = rest.trim_start().split_once(' ')?;
            rest = behind;
            Some(word)
        };
        let name = word()?.to_owned();
        let instructions = word()?.parse().ok()?;
        let system_calls = word()?.parse().ok()?;
        let allocations = word()?.parse().ok()?;
        let why = rest.trim().to_owned();
        let counts = Counts { instructions, system_calls, allocations };
        (!why.is_empty()).then_some(Self { name, counts, why })
    }
}

/// What is to be said of a case.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Kept,
    /// Far below: the baseline should follow, or what was won can be lost again unseen.
    Fell,
    New,
    Grew(String),
}

impl Verdict {
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::New | Self::Grew(_))
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Kept => String::new(),
            Self::Fell => " fell: the baseline should follow".to_owned(),
            Self::New => " NOT IN THE BASELINE".to_owned(),
            Self::Grew(what) => format!(" FAILED: {what}"),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Baseline {
    /// What stands before the table.
    preface: String,
    lines: Vec<Line>,
}

impl Baseline {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|line| {
            format!("{}: no name, three numbers and a reason: {line}", path.display())
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self::default();
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                let _ = writeln!(baseline.preface, "{line}");
            } else {
                baseline.lines.push(Line::parse(line).ok_or(line)?);
            }
        }
        Ok(baseline)
    }

    fn text(&self) -> String {
        let mut text = self.preface.clone();
        for Line { name, counts, why } in &self.lines {
            let _ = writeln!(text, "{}  {why}", counts.line(name));
        }
        text
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, self.text()).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn of(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    pub(crate) fn judge(&self, name: &str, counts: &Counts) -> Verdict {
        let Some(Line { counts: before, .. }) = self.of(name) else { return Verdict::New };
        match counts.grew(before) {
            Some(what) => Verdict::Grew(what),
            None if before.grew(counts).is_some() => Verdict::Fell,
            None => Verdict::Kept,
        }
    }

    /// Takes what moved, for a reason.
    pub(crate) fn set(&mut self, name: &str, counts: Counts, why: &str) {
        let line = Line { name: name.to_owned(), counts, why: why.trim().to_owned() };
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(before) if counts.moved(&before.counts) => *before = line,
            Some(_) => {}
            None => self.lines.push(line),
        }
    }

    /// Cases that may cost more than in an earlier baseline, and whose reason is still the one that
    /// stood there.
    pub(crate) fn grown_without_reason(&self, before: &Self) -> Vec<String> {
        let grew = |line: &&Line| {
            before
                .of(&line.name)
                .is_some_and(|old| line.counts.grew(&old.counts).is_some() && line.why == old.why)
        };
        self.lines.iter().filter(grew).map(|line| line.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# what it is\nappend  1000.0 2.00 0.00  measured first\n";

    fn counts(instructions: f64, system_calls: f64, allocations: f64) -> Counts {
        Counts { instructions, system_calls, allocations }
    }

    fn baseline() -> Baseline {
        Baseline::parse(TEXT).unwrap()
    }

    #[test]
    fn growth_beyond_five_percent_fails_and_less_does_not() {
        let judge = |counts| baseline().judge("append", &counts);
        assert_eq!(judge(counts(1049.0, 2.0, 0.0)), Verdict::Kept);
        assert!(judge(counts(1051.0, 2.0, 0.0)).is_failure());
        assert!(judge(counts(1000.0, 3.0, 0.0)).is_failure());
        assert!(judge(counts(1000.0, 2.0, 1.0)).is_failure());
        assert_eq!(judge(counts(900.0, 2.0, 0.0)), Verdict::Fell);
        assert!(baseline().judge("other", &counts(1.0, 0.0, 0.0)).is_failure());
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        assert!(Baseline::parse("append 1000.0 2.00 0.00 \n").is_err());
        assert!(Baseline::parse("append 1000.0 2.00 why\n").is_err());
    }

    #[test]
    fn what_moved_is_set_with_its_reason_and_read_again() {
        let mut baseline = baseline();
        baseline.set("append", counts(1005.0, 2.0, 0.0), "noise");
        baseline.set("scan", counts(7.5, 0.0, 1.25), "new");
        assert_eq!(baseline.of("append").unwrap().why, "measured first");
        baseline.set("append", counts(1200.0, 3.0, 0.0), "asks for the position");
        let again = Baseline::parse(&baseline.text()).unwrap();
        assert_eq!(again.lines, baseline.lines);
        assert_eq!(again.of("append").unwrap().why, "asks for the position");
        assert!(again.text().starts_with("# what it is\n"));
    }

    #[test]
    fn a_baseline_that_grew_needs_a_new_reason() {
        let before = baseline();
        let mut now = baseline();
        now.set("append", counts(1200.0, 2.0, 0.0), "measured first");
        assert_eq!(now.grown_without_reason(&before), ["append"]);
        now.set("append", counts(1300.0, 2.0, 0.0), "two checksums");
        assert!(now.grown_without_reason(&before).is_empty());
    }
}
