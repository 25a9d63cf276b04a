use bytes::Bytes;
use session_journal::{Generation, Offset, Sequence};

use super::*;

/// What a record is made of, with `""` for nothing.
type Line<'a> = (&'a str, &'a str, &'a str, &'a str);

fn record(sequence: u64, (kind, key, parent, payload): Line<'_>) -> Record {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Record {
        sequence: Sequence::new(sequence),
        generation: Generation::new(1),
        offset: Offset::new(0),
        time_ms: 0,
        kind: text(kind),
        key: text(key),
        parent: text(parent),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        checksum: 0,
    }
}

fn journal(lines: &[Line<'_>]) -> Vec<Record> {
    (1..).zip(lines).map(|(sequence, line)| record(sequence, *line)).collect()
}

fn read(mut context: Context, records: &[Record]) -> Vec<String> {
    for record in records.iter().rev() {
        if !context.feed(record) {
            break;
        }
    }
    let said = context.into_said().into_iter().map(|said| said.message);
    said.map(|one| format!("{}: {}", one.role.as_str(), one.text())).collect()
}

fn at_end(lines: &[Line<'_>]) -> Vec<String> {
    read(Context::at_end(), &journal(lines))
}

const HELLO: Line<'_> = ("message", "m1", "", r#"{"role":"user","content":"hello"}"#);
const HI: Line<'_> = ("message", "m2", "", r#"{"role":"assistant","content":"hi"}"#);
const MORE: Line<'_> = ("message", "m3", "", r#"{"role":"user","content":"more"}"#);

#[test]
fn messages_without_parents_follow_each_other_as_they_stand() {
    let lines = [
        HELLO,
        ("heartbeat", "", "", "{}"),
        ("delivery.intent", "d", "", r#"{"role":"user","content":"never said"}"#),
        ("sj.attributes", "", "", r#"{"role":"user","content":"never said"}"#),
        HI,
        ("note", "", "", "no JSON at all"),
        MORE,
    ];
    assert_eq!(at_end(&lines), ["user: hello", "assistant: hi", "user: more"]);
    assert_eq!(at_end(&[]), [""; 0]);
}

/// C5: producers that append at the same time make no sibling that nobody sees.
#[test]
fn what_two_producers_append_at_once_is_all_in_the_context() {
    let lines = [HELLO, MORE, HI, ("announce", "a", "", r#"{"role":"user","content":"done"}"#)];
    let all = ["user: hello", "user: more", "assistant: hi", "user: done"];
    assert_eq!(at_end(&lines), all);
}

#[test]
fn a_parent_leads_past_the_branch_that_was_left() {
    let other = ("message", "m4", "m1", r#"{"role":"assistant","content":"another answer"}"#);
    let lines = [HELLO, HI, MORE, other];
    assert_eq!(at_end(&lines), ["user: hello", "assistant: another answer"]);
    let at = |key| read(Context::at_key(key), &journal(&lines));
    assert_eq!(at("m3"), ["user: hello", "assistant: hi", "user: more"]);
    assert_eq!(at("nowhere"), [""; 0]);
}

#[test]
fn a_parent_that_is_missing_or_itself_ends_the_way() {
    let orphan = ("message", "m5", "gone", r#"{"role":"user","content":"orphan"}"#);
    assert_eq!(at_end(&[HELLO, orphan]), ["user: orphan"]);
    let own = ("message", "m5", "m5", r#"{"role":"user","content":"own"}"#);
    assert_eq!(at_end(&[HELLO, own]), ["user: own"]);
}

#[test]
fn a_compaction_stands_for_what_came_before_the_first_kept() {
    let compaction = |first: &'static str| ("compaction", "c", "", first);
    let kept = compaction(r#"{"summary":"greetings","first_kept":"m2"}"#);
    let summary = "user: Summary of what came before:\ngreetings";
    assert_eq!(at_end(&[HELLO, HI, kept, MORE]), [summary, "assistant: hi", "user: more"]);
    let by_number = compaction(r#"{"summary":"greetings","first_kept_seq":2}"#);
    assert_eq!(at_end(&[HELLO, HI, by_number, MORE]), [summary, "assistant: hi", "user: more"]);
    let none = compaction(r#"{"summary":"greetings"}"#);
    assert_eq!(at_end(&[HELLO, HI, none, MORE]), [summary, "user: more"]);
    // pi keeps nothing either where the id is not there.
    let missing = compaction(r#"{"summary":"greetings","firstKeptEntryId":"deadbeef"}"#);
    assert_eq!(at_end(&[HELLO, HI, missing, MORE]), [summary, "user: more"]);
}

#[test]
fn only_the_newest_compaction_counts() {
    let old = ("compaction", "c1", "", r#"{"summary":"old","first_kept":"m1"}"#);
    let new = ("compaction", "c2", "", r#"{"summary":"new","first_kept":"m2"}"#);
    let summary = "user: Summary of what came before:\nnew";
    assert_eq!(
        at_end(&[HELLO, HI, old, MORE, new]),
        [summary, "assistant: hi", "user: more"],
        "the old one stands between what is kept, and says nothing any more"
    );
}

#[test]
fn entries_of_pi_are_read_along_their_parents() {
    let entry = |id: &'static str, parent: &'static str, payload| ("message", id, parent, payload);
    let lines = [
        ("session", "", "", r#"{"type":"session","id":"s"}"#),
        entry(
            "a",
            "",
            r#"{"type":"message","id":"a","parentId":null,"message":{"role":"user","content":[{"type":"text","text":"one"},{"type":"image","data":"…"}]}}"#,
        ),
        ("model_change", "b", "a", r#"{"type":"model_change","id":"b","parentId":"a"}"#),
        entry(
            "c",
            "b",
            r#"{"message":{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"toolCall","name":"ls","arguments":{"at":"."}}]}}"#,
        ),
        entry(
            "d",
            "c",
            r#"{"message":{"role":"toolResult","content":[{"type":"text","text":"x"}]}}"#,
        ),
        entry(
            "e",
            "",
            r#"{"type":"message","id":"e","parentId":null,"message":{"role":"user","content":"a second root"}}"#,
        ),
    ];
    assert_eq!(at_end(&lines), ["user: a second root"]);
    let first = ["user: one\n[image]", r#"assistant: [calls ls {"at":"."}]"#, "tool: x"];
    assert_eq!(read(Context::at_key("d"), &journal(&lines)), first);
    let mut moved = lines.to_vec();
    moved.push(("leaf", "f", "e", r#"{"type":"leaf","targetId":"d"}"#));
    assert_eq!(at_end(&moved), first, "a leaf moves the end");
    moved.push(MORE);
    assert_eq!(at_end(&moved)[3], "user: more", "what is appended then follows where it moved to");
}

#[test]
fn lines_of_other_programs_say_something_too() {
    let lines = [
        ("user", "u", "", r#"{"message":{"role":"user","content":"claude"},"parentUuid":null}"#),
        (
            "response_item",
            "",
            "",
            r#"{"payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"codex"}]}}"#,
        ),
        ("event_msg", "", "", r#"{"payload":{"type":"token_count"}}"#),
        ("", "", "", r#"{"role":"system","content":"plain"}"#),
        ("", "", "", r#"{"role":"user","content":7}"#),
        ("", "", "", r#"{"role":"nobody","content":"x"}"#),
    ];
    assert_eq!(at_end(&lines), ["user: claude", "assistant: codex", "system: plain"]);
}

#[test]
fn what_is_written_is_read_back() {
    let message = Message {
        from: Some("main/other".to_owned()),
        reply_to: Some("k".to_owned()),
        ..Message::text_of(Role::Assistant, "text")
    };
    let payload = String::from_utf8(message.to_payload()).unwrap();
    assert_eq!(
        payload,
        r#"{"role":"assistant","content":"text","from":"main/other","reply_to":"k"}"#
    );
    assert_eq!(Message::of(&record(1, ("message", "", "", &payload))), Some(message));
}

/// Whatever a line holds, it is read or passed over.
#[test]
fn no_bytes_stop_it() {
    for payload in ["", "null", "[]", "{", "{\"message\":null}", "{\"message\":[{}]}", "\u{0}"] {
        for kind in ["message", "compaction", "branch_summary", "custom_message", "leaf", "", "x"] {
            assert!(at_end(&[HELLO, (kind, "k", "m1", payload)]).len() < 2);
        }
    }
}
