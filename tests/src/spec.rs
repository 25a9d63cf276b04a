//! Records whose id tells their whole content, so that every reader can be checked without a copy.
//!
//! An id is `<prefix>.<batch>.<i>.<n>`: the i-th of a batch of n.

use std::fmt;
use std::str::FromStr;

use session_journal::{NewRecord, Record};

use crate::chance::Chance;

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its unique id; in the payload, and the key where it is keyed.
    pub id: String,
    /// So many bytes follow the id in the payload; the payload is empty where it is zero.
    pub size: usize,
    /// Whether it has a key.
    pub keyed: bool,
}

impl Spec {
    /// One batch: all of it keyed or none of it, for only a whole batch can be tried again.
    #[must_use]
    pub fn batch(prefix: &str, number: u64, shape: (u64, usize), chance: &mut Chance) -> Vec<Self> {
        let (records_max, size_max) = shape;
        let records = 1 + chance.below(records_max);
        let keyed = chance.below(2) == 0;
        let spec = |i| {
            // An empty payload has no room for its id.
            let size = chance.length(size_max).max(usize::from(!keyed));
            Self { id: format!("{prefix}.{number}.{i}.{records}"), size, keyed }
        };
        (0..records).map(spec).collect()
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> NewRecord {
        let record = NewRecord::new(payload(&self.id, self.size));
        if self.keyed { record.key(self.id.clone()) } else { record }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.id, self.size, if self.keyed { "keyed" } else { "plain" })
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("{text:?} is not id:size:keyed");
        let mut parts = text.split(':');
        let id = parts.next().ok_or_else(bad)?.to_owned();
        let size = parts.next().and_then(|size| size.parse().ok()).ok_or_else(bad)?;
        let keyed = parts.next().ok_or_else(bad)? == "keyed";
        Ok(Self { id, size, keyed })
    }
}

fn payload(id: &str, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    let mut seed = id.bytes().fold(size as u64, |hash, byte| hash.rotate_left(7) ^ u64::from(byte));
    let mut bytes = format!("{id}\n").into_bytes();
    let end = bytes.len() + size;
    while bytes.len() < end {
        bytes.extend_from_slice(&Chance::of(seed).number().to_le_bytes());
        seed = seed.wrapping_add(1);
    }
    bytes.truncate(end);
    bytes
}

/// The id of a record that was made from a spec.
#[must_use]
pub fn id_of(record: &Record) -> String {
    record.key.clone().unwrap_or_else(|| {
        let line = record.payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    })
}

/// What the shipped program is fed: a line of JSON that names its key.
#[must_use]
pub fn line_of(id: &str) -> String {
    format!("{{\"id\":\"{id}\"}}")
}

/// Whether a record holds exactly what its id says. Records of a kind are not made from specs.
#[must_use]
pub fn is_sound(record: &Record) -> bool {
    let id = id_of(record);
    record.kind.is_some()
        || record.payload.is_empty()
        || record.payload == line_of(&id).as_bytes()
        || record.payload.len() > id.len() + 1
            && record.payload == payload(&id, record.payload.len() - id.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_survives_its_text() {
        let batch = Spec::batch("p", 7, (5, 2000), &mut Chance::of(3));
        for spec in batch {
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }
}
