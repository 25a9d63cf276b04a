//! Which session a file becomes. Names and ids disagree in the field, so a session is named by its
//! file, and what its header says is kept in the receipt.

use std::ffi::OsStr;
use std::path::Path;

use session_journal::SessionName;

use crate::error::{Error, Problem, Result};
use crate::place::readable;

/// The session of a file at this absolute path.
pub(crate) fn session_name(place: &Path, stated_agent: Option<&str>) -> Result<SessionName> {
    let name = file_name(place);
    let agent = agent(place).or_else(|| stated_agent.map(str::to_owned));
    let agent = agent.filter(|agent| !agent.is_empty() && !agent.contains('/'));
    SessionName::new(agent.as_deref(), &id(&name))
        .map_err(|error| Error::file(place, Problem::Name(error.to_string())))
}

/// The name of a file as text; bytes that are none are spelled out.
pub(crate) fn file_name(path: &Path) -> String {
    readable(path.file_name().unwrap_or_default())
}

/// The n-th session of this name: the first has it plain.
pub(crate) fn numbered(name: &SessionName, n: u32, place: &Path) -> Result<SessionName> {
    if n == 1 {
        return Ok(name.clone());
    }
    SessionName::new(name.agent(), &format!("{}~{n}", name.id()))
        .map_err(|error| Error::file(place, Problem::Name(error.to_string())))
}

/// The number of a session among those of its name.
pub(crate) fn number(name: &SessionName) -> u32 {
    let number = name.id().rsplit_once('~').filter(|(stem, _)| !stem.is_empty());
    number.and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}

/// What all sessions share that may have to tell each other apart by a number.
pub(crate) fn family(name: &SessionName) -> (Option<String>, String) {
    let mut id = name.id();
    while let Some((stem, number)) = id.rsplit_once('~') {
        if stem.is_empty() || number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        id = stem;
    }
    (name.agent().map(str::to_owned), id.to_owned())
}

/// The file name without `.jsonl`; what was put behind that is kept.
fn id(file_name: &str) -> String {
    if let Some(stem) = file_name.strip_suffix(".jsonl")
        && !stem.is_empty()
    {
        return stem.to_owned();
    }
    match file_name.rsplit_once(".jsonl.") {
        Some((stem, rest)) if !stem.is_empty() => format!("{stem}.{rest}"),
        _ => file_name.to_owned(),
    }
}

/// The folders of an agent in which sessions are.
const FOLDERS: [&str; 3] = ["sessions", "agent", "session-sqlite-import-archive"];

/// The agent of `.../agents/<agent>/sessions/...`; its database is in `agent` instead.
pub(crate) fn agent(place: &Path) -> Option<String> {
    let folders: Vec<_> = place.parent()?.iter().collect();
    let is_its = |folder: &OsStr| FOLDERS.iter().any(|its| folder == *its);
    let at = folders.windows(3).rposition(|three| three[0] == "agents" && is_its(three[2]))?;
    Some(readable(folders[at + 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        session_name(Path::new(path), None).expect("a name").to_string()
    }

    #[test]
    fn names_by_the_file() {
        for (path, expected) in [
            ("/home/u/.openclaw/agents/main/sessions/x.jsonl", "main/x"),
            ("/a/agents/old/sessions/agents/main/sessions/deep/x.jsonl", "main/x"),
            ("/agents/main/agent/openclaw-agent.sqlite/x.jsonl", "main/x"),
            ("/agents/main/x.jsonl", "x"),
            ("/x.jsonl", "x"),
            ("/x.jsonl.reset.2026-11-22T11-58-16.575Z", "x.reset.2026-11-22T11-58-16.575Z"),
            ("/x.trajectory.jsonl", "x.trajectory"),
            ("/x.txt", "x.txt"),
            ("/.jsonl", ".jsonl"),
        ] {
            assert_eq!(name(path), expected);
        }
    }

    #[test]
    fn numbers_the_second_of_a_name() {
        let name = SessionName::new(Some("main"), "x").expect("a name");
        let second = numbered(&name, 2, Path::new("/x")).expect("a name");
        assert_eq!(second.to_string(), "main/x~2");
        assert_eq!(family(&second), family(&name));
        let odd = SessionName::new(None, "~2").expect("a name");
        assert_eq!(family(&odd).1, "~2");
    }
}
