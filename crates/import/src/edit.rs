//! Changing fields of a line and nothing else of it: what JSON can spell and a parser would not give
//! back, as lone surrogates and long numbers, stays as it is.

use std::fmt::Write;
use std::ops::Range;

use crate::object::Object;

/// Changes to one line that is a JSON object.
pub(crate) struct Edit<'a> {
    line: &'a [u8],
    changes: Vec<(Range<usize>, String)>,
    added: String,
}

impl<'a> Edit<'a> {
    pub(crate) fn of(line: &'a [u8]) -> Self {
        Self { line, changes: Vec::new(), added: String::new() }
    }

    /// Puts a text in the place of a value that is a part of the line.
    pub(crate) fn replace(&mut self, value: Option<&str>, text: &str) {
        let Some(value) = value else { return };
        let begin = (value.as_ptr() as usize).wrapping_sub(self.line.as_ptr() as usize);
        let place = begin..begin.saturating_add(value.len());
        if self.line.get(place.clone()) == Some(value.as_bytes()) {
            self.changes.push((place, text.to_owned()));
        }
    }

    /// Adds a field at the end.
    pub(crate) fn add(&mut self, name: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.added, ",\"{name}\":{text}");
    }

    /// Gives a field of the object, which is the line, a value.
    pub(crate) fn set(&mut self, object: &Object<'_>, name: &str, text: &str) {
        match object.raw(name) {
            Some(value) => self.replace(Some(value), text),
            None => self.add(name, text),
        }
    }

    /// The line as it is then.
    pub(crate) fn done(mut self) -> Vec<u8> {
        self.changes.sort_by_key(|(place, _)| place.start);
        let mut line = Vec::with_capacity(self.line.len() + self.added.len());
        let mut at = 0;
        for (place, text) in &self.changes {
            line.extend_from_slice(&self.line[at..place.start]);
            line.extend_from_slice(text.as_bytes());
            at = place.end;
        }
        line.extend_from_slice(&self.line[at..]);
        if let Some(end) = line.iter().rposition(|byte| *byte == b'}') {
            let rest = line.split_off(end);
            let is_empty = line.trim_ascii_end().ends_with(b"{");
            let added = self.added.as_bytes();
            let first_comma = if is_empty { b"," } else { &b""[..] };
            line.extend_from_slice(added.strip_prefix(first_comma).unwrap_or(added));
            line.extend_from_slice(&rest);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(line: &str, edit: impl FnOnce(&mut Edit<'_>, &Object<'_>)) -> String {
        let object = Object::parse(line.as_bytes()).expect("an object");
        let mut all = Edit::of(line.as_bytes());
        edit(&mut all, &object);
        String::from_utf8(all.done()).expect("text")
    }

    #[test]
    fn changes_nothing_but_what_is_named() {
        let line = r#"{"id" : "a", "x":"\ud800", "n":1.0e2,"m":{"role":"hook"}}"#;
        let new = edited(line, |edit, object| {
            edit.set(object, "parent", "null");
            edit.set(object, "id", "7");
            let message = object.object("m").expect("an object");
            edit.replace(message.raw("role"), "\"custom\"");
        });
        let expected = r#"{"id" : 7, "x":"\ud800", "n":1.0e2,"m":{"role":"custom"},"parent":null}"#;
        assert_eq!(new, expected);
        assert_eq!(edited("{ }", |edit, _| edit.add("a", "1")), "{ \"a\":1}");
        assert_eq!(edited("{}", |_, _| {}), "{}");
    }

    #[test]
    fn a_value_of_another_line_changes_nothing() {
        let mut edit = Edit::of(b"{\"a\":1}");
        edit.replace(Some("1"), "2");
        assert_eq!(edit.done(), b"{\"a\":1}");
    }
}
