//! The sessions of a store by what is known of them beside their lines: look-up by the registry's
//! key, and lineage from session to session.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use session_journal::{Reader, SessionName};

use crate::attributes::Attributes;
use crate::lineage::{Lineage, Relation};
use crate::role::Role;

/// How many steps of lineage are walked.
const STEPS_MAX: usize = 1000;

/// A session in a catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: SessionName,
    /// Its journal.
    pub path: PathBuf,
    /// What is known of it. Of a session that was not imported, nothing.
    pub attributes: Attributes,
}

impl Entry {
    /// Which state of its source it is: the source was last what the greatest is.
    pub(crate) fn version(&self) -> u32 {
        self.attributes.version(&self.name)
    }

    /// The session that its source was before.
    fn before(&self) -> Option<&str> {
        let all = &self.attributes.lineage;
        all.iter().find(|one| one.relation == Relation::RewriteOf)?.session.as_deref()
    }
}

/// The sessions of a store.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_path: HashMap<PathBuf, usize>,
    /// The journals of which something else is what their source is now.
    outdated: HashSet<PathBuf>,
}

/// A step from a session to where it comes from.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The session that comes from there.
    pub from: &'a Entry,
    /// How they relate.
    pub lineage: &'a Lineage,
    /// The session that it comes from, where it is in the store.
    pub to: Option<&'a Entry>,
}

impl Catalogue {
    /// Reads the attributes of these journals, several at a time. A journal that cannot be read has
    /// none.
    pub fn read(journals: impl IntoIterator<Item = (SessionName, PathBuf)>) -> Self {
        let journals: Vec<_> = journals.into_iter().collect();
        let found: Mutex<Vec<(usize, Attributes)>> = Mutex::default();
        let next = AtomicUsize::new(0);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(journals.len());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((at, (_, path))) = step(&journals, &next) {
                        let reader = Reader::open(path);
                        let attributes = reader.and_then(|reader| Attributes::of(&reader));
                        let attributes = attributes.ok().flatten().unwrap_or_default();
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((at, attributes));
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable_by_key(|(at, _)| *at);
        let entries = journals.into_iter().zip(found);
        let entries =
            entries.map(|((name, path), (_, attributes))| Entry { name, path, attributes });
        Self::of(entries.collect())
    }

    fn of(entries: Vec<Entry>) -> Self {
        let by_path = entries.iter().enumerate().map(|(at, one)| (one.path.clone(), at)).collect();
        let outdated = outdated(&entries);
        Self { entries, by_path, outdated }
    }

    /// All sessions.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The session of a journal.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Entry> {
        self.by_path.get(path).map(|at| &self.entries[*at])
    }

    /// Whether its source was something else since.
    pub(crate) fn is_outdated(&self, entry: &Entry) -> bool {
        self.outdated.contains(&entry.path)
    }

