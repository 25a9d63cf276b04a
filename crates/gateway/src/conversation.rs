//! What a session says: the kinds of its records, and the context that a turn reads. Pure: it is
//! given records and gives back messages.
//!
//! A record of the conversation follows the one that its parent key names. Without a parent it
//! follows the record of the conversation before it in the journal, so the order of the journal is
//! the order of the conversation, and producers that write at the same time make no fork. The line
//! of a program that says itself that it has no parent is a root.
//!
//! Records that are lost are no end of it: the context leaves them out, says where they were, and
//! goes on before them.

mod lenient;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_journal::{Gap, Record};

/// Something that was said: `{"role":…,"content":…}`, with `from` and `reply_to` where they are known.
pub const MESSAGE: &str = "message";
/// A summary that stands for what came before it.
pub const COMPACTION: &str = "compaction";
/// What a session was told by another one that it began.
pub const ANNOUNCE: &str = "announce";
/// A session was begun by this one.
pub const SPAWN: &str = "spawn";
/// A turn was cancelled.
pub const CANCELLED: &str = "turn.cancelled";
/// What a model said before it had said all: `{"turn":…,"begun":…,"text":…}`.
pub const DRAFT: &str = "turn.draft";
/// Somebody is alive.
pub const HEARTBEAT: &str = "heartbeat";
/// From here on there are deliveries in this session.
pub const DELIVERY_BEGIN: &str = "delivery.begin";
/// Something is going to be delivered.
pub const DELIVERY_INTENT: &str = "delivery.intent";
/// It was delivered, or refused for good.
pub const DELIVERY_DONE: &str = "delivery.done";
/// Up to some place everything that was to be delivered is done.
pub const DELIVERY_SETTLED: &str = "delivery.settled";

/// Kinds that say nothing new: they may come while a turn thinks.
pub const HARMLESS: [&str; 11] = [
    COMPACTION,
    HEARTBEAT,
    CANCELLED,
    DRAFT,
    SPAWN,
    DELIVERY_BEGIN,
    DELIVERY_INTENT,
    DELIVERY_DONE,
    DELIVERY_SETTLED,
    session_journal_import::ATTRIBUTES_KIND,
    session_journal_import::RECEIPT_KIND,
];

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person, or another session on its behalf.
    User,
    /// The model.
    Assistant,
    /// Whoever set the session up.
    System,
    /// A tool that the model called.
    Tool,
}

impl Role {
    /// The role of this name; imported sessions have names of their own for some.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "user" | "human" => Some(Self::User),
            "assistant" | "model" | "gemini" => Some(Self::Assistant),
            "system" | "developer" => Some(Self::System),
            "tool" | "toolResult" | "tool_result" | "bashExecution" => Some(Self::Tool),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }
}

/// A message of a context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What: text, or a list of blocks as the program that wrote it has them.
    pub content: Value,
    /// Which session or person it is from, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The key of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

impl Message {
    /// A message that is text.
    pub fn text_of(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: Value::String(text.into()), from: None, reply_to: None }
    }

    /// What a record says: a message of ours, or an entry of another program that has role and
    /// content at its top, in `message` or in `payload`. `None` where it says nothing.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        if record.kind.as_deref().is_some_and(is_control) {
            return None;
        }
        let line = lenient::parse(&record.payload)?;
        match record.kind.as_deref() {
            Some(COMPACTION | "branch_summary") => {
                let summary = line.get("summary").and_then(Value::as_str)?;
                Some(Self::text_of(Role::User, format!("Summary of what came before:\n{summary}")))
            }
            Some("custom_message") => {
                let content = line.get("content")?.clone();
                Some(Self { content, ..Self::text_of(Role::User, "") })
            }
            _ => ["message", "payload"]
                .iter()
                .filter_map(|name| line.get(name))
                .chain([&line])
                .find_map(Self::from_json),
        }
    }

    fn from_json(line: &Value) -> Option<Self> {
        let text = |name| line.get(name).and_then(Value::as_str);
        let role = Role::parse(text("role")?)?;
        let content = line.get("content").or_else(|| line.get("output"))?;
        if !(content.is_string() || content.is_array()) {
            return None;
        }
        let owned = |name| text(name).map(str::to_owned);
        Some(Self {
            role,
            content: content.clone(),
            from: owned("from"),
            reply_to: owned("reply_to"),
        })
    }

    /// What it says as text. Blocks that are no text are named in brackets.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(blocks) => {
                let blocks: Vec<String> = blocks.iter().filter_map(block_text).collect();
                blocks.join("\n")
            }
            _ => String::new(),
        }
    }

    /// The payload of its record.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        // Strings and values have no form that JSON could not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Thoughts are left out: they are the model's own, and no provider takes another's.
fn block_text(block: &Value) -> Option<String> {
    let text = |name| block.get(name).and_then(Value::as_str);
    match text("type")? {
        "thinking" | "reasoning" => None,
        "toolCall" | "tool_use" => {
            let name = text("name").unwrap_or("a tool");
            let arguments = block.get("arguments").or_else(|| block.get("input"));
            Some(format!("[calls {name} {}]", arguments.unwrap_or(&Value::Null)))
        }
        "tool_result" => match block.get("content") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(blocks)) => {
                Some(blocks.iter().filter_map(block_text).collect::<Vec<_>>().join("\n"))
            }
            _ => Some("[tool result]".to_owned()),
        },
        other => Some(text("text").map_or_else(|| format!("[{other}]"), str::to_owned)),
    }
}

