//! The top level of one JSON object: enough to index a line, without judging what is inside it.
//!
//! Values are kept as raw text. So a number of any size, a lone surrogate, a repeated key or any
//! depth of nesting is no reason to take a line for something else than the object it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a line that is a JSON object.
#[derive(Debug)]
pub struct Object<'a> {
    fields: Vec<(Name<'a>, &'a RawValue)>,
}

/// A field name; bytes, for JSON can spell names that are not Unicode.
#[derive(Debug)]
struct Name<'a>(Cow<'a, [u8]>);

impl<'a> Object<'a> {
    /// Reads a line; `None` where it is not one JSON object in UTF-8. A byte order mark before it
    /// and white space around it are allowed, as the agents themselves allow them.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let text = simdutf8::basic::from_utf8(line).ok()?;
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()
    }

    /// The fields, names and the text of their values, as they stand there.
    pub fn fields(&self) -> impl Iterator<Item = (Cow<'_, str>, &'a str)> {
        self.fields.iter().map(|(Name(name), value)| (String::from_utf8_lossy(name), value.get()))
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A field that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A field that is an object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Object<'a>> {
        Object::parse(self.raw(name)?.as_bytes())
    }

    /// A field that is a time, in milliseconds since the epoch: ISO 8601 text, or a number of
    /// milliseconds.
    #[must_use]
    pub fn time_ms(&self, name: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        if let Ok(milliseconds) = raw.parse() {
            return Some(milliseconds);
        }
        let text: String = serde_json::from_str(raw).ok()?;
        Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    }

    /// The text of a field's value, as it stands there. Of a repeated field the last one counts, as in every agent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        let field = self.fields.iter().rev().find(|(Name(this), _)| **this == *name.as_bytes());
        field.map(|(_, value)| value.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Object { fields })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameBytes)
    }
}

struct NameBytes;

impl<'de> Visitor<'de> for NameBytes {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(bytes)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(bytes.to_vec())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(text.as_bytes().to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(line: &str) -> Object<'_> {
        Object::parse(line.as_bytes()).expect("an object")
    }

    #[test]
    fn takes_what_the_agents_write() {
        for line in [
            "{}",
            "  {\"a\":1}\r",
            "\u{feff}{\"a\":1}",
            r#"{"a":"\ud800","\ud800":2}"#,
            r#"{"a":1e999,"b":-0,"c":123456789012345678901234567890}"#,
        ] {
            assert!(Object::parse(line.as_bytes()).is_some(), "{line}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(Object::parse(deep.as_bytes()).is_some());
    }

    #[test]
    fn refuses_everything_else() {
        for line in ["", " ", "[]", "null", "1", "\"a\"", "{", "{\"a\":1", "{}{}", "\0{}"] {
            assert!(Object::parse(line.as_bytes()).is_none(), "{line}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
    }

    #[test]
    fn reads_fields() {
        let line = r#"{"type":"x","id":7,"type":"m\u0065ssage","none":null,"payload":{"id":"p"}}"#;
        let line = object(line);
        assert_eq!(line.text("type").as_deref(), Some("message"));
        assert_eq!(line.text("id"), None);
        assert!(line.has("none") && !line.has("other"));
        assert_eq!(line.object("payload").and_then(|o| o.text("id")).as_deref(), Some("p"));
        assert!(line.object("type").is_none());
    }

    #[test]
    fn reads_times() {
        let line = r#"{"a":"2026-05-21T09:00:00.274Z","b":1779354000685,"c":"soon","d":"12"}"#;
        let line = object(line);
        assert_eq!(line.time_ms("a"), Some(1_779_354_000_274));
        assert_eq!(line.time_ms("b"), Some(1_779_354_000_685));
        assert_eq!((line.time_ms("c"), line.time_ms("d")), (None, None));
    }
}
