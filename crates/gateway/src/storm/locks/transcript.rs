//! The transcript: JSON Lines, each with the id of the one before it. Appended under the lock, never
//! synced.

use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::{Value, json};
use tokio::fs;
use tokio::io::AsyncWriteExt;

/// The file of a session.
pub(crate) fn path(folder: &Path, session: &str) -> PathBuf {
    folder.join(format!("{}.jsonl", session.replace('/', "+")))
}

/// A transcript as it was read.
#[derive(Debug)]
pub(crate) struct Transcript {
    bytes: Vec<u8>,
}

impl Transcript {
    /// Reads all of it; a file that is not there is empty.
    pub(crate) async fn read(file: &Path) -> io::Result<Self> {
        match fs::read(file).await {
            Ok(bytes) => Ok(Self { bytes }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { bytes: Vec::new() }),
            Err(error) => Err(error),
        }
    }

    /// Whether a line has this key. Keys of the load need no escapes.
    pub(crate) fn has(&self, key: &str) -> bool {
        memmem::find(&self.bytes, format!("\"idempotencyKey\":\"{key}\"").as_bytes()).is_some()
    }

    /// The id of the last line: what the next one follows.
    fn leaf(&self) -> Value {
        let lines = self.bytes.rsplit(|byte| *byte == b'\n');
        let last = lines.filter(|line| !line.is_empty()).find_map(|line| {
            serde_json::from_slice::<Value>(line).ok().map(|entry| entry["id"].clone())
        });
        last.unwrap_or(Value::Null)
    }

    /// Appends an entry behind the last line that was read. One line, one write, no sync.
    pub(crate) async fn append(&self, file: &Path, mut entry: Value) -> io::Result<()> {
        entry["id"] = format!("{:016x}", fastrand::u64(..)).into();
        entry["parentId"] = self.leaf();
        let mut line = entry.to_string();
        line.push('\n');
        let opened = fs::File::options().append(true).create(true).open(file).await;
        let mut opened = opened?;
        opened.write_all(line.as_bytes()).await?;
        opened.flush().await
    }
}

/// An entry that is a message.
pub(crate) fn message(key: &str, message: &Value) -> Value {
    json!({ "type": "message", "idempotencyKey": key, "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_names_the_one_that_was_last_when_the_transcript_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = path(folder.path(), "a/s");
        let empty = Transcript::read(&file).await.expect("reads");
        empty.append(&file, message("one", &json!({ "role": "user" }))).await.expect("appends");
        let one = Transcript::read(&file).await.expect("reads");
        assert!(one.has("one") && !one.has("on"));
        // Two that read the same end follow the same line.
        one.append(&file, message("two", &Value::Null)).await.expect("appends");
        one.append(&file, message("three", &Value::Null)).await.expect("appends");
        let text = std::fs::read_to_string(&file).expect("reads");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["parentId"], Value::Null);
        assert_eq!(
            (&lines[1]["parentId"], &lines[2]["parentId"]),
            (&lines[0]["id"], &lines[0]["id"])
        );
    }
}
