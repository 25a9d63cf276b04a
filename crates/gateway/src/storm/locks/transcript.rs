//! The transcript: JSON Lines, each with the id of the one before it. Appended under the lock, never
//! synced.

use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::{Map, Value, json};

use super::steps;

/// A linear transcript that is larger stays as it is.
pub(super) const LINEAR_BYTES_MAX: u64 = 8 << 20;

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
        match steps::read(file).await {
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

    /// Appends an entry behind the last line that was read. One line, one write, no sync. What is still
    /// linear is written anew first.
    pub(crate) async fn append(&self, file: &Path, mut entry: Value) -> io::Result<()> {
        if self.is_linear() {
            let tree = Self { bytes: linear_to_tree(&self.bytes) };
            steps::overwrite(file, tree.bytes.clone()).await?;
            return Box::pin(tree.append(file, entry)).await;
        }
        entry["id"] = some_id();
        entry["parentId"] = self.leaf();
        let mut line = entry.to_string();
        line.push('\n');
        steps::append(file, line.into_bytes()).await
    }

    /// Whether it has entries, and not one that names its parent.
    fn is_linear(&self) -> bool {
        let is_small = self.bytes.len() as u64 <= LINEAR_BYTES_MAX;
        let mut entries =
            entries(&self.bytes).flatten().filter(|entry| !is_header(entry)).peekable();
        is_small && entries.peek().is_some() && entries.all(|entry| !entry.contains_key("parentId"))
    }
}

fn some_id() -> Value {
    format!("{:016x}", fastrand::u64(..)).into()
}

fn is_header(entry: &Map<String, Value>) -> bool {
    entry.get("type").is_some_and(|kind| kind == "session")
}

/// The lines that are not blank; `None` for one that is no entry.
fn entries(bytes: &[u8]) -> impl Iterator<Item = Option<Map<String, Value>>> {
    lines(bytes).map(|line| serde_json::from_slice(line).ok())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// The old linear form with an id and a parent in each entry. What is no entry stays as it is, blank
/// lines go, and each line ends in a line feed alone.
pub(super) fn linear_to_tree(bytes: &[u8]) -> Vec<u8> {
    let (mut tree, mut parent) = (Vec::with_capacity(bytes.len()), Value::Null);
    for (line, entry) in lines(bytes).zip(entries(bytes)) {
        match entry {
            Some(mut entry) if !is_header(&entry) => {
                let id = entry.entry("id").or_insert_with(some_id).clone();
                entry.entry("parentId").or_insert_with(|| parent);
                parent = id;
                tree.extend_from_slice(Value::from(entry).to_string().as_bytes());
            }
            _ => tree.extend_from_slice(line),
        }
        tree.push(b'\n');
    }
    tree
}

/// An entry that is a message.
pub(crate) fn message(key: &str, message: &Value) -> Value {
    json!({ "type": "message", "idempotencyKey": key, "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_linear_transcript_becomes_a_tree_before_anything_is_appended() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = path(folder.path(), "a/s");
        let linear = "{\"type\":\"session\",\"id\":\"h\"}\r\n\n{\"n\":1}\nno json\n{\"n\":2}\n";
        std::fs::write(&file, linear).expect("writes");
        let read = Transcript::read(&file).await.expect("reads");
        read.append(&file, message("k", &Value::Null)).await.expect("appends");
        let text = std::fs::read_to_string(&file).expect("reads");
        let [header, one, broken, two, last] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("five lines: {text}")
        };
        assert_eq!((header, broken), ("{\"type\":\"session\",\"id\":\"h\"}", "no json"));
        let [one, two, last] = [one, two, last].map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            entry
        });
        assert_eq!((&one["n"], &one["parentId"]), (&json!(1), &Value::Null));
        assert_eq!((&two["parentId"], &last["parentId"]), (&one["id"], &two["id"]));
        let tree = Transcript::read(&file).await.expect("reads");
        assert!(!tree.is_linear());
        assert_eq!(linear_to_tree(text.as_bytes()), text.as_bytes(), "a tree stays as it is");
    }

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
