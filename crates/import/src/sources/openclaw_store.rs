//! `OpenClaw`'s database, one per agent: its transcripts, traces and archives, as the lines that
//! `OpenClaw`'s own export gives. Read-only, also beside a living gateway.

mod database;
mod rows;

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::openclaw::OpenClaw;
use super::openclaw::registry::{Entry, Registries};
use super::{Facts, Mapped, Opened, Part, Source};
use crate::attributes::Attributes;
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::lineage::{Lineage, Relation};
use crate::object::Object;
use crate::role::Role;
pub use database::Copies;
use database::Database;
use rows::{Blob, Rows, Table};

pub(super) struct OpenClawStore;

/// How database files begin.
const MAGIC: &[u8] = b"SQLite format 3\0";

impl Source for OpenClawStore {
    fn format(&self) -> Format {
        Format::OpenClawStore
    }

    fn recognises(&self, _line: &Object<'_>) -> bool {
        false
    }

    fn recognises_file(&self, head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn parts(&self, path: &Path) -> Result<Vec<Part>> {
        let database = Database::open(path, &Copies::default())?;
        parts(&database.connection).map_err(|error| Error::file(path, Problem::Database(error)))
    }

    fn open_part(&self, path: &Path, name: &str, copies: &Copies) -> Result<Opened> {
        let database = Database::open(path, copies)?;
        let fail = |error| Error::file(path, Problem::Database(error));
        let (role, id) = part_of(name);
        let mut attributes = Attributes { role, ..Attributes::default() };
        describe(&database.connection, id, &mut attributes).map_err(fail)?;
        let archive = archive(&database.connection, name).map_err(fail)?;
        let warnings = database.warnings.clone();
        let content: Box<dyn crate::content::Content> = match archive {
            Some(blob) => Box::new(Blob::unpack(database, &blob)),
            None => Box::new(Rows::open(database, Table::of(role), id).map_err(fail)?),
        };
        Ok(Opened { content, attributes, warnings })
    }

    fn header(&self) -> Option<&'static str> {
        Some("session")
    }

    fn names_are_unique(&self) -> bool {
        true
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        OpenClaw.map(line)
    }

    fn learn(&self, line: &Object<'_>, facts: &mut Facts) {
        OpenClaw.learn(line, facts);
    }

    fn describe(&self, _: &Path, facts: &Facts, _: &Registries, attributes: &mut Attributes) {
        super::pi::forked(facts, attributes);
    }
}

const TRAJECTORY: &str = ".trajectory.jsonl";
const STREAM: &str = ".acp-stream.jsonl";

/// What a part is, and of which session, by the name that [`parts`] gave it.
fn part_of(name: &str) -> (Role, &str) {
    if let Some(id) = name.strip_suffix(TRAJECTORY) {
        return (Role::Trajectory, id);
    }
    if let Some(id) = name.strip_suffix(STREAM) {
        return (Role::Stream, id);
    }
    let id = name.split_once(".jsonl").map_or(name, |(id, _)| id);
    (Role::Transcript, id)
}

fn parts(connection: &Connection) -> rusqlite::Result<Vec<Part>> {
    let agent = agent(connection)?;
    let mut parts = Vec::new();
    let mut add = |sql: &str, name: &dyn Fn(&str) -> String, role| -> rusqlite::Result<()> {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get::<_, Option<i64>>(1)?.unwrap_or_default();
            let bytes = u64::try_from(bytes).unwrap_or_default();
            parts.push(Part {
                name: name(row.get_ref(0)?.as_str()?),
                role,
                bytes,
                agent: agent.clone(),
            });
        }
        Ok(())
    };
    if has_table(connection, "transcript_events")? {
        let sql = if has_table(connection, "session_windows")? { SESSIONS } else { TRANSCRIPTS };
        add(sql, &|id| format!("{id}.jsonl"), Role::Transcript)?;
    }
    if has_table(connection, "trajectory_runtime_events")? {
        add(TRAJECTORIES, &|id| format!("{id}{TRAJECTORY}"), Role::Trajectory)?;
    }
    if has_table(connection, "acp_parent_stream_events")? {
        add(STREAMS, &|id| format!("{id}{STREAM}"), Role::Stream)?;
    }
    if has_table(connection, "session_transcript_archives")? {
        add(ARCHIVES, &unpacked_name, Role::Transcript)?;
    }
    if has_table(connection, "session_transcript_cold_archives")? {
        add(COLD_ARCHIVES, &unpacked_name, Role::Transcript)?;
    }
    Ok(parts)
}

