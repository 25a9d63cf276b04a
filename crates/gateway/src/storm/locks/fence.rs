//! The fence: what a transcript looked like when its lock was let go for the model. If it looks
//! otherwise afterwards, the answer is thrown away.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;
use tokio::fs;

/// What the turn died of, in the words that its users saw.
pub(crate) const CHANGED: &str = "session file changed while embedded prompt lock was released";
/// Above this size nothing is looked at but the fingerprint.
const LOOK_BYTES_MAX: u64 = 8 << 20;

/// Size, times, device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(crate) async fn of(file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file).await?;
        Ok(Self::from(&metadata))
    }

    /// Whether the transcript is the same, or has a few mirrored lines more.
    pub(crate) async fn still_fits(self, file: &Path) -> io::Result<bool> {
        let now = Self::of(file).await?;
        if now == self {
            return Ok(true);
        }
        if now.file != self.file || now.size <= self.size || now.size > LOOK_BYTES_MAX {
            return Ok(false);
        }
        let bytes = fs::read(file).await?;
        let from = usize::try_from(self.size).unwrap_or(usize::MAX);
        let more = bytes.get(from..).unwrap_or_default();
        let mut lines = more.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.all(is_mirror))
    }
}

impl From<&Metadata> for Fingerprint {
    fn from(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A copy of what was delivered elsewhere: the one thing that may come in between.
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
        let before = Fingerprint::of(&file).await.expect("looks");
        assert!(before.still_fits(&file).await.expect("looks"));
        append(&file, MIRROR);
        assert!(before.still_fits(&file).await.expect("looks"));
        for line in [USER, r#"{"type":"heartbeat","note":"n"}"#] {
            let file = transcript(folder.path());
            let before = Fingerprint::of(&file).await.expect("looks");
            append(&file, MIRROR);
            append(&file, line);
            assert!(!before.still_fits(&file).await.expect("looks"), "{line}");
        }
    }

    /// Identity is not content: the same bytes in another file are another file.
    #[tokio::test]
    async fn a_rewrite_with_the_same_bytes_kills_the_turn_as_well() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = transcript(folder.path());
        let before = Fingerprint::of(&file).await.expect("looks");
        let copy = folder.path().join("copy");
        std::fs::copy(&file, &copy).expect("copies");
        std::fs::rename(&copy, &file).expect("renames");
        assert!(!before.still_fits(&file).await.expect("looks"));
    }

    #[test]
    fn users_saw_these_words() {
        assert_eq!(CHANGED, "session file changed while embedded prompt lock was released");
    }
}