/// Kinds that are no part of what is said: ours have a dot in their name, or are named here.
#[must_use]
pub fn is_control(kind: &str) -> bool {
    kind.contains('.') || kind == HEARTBEAT || kind == SPAWN
}

/// Whether a record stands in the tree of the conversation, so that a later one may follow it.
/// Entries of other programs do wherever they name a parent: settings and labels, too.
#[must_use]
pub fn is_node(record: &Record) -> bool {
    match record.kind.as_deref() {
        Some(kind) if is_control(kind) => false,
        Some(MESSAGE | COMPACTION | ANNOUNCE | "branch_summary" | "custom_message") => true,
        _ => record.parent.is_some() || Message::of(record).is_some(),
    }
}

/// A message of a context, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The number of its record.
    pub sequence: u64,
    /// The key of its record.
    pub key: Option<String>,
    /// What it says.
    pub message: Message,
    /// The records that are lost here, where it says nothing but that.
    pub lost: Option<Lost>,
}

/// Records of a conversation, or what may have been some, that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The number of the first one.
    pub from: u64,
    /// The number of the last one.
    pub to: u64,
}

impl Lost {
    /// The records that a gap took.
    #[must_use]
    pub fn of(gap: &Gap) -> Self {
        let from = gap.first.get();
        Self { from, to: from + gap.records.saturating_sub(1) }
    }

    /// What stands for them.
    fn said(self) -> Said {
        let count = self.to - self.from + 1;
        let what = format!(
            "[Records of this session are lost here: {count}. They may have been messages.]"
        );
        Said {
            sequence: self.to,
            key: None,
            message: Message::text_of(Role::User, what),
            lost: Some(self),
        }
    }
}

/// The context of a turn, from the newest record on backwards. Feed it records, and tell it of those
/// that are lost, until it wants no more; then take it.
#[derive(Debug)]
pub struct Context {
    /// From the newest to the oldest.
    said: Vec<Said>,
    next: Next,
    compaction: Option<Kept>,
    bytes: usize,
    /// What the messages say is kept, and counted.
    has_content: bool,
}

/// Which record comes next on the way to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// The record of the conversation that stands before in the journal.
    Before,
    /// The one with this key.
    Key(String),
    /// None.
    Nothing,
}

/// The newest compaction on the way.
#[derive(Debug)]
struct Kept {
    /// Where its summary is among the messages.
    summary_at: usize,
    first: First,
    found: bool,
    /// The last record that the summary stands for, as far as it says so.
    through: u64,
    /// So many messages are left where the first one that is kept is lost: up to the last hole that
    /// may have been it.
    lost_at: Option<usize>,
}

/// The first message that a compaction keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
enum First {
    Key(String),
    Sequence(u64),
}

impl Kept {
    /// A compaction that says that it stands for an older one may stand for less than its number says:
    /// what the older one keeps comes before it, and may be kept by this one as well.
    fn corrects_itself(&mut self, record: &Record) {
        if record.sequence.get() == self.through && record.kind.as_deref() == Some(COMPACTION) {
            self.through = through(&lenient::parse(&record.payload).unwrap_or_default());
        }
    }

    /// Whether the first message that is kept stood behind this one, and is lost.
    fn stands_for(&self, record: &Record) -> bool {
        !self.found && self.lost_at.is_some() && record.sequence.get() <= self.through
    }
}

impl First {
    fn is(&self, record: &Record) -> bool {
        match self {
            Self::Key(key) => record.key.as_deref() == Some(key),
            Self::Sequence(sequence) => record.sequence.get() == *sequence,
        }
    }
}

impl Context {
    /// The context that ends with the last record of the conversation.
    #[must_use]
    pub fn at_end() -> Self {
        Self::from(Next::Before)
    }

    /// The context that ends with the record of this key.
    #[must_use]
    pub fn at_key(key: &str) -> Self {
        Self::from(Next::Key(key.to_owned()))
    }

    fn from(next: Next) -> Self {
        Self { said: Vec::new(), next, compaction: None, bytes: 0, has_content: true }
    }

    /// The same, where what the messages say is not asked for: they are empty, and have no bytes.
    #[must_use]
    pub fn without_content(self) -> Self {
        Self { has_content: false, ..self }
    }

    /// Takes the record before the last one it was given; true while it wants more.
    pub fn feed(&mut self, record: &Record) -> bool {
        if let Some(kept) = &mut self.compaction {
            kept.corrects_itself(record);
            if kept.stands_for(record) {
                self.next = Next::Nothing;
            }
        }
        let is_next = match &self.next {
            Next::Before => is_node(record),
            Next::Key(key) => record.key.as_deref() == Some(key),
            Next::Nothing => false,
        };
        if is_next {
            self.take(record);
        }
        self.next != Next::Nothing
    }

