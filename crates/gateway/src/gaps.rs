//! What lost records leave open: whether one of them had a key. Where that can be told it is told;
//! where it cannot, whoever asks decides.

use session_journal::{ErrorKind, Item, Reader, Result, Sequence, SessionName};

use crate::hub::Hub;
use crate::outbox::read;
use crate::problem::Problem;

/// What to do where a lost record may have had a key.
const NEXT: &str = "send it again with `ignore_gaps=true`: it is stored although a lost record may have \
had its key";

/// Whether a lost record may have had this key.
pub(crate) fn hides(reader: &Reader, key: &str) -> Result<bool> {
    match reader.by_key(key) {
        Err(error) if error.kind() == ErrorKind::Unknown => Ok(true),
        found => found.map(|_| false),
    }
}

/// Whether what was asked for is lost, or may be.
pub(crate) fn is_lost(error: &session_journal::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Corrupt)
}

/// What was found; nothing where it is lost, if it was there at all.
pub(crate) fn unless_lost<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error) if is_lost(&error) => Ok(None),
        found => found,
    }
}

/// What was found of a record that can only stand behind another one. Where nothing is lost there, no
/// damage before it hides it.
pub(crate) fn behind<T>(
    reader: &Reader,
    floor: u64,
    found: Result<Option<T>>,
) -> Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::Unknown && is_whole_behind(reader, floor)? => {
            Ok(None)
        }
        found => found,
    }
}

fn is_whole_behind(reader: &Reader, floor: u64) -> Result<bool> {
    let mut next = Sequence::new(floor).next();
    for item in reader.records_from(next)?.with_gaps() {
        match item? {
            Item::Record(record) if record.sequence == next => next = next.next(),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Names the key that a lost record may have had, and what can be done, where that is what an append
/// was refused for. A sync that failed has the same code, and stays as it is.
pub(crate) async fn explained(
    hub: &Hub,
    session: &SessionName,
    keys: Vec<String>,
    problem: Problem,
) -> Problem {
    if problem.kind() != Some(ErrorKind::Unknown) {
        return problem;
    }
    let hidden = read(hub, session, move |reader| {
        let mut hidden = keys.into_iter().map(|key| Ok(hides(reader, &key)?.then_some(key)));
        hidden.find_map(Result::transpose).transpose()
    });
    match hidden.await {
        Ok(Some(key)) => problem.with("hidden_key", key).advising(NEXT),
        _ => problem,
    }
}