// A line feed goes behind each row. Sessions that were opened and have no rows yet are sessions too.
const TRANSCRIPTS: &str = "select session_id, sum(octet_length(event_json) + 1)
    from transcript_events group by session_id order by session_id";
const SESSIONS: &str = "select session_id, (select sum(1 + coalesce(event_utf8_bytes,
    octet_length(event_json), 0)) from transcript_events e where e.session_id = w.session_id)
    from (select session_id from session_windows union select session_id from transcript_events) w
    order by session_id";
const TRAJECTORIES: &str = "select session_id, sum(octet_length(event_json) + 1)
    from trajectory_runtime_events group by session_id order by session_id";
const STREAMS: &str = "select session_id, sum(octet_length(event_json) + 1)
    from acp_parent_stream_events group by session_id order by session_id";
const ARCHIVES: &str = "select archive_name, octet_length(archive_blob)
    from session_transcript_archives order by archive_name";
const COLD_ARCHIVES: &str = "select archive_name, raw_bytes
    from session_transcript_cold_archives where archive_blob is not null order by archive_name";

/// An archive is named as the file that it was to become; packed, unless it was small.
fn unpacked_name(name: &str) -> String {
    name.strip_suffix(".zst").unwrap_or(name).to_owned()
}

fn archive(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    for table in ["session_transcript_archives", "session_transcript_cold_archives"] {
        if !has_table(connection, table)? {
            continue;
        }
        let sql = format!(
            "select archive_blob from {table} where archive_name in (?1, ?1 || '.zst')
             and archive_blob is not null"
        );
        let blob = connection.query_row(&sql, [name], |row| row.get(0)).optional()?;
        if blob.is_some() {
            return Ok(blob);
        }
    }
    Ok(None)
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "select 1 from sqlite_master where type = 'table' and name = ?1";
    Ok(connection.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}

fn agent(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if !has_table(connection, "schema_meta")? {
        return Ok(None);
    }
    let sql = "select agent_id from schema_meta where agent_id <> '' limit 1";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}

/// What the registry's tables say about a session.
fn describe(
    connection: &Connection,
    id: &str,
    attributes: &mut Attributes,
) -> rusqlite::Result<()> {
    attributes.header_id = Some(id.to_owned());
    attributes.agent = agent(connection)?;
    if attributes.role != Role::Transcript {
        attributes.relate(Lineage::to_file(Relation::PartOf, format!("{id}.jsonl")));
        return Ok(());
    }
    if !has_table(connection, "session_windows")? || !has_table(connection, "session_nodes")? {
        return Ok(());
    }
    let mut statement =
        connection.prepare("select * from session_windows where session_id = ?1")?;
    let mut windows = statement.query(params![id])?;
    let Some(window) = windows.next()? else { return Ok(()) };
    // Columns come and go from release to release.
    let text = |name: &str| window.get::<_, Option<String>>(name).ok().flatten();
    let key = text("session_key");
    let sql =
        "select entry_json from session_nodes where session_key = ?1 and current_session_id = ?2";
    let entry: Option<String> =
        connection.query_row(sql, params![key, id], |row| row.get(0)).optional()?;
    if let Some((key, entry)) = key.as_ref().zip(entry)
        && let Some(entry) = Object::parse(entry.as_bytes())
    {
        Entry::read(&entry).describe(key, attributes);
    }
    attributes.session_key = key;
    attributes.channel = text("channel").or(attributes.channel.take());
    attributes.provider = text("model_provider").or(attributes.provider.take());
    attributes.model = text("model").or(attributes.model.take());
    attributes.title = text("display_name").or(attributes.title.take());
    attributes.status = text("status").or(attributes.status.take());
    if let Some(previous) = text("previous_session_id") {
        let relation = match text("reason").as_deref() {
            Some("reset") => Relation::ResetFrom,
            Some("fork" | "rewind") => Relation::ForkOf,
            _ => Relation::Continues,
        };
        let at_ms = window.get("created_at").ok();
        let lineage = Lineage { id: Some(previous), ..Lineage::new(relation).at(at_ms) };
        attributes.relate(lineage);
    }
    if let Some(parent) = text("parent_session_key").or_else(|| text("spawned_by")) {
        let is_known = attributes.lineage.iter().any(|known| known.key.as_ref() == Some(&parent));
        if !is_known {
            let lineage = Lineage { key: Some(parent), ..Lineage::new(Relation::ChildOf) };
            attributes.relate(lineage);
        }
    }
    Ok(())
}
