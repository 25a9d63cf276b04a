//! A table in Markdown, to be pasted where figures are shown.

/// What is printed at the end.
#[derive(Debug)]
pub struct Table {
    rows: Vec<[String; 4]>,
}

impl Default for Table {
    fn default() -> Self {
        let head = ["what", "this", "limit", "ratio"].map(str::to_owned);
        Self { rows: vec![head] }
    }
}

impl Table {
    /// A figure beside the limit of the machine.
    pub fn beside(&mut self, what: &str, this: String, limit: String, ratio: f64) {
        self.rows.push([what.to_owned(), this, limit, format!("{ratio:.2}")]);
    }

    /// A figure on its own.
    pub fn alone(&mut self, what: &str, this: String) {
        self.rows.push([what.to_owned(), this, String::new(), String::new()]);
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        let line = |row: &[String; 4]| {
            let cell = |(text, width): (&String, usize)| format!(" {text:<width$} |");
            let cells: String = row.iter().zip(widths).map(cell).collect();
            format!("|{cells}\n")
        };
        let rule = widths.map(|width| "-".repeat(width + 2)).join("|");
        let (head, rows) = self.rows.split_first().expect("the head is always there");
        let rows: String = rows.iter().map(line).collect();
        format!("{}|{rule}|\n{rows}", line(head))
    }
}
