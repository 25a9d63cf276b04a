//! A file that is no lines, or that nobody knows: kept whole, in one record.

use super::{Mapped, Source};
use crate::format::Format;
use crate::object::Object;

pub(super) struct Document;

impl Source for Document {
    fn format(&self) -> Format {
        Format::Document
    }

    fn recognises(&self, _line: &Object<'_>) -> bool {
        false
    }

    fn map(&self, _line: &Object<'_>) -> Mapped {
        Mapped { kind: Some(Format::Document.as_str().to_owned()), ..Mapped::default() }
    }
}
