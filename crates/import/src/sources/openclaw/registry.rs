//! `sessions.json`: what the registry beside a transcript says about it. A registry that cannot be
//! read says nothing; the sessions are imported all the same.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::names;
use crate::attributes::Attributes;
use crate::lineage::{Lineage, Relation};
use crate::object::Object;
use crate::place::readable;

/// The numbers of an entry that are kept.
const COUNTERS: [&str; 8] = [
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "contextTokens",
    "cacheRead",
    "cacheWrite",
    "estimatedCostUsd",
    "compactionCount",
];

/// The registries and the resets of the folders that an import meets, each read once.
#[derive(Debug, Default)]
pub struct Registries {
    folders: Mutex<HashMap<PathBuf, Arc<Folder>>>,
}

/// What is known of a folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    registry: Registry,
    resets: Vec<(i64, String)>,
}

/// A registry: its entries, and how to find them.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<(String, Entry)>,
    by_file: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
}

/// What is read of an entry; the rest stays in the registry, which is kept whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    id: Option<String>,
    file: Option<String>,
    title: Option<String>,
    channel: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    status: Option<String>,
    updated_ms: Option<i64>,
    counters: BTreeMap<String, serde_json::Number>,
    parent_key: Option<String>,
    is_fork: bool,
    family: Vec<String>,
}

impl Registries {
    /// What is known of a folder.
    pub(crate) fn folder(&self, folder: &Path) -> Arc<Folder> {
        let known = |folders: &HashMap<PathBuf, Arc<Folder>>| folders.get(folder).map(Arc::clone);
        if let Some(known) = known(&self.folders.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        // Read without the lock: two at once read the same.
        let read = Arc::new(Folder::read(folder));
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(folders.entry(folder.to_owned()).or_insert(read))
    }
}

impl Folder {
    fn read(folder: &Path) -> Self {
        let bytes = fs::read(folder.join("sessions.json")).unwrap_or_default();
        let registry = Registry::parse(&bytes).unwrap_or_default();
        Self { registry, resets: resets(folder) }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The transcripts that were set aside by a reset, and when.
    pub(crate) fn resets(&self) -> &[(i64, String)] {
        &self.resets
    }
}

fn resets(folder: &Path) -> Vec<(i64, String)> {
    let names = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    names
        .filter_map(|entry| {
            let name = readable(entry.file_name());
            let told = names::read(&name)?;
            (told.relation == Some(Relation::SetAsideByReset)).then(|| Some((told.at_ms?, name)))?
        })
        .collect()
}

impl Registry {
    /// Reads a registry; `None` where it is not one JSON object.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let object = Object::parse(bytes)?;
        let mut registry = Self::default();
        for (key, value) in object.fields() {
            let Some(entry) = Object::parse(value.as_bytes()) else { continue };
            let (at, entry) = (registry.entries.len(), Entry::read(&entry));
            if let Some(name) = entry.file.as_deref().and_then(base_name) {
                registry.by_file.insert(name.to_owned(), at);
            }
            if let Some(id) = &entry.id {
                registry.by_id.insert(id.clone(), at);
            }
            registry.entries.push((key.into_owned(), entry));
        }
        Some(registry)
    }

    /// The entry of a file: the one that names it, else the one of its id that names no file that
    /// is there under another name.
    pub(crate) fn entry(&self, file_name: &str, id: Option<&str>) -> Option<(&str, &Entry)> {
        let by_id = |id: &str| self.by_id.get(id).filter(|at| self.entries[**at].1.file.is_none());
        let stem = file_name.strip_suffix(".jsonl").unwrap_or(file_name);
        let at = self.by_file.get(file_name).or_else(|| by_id(stem)).or_else(|| by_id(id?))?;
        let (key, entry) = &self.entries[*at];
        Some((key, entry))
    }

