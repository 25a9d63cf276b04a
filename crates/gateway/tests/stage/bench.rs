//! A store, gateways on it, and a model that the test leads.

use std::sync::Arc;

use futures_util::stream;
use session_journal::{AppendOptions, NewRecord, Reader, Record, SessionName};
use session_journal_gateway::config::When;
use session_journal_gateway::conversation::{MESSAGE, Message, Role};
use session_journal_gateway::outbox::{Memory, Outbox, Sink};
use session_journal_gateway::provider::{Delta, Deltas, Finish, Provider, ProviderError, Request};
use session_journal_gateway::running::Turns;
use session_journal_gateway::turn::{Answer, OnLoss, Tools, Turn, TurnRequest};
use session_journal_gateway::{Ask, Config, Hub, Metrics, Problem};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::stub::PATIENCE;

/// A folder for a store.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

/// A gateway without its server, and the chat that it delivers to.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) tools: Tools,
    pub(crate) chat: Arc<Memory>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn gateway(&self) -> Gateway {
        self.gateway_with(Vec::new())
    }

    /// With the sink `chat`, and these.
    pub(crate) fn gateway_with(&self, more: Vec<(String, Arc<dyn Sink>)>) -> Gateway {
        let store = self.folder.path().join("store");
        // What must be durable asks for it itself.
        let config = Config { store, durability: When::Written, ..Config::default() };
        let hub = Hub::open(&config, Metrics::default()).expect("a store");
        let chat = Arc::new(Memory::default());
        let sink: Arc<dyn Sink> = Arc::clone(&chat) as _;
        let sinks = more.into_iter().chain([("chat".to_owned(), sink)]).collect();
        let outbox = Outbox::new(hub.clone(), sinks);
        let (context_bytes_max, answer_bytes_max) = (1 << 20, 1 << 16);
        let on_loss = OnLoss::default();
        let tools = Tools { hub, outbox, context_bytes_max, answer_bytes_max, on_loss };
        Gateway { tools, chat }
    }

    pub(crate) fn reader(&self, session: &SessionName) -> Reader {
        let path = self.folder.path().join("store").join(session.relative_path());
        Reader::open(path).expect("a journal")
    }

    /// What is in a session, for whoever reads the file.
    pub(crate) fn records(&self, session: &SessionName) -> Vec<Record> {
        self.reader(session).records().map(|record| record.expect("sound")).collect()
    }

    /// Kinds and keys of what is in a session.
    pub(crate) fn outline(&self, session: &SessionName) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let records = self.records(session);
        records.iter().map(|one| format!("{} {}", text(&one.kind), text(&one.key))).collect()
    }
}

impl Gateway {
    pub(crate) async fn create(&self, session: &SessionName) {
        let ask = Ask { create: true, ..Ask::default() };
        self.tools.hub.session(session, ask).await.expect("created");
    }

    /// Appends a message of somebody's.
    pub(crate) async fn says(&self, session: &SessionName, key: &str, text: &str) {
        let payload = Message::text_of(Role::User, text).to_payload();
        self.append(session, NewRecord::new(payload).kind(MESSAGE).key(key)).await;
    }

    pub(crate) async fn append(&self, session: &SessionName, record: NewRecord) {
        let (options, ask) = (AppendOptions::default(), Ask::default());
        self.tools.hub.append(session, vec![record], options, ask).await.expect("appended");
    }

    pub(crate) fn turns(&self, providers: &[Arc<dyn Provider>]) -> Turns {
        let named = |one: &Arc<dyn Provider>| (one.name().to_owned(), Arc::clone(one));
        let default = providers.first().map(|one| one.name().to_owned()).unwrap_or_default();
        Turns::new(self.tools.clone(), providers.iter().map(named).collect(), default, 100)
    }

    /// Runs a turn here.
    pub(crate) async fn run(
        &self,
        provider: &dyn Provider,
        session: &SessionName,
        request: &TurnRequest,
    ) -> Result<Answer, Problem> {
        self.run_cancellable(provider, session, request, &CancellationToken::new()).await
    }

    pub(crate) async fn run_cancellable(
        &self,
        provider: &dyn Provider,
        session: &SessionName,
        request: &TurnRequest,
        cancel: &CancellationToken,
    ) -> Result<Answer, Problem> {
        let (tools, ask) = (&self.tools, Ask::default());
        Turn { tools, provider, session, request, ask, listener: &(), cancel }.run().await
    }
}

pub(crate) fn name(text: &str) -> SessionName {
    text.parse().expect("a name")
}

pub(crate) fn user(text: &str) -> Message {
    Message::text_of(Role::User, text)
}

pub(crate) fn turn(key: &str, text: &str) -> TurnRequest {
    TurnRequest::new(key, user(text))
}

/// A model that says what the test says, when the test says it.
#[derive(Debug)]
pub(crate) struct Led {
    asked: mpsc::UnboundedSender<Asked>,
}

/// A question that waits for the test.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    answer: mpsc::UnboundedSender<Result<Delta, ProviderError>>,
}

/// What is asked of a led model.
pub(crate) struct Questions(mpsc::UnboundedReceiver<Asked>);

pub(crate) fn led() -> (Arc<Led>, Questions) {
    let (asked, questions) = mpsc::unbounded_channel();
    (Arc::new(Led { asked }), Questions(questions))
}

impl Provider for Led {
    fn name(&self) -> &'static str {
        "led"
    }

    fn complete(&self, request: Request) -> Deltas {
        let (answer, deltas) = mpsc::unbounded_channel();
        // A test that asks no more questions has ended.
        let _ = self.asked.send(Asked { request, answer });
        Box::pin(stream::unfold(deltas, |mut deltas| async move {
            let delta = deltas.recv().await?;
            Some((delta, deltas))
        }))
    }
}

impl Questions {
    pub(crate) async fn next(&mut self) -> Asked {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        next.expect("a question in time").expect("the model lives")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Asked {
    pub(crate) fn says(&self, text: &str) {
        let _ = self.answer.send(Ok(Delta::Text(text.to_owned())));
    }

    pub(crate) fn ends(self) {
        let _ = self.answer.send(Ok(Delta::End(Finish::default())));
    }

    /// Says all of it and ends.
    pub(crate) fn answers(self, text: &str) {
        self.says(text);
        self.ends();
    }

    pub(crate) fn fails(self, error: ProviderError) {
        let _ = self.answer.send(Err(error));
    }

    /// Until nobody listens any more.
    pub(crate) async fn dropped(&self) {
        let dropped = tokio::time::timeout(PATIENCE, self.answer.closed()).await;
        dropped.expect("the model is cancelled in time");
    }

    pub(crate) fn context(&self) -> Vec<String> {
        self.request
            .context
            .iter()
            .map(|one| format!("{}: {}", one.role.as_str(), one.text()))
            .collect()
    }
}