    /// The session that this text is the key of, else the one that it is the id of; all of them where
    /// several state that id.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<&Entry> {
        self.by_key(text).map_or_else(|| self.all_by_id(text), |one| vec![one])
    }

    /// The session that has this key in its program's registry. A registry gives a key to a new
    /// session when the old one is reset, so the one that was updated last has it.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Entry> {
        // A trace of a session names its key too.
        let is_its = |one: &&Entry| {
            one.attributes.role == Role::Transcript
                && one.attributes.session_key.as_deref() == Some(key)
        };
        let age = |one: &&Entry| {
            let known = &one.attributes;
            (!self.is_outdated(one), known.updated_ms, known.modified_ms)
        };
        self.entries.iter().filter(is_its).max_by_key(age)
    }

    /// The session whose source states this id: the plain file before what was set aside of it. One of
    /// them where several do.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Entry> {
        self.all_by_id(id).first().copied()
    }

    /// The sessions whose sources state this id, and none of them less plainly than another.
    fn all_by_id(&self, id: &str) -> Vec<&Entry> {
        let is_transcript = |one: &&Entry| one.attributes.role == Role::Transcript;
        let mut all: Vec<_> = self.with_id(id).filter(is_transcript).collect();
        let plainest = all.iter().map(|one| self.plainness(one)).min();
        all.retain(|one| Some(self.plainness(one)) == plainest);
        all
    }

    fn with_id(&self, id: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |one| one.attributes.header_id.as_deref() == Some(id))
    }

    fn plainest<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Option<&'a Entry> {
        entries.min_by_key(|one| self.plainness(one))
    }

    /// What a source was last before what it was once, and the plain file before what was set aside
    /// of it, which has relations.
    fn plainness(&self, entry: &Entry) -> (bool, usize) {
        (self.is_outdated(entry), entry.attributes.lineage.len())
    }

    /// Where a session comes from, step by step: its own relations first, then those of the
    /// sessions that they lead to.
    #[must_use]
    pub fn lineage<'a>(&'a self, entry: &'a Entry) -> Vec<Step<'a>> {
        let mut steps: Vec<Step<'a>> = Vec::new();
        let (mut waiting, mut seen) = (vec![entry], HashSet::from([&entry.path]));
        while let Some(from) = waiting.pop() {
            for lineage in &from.attributes.lineage {
                let to = self.resolve(from, lineage);
                steps.push(Step { from, lineage, to });
                waiting.extend(to.filter(|to| seen.insert(&to.path)));
                if steps.len() == STEPS_MAX {
                    return steps;
                }
            }
        }
        steps
    }

    /// The session that a relation leads to, by whatever it is known.
    fn resolve(&self, from: &Entry, lineage: &Lineage) -> Option<&Entry> {
        let by_session = |name: &str| self.entries.iter().find(|one| one.name.to_string() == name);
        let by_file = |file: &str| self.by_file(from, file);
        let is_other = |one: &&Entry| one.path != from.path;
        let by_id = |id: &str| self.plainest(self.with_id(id).filter(is_other));
        let by_key = |key: &str| self.by_key(key).filter(is_other);
        let session = lineage.session.as_deref().and_then(by_session);
        session
            .or_else(|| lineage.file.as_deref().and_then(by_file))
            .or_else(|| lineage.id.as_deref().and_then(by_id))
            .or_else(|| lineage.key.as_deref().and_then(by_key))
    }

    /// What a file was last: of that very path, else of that name in the same folder, for
    /// folders are moved.
    fn by_file(&self, from: &Entry, file: &str) -> Option<&Entry> {
        let name = file.rsplit(['/', '\\']).next()?;
        let beside = Path::new(&from.attributes.source).with_file_name(name);
        [PathBuf::from(file), beside].iter().find_map(|place| {
            let is_its =
                |one: &&Entry| one.path != from.path && Path::new(&one.attributes.source) == place;
            self.entries.iter().filter(is_its).max_by_key(|one| one.version())
        })
    }
}

/// The journals of which another one has a later state of the same source. A file and a packed one of
/// its name are two sources, unless the one was rewritten as the other.
fn outdated(entries: &[Entry]) -> HashSet<PathBuf> {
    let by_name: HashMap<_, _> = entries.iter().map(|one| (one.name.to_string(), one)).collect();
    let source = |entry: &Entry| {
        let place = entry.attributes.source_path();
        let before = |one: &&Entry| {
            let before = by_name.get(one.before()?).copied()?;
            (before.attributes.source_path() == place).then_some(before)
        };
        let first = iter::successors(Some(entry), before).take(STEPS_MAX).last();
        let is_packed = first.is_some_and(|first| first.attributes.packed.is_some());
        (place, is_packed)
    };
    let known: Vec<_> = entries.iter().filter(|one| !one.attributes.source.is_empty()).collect();
    let sources: Vec<_> = known.iter().map(|one| source(one)).collect();
    let mut newest = HashMap::<_, u32>::new();
    for (entry, source) in known.iter().zip(&sources) {
        let version = newest.entry(source).or_default();
        *version = entry.version().max(*version);
    }
    let is_older = |(entry, source): &(&&Entry, _)| newest.get(source) > Some(&entry.version());
    let older = known.iter().zip(&sources).filter(is_older);
    older.map(|(entry, _)| entry.path.clone()).collect()
}

