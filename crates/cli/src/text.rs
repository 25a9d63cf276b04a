//! Words for people: times, sizes, tables, and names that do a terminal no harm.

use session_journal::Owner;

/// Text without control characters, which could rule a terminal: they are written out.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// A time in UTC, to the second.
pub(crate) fn time(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) if ms != 0 => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        _ => "-".to_owned(),
    }
}

/// A size, with three digits that matter.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of a unit: whole numbers do.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A count and its noun.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// An owner in a few words.
pub(crate) fn owner(owner: Option<&Owner>) -> String {
    owner.map_or_else(|| "-".to_owned(), |owner| printable(&owner.to_string()))
}

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Lines of an aligned table, its head first.
pub(crate) fn table<const N: usize>(head: [(&str, Align); N], rows: &[[String; N]]) -> Vec<String> {
    let mut widths = head.map(|(title, _)| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(head) {
            let cell = match align {
                Align::Left => format!("{cell:<width$}  "),
                Align::Right => format!("{cell:>width$}  "),
            };
            line.push_str(&cell);
        }
        line.truncate(line.trim_end().len());
        line
    };
    let head = line(head.map(|(title, _)| title));
    std::iter::once(head)
        .chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str))))
        .collect()
}

/// Lines of names and values.
pub(crate) fn facts(facts: &[(&str, String)]) -> Vec<String> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    facts.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_out_control_characters() {
        assert_eq!(printable("a\x1b[31m\nü"), "a\\u{1b}[31m\\nü");
    }

    #[test]
    fn tells_times_and_sizes() {
        assert_eq!(time(1_779_354_000_274), "2026-05-21 09:00:00Z");
        assert_eq!((time(0), time(i64::MAX)), ("-".to_owned(), "-".to_owned()));
        assert_eq!((size(1023).as_str(), size(1024).as_str()), ("1023 B", "1.0 KiB"));
        assert_eq!((size(5_243_750).as_str(), size(u64::MAX).as_str()), ("5.0 MiB", "15.9 EiB"));
    }

    #[test]
    fn aligns_tables() {
        let rows = [["a".to_owned(), "10".to_owned()], ["long".to_owned(), "9".to_owned()]];
        let lines = table([("N", Align::Left), ("COUNT", Align::Right)], &rows);
        assert_eq!(lines, ["N     COUNT", "a        10", "long      9"]);
    }
}
