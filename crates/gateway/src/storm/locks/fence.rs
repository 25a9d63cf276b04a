//! The fence: what a transcript looked like when its lock was let go for the model. If it looks
//! otherwise afterwards, the answer is thrown away. Two things may come in between: mirrored lines, and
//! the rewrite of the old linear form.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::steps::{self, Identity, identity};
use super::transcript::{LINEAR_BYTES_MAX, linear_to_tree};

/// What the turn died of, in the words that its users saw.
pub(crate) const CHANGED: &str = "session file changed while embedded prompt lock was released";
/// More than this is not looked at for being mirrored.
const MIRRORED_BYTES_MAX: u64 = 1 << 20;
/// A rewrite that is larger is none.
const REWRITTEN_BYTES_MAX: u64 = 9 << 20;

/// A transcript as it was: its fingerprint, and its text where a rewrite of it could be known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    fingerprint: Fingerprint,
    text: Option<Vec<u8>>,
}

/// Size, times, device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    file: Identity,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    async fn of(file: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = steps::stat(file).await?;
        Ok(Self {
            file: identity(&metadata),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Fence {
    pub(crate) async fn of(file: &Path) -> io::Result<Self> {
        let fingerprint = Fingerprint::of(file).await?;
        let is_small = fingerprint.size <= LINEAR_BYTES_MAX;
        let text = if is_small { Some(steps::read(file).await?) } else { None };
        Ok(Self { fingerprint, text })
    }

    /// Whether the transcript is the same, or only what may come in between came.
    pub(crate) async fn still_fits(&self, file: &Path) -> io::Result<bool> {
        let now = Fingerprint::of(file).await?;
        if now == self.fingerprint {
            return Ok(true);
        }
        // The same bytes in another file are another file.
        if now.file != self.fingerprint.file {
            return Ok(false);
        }
        Ok(self.has_mirrored_more(now, file).await? || self.was_rewritten(now, file).await?)
    }

    async fn has_mirrored_more(&self, now: Fingerprint, file: &Path) -> io::Result<bool> {
        let before = self.fingerprint.size;
        if now.size <= before || now.size - before > MIRRORED_BYTES_MAX {
            return Ok(false);
        }
        let more = steps::read_from(file, before).await?;
        Ok(more.ends_with(b"\n") && lines(&more).all(is_mirror))
    }

    /// The linear form became a tree, and at least one mirrored line came behind it.
    async fn was_rewritten(&self, now: Fingerprint, file: &Path) -> io::Result<bool> {
        let Some(text) = &self.text else { return Ok(false) };
        if now.size > REWRITTEN_BYTES_MAX {
            return Ok(false);
        }
        let bytes = steps::read(file).await?;
        Ok(bytes.ends_with(b"\n") && is_rewrite(text, &bytes))
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

fn is_rewrite(before: &[u8], now: &[u8]) -> bool {
    let (tree, mut now) = (linear_to_tree(before), lines(now));
    let is_same = lines(&tree).all(|line| now.next().is_some_and(|now| is_same_entry(line, now)));
    let mut more = now.peekable();
    is_same && more.peek().is_some() && more.all(is_mirror)
}

/// The same line; an entry's own id is by chance, and a parent's with it.
fn is_same_entry(expected: &[u8], now: &[u8]) -> bool {
    let parse = |line| serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
    let (Some(mut expected), Some(mut now)) = (parse(expected), parse(now)) else {
        return expected == now;
    };
    let without_place = |entry: &mut Value| {
        let members = entry.as_object_mut()?;
        let id = members.remove("id");
        members.remove("parentId");
        id
    };
    let is_header = now["type"] == "session";
    let (had_id, has_id) = (without_place(&mut expected), without_place(&mut now));
    (is_header || had_id.is_some() == has_id.is_some()) && expected == now
}

/// A copy of what was delivered elsewhere.
fn is_mirror(line: &[u8]) -> bool {
    let Ok(entry) = serde_json::from_slice::<Value>(line) else { return false };
    let message = &entry["message"];
    message["role"] == "assistant" && message["mirror"] == true
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    const MIRROR: &str = r#"{"type":"message","message":{"role":"assistant","mirror":true}}"#;
    const USER: &str = r#"{"type":"message","message":{"role":"user"}}"#;

    fn transcript(folder: &Path) -> PathBuf {
        let file = folder.join("s.jsonl");
        std::fs::write(&file, format!("{USER}\n")).expect("writes");
        file
    }

    fn append(file: &Path, line: &str) {
        let mut file = std::fs::File::options().append(true).open(file).expect("opens");
        writeln!(file, "{line}").expect("writes");
    }

    #[tokio::test]
    async fn a_mirrored_line_may_come_and_any_other_one_kills_the_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = transcript(folder.path());
        let before = Fence::of(&file).await.expect("looks");
        assert!(before.still_fits(&file).await.expect("looks"));
        append(&file, MIRROR);
        assert!(before.still_fits(&file).await.expect("looks"));
        for line in [USER, r#"{"type":"heartbeat","note":"n"}"#] {
            let file = transcript(folder.path());
            let before = Fence::of(&file).await.expect("looks");
            append(&file, MIRROR);
            append(&file, line);
            assert!(!before.still_fits(&file).await.expect("looks"), "{line}");
        }
    }

    #[tokio::test]
    async fn a_mirrored_line_of_more_than_a_mebibyte_kills_the_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = transcript(folder.path());
        let before = Fence::of(&file).await.expect("looks");
        let content = "x".repeat(1 << 20);
        append(&file, &MIRROR.replace("true", &format!("true,\"content\":\"{content}\"")));
        assert!(!before.still_fits(&file).await.expect("looks"));
    }

    /// Identity is not content: the same bytes in another file are another file.
    #[tokio::test]
    async fn a_rewrite_with_the_same_bytes_kills_the_turn_as_well() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = transcript(folder.path());
        let before = Fence::of(&file).await.expect("looks");
        let copy = folder.path().join("copy");
        std::fs::copy(&file, &copy).expect("copies");
        std::fs::rename(&copy, &file).expect("renames");
        assert!(!before.still_fits(&file).await.expect("looks"));
    }

    /// The one rewrite that may come, in the same file, with a mirrored line behind it.
    #[tokio::test]
    async fn the_rewrite_of_the_linear_form_may_come_with_a_mirrored_line_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("s.jsonl");
        let linear = format!("{USER}\r\n\nno json\n{USER}\n");
        let other = linear.replacen("user", "system", 1);
        let mut outcomes = Vec::new();
        for (text, more) in [
            (&linear, [MIRROR].as_slice()),
            (&linear, &[MIRROR, MIRROR]),
            (&linear, &[]),
            (&linear, &[MIRROR, USER]),
            (&other, &[MIRROR]),
        ] {
            std::fs::write(&file, &linear).expect("writes");
            let before = Fence::of(&file).await.expect("looks");
            std::fs::write(&file, linear_to_tree(text.as_bytes())).expect("writes");
            for line in more {
                append(&file, line);
            }
            outcomes.push(before.still_fits(&file).await.expect("looks"));
        }
        assert_eq!(outcomes, [true, true, false, false, false]);
    }

    #[test]
    fn users_saw_these_words() {
        assert_eq!(CHANGED, "session file changed while embedded prompt lock was released");
    }
}
