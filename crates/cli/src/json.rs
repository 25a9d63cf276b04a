//! The objects of the JSON answers that more than one command gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use session_journal::{
    Gap, Hole, Host, Liveness, LocalHost, Owner, RecordRef, RepairReport, Verdict,
};
use session_journal_import::{Attributes, Lineage};

/// An owner, and whether its process is alive.
pub(crate) fn owner(owner: Option<&Owner>) -> Value {
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

/// Where a session comes from.
pub(crate) fn lineage(all: &[Lineage]) -> Value {
    all.iter().map(one_of_lineage).collect()
}

fn one_of_lineage(one: &Lineage) -> Value {
    json!({
        "relation": one.relation.as_str(),
        "session": one.session,
        "file": one.file,
        "id": one.id,
        "key": one.key,
        "at_ms": one.at_ms,
        "inferred": one.inferred,
    })
}

/// What is known of a session beside its lines; null where it was not imported.
pub(crate) fn attributes(attributes: Option<&Attributes>) -> Value {
    let Some(known) = attributes else { return Value::Null };
    json!({
        "role": known.role.as_str(),
        "source": known.source,
        "source_bytes": known.source_bytes,
        "header_id": known.header_id,
        "session_key": known.session_key,
        "title": known.title,
        "agent": known.agent,
        "channel": known.channel,
        "provider": known.provider,
        "model": known.model,
        "cwd": known.cwd,
        "status": known.status,
        "counters": known.counters,
        "updated_ms": known.updated_ms,
        "packed": known.packed,
        "lineage": lineage(&known.lineage),
    })
}

/// A record.
pub(crate) fn record(record: &RecordRef<'_>) -> Value {
    let mut value = json!({
        "seq": record.sequence.get(),
        "generation": record.generation.get(),
        "time_ms": record.time_ms,
        "kind": record.kind,
        "key": record.key,
        "parent": record.parent,
        "bytes": record.payload.len(),
    });
    match std::str::from_utf8(record.payload) {
        Ok(text) => value["payload"] = text.into(),
        Err(_) => value["payload_base64"] = STANDARD.encode(record.payload).into(),
    }
    value
}

/// Records that are not there any more.
pub(crate) fn gap(gap: &Gap) -> Value {
    json!({
        "gap": true,
        "first_seq": gap.first.get(),
        "records_lost": gap.records,
        "offset": gap.offset.get(),
        "bytes": gap.bytes,
        "verdict": verdict(gap.verdict),
    })
}

/// Holes in a file.
pub(crate) fn holes<'a>(holes: impl IntoIterator<Item = &'a Hole>) -> Value {
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

/// What an opening found.
pub(crate) fn report(report: &RepairReport) -> Value {
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

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Torn => "torn",
        Verdict::Corrupt => "corrupt",
    }
}

/// A build without the gateway has no use for its objects, so both write theirs.
#[cfg(all(test, feature = "serve"))]
mod tests {
    use session_journal::{HistoryEvent, Hole, Offset, Sequence, Store, StoreOptions, history};
    use session_journal_gateway::json as served;

    use super::*;

    #[test]
    fn an_owner_and_a_report_are_the_same_here_and_over_http() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), StoreOptions::default()).expect("opens");
        let name = "a/s".parse().expect("a name");
        store.create_blocking(&name).expect("created");
        let events: Vec<HistoryEvent> = history(store.path_of(&name)).expect("readable");
        let known = events.iter().find_map(|event| event.owner.as_ref()).expect("an owner");
        for one in [Some(known), None] {
            assert_eq!(owner(one), served::owner(one));
        }
        let hole = |verdict| Hole {
            offset: Offset::new(4096),
            bytes: 7,
            verdict,
            first: Sequence::new(3),
            records_lost: 2,
        };
        let found = vec![hole(Verdict::Torn), hole(Verdict::Corrupt)];
        let report_of =
            RepairReport { holes: found.clone(), more_holes: 1, ..RepairReport::default() };
        assert_eq!(report(&report_of), served::report(&report_of));
        assert_eq!(holes(&found), served::holes(&found));
    }
}
