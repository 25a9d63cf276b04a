//! What `tests/crashes.rs` runs and kills: a gateway without its server that does what was left open,
//! then a turn whose answer is delivered, a message that another session answers, and a child. Run
//! again, it finishes what was not finished, under the same keys.
//!
//! `failpoint-scenario STORE CHAT`: the store, and a folder that stands for the outside world. Somebody
//! there watches the first answer while it is made.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use session_journal::SessionName;
use session_journal_gateway::agents::{Send, Spawn, send, spawn};
use session_journal_gateway::conversation::{Message, Role};
use session_journal_gateway::outbox::{Address, Outbox, Outgoing, Sink, SinkError, State};
use session_journal_gateway::provider::{Delta, Deltas, Echo, Finish, Provider, Request};
use session_journal_gateway::running::Turns;
use session_journal_gateway::turn::{Answer, OnLoss, Tools, TurnRequest};
use session_journal_gateway::{Ask, Config, Hub, Metrics};
use tokio::sync::Semaphore;

/// A file for each key that was delivered, and a line for each attempt.
#[derive(Debug)]
struct Chat(PathBuf);

impl Sink for Chat {
    fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.take(&outgoing).map_err(|error| SinkError::Later(error.to_string()))
        })
    }
}

impl Chat {
    fn take(&self, outgoing: &Outgoing) -> std::io::Result<()> {
        let attempts = self.0.join("attempts");
        let mut attempts = OpenOptions::new().append(true).create(true).open(attempts)?;
        writeln!(attempts, "{}", outgoing.key)?;
        let name = outgoing.key.replace('/', "_");
        let file = OpenOptions::new().write(true).create_new(true).open(self.0.join(name));
        match file {
            // It has this key.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            file => file?.write_all(outgoing.message.text().as_bytes()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    let (store, chat) = folders.next().zip(folders.next()).ok_or("STORE CHAT")?;
    fs::create_dir_all(&chat)?;
    let hub = Hub::open(&Config { store, ..Config::default() }, Metrics::default())?;
    let sink: Arc<dyn Sink> = Arc::new(Chat(chat.clone()));
    let outbox = Outbox::new(hub.clone(), vec![("chat".to_owned(), sink)]);
    let (context_bytes_max, answer_bytes_max) = (1 << 20, 1 << 20);
    let on_loss = OnLoss::default();
    let tools = Tools { hub, outbox, context_bytes_max, answer_bytes_max, on_loss };
    let echo: Arc<dyn Provider> = Arc::new(Echo);
    let providers = [("echo".to_owned(), Arc::clone(&echo))].into();
    let turns = Turns::new(tools, providers, "echo", 10);
    turns.tools().outbox.recover_store().await?;
    run(&turns, &echo, &chat.join("screen")).await?;
    turns.close().await;
    turns.tools().hub.close().await;
    Ok(())
}

/// Repeats what it is told, and ends when that was seen.
#[derive(Debug)]
struct Slow(Arc<Semaphore>);

impl Provider for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn complete(&self, request: Request) -> Deltas {
        let said = request.context.last().map(Message::text).unwrap_or_default();
        let seen = Arc::clone(&self.0);
        let end = stream::once(async move {
            // Whoever looks lives as long as this.
            drop(seen.acquire().await);
            Ok(Delta::End(Finish::default()))
        });
        Box::pin(stream::iter([Ok(Delta::Text(said))]).chain(end))
    }
}

/// Runs a turn, and puts on the screen what it says while it says it.
async fn watched(
    turns: &Turns,
    session: &SessionName,
    request: TurnRequest,
    screen: &Path,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let (seen, whole) = (Arc::new(Semaphore::new(0)), request.message.text());
    let slow = Arc::new(Slow(Arc::clone(&seen)));
    let mut watched = turns.start(session, request, slow, Ask::default())?;
    let hearing = watched.hear();
    loop {
        let draft = watched.draft().clone();
        if draft.text == whole {
            fs::write(screen, draft.text)?;
            break;
        }
        // It came to its end before.
        if draft.outcome.is_some() {
            break;
        }
        watched.changed().await?;
    }
    seen.add_permits(1);
    let answer = watched.outcome().await?;
    drop(hearing);
    Ok(answer)
}

async fn run(
    turns: &Turns,
    echo: &Arc<dyn Provider>,
    screen: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let (chat, inbox) = ("main/chat".parse()?, "other/inbox".parse()?);
    let ask = Ask { create: true, ..Ask::default() };
    for session in [&chat, &inbox] {
        turns.tools().hub.session(session, ask).await?;
    }
    let message = Message::text_of(Role::User, "tell ann");
    let deliver = ["ann", "bob"].map(|to| Address { sink: "chat".to_owned(), to: to.to_owned() });
    let request = TurnRequest { deliver: deliver.to_vec(), ..TurnRequest::new("m1", message) };
    done(&watched(turns, &chat, request, screen).await?)?;

    let (from, key) = (chat.clone(), "s1".to_owned());
    let (text, answerer) = ("are you there?".to_owned(), Some(Arc::clone(echo)));
    let sent = send(turns, Send { from, to: inbox, key, text, answerer }, Ask::default()).await?;
    done(&sent.turn.ok_or("it did not arrive")?.outcome().await?)?;

    let (child, key, task) = ("main/child".parse()?, "c1".to_owned(), "count".to_owned());
    let child = Spawn { parent: chat, child, key, task, title: None, ignore_gaps: false };
    let begun = spawn(turns, child, Arc::clone(echo), Ask::default()).await?;
    done(&begun.outcome().await?)
}

fn done(answer: &Answer) -> Result<(), Box<dyn std::error::Error>> {
    let all = answer.deliveries.iter().all(|one| one.state == State::Delivered);
    if all { Ok(()) } else { Err(format!("{answer:?}").into()) }
}
