//! Which version of each peer was measured, as its lock file has it, and under which licence.

use session_journal_benches::Table;

const LOCK: &str = include_str!("../Cargo.lock");
const PEERS: [(&str, &str); 9] = [
    ("rusqlite", "MIT, with SQLite, public domain"),
    ("redb", "MIT or Apache-2.0"),
    ("fjall", "MIT or Apache-2.0"),
    ("okaywal", "MIT or Apache-2.0"),
    ("mrecordlog", "MIT"),
    ("raft-engine", "Apache-2.0"),
    ("nano-wal", "MIT"),
    ("open-wal", "BSD-3-Clause"),
    ("session-journal", "MIT or Apache-2.0"),
];

/// The table of the report.
pub(crate) fn table() -> String {
    let mut table = Table::new(&["peer", "version", "licence"]);
    for (name, licence) in PEERS {
        let version = version(name).unwrap_or("unknown");
        table.push(vec![name.to_owned(), version.to_owned(), licence.to_owned()]);
    }
    table.to_string()
}

fn version(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_version() {
        for (name, _) in PEERS {
            let version = version(name).unwrap_or_else(|| panic!("{name} is not in the lock file"));
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name} {version}");
        }
    }
}
