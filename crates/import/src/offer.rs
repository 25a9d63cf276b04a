//! What there is to import in a home folder.

use std::path::{Path, PathBuf};

use crate::discover::{Found, discover};
use crate::format::Format;
use crate::sources::sources;

/// A folder in which a program keeps its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The program's format.
    pub format: Format,
    /// The folder.
    pub path: PathBuf,
    /// How many sources there are.
    pub sources: u64,
    /// How many bytes they have, or about how many.
    pub bytes: u64,
}

/// The folders below a home folder that hold sources, in a stable order.
#[must_use]
pub fn offers(home: &Path) -> Vec<Offer> {
    let places = sources().flat_map(|source| {
        let format = source.format();
        source.homes(home).into_iter().map(move |path| (format, path))
    });
    places.map(|(format, path)| count(format, path)).filter(|offer| offer.sources > 0).collect()
}

fn count(format: Format, path: PathBuf) -> Offer {
    let (mut sources, mut bytes) = (0, 0);
    for found in discover(std::slice::from_ref(&path), None) {
        if let Found::Source(spec) = found {
            sources += 1;
            bytes += spec.bytes;
        }
    }
    Offer { format, path, sources, bytes }
}
