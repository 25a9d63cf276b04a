//! What agents do beside answering: send to another session, begin a child and hear of its result,
//! say that they are alive, and put a long conversation into a short one. All of it is appended;
//! nothing is rewritten, and no session waits for another one's.

use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;
use serde_json::json;
use session_journal::{
    AppendOptions, Durability, ErrorKind, Expect, NewRecord, Reader, Sequence, SessionName,
};
use session_journal_import::{Attributes, Lineage, Relation};

use crate::conversation::{
    ANNOUNCE, COMPACTION, Compacted, Context, HARMLESS, HEARTBEAT, Lost, MESSAGE, Message, Role,
    SPAWN, Said,
};
use crate::failpoint::{Point, pass};
use crate::gaps::{explained, unless_lost};
use crate::hub::{Ask, Hub};
use crate::outbox::{ANNOUNCEMENT, Address, Delivery, Intent, SESSION, State, What, durable, read};
use crate::problem::{Problem, Refusal, Result};
use crate::provider::{Delta, Provider, ProviderError, Request};
use crate::running::{Turns, Watched};
use crate::turn::{KEY_BYTES_MAX, OnLoss, TurnRequest, check_key, walk};

/// What it takes to send to another session.
#[derive(Clone, Debug)]
pub struct Send {
    /// The session that sends.
    pub from: SessionName,
    /// The session that is sent to.
    pub to: SessionName,
    /// Names it: sent again under the same key it is stored once.
    pub key: String,
    /// What it says.
    pub text: String,
    /// Who answers there; nobody where absent: the message waits for the next turn.
    pub answerer: Option<Arc<dyn Provider>>,
}

/// What became of it.
#[derive(Debug)]
pub struct Sent {
    /// How the delivery stands.
    pub delivery: Delivery,
    /// The turn that answers, where somebody does and the message arrived.
    pub turn: Option<Watched>,
}

/// Sends to another session. It is durable in the sender's before it is appended to the other's, and
/// arrives there once.
///
/// # Errors
/// As appending answers; `invalid` where the key was used for something else, or is too long for that
/// of a turn where it arrives.
pub async fn send(turns: &Turns, send: Send, ask: Ask) -> Result<Sent> {
    check_key(&send.key)?;
    if send.answerer.is_some() {
        check_answered(&send.key)?;
    }
    if send.from == send.to {
        return Err(Problem::invalid("a session does not send to itself").about(&send.from));
    }
    let mut message = Message::text_of(Role::User, send.text);
    message.from = Some(send.from.to_string());
    let address = Address { sink: SESSION.to_owned(), to: send.to.to_string() };
    let intent = Intent { address, what: What::Message(message.clone()) };
    let delivery = turns.tools().outbox.send(&send.from, &send.key, &intent, ask).await?;
    let arrived = delivery.state == State::Delivered;
    let turn = match send.answerer.filter(|_| arrived) {
        None => None,
        Some(provider) => {
            let key = arrival_key(&turns.tools().hub, &send.from, &send.key).await?;
            let request = TurnRequest::new(key, message);
            Some(turns.start(&send.to, request, provider, Ask::default())?)
        }
    };
    Ok(Sent { delivery, turn })
}

/// So many bytes more has the key under which a message arrives: the id of a journal, and a slash.
const ARRIVAL_BYTES: usize = 33;

/// A message is not delivered that could not be answered then: its key is the turn's there.
fn check_answered(key: &str) -> Result<()> {
    let most = KEY_BYTES_MAX - ARRIVAL_BYTES;
    if key.len() > most {
        let what = format!("the key of a message that is to be answered has at most {most} bytes");
        return Err(Problem::invalid(what));
    }
    Ok(())
}

/// The key under which a delivery arrives in another session.
async fn arrival_key(hub: &Hub, from: &SessionName, key: &str) -> Result<String> {
    let id = read(hub, from, |reader| Ok(reader.id())).await?;
    Ok(crate::outbox::outgoing_key(id, key))
}

// ---- children --------------------------------------------------------------------------------