fn step<'a, T>(all: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    all.get(at).map(|one| (at, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, attributes: Attributes) -> Entry {
        let path = PathBuf::from(format!("/store/{name}.journal"));
        Entry { name: name.parse().expect("a name"), path, attributes }
    }

    fn from(source: &str, lineage: Vec<Lineage>) -> Attributes {
        Attributes { source: source.to_owned(), lineage, ..Attributes::default() }
    }

    #[test]
    fn the_session_that_was_updated_last_has_the_key() {
        let with = |updated_ms| Attributes {
            session_key: Some("k".to_owned()),
            updated_ms,
            ..Attributes::default()
        };
        let catalogue = Catalogue::of(vec![
            entry("old", with(Some(1))),
            entry("new", with(Some(2))),
            entry("none", with(None)),
        ]);
        let found = catalogue.by_key("k").map(|one| one.name.to_string());
        assert_eq!(found.as_deref(), Some("new"));
        assert!(catalogue.by_key("other").is_none());
    }

    #[test]
    fn the_plain_transcript_has_the_id() {
        let with = |role, lineage| Attributes {
            header_id: Some("i".to_owned()),
            role,
            ..from("/s/x.jsonl", lineage)
        };
        let set_aside = vec![Lineage::to_file(Relation::SetAsideByReset, "x.jsonl")];
        let catalogue = Catalogue::of(vec![
            entry("trace", with(Role::Trajectory, Vec::new())),
            entry("old", with(Role::Transcript, set_aside)),
            entry("plain", with(Role::Transcript, Vec::new())),
        ]);
        let found = catalogue.by_id("i").map(|one| one.name.to_string());
        assert_eq!(found.as_deref(), Some("plain"));
        assert!(catalogue.by_id("other").is_none());
    }

    #[test]
    fn an_id_that_two_sources_state_is_that_of_both() {
        let with = |source, lineage| Attributes {
            header_id: Some("i".to_owned()),
            role: Role::Transcript,
            ..from(source, lineage)
        };
        let backup = vec![Lineage::to_file(Relation::BackupOf, "a.jsonl")];
        let catalogue = Catalogue::of(vec![
            entry("a", with("/s/a.jsonl", Vec::new())),
            entry("a.bak", with("/s/a.jsonl.bak", backup)),
            entry("b", with("/s/b.jsonl", Vec::new())),
        ]);
        let names = catalogue.find("i").into_iter().map(|one| one.name.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
        assert!(catalogue.find("other").is_empty());
    }

    #[test]
    fn lineage_is_walked_and_ends_in_a_circle() {
        let file = |relation, file: &str| Lineage::to_file(relation, file);
        let catalogue = Catalogue::of(vec![
            entry("a", from("/s/a.jsonl", vec![file(Relation::ForkOf, "/elsewhere/b.jsonl")])),
            entry("b", from("/s/b.jsonl", vec![file(Relation::TopicOf, "c.jsonl")])),
            entry("c", from("/s/c.jsonl", vec![file(Relation::ForkOf, "a.jsonl")])),
            entry("d", from("/s/d.jsonl", vec![file(Relation::ForkOf, "gone.jsonl")])),
        ]);
        let walk = |at: usize| {
            let steps = catalogue.lineage(&catalogue.entries()[at]);
            let name = |one: &Entry| one.name.to_string();
            let steps = steps.iter().map(|step| (name(step.from), step.to.map(name)));
            steps.collect::<Vec<_>>()
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(
            walk(0),
            [("a".to_owned(), some("b")), ("b".to_owned(), some("c")), ("c".to_owned(), some("a")),]
        );
        assert_eq!(walk(3), [("d".to_owned(), None)]);
    }
}
