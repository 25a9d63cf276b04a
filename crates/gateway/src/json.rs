//! The objects that more than one answer holds. They are those of the command line's `--json`, with
//! marks added.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use session_journal::{
    Came, Gap, Hole, Host, JournalId, Liveness, LocalHost, Mark, Opening, Owner, Record,
    RepairReport, Sequence, Verdict,
};
use session_journal_import::TOOL_KIND_PREFIX;

/// A mark as text: `JOURNAL-SEQUENCE-CHECKSUM`. It is the id of an event, too.
#[must_use]
pub fn mark(mark: &Mark) -> String {
    format!("{}-{}-{:08x}", mark.journal, mark.sequence, mark.checksum)
}

/// Reads a mark back; `None` where the text is none.
#[must_use]
pub fn parse_mark(text: &str) -> Option<Mark> {
    let mut parts = text.split('-');
    let journal: JournalId = parts.next()?.parse().ok()?;
    let sequence = Sequence::new(parts.next()?.parse().ok()?);
    let is_hex = |text: &&str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let checksum = parts.next().filter(is_hex)?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    parts.next().is_none().then_some(Mark { journal, sequence, checksum })
}

/// An owner, and whether its process is alive.
#[must_use]
pub fn owner(owner: Option<&Owner>) -> Value {
    let Some(owner) = owner else { return Value::Null };
    let alive = match LocalHost.liveness(owner) {
        Liveness::Alive => Some(true),
        Liveness::Gone => Some(false),
        Liveness::Unknown => None,
    };
    json!({
        "incarnation": owner.incarnation.to_string(),
        "host": owner.host,
        "boot_id": owner.boot_id_text(),
        "pid": owner.pid,
        "started_ms": owner.started_ms,
        "program": owner.program,
        "label": owner.label,
        "alive": alive,
    })
}

/// A record, with the mark behind it. What is `withheld` of it are paths of a machine.
#[must_use]
pub fn record(record: &Record, journal: JournalId) -> Value {
    let mut value = json!({
        "seq": record.sequence.get(),
        "generation": record.generation.get(),
        "time_ms": record.time_ms,
        "kind": record.kind,
        "key": record.key,
        "parent": record.parent,
        "bytes": record.payload.len(),
        "mark": mark(&record.mark(journal)),
    });
    if record.kind.as_deref().is_some_and(|kind| kind.starts_with(TOOL_KIND_PREFIX)) {
        let (payload, withheld) = without_paths(&record.payload);
        value["payload"] = payload.into();
        if !withheld.is_empty() {
            value["withheld"] = withheld.into();
        }
        return value;
    }
    match std::str::from_utf8(&record.payload) {
        Ok(text) => value["payload"] = text.into(),
        Err(_) => value["payload_base64"] = STANDARD.encode(&record.payload).into(),
    }
    value
}

/// The members of the import's own records that hold paths, wherever they stand.
const PATHS: [&str; 6] = ["source", "source_bytes", "root", "root_bytes", "cwd", "file"];

/// What a tool wrote, as text without the paths of the machine on which it ran; and what was left out.
/// Nobody knows what stands in what cannot be read.
fn without_paths(payload: &[u8]) -> (String, Vec<&'static str>) {
    let Ok(mut said) = serde_json::from_slice(payload) else {
        return (String::new(), vec!["payload"]);
    };
    let mut withheld = Vec::new();
    leave_out(&mut said, &mut withheld);
    // As it stands where there is nothing to leave out.
    if withheld.is_empty() {
        return (String::from_utf8_lossy(payload).into_owned(), withheld);
    }
    (said.to_string(), withheld)
}

fn leave_out(said: &mut Value, withheld: &mut Vec<&'static str>) {
    match said {
        Value::Object(members) => {
            for path in PATHS {
                if members.shift_remove(path).is_some() && !withheld.contains(&path) {
                    withheld.push(path);
                }
            }
            members.values_mut().for_each(|member| leave_out(member, withheld));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| leave_out(item, withheld)),
        _ => {}
    }
}

/// Records that are not there any more.
#[must_use]
pub fn gap(gap: &Gap) -> Value {
    json!({
        "gap": true,
        "first_seq": gap.first.get(),
        "records_lost": gap.records,
        "verdict": verdict(gap.verdict),
    })
}

/// A record that came in between.
#[must_use]
pub fn came(came: &Came) -> Value {
    json!({ "seq": came.sequence.get(), "kind": came.kind, "key": came.key })
}

/// How an opening went.
#[must_use]
pub fn opening(opening: &Opening) -> Value {
    json!({
        "generation": opening.generation.get(),
        "previous_generation": opening.previous_generation.get(),
        "previous_owner": owner(opening.previous_owner.as_ref()),
        "reason": opening.reason.as_str(),
        "report": report(&opening.report),
    })
}

/// What an opening found.
#[must_use]
pub fn report(report: &RepairReport) -> Value {
    let of = |verdict| report.holes.iter().filter(move |hole| hole.verdict == verdict);
    json!({
        "torn": holes(of(Verdict::Torn)),
        "damage": holes(of(Verdict::Corrupt)),
        "more_holes": report.more_holes,
        "records_lost": report.records_lost(),
        "header_damaged": report.header_damaged,
        "settled_bytes": report.settled_bytes,
    })
}

/// Holes in a file.
pub fn holes<'a>(holes: impl IntoIterator<Item = &'a Hole>) -> Value {
    holes.into_iter().map(hole).collect()
}

fn hole(hole: &Hole) -> Value {
    json!({
        "offset": hole.offset.get(),
        "bytes": hole.bytes,
        "first_seq": hole.first.get(),
        "records_lost": hole.records_lost,
    })
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Torn => "torn",
        Verdict::Corrupt => "corrupt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_from_its_text() {
        let journal = JournalId::from_bytes([7; 16]);
        for (sequence, checksum) in [(0, 0), (1, 1), (u64::MAX, u32::MAX)] {
            let one = Mark { journal, sequence: Sequence::new(sequence), checksum };
            assert_eq!(parse_mark(&mark(&one)), Some(one));
        }
    }

    #[test]
    fn what_is_no_mark_is_none() {
        let id = "07".repeat(16);
        let texts = [
            String::new(),
            id.clone(),
            format!("{id}-1"),
            format!("{id}-1-0"),
            format!("{id}-1-00000000-"),
            format!("{id}--1-00000000"),
            format!("{id}-1-0000000g"),
            format!("{id}0-1-00000000"),
        ];
        for text in texts {
            assert_eq!(parse_mark(&text), None, "{text}");
        }
    }
}
