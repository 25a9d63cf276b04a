//! What a source holds, in one pass: its size and hash, and its hash at some offsets before its end.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::control::Control;
use crate::error::Result;
use crate::lines::Place;
use crate::original::Original;

/// Size and hash of a source, as a whole and of its beginnings.
pub(crate) struct Fingerprint {
    whole: Place,
    beginnings: BTreeMap<u64, Place>,
}

impl Fingerprint {
    /// Reads the whole source and remembers the hash at each of these offsets that it reaches.
    pub(crate) fn of(
        original: &Original,
        offsets: impl IntoIterator<Item = u64>,
        control: &Control,
    ) -> Result<Self> {
        let mut input = original.read_from(0)?;
        let mut whole = Place::default();
        let mut beginnings = BTreeMap::new();
        let mut offsets: Vec<u64> = offsets.into_iter().collect();
        offsets.sort_unstable_by(|a, b| b.cmp(a));
        loop {
            control.check(original.path())?;
            while offsets.last().is_some_and(|next| *next <= whole.offset) {
                let offset = offsets.pop().unwrap_or_default();
                beginnings.insert(offset, whole.clone());
            }
            let bytes = input.fill_buf().map_err(|e| original.failed("read it", e))?;
            if bytes.is_empty() {
                return Ok(Self { whole, beginnings });
            }
            let to_next = offsets.last().map_or(u64::MAX, |next| next - whole.offset);
            let length = bytes.len().min(usize::try_from(to_next).unwrap_or(usize::MAX));
            whole.pass(&bytes[..length]);
            input.consume(length);
            control.advance(length as u64);
        }
    }

    /// The size and hash of it all.
    pub(crate) fn whole(&self) -> &Place {
        &self.whole
    }

    /// The place at one of the offsets asked for, if the source is that long.
    pub(crate) fn at(&self, offset: u64) -> Option<&Place> {
        self.beginnings.get(&offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Copies;

    #[test]
    fn remembers_beginnings() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "abcdef").expect("writes");
        let original = Original::open(&crate::discover::Spec::named(&path, 0), &Copies::default())
            .expect("opens");
        let print = Fingerprint::of(&original, [3, 0, 6, 7], &Control::default()).expect("reads");
        let mut abc = Place::default();
        abc.pass(b"abc");
        assert_eq!(print.at(3).map(Place::sha256), Some(abc.sha256()));
        assert_eq!(print.at(0).map(Place::sha256), Some(Place::default().sha256()));
        assert_eq!(print.at(6).map(Place::sha256), Some(print.whole().sha256()));
        assert!(print.at(7).is_none());
    }
}