/// What it takes to begin a child.
#[derive(Clone, Debug)]
pub struct Spawn {
    /// The session that begins it.
    pub parent: SessionName,
    /// The child's name.
    pub child: SessionName,
    /// Names it: begun again under the same key it is the same child.
    pub key: String,
    /// What the child is to do.
    pub task: String,
    /// What the child is called.
    pub title: Option<String>,
    /// Begin it although a lost record may have had the key: it may have been begun before. And where
    /// the child is there and has lost its first record, take it for the one that said whose it is.
    pub ignore_gaps: bool,
}

/// Begins a child and runs its first turn. The answer is announced in the parent, once, and so is that
/// there is none; where the parent cannot be had at the moment it waits in the child.
///
/// # Errors
/// As creating, appending and running a turn; `invalid` where the child is there already and is
/// another one's.
pub async fn spawn(
    turns: &Turns,
    spawn: Spawn,
    provider: Arc<dyn Provider>,
    ask: Ask,
) -> Result<Watched> {
    check_key(&spawn.key)?;
    if spawn.parent == spawn.child {
        return Err(Problem::invalid("a session is not its own child").about(&spawn.parent));
    }
    let hub = &turns.tools().hub;
    let payload = json!({ "child": spawn.child.to_string(), "task": spawn.task });
    let record_key = format!("spawn/{}", spawn.key);
    let record = NewRecord::new(payload.to_string()).kind(SPAWN).key(&record_key);
    let options = AppendOptions { ignore_gaps: spawn.ignore_gaps, ..durable() };
    let appended = match hub.append(&spawn.parent, vec![record], options, ask).await {
        Ok(appended) => appended,
        Err(problem) => {
            return Err(explained(hub, &spawn.parent, vec![record_key], problem).await);
        }
    };
    if appended[0].duplicate {
        let key = record_key.clone();
        let before = read(hub, &spawn.parent, move |reader| reader.by_key(&key)).await?;
        if before.is_none_or(|before| before.payload != payload.to_string()) {
            let what = "the key was used for another child; use a new one";
            return Err(Problem::invalid(what).about(&spawn.parent));
        }
    }
    pass(Point::SpawnStored);
    create_child(hub, &spawn, &record_key).await?;
    pass(Point::ChildCreated);
    let mut task = Message::text_of(Role::User, spawn.task);
    task.from = Some(spawn.parent.to_string());
    let announce = Address { sink: ANNOUNCEMENT.to_owned(), to: spawn.parent.to_string() };
    let request = TurnRequest {
        failure_to: Some(announce.clone()),
        deliver: vec![announce],
        ignore_gaps: spawn.ignore_gaps,
        ..TurnRequest::new(spawn.key, task)
    };
    turns.start(&spawn.child, request, provider, Ask::default())
}

/// Creates the child, and says in it whose it is.
async fn create_child(hub: &Hub, spawn: &Spawn, record_key: &str) -> Result<()> {
    let (parent, child) = (spawn.parent.to_string(), &spawn.child);
    let lineage = Lineage {
        session: Some(parent.clone()),
        key: Some(record_key.to_owned()),
        ..Lineage::new(Relation::ChildOf)
    };
    let attributes = Attributes {
        title: spawn.title.clone(),
        agent: child.agent().map(str::to_owned),
        lineage: vec![lineage.clone()],
        ..Attributes::default()
    };
    let ask = Ask { create: true, ..Ask::default() };
    let options = AppendOptions { expect: Expect::LastIs(Sequence::ZERO), ..durable() };
    match hub.append(child, vec![attributes.to_record(1)], options, ask).await {
        Ok(_) => return Ok(()),
        // Something is in it: it must be this very child.
        Err(problem) if problem.kind() == Some(ErrorKind::Conflict) => {}
        Err(problem) => return Err(problem),
    }
    let is_its = async || is_child(hub, child, &lineage).await;
    if is_its().await? {
        return Ok(());
    }
    if read(hub, child, has_lost_its_first).await? {
        // That may be the record that said whose it is: it is said again, unless another parent did.
        let record = attributes.to_record(1);
        let keys = record.key.clone().into_iter().collect();
        let options = AppendOptions { ignore_gaps: spawn.ignore_gaps, ..durable() };
        if let Err(problem) = hub.append(child, vec![record], options, Ask::default()).await {
            return Err(explained(hub, child, keys, problem).await);
        }
        if is_its().await? {
            return Ok(());
        }
    }
    Err(Problem::invalid("there is another session of this name; choose another one").about(child))
}

