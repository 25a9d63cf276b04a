//! Reading along the parents, from a record to its root.

use std::sync::Arc;

use crate::error::{Cause, Error, Result};
use crate::index::{KeyFound, Source};
use crate::locate::read_frame;
use crate::record::Record;
use crate::view::View;

/// Records from one to its root, following parent keys. Cost per record: one look at the record
/// before it in the file, which usually is the parent; otherwise one look-up by key.
#[derive(Debug)]
pub struct PathToRoot {
    pub(crate) view: Arc<View>,
    pub(crate) next: Option<Result<Record>>,
    /// A path cannot have more records than the journal: a loop ends there.
    pub(crate) left: u64,
}

impl PathToRoot {
    fn parent_of(&self, record: &Record) -> Result<Option<Record>> {
        let Some(parent) = record.parent.as_deref() else { return Ok(None) };
        if record.key.as_deref() == Some(parent) {
            return Ok(None);
        }
        let Source { file, path, codec } = &self.view.source;
        if let Some((header, _)) = read_frame(&**file, path, codec, record.offset.get())?
            && let Some(before) = self.view.record_at(header.previous)?
            && before.key.as_deref() == Some(parent)
        {
            return Ok(Some(before));
        }
        match self.view.index.find_key(&self.view.source, parent)? {
            KeyFound::At(header) => self.view.record_at(header.offset),
            KeyFound::Absent => Ok(None),
            KeyFound::Hidden => {
                let why = format!("damage may hide the record with the key {parent:?}");
                Err(Error::new(path, Cause::Unknown { why }))
            }
        }
    }
}

impl Iterator for PathToRoot {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.next.take()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            // That the parent cannot be told is told behind the record, which is whole.
            self.next = self.parent_of(&record).transpose();
        }
        Some(Ok(record))
    }
}
