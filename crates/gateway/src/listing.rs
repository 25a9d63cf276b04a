//! All sessions of the store, page by page, with what is known of them beside their records.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use session_journal::{JournalId, Listed, Reader, SessionName};
use session_journal_import::Attributes;

use crate::auth::Visitor;
use crate::hub::Hub;
use crate::problem::{Problem, Result};

/// Which sessions, in which order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Only this agent's.
    pub agent: Option<String>,
    /// Only those whose name holds this, upper and lower case alike.
    pub search: Option<String>,
    /// Only those that their program's registry has under this key.
    pub key: Option<String>,
    /// How many at most.
    pub limit: Option<usize>,
    /// Go on behind the page that named this.
    pub after: Option<String>,
    /// By what they are ordered.
    pub order: Order,
}

/// By what sessions are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The one that changed last first.
    #[default]
    Updated,
    /// By name.
    Name,
}

/// A page of sessions.
#[derive(Debug)]
pub struct Page {
    /// The sessions, and what is known of each.
    pub sessions: Vec<(Listed, Option<Arc<Attributes>>)>,
    /// How many there are on all pages.
    pub total: usize,
    /// Behind what the next page begins; none where this is the last.
    pub next: Option<String>,
}

/// See the module. Clones share what is known.
#[derive(Clone, Debug)]
pub struct Listing {
    hub: Hub,
    known: Arc<Mutex<HashMap<PathBuf, Known>>>,
}

/// Attributes as of a length of the file: it only grows.
#[derive(Clone, Debug)]
struct Known {
    id: Option<JournalId>,
    bytes: u64,
    attributes: Option<Arc<Attributes>>,
}

impl Listing {
    pub(crate) fn new(hub: Hub) -> Self {
        Self { hub, known: Arc::default() }
    }

    /// A page of the sessions that this visitor may see.
    ///
    /// # Errors
    /// `io` where the store cannot be read; `invalid`.
    pub async fn page(&self, wanted: Wanted, visitor: Visitor, limit_max: usize) -> Result<Page> {
        let after = wanted.after.as_deref().map(parse_place).transpose()?;
        let this = self.clone();
        let page = self.hub.file_job(move |store| {
            let mut listed = store.list()?;
            this.keep_only(&listed);
            listed.retain(|one| visitor.reaches(one.name.agent()) && is_wanted(one, &wanted));
            if let Some(key) = &wanted.key {
                listed.retain(|one| this.has_key(one, key));
            }
            if wanted.order == Order::Name {
                listed.sort_by(|a, b| a.name.cmp(&b.name));
            }
            let total = listed.len();
            let mut rest: Vec<Listed> = listed;
            if let Some((updated_ms, name)) = &after {
                let is_behind = |one: &Listed| match wanted.order {
                    Order::Name => one.name > *name,
                    Order::Updated => {
                        one.updated_ms < *updated_ms
                            || (one.updated_ms == *updated_ms && one.name > *name)
                    }
                };
                rest.retain(is_behind);
            }
            let limit = wanted.limit.unwrap_or(100).clamp(1, limit_max.max(1));
            let more = rest.len() > limit;
            rest.truncate(limit);
            let next = rest.last().filter(|_| more).map(place_of);
            let with_attributes = |one: Listed| {
                let attributes = this.attributes(&one);
                (one, attributes)
            };
            Ok(Page { sessions: rest.into_iter().map(with_attributes).collect(), total, next })
        });
        page.await?.map_err(|error: session_journal::Error| error.into())
    }

    fn has_key(&self, one: &Listed, key: &str) -> bool {
        let attributes = self.attributes(one);
        attributes.is_some_and(|known| known.session_key.as_deref() == Some(key))
    }

    /// What is known of a session; read where the file is longer than when it was read last.
    fn attributes(&self, one: &Listed) -> Option<Arc<Attributes>> {
        let is_fresh = |known: &&Known| known.id == one.id && known.bytes == one.bytes;
        if let Some(known) = self.known().get(&one.path).filter(is_fresh) {
            return known.attributes.clone();
        }
        let read = Reader::open(&one.path).and_then(|reader| Attributes::of(&reader));
        let attributes = read.ok().flatten().map(Arc::new);
        let known = Known { id: one.id, bytes: one.bytes, attributes: attributes.clone() };
        self.known().insert(one.path.clone(), known);
        attributes
    }

    /// Forgets what is gone.
    fn keep_only(&self, listed: &[Listed]) {
        let mut known = self.known();
        if known.len() > listed.len() {
            let there: HashSet<&PathBuf> = listed.iter().map(|one| &one.path).collect();
            known.retain(|path, _| there.contains(path));
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_wanted(one: &Listed, wanted: &Wanted) -> bool {
    let agent = wanted.agent.as_deref();
    let holds = |search: &str| one.name.to_string().to_lowercase().contains(&search.to_lowercase());
    (agent.is_none() || one.name.agent() == agent) && wanted.search.as_deref().is_none_or(holds)
}

fn place_of(one: &Listed) -> String {
    format!("{}:{}", one.updated_ms, one.name)
}

fn parse_place(text: &str) -> Result<(i64, SessionName)> {
    let parsed = text
        .split_once(':')
        .and_then(|(updated_ms, name)| Some((updated_ms.parse().ok()?, name.parse().ok()?)));
    parsed.ok_or_else(|| Problem::invalid("`after` is not what a page gave as `next`"))
}