    /// The keys that it has, with the names of their files.
    pub fn files(&self) -> impl Iterator<Item = (&str, String)> {
        self.entries.iter().filter_map(|(key, entry)| {
            let by_id = || entry.id.as_ref().map(|id| format!("{id}.jsonl"));
            let file = entry.file.as_deref().and_then(base_name).map(str::to_owned);
            Some((key.as_str(), file.or_else(by_id)?))
        })
    }
}

impl Entry {
    pub(crate) fn read(entry: &Object<'_>) -> Self {
        let text = |name: &str| entry.text(name).filter(|text| !text.is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| text(name));
        let counter = |name: &&str| {
            let number = serde_json::from_str(entry.raw(name)?).ok()?;
            Some(((*name).to_owned(), number))
        };
        let family = entry.raw("usageFamilySessionIds");
        Self {
            id: text("sessionId"),
            file: text("sessionFile"),
            title: first(&["label", "displayName", "subject", "title"]),
            channel: first(&["channel", "lastChannel"]),
            provider: text("modelProvider"),
            model: text("model"),
            status: text("status"),
            updated_ms: entry.time_ms("updatedAt"),
            counters: COUNTERS.iter().filter_map(counter).collect(),
            parent_key: first(&["parentSessionKey", "spawnedBy"]),
            is_fork: entry.raw("forkedFromParent") == Some("true"),
            family: family.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default(),
        }
    }

    /// Writes what it says into attributes.
    pub(crate) fn describe(&self, key: &str, attributes: &mut Attributes) {
        attributes.session_key = Some(key.to_owned());
        // What the registry does not say may be known from the lines.
        let known = |new: &Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        known(&self.title, &mut attributes.title);
        known(&self.channel, &mut attributes.channel);
        known(&self.provider, &mut attributes.provider);
        known(&self.model, &mut attributes.model);
        attributes.status.clone_from(&self.status);
        attributes.counters.clone_from(&self.counters);
        attributes.updated_ms = self.updated_ms;
        if let Some(parent) = &self.parent_key {
            let relation = if self.is_fork { Relation::ForkOf } else { Relation::ChildOf };
            let lineage = Lineage { key: Some(parent.clone()), ..Lineage::new(relation) };
            attributes.relate(lineage);
        }
        for id in self.family.iter().filter(|id| Some(*id) != self.id.as_ref()) {
            let lineage = Lineage { id: Some(id.clone()), ..Lineage::new(Relation::Continues) };
            attributes.relate(lineage);
        }
    }
}

fn base_name(path: &str) -> Option<&str> {
    path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = r#"{
        "agent:main:main": {"sessionId":"a","sessionFile":"/x/a.jsonl","updatedAt":7,
            "model":"m","totalTokens":12,"label":"mine","skillsSnapshot":{"prompt":"…"}},
        "agent:main:topic": {"sessionId":"a","sessionFile":"C:\\x\\a-topic-1.jsonl"},
        "agent:main:child": {"sessionId":"c","parentSessionKey":"agent:main:main"},
        "broken": 7,
        "rotated": {"sessionId":"e","usageFamilySessionIds":["d","e"]}
    }"#;

    #[test]
    fn finds_entries_by_file_and_by_id() {
        let registry = Registry::parse(REGISTRY.as_bytes()).expect("a registry");
        let key = |file, id| registry.entry(file, id).map(|(key, _)| key);
        assert_eq!(key("a.jsonl", None), Some("agent:main:main"));
        assert_eq!(key("a-topic-1.jsonl", Some("a")), Some("agent:main:topic"));
        assert_eq!(key("c.jsonl", None), Some("agent:main:child"));
        assert_eq!(key("2026_c.jsonl", Some("c")), Some("agent:main:child"));
        // The id is claimed by entries that name other files.
        assert_eq!(key("z.jsonl", Some("a")), None);
        assert_eq!(registry.files().count(), 4);
    }

    #[test]
    fn describes_a_session() {
        let registry = Registry::parse(REGISTRY.as_bytes()).expect("a registry");
        let describe = |file: &str| {
            let mut attributes = Attributes::default();
            let (key, entry) = registry.entry(file, None).expect("is there");
            entry.describe(key, &mut attributes);
            attributes
        };
        let main = describe("a.jsonl");
        assert_eq!((main.title.as_deref(), main.model.as_deref()), (Some("mine"), Some("m")));
        assert_eq!((main.updated_ms, main.counters["totalTokens"].as_u64()), (Some(7), Some(12)));
        let child = describe("c.jsonl");
        assert_eq!(child.lineage[0].key.as_deref(), Some("agent:main:main"));
        let rotated = describe("e.jsonl");
        assert_eq!(rotated.lineage[0].id.as_deref(), Some("d"));
    }

    #[test]
    fn a_broken_registry_says_nothing() {
        for text in ["", "[]", "{\"a\":", "\0"] {
            assert!(Registry::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
