//! What is worth knowing about the lines of a source, in a few sentences however many there are.

/// How many lines a sentence names.
const NAMED_MAX: usize = 8;

/// Remarks about lines, collected by what they say.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    remarks: Vec<Remark>,
}

#[derive(Debug)]
struct Remark {
    text: &'static str,
    lines: Vec<u64>,
    more: u64,
}

impl Notes {
    /// Says this about a line.
    pub(crate) fn add(&mut self, text: &'static str, line: u64) {
        let at = self.remarks.iter().position(|remark| remark.text == text);
        let at = at.unwrap_or_else(|| {
            self.remarks.push(Remark { text, lines: Vec::new(), more: 0 });
            self.remarks.len() - 1
        });
        let remark = &mut self.remarks[at];
        if remark.lines.len() < NAMED_MAX {
            remark.lines.push(line);
        } else {
            remark.more += 1;
        }
    }

    /// A sentence for each remark.
    pub(crate) fn sentences(&self) -> impl Iterator<Item = String> {
        self.remarks.iter().map(Remark::sentence)
    }
}

impl Remark {
    fn sentence(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(u64::to_string).collect();
        let (noun, lines) = (if lines.len() == 1 { "line" } else { "lines" }, lines.join(", "));
        match self.more {
            0 => format!("{noun} {lines}: {}", self.text),
            more => format!("{noun} {lines} and {more} more: {}", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_counts() {
        let mut notes = Notes::default();
        notes.add("odd", 3);
        (1..=10).for_each(|line| notes.add("not JSON", line));
        let sentences: Vec<_> = notes.sentences().collect();
        assert_eq!(sentences, ["line 3: odd", "lines 1, 2, 3, 4, 5, 6, 7, 8 and 2 more: not JSON"]);
    }
}