async fn is_child(hub: &Hub, child: &SessionName, lineage: &Lineage) -> Result<bool> {
    let known = read(hub, child, Attributes::of).await?.unwrap_or_default();
    Ok(known.lineage.contains(lineage))
}

fn has_lost_its_first(reader: &Reader) -> session_journal::Result<bool> {
    match reader.get(Sequence::ZERO.next()) {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
        found => found.map(|_| false),
    }
}

// ---- signs of life ---------------------------------------------------------------------------

/// Appends a sign of life: a control record that no turn conflicts with. It is not synced at once.
///
/// # Errors
/// As appending answers.
pub async fn heartbeat(hub: &Hub, session: &SessionName, note: &str, ask: Ask) -> Result<u64> {
    let record = NewRecord::new(json!({ "note": note }).to_string()).kind(HEARTBEAT);
    let options =
        AppendOptions { durability: Some(Durability::Written), ..AppendOptions::default() };
    let appended = hub.append(session, vec![record], options, ask).await?;
    Ok(appended[0].sequence.get())
}

// ---- compaction ------------------------------------------------------------------------------

/// How a conversation is compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactRequest {
    /// Names it: tried again under the same key it is done once.
    pub key: String,
    /// How many of the last messages stay as they are.
    pub keep: usize,
    /// What stands for the others; the model is asked for it where absent.
    pub summary: Option<String>,
    /// Which model.
    pub model: Option<String>,
}

impl CompactRequest {
    /// So many messages are kept where nothing else is said.
    pub const KEEP: usize = 8;
}

/// A conversation that was compacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompactedAnswer {
    /// The number of the record that says so.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub compacted: Compacted,
    /// It was there already.
    pub replayed: bool,
}

/// What the model is asked for a summary.
const INSTRUCTION: &str = "Sum up the conversation so far, for whoever goes on with it: what is wanted, \
what was decided, what is done, what is open. Keep names, paths and figures exactly.";

/// What is to be summed up.
struct Beginning {
    /// The first message that stays, by key or number.
    first_kept: Option<(Option<String>, u64)>,
    through_seq: u64,
    messages: Vec<Message>,
    lost: Vec<Lost>,
    mark: session_journal::Mark,
}

/// Appends a record that stands for the beginning of a conversation; nothing is rewritten. Messages
/// that come meanwhile stay, for they stand behind the first that is kept.
///
/// # Errors
/// As appending and reading answer; `provider`; `invalid` where there is nothing to sum up;
/// `conflict` where another compaction came in between.
pub async fn compact(
    turns: &Turns,
    session: &SessionName,
    request: &CompactRequest,
    provider: &dyn Provider,
    ask: Ask,
) -> Result<CompactedAnswer> {
    check_key(&request.key)?;
    let hub = &turns.tools().hub;
    // Whoever may not write learns it before the model is asked.
    hub.session(session, ask).await?;
    if let Some(done) = compacted_before(hub, session, &request.key).await? {
        return Ok(done);
    }
    let (keep, limit) = (request.keep, turns.tools().context_bytes_max);
    let has_summary = request.summary.is_some();
    let beginning = read(hub, session, move |reader| {
        // A context that is too large is made shorter by whoever has a summary: nobody reads what the
        // messages say.
        let context = Context::at_end();
        let context = if has_summary { context.without_content() } else { context };
        beginning(reader, keep, context, limit)
    });
    let beginning = beginning.await?;
    let nothing = || Problem::invalid("there is nothing to sum up, or too much").about(session);
    let beginning = beginning.filter(|one| !one.messages.is_empty()).ok_or_else(nothing)?;
    let summary = match &request.summary {
        Some(summary) => summary.clone(),
        None => summarise(turns, session, request, provider, &beginning.messages).await?,
    };
    let (key, number) = beginning.first_kept.unzip();
    let key = key.flatten();
    let compacted = Compacted {
        summary,
        first_kept_seq: number.filter(|_| key.is_none()),
        first_kept: key,
        through_seq: beginning.through_seq,
        lost: beginning.lost,
    };
    let payload = serde_json::to_vec(&compacted).unwrap_or_default();
    let record = NewRecord::new(payload).kind(COMPACTION).key(&request.key);
    let expect = Expect::OnlyKindsSince(beginning.mark, may_come(number.is_some()));
    // One that is lost stands for nothing any more, so it may be made again.
    let options = AppendOptions { expect, ignore_gaps: true, ..durable() };
    let appended = hub.append(session, vec![record], options, Ask::default()).await?;
    let (seq, replayed) = (appended[0].sequence.get(), appended[0].duplicate);
    Ok(CompactedAnswer { seq, compacted, replayed })
}

