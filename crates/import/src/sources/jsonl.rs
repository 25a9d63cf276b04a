//! Any file of lines: nothing is read from them.

use std::path::Path;

use super::{Find, Mapped, Source, UNNAMED, find_lines};
use crate::format::Format;
use crate::object::Object;

pub(super) struct Jsonl;

impl Source for Jsonl {
    fn format(&self) -> Format {
        Format::Jsonl
    }

    fn find(&self, path: &Path) -> Option<Find> {
        find_lines(path)
    }

    fn recognises(&self, _line: &Object<'_>) -> bool {
        false
    }

    fn map(&self, _line: &Object<'_>) -> Mapped {
        Mapped { kind: Some(UNNAMED.to_owned()), ..Mapped::default() }
    }
}
