//! JSON as programs write it that are not strict about text: halves of surrogate pairs, bytes that are
//! no UTF-8. What cannot be text becomes a replacement character; the record stays as it is.

use serde_json::Value;

/// Reads JSON; `None` where it is none, even so.
pub(super) fn parse(bytes: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Some(value);
    }
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_str(&whole_pairs(&text)).ok()
}

/// The text with every escaped half of a pair that stands alone replaced.
fn whole_pairs(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let taken = match unit(escape) {
            Some(0xd800..=0xdbff)
                if matches!(escape.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) =>
            {
                12
            }
            Some(0xd800..=0xdfff) => {
                whole.push('\u{fffd}');
                rest = &escape[6..];
                continue;
            }
            // A backslash and what it escapes: the next one may be a backslash, too.
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        whole.push_str(&escape[..taken]);
        rest = &escape[taken..];
    }
    whole.push_str(rest);
    whole
}

/// The number of an escape such as `\ud83d`.
fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        parse(json.as_bytes())?.as_str().map(str::to_owned)
    }

    #[test]
    fn halves_of_pairs_are_replaced_and_whole_ones_stay() {
        for (json, expected) in [
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00 \ud83d\ude00 \ud83d""#, "\u{fffd} 😀 \u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud83d \ud83d\n\"\ude00""#, "\\ud83d \u{fffd}\n\"\u{fffd}"),
        ] {
            assert_eq!(text(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(parse(b"\"\xff\xfe\\ud800\"").unwrap(), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn what_is_no_json_is_none() {
        for json in ["", "\\", "\\u", "\"\\ud83", "\"\\ud83d", "{\\ud83d}", "\"\\ud8é\"", "\"\\x\""]
        {
            assert_eq!(text(json), None, "{json}");
        }
    }
}
