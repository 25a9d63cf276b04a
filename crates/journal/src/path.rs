//! Reading along the parents, from a record to its root.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Cause, Error, Result};
use crate::format::FrameHeader;
use crate::index::{KeyFound, Source};
use crate::locate::read_frame;
use crate::record::Record;
use crate::view::{View, record_of};

/// Records from one to its root, following parent keys. Cost per record: one look at the record
/// before it in the file, which usually is the parent; otherwise one look-up by key.
pub struct PathToRoot {
    view: Arc<View>,
    next: Option<Result<Step>>,
    /// A path cannot have more records than the journal: a loop ends there.
    left: u64,
}

/// A record, and where the frame before it begins.
struct Step {
    record: Record,
    previous: u64,
}

impl Step {
    fn of(header: &FrameHeader, body: &Bytes) -> Option<Self> {
        record_of(header, body).map(|record| Self { record, previous: header.previous })
    }
}

impl fmt::Debug for PathToRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.next.as_ref().and_then(|next| next.as_ref().ok());
        let next = next.map(|step| step.record.sequence);
        f.debug_struct("PathToRoot").field("next", &next).finish_non_exhaustive()
    }
}

impl PathToRoot {
    /// From the record with this key, which there must be.
    pub(crate) fn begin(view: Arc<View>, key: &str) -> Result<Self> {
        let Some(first) = by_key(&view, key)? else {
            let what = format!("no record with the key {key:?}");
            return Err(Error::new(&view.source.path, Cause::NotFound { what }));
        };
        Ok(Self { left: view.last, view, next: Some(Ok(first)) })
    }

    fn parent_of(&self, step: &Step) -> Result<Option<Step>> {
        let Some(parent) = step.record.parent.as_deref() else { return Ok(None) };
        if step.record.key.as_deref() == Some(parent) {
            return Ok(None);
        }
        let Source { file, path, codec } = &self.view.source;
        if let Some((header, body)) = read_frame(&**file, path, codec, step.previous)?
            && let Some(before) = Step::of(&header, &Bytes::from(body))
            && before.record.key.as_deref() == Some(parent)
        {
            return Ok(Some(before));
        }
        by_key(&self.view, parent)
    }
}

/// The first record with a key; `Unknown` where damage may hide it.
fn by_key(view: &View, key: &str) -> Result<Option<Step>> {
    match view.index.find_key(&view.source, key)? {
        KeyFound::At(header, body) => Ok(Step::of(&header, &body)),
        KeyFound::Absent => Ok(None),
        KeyFound::Hidden => {
            let why = format!("damage may hide the record with the key {key:?}");
            Err(Error::new(&view.source.path, Cause::Unknown { why }))
        }
    }
}

impl Iterator for PathToRoot {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = match self.next.take()? {
            Ok(step) => step,
            Err(error) => return Some(Err(error)),
        };
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            // That the parent cannot be told is told behind the record, which is whole.
            self.next = self.parent_of(&step).transpose();
        }
        Some(Ok(step.record))
    }
}