    /// Takes note that the records before the last one it was given are lost; true while it wants more.
    /// Whether damage may hide a key is asked where that tells whether they are missed: a parent that
    /// is not among them is found before them.
    ///
    /// # Errors
    /// As `hides` answers.
    pub fn lose<E>(
        &mut self,
        lost: Lost,
        mut hides: impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let is_missed = match &self.next {
            Next::Before => true,
            Next::Key(key) => hides(key)?,
            Next::Nothing => false,
        };
        if is_missed {
            self.next = Next::Before;
            let said = lost.said();
            let bytes = said.message.text().len();
            self.push(said, bytes);
        }
        let said = self.said.len();
        if let Some(kept) = self.compaction.as_mut().filter(|kept| !kept.found) {
            match &kept.first {
                First::Sequence(first) if (lost.from..=lost.to).contains(first) => {
                    kept.lost_at = Some(said);
                    self.next = Next::Nothing;
                }
                First::Key(key) if hides(key)? => kept.lost_at = Some(said),
                _ => {}
            }
        }
        Ok(self.next != Next::Nothing)
    }

    fn take(&mut self, record: &Record) {
        self.next = before(record);
        let is_compaction = record.kind.as_deref() == Some(COMPACTION);
        // What an older one says is within what the newest stands for.
        if is_compaction && self.compaction.is_some() {
            return;
        }
        if let Some(message) = Message::of(record) {
            let (sequence, key) = (record.sequence.get(), record.key.clone());
            self.push(Said { sequence, key, message, lost: None }, record.payload.len());
        }
        if is_compaction {
            match kept_by(record) {
                None => self.next = Next::Nothing,
                Some((first, through)) => {
                    let summary_at = self.said.len().saturating_sub(1);
                    let (found, lost_at) = (false, None);
                    self.compaction = Some(Kept { summary_at, first, found, through, lost_at });
                }
            }
        } else if let Some(kept) = &mut self.compaction
            && kept.first.is(record)
        {
            kept.found = true;
            self.next = Next::Nothing;
        }
    }

    fn push(&mut self, mut said: Said, bytes: usize) {
        if self.has_content {
            self.bytes += bytes;
        } else {
            said.message = Message::text_of(said.message.role, "");
        }
        self.said.push(said);
    }

    /// How many holes it has.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.said.iter().filter(|said| said.lost.is_some()).count()
    }

    /// How many bytes the records had that it took messages from, and what stands for lost ones.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The messages from the oldest to the newest. A summary stands before what its compaction kept;
    /// where the first kept message is not there, nothing was.
    #[must_use]
    pub fn into_said(mut self) -> Vec<Said> {
        if let Some(kept) = self.compaction.filter(|kept| kept.summary_at < self.said.len()) {
            if !kept.found {
                self.said.truncate(kept.lost_at.unwrap_or(kept.summary_at + 1));
            }
            self.said[kept.summary_at..].rotate_left(1);
        }
        self.said.reverse();
        self.said
    }
}

/// What a record follows.
fn before(record: &Record) -> Next {
    let line = || lenient::parse(&record.payload).unwrap_or_default();
    // It moves the end of the conversation to another record.
    if record.kind.as_deref() == Some("leaf") {
        return match line().get("targetId").and_then(Value::as_str) {
            Some(target) => Next::Key(target.to_owned()),
            None => Next::Nothing,
        };
    }
    match &record.parent {
        Some(parent) if record.key.as_ref() == Some(parent) => Next::Nothing,
        Some(parent) => Next::Key(parent.clone()),
        None if says_it_is_a_root(&line()) => Next::Nothing,
        None => Next::Before,
    }
}

fn says_it_is_a_root(line: &Value) -> bool {
    ["parentId", "parentUuid"].iter().any(|name| line.get(name).is_some_and(Value::is_null))
}

/// The first message that is kept, and the last record that the summary stands for.
fn kept_by(record: &Record) -> Option<(First, u64)> {
    let line = lenient::parse(&record.payload)?;
    let key = ["first_kept", "firstKeptEntryId"].iter().find_map(|name| line.get(name)?.as_str());
    let sequence = || line.get("first_kept_seq")?.as_u64();
    let first =
        key.map(|key| First::Key(key.to_owned())).or_else(|| sequence().map(First::Sequence));
    let through = through(&line);
    match first? {
        First::Sequence(first) => {
            Some((First::Sequence(first), through.min(first.saturating_sub(1))))
        }
        key @ First::Key(_) => Some((key, through)),
    }
}

/// What a compaction says of the last record that it stands for; zero where it does not.
fn through(line: &Value) -> u64 {
    line.get("through_seq").and_then(Value::as_u64).unwrap_or(0)
}

/// The payload of a compaction: what it says, and the first message that is kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// What the messages before say in short.
    pub summary: String,
    /// The key of the first message that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_kept: Option<String>,
    /// Its sequence, where it has no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_kept_seq: Option<u64>,
    /// The last record that the summary stands for: the one before the first that is kept.
    #[serde(default)]
    pub through_seq: u64,
    /// Records among these that were lost before: the summary says nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
}

#[cfg(test)]
mod tests;
