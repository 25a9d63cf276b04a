//! Any file of lines: nothing is read from them.

use super::{Mapped, Source, UNNAMED};
use crate::object::Object;

pub(super) struct Jsonl;

impl Source for Jsonl {
    fn recognises(&self, _line: &Object<'_>) -> bool {
        false
    }

    fn map(&self, _line: &Object<'_>) -> Mapped {
        Mapped { kind: Some(UNNAMED.to_owned()), ..Mapped::default() }
    }
}