/// What may come while a summary is made. Messages stay in the context where one before them does.
fn may_come(keeps: bool) -> Vec<String> {
    let messages = [MESSAGE, ANNOUNCE].into_iter().filter(|_| keeps);
    let kinds = HARMLESS.into_iter().filter(|kind| *kind != COMPACTION).chain(messages);
    kinds.map(str::to_owned).collect()
}

async fn compacted_before(
    hub: &Hub,
    session: &SessionName,
    key: &str,
) -> Result<Option<CompactedAnswer>> {
    let of = key.to_owned();
    let found = read(hub, session, move |reader| unless_lost(reader.by_key(&of)));
    let Some(record) = found.await? else {
        return Ok(None);
    };
    let is_one = record.kind.as_deref() == Some(COMPACTION);
    match serde_json::from_slice(&record.payload) {
        Ok(compacted) if is_one => {
            let seq = record.sequence.get();
            Ok(Some(CompactedAnswer { seq, compacted, replayed: true }))
        }
        _ => Err(Problem::invalid("the key was used for something else").about(session)),
    }
}

fn beginning(
    reader: &Reader,
    keep: usize,
    context: Context,
    limit: usize,
) -> session_journal::Result<Option<Beginning>> {
    let said = walk(reader, context, limit, OnLoss::Note)?;
    let Some(mut said) = said else { return Ok(None) };
    let messages = (0..said.len()).rev().filter(|at| said[*at].lost.is_none());
    let kept = said.split_off(messages.take(keep).last().unwrap_or(said.len()));
    let place = |one: &Said| (one.key.clone(), one.sequence);
    // An older summary is among what is summed up, and its number is above those of what it keeps.
    let through_seq = match kept.first() {
        Some(first) => first.sequence.saturating_sub(1),
        None => said.iter().map(|one| one.sequence).max().unwrap_or(0),
    };
    let first_kept = kept.first().map(place);
    let lost = said.iter().filter_map(|one| one.lost).collect();
    let messages = said.into_iter().map(|one| one.message).collect();
    Ok(Some(Beginning { first_kept, through_seq, messages, lost, mark: reader.mark() }))
}

async fn summarise(
    turns: &Turns,
    session: &SessionName,
    request: &CompactRequest,
    provider: &dyn Provider,
    messages: &[Message],
) -> Result<String> {
    let ask = Message::text_of(Role::User, INSTRUCTION);
    let context = messages.iter().cloned().chain([ask]).collect();
    let (turn, model) = (request.key.clone(), request.model.clone());
    let mut deltas = provider.complete(Request { turn, context, model });
    let (limit, mut text) = (turns.tools().answer_bytes_max, String::new());
    let failed = |error: ProviderError| {
        let problem = Problem::new(Refusal::Provider, error.to_string());
        problem.about(session).with("provider", provider.name()).with("may_pass", error.may_pass())
    };
    while let Some(delta) = deltas.next().await {
        match delta.map_err(failed)? {
            Delta::Text(more) if text.len() + more.len() > limit => {
                return Err(failed(ProviderError::TooLong { limit }));
            }
            Delta::Text(more) => text.push_str(&more),
            Delta::End(_) => return Ok(text),
        }
    }
    Err(failed(ProviderError::Cut("it ended before its end".to_owned())))
}
