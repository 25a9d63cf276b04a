//! `OpenClaw`'s folders, up to the releases that moved to a database: pi's lines and some of its own,
//! a registry, and what resets, deletions, trims, compactions and repairs set aside.

pub(super) mod names;
pub(super) mod registry;

use std::path::{Path, PathBuf};

use super::{Facts, Find, Mapped, Source, folders, names_above};
use crate::attributes::Attributes;
use crate::format::Format;
use crate::lineage::{Lineage, Relation};
use crate::naming::file_name;
use crate::object::Object;
use crate::role::Role;
use names::FileName;
use registry::Registries;

use super::pi::{Pi, forked};

pub(super) struct OpenClaw;

/// The environment variable that moves `OpenClaw`'s folder.
const STATE_VARIABLE: &str = "OPENCLAW_STATE_DIR";

/// The folders of an agent that hold sessions; the second one since the move to a database.
const FOLDERS: [&str; 2] = ["sessions", "session-sqlite-import-archive"];

/// A session that begins so soon after a reset took its place.
const RESET_MS: i64 = 2000;

impl Source for OpenClaw {
    fn format(&self) -> Format {
        Format::OpenClaw
    }

    fn homes(&self, home: &Path) -> Vec<PathBuf> {
        let moved = std::env::var_os(STATE_VARIABLE).filter(|folder| !folder.is_empty());
        let root = moved.map_or_else(|| home.join(".openclaw"), PathBuf::from);
        folders([root.join("agents"), root.join("sessions")])
    }

    fn find(&self, path: &Path) -> Option<Find> {
        names::read(&file_name(path)).map(|name| name.find)
    }

    fn owns(&self, folder: &Path) -> bool {
        let names = names_above(&folder.join("file"));
        names.windows(3).any(|three| three[0] == "agents" && FOLDERS.contains(&&*three[2]))
    }

    fn recognises(&self, line: &Object<'_>) -> bool {
        match line.text("type").as_deref() {
            Some("leaf" | "reset") => line.has("targetId"),
            Some("message") => line.object("message").is_some_and(|message| {
                message.has("__openclaw") || message.text("provider").as_deref() == Some("openclaw")
            }),
            Some("custom" | "custom_message") => {
                let kind = line.text("customType").unwrap_or_default();
                kind.starts_with("openclaw") || kind == "model-snapshot"
            }
            _ => line.text("traceSchema").is_some_and(|schema| schema.starts_with("openclaw")),
        }
    }

    fn header(&self) -> Option<&'static str> {
        Some("session")
    }

    fn names_are_unique(&self) -> bool {
        true
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        let mapped = Pi.map(line);
        Mapped { time_ms: mapped.time_ms.or_else(|| line.time_ms("ts")), ..mapped }
    }

    fn learn(&self, line: &Object<'_>, facts: &mut Facts) {
        Pi.learn(line, facts);
        if line.has("traceSchema") && facts.header_id.is_none() {
            facts.header_id = line.text("sessionId");
            facts.session_key = line.text("sessionKey");
        }
    }

    fn describe(
        &self,
        place: &Path,
        facts: &Facts,
        registries: &Registries,
        attributes: &mut Attributes,
    ) {
        forked(facts, attributes);
        let Some(folder) = place.parent() else { return };
        let file_name = file_name(place);
        let name = names::read(&file_name).unwrap_or(FileName::PLAIN);
        if let Some(lineage) = name.lineage() {
            attributes.relate(lineage);
        }
        if attributes.role != Role::Transcript {
            return;
        }
        let known = registries.folder(folder);
        let is_current = name.relation.is_none() || name.relation == Some(Relation::TopicOf);
        let entry = known.registry().entry(&file_name, facts.header_id.as_deref());
        if let Some((key, entry)) = entry.filter(|_| is_current) {
            entry.describe(key, attributes);
        }
        if is_current && let Some(lineage) = reset_from(facts, known.resets()) {
            attributes.relate(lineage);
        }
    }
}

/// A reset sets the old file aside and begins a new one at once; nothing else says that they belong
/// together.
fn reset_from(facts: &Facts, resets: &[(i64, String)]) -> Option<Lineage> {
    let began = facts.began_ms?;
    let mut near = resets.iter().filter(|(at, _)| (0..=RESET_MS).contains(&(began - at)));
    let (at, file) = near.next()?;
    // Two of them: no telling which.
    near.next().is_none().then(|| Lineage {
        inferred: true,
        ..Lineage::to_file(Relation::ResetFrom, file.clone()).at(Some(*at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_folders() {
        assert!(OpenClaw.owns(Path::new("/home/u/.openclaw/agents/main/sessions")));
        assert!(OpenClaw.owns(Path::new("/agents/main/sessions/cold")));
        assert!(OpenClaw.owns(Path::new("/agents/main/session-sqlite-import-archive")));
        assert!(!OpenClaw.owns(Path::new("/home/u/.openclaw/agents/main")));
    }

    #[test]
    fn learns_the_key_from_a_trajectory() {
        let line = r#"{"traceSchema":"openclaw-trajectory","sessionId":"s","sessionKey":"k",
            "ts":"2026-05-21T09:00:00.274Z"}"#;
        let line = Object::parse(line.as_bytes()).expect("an object");
        let mut facts = Facts::default();
        OpenClaw.learn(&line, &mut facts);
        assert_eq!(
            (facts.header_id.as_deref(), facts.session_key.as_deref()),
            (Some("s"), Some("k"))
        );
        assert_eq!(OpenClaw.map(&line).time_ms, Some(1_779_354_000_274));
    }
}
