//! A gateway on a loopback port, and a client that holds every answer against the served document.
#![allow(dead_code, unused_imports, reason = "each test file uses its part of it")]

mod document;
mod events;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use session_journal_gateway::config::ProviderSettings;
use session_journal_gateway::{AppState, Config, Gateway, Stopper};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub(crate) use document::Document;
pub(crate) use events::{Event, Events};

pub(crate) fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(Document::served)
}

/// A gateway that runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: AppState,
    stopper: Stopper,
    running: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(store: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: store.to_owned(),
            ..Config::default()
        };
        change(&mut config);
        let gateway = Gateway::bind(config).await.expect("binds");
        let (address, state) = (gateway.address(), gateway.state().clone());
        let stopper = gateway.stopper();
        Self { address, state, stopper, running: tokio::spawn(gateway.run()) }
    }

    /// One whose default model is a server at this address.
    pub(crate) async fn with_model(
        store: &Path,
        url: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let provider = ProviderSettings::OpenAi {
            name: "local".to_owned(),
            base_url: format!("{url}/v1"),
            model: "stub-1".to_owned(),
            api_key_variable: None,
            silence_ms: 60_000,
        };
        Self::start(store, |config| {
            config.providers = vec![provider];
            "local".clone_into(&mut config.turns.provider);
            change(config);
        })
        .await
    }

    pub(crate) async fn on(store: &Path) -> Self {
        Self::start(store, |_| {}).await
    }

    pub(crate) fn client(&self) -> Client {
        Client { address: self.address, token: None }
    }

    /// Asks it to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        self.stopper.stop();
    }

    /// Stops it, and waits until it has released everything.
    pub(crate) async fn stop(self) {
        self.stopper.stop();
        self.running.await.expect("ends without a panic");
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        self.running.await.expect("ends without a panic");
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    token: Option<String>,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("no problem: {self:?}")).to_owned()
    }

    /// The body of an answer that is none.
    pub(crate) fn well(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

impl Client {
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.expect("connects");
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.expect("shakes hands");
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(method).uri(target).header("host", self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).expect("a request");
        let response = sender.send_request(request).await.expect("is answered");
        document().must_allow(method, target, &response);
        response
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let response = self.send(method, target, headers, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("comes whole").to_bytes();
        let answer = Answer { status: head.status, headers: head.headers, body };
        document().must_fit(method, target, &answer);
        answer
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], None).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.ask("DELETE", target, &[], None).await
    }

    pub(crate) async fn post(&self, target: &str, body: Value) -> Answer {
        self.ask("POST", target, &[], Some(body.to_string())).await
    }

    /// Appends a text to a session, which is made where it is not there.
    pub(crate) async fn append(&self, session: &str, text: &str) -> Value {
        let target = format!("{}/records?create=true", path(session));
        self.post(&target, serde_json::json!({ "payload": text })).await.well()
    }

    /// Follows a session from behind the last event that was seen.
    pub(crate) async fn follow(&self, session: &str, last: Option<&str>) -> Events {
        let headers: Vec<_> = last.map(|id| ("last-event-id", id)).into_iter().collect();
        let target = format!("{}/events", path(session));
        let response = self.send("GET", &target, &headers, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        Events::new(response.into_body())
    }
}

/// The path of a session.
pub(crate) fn path(session: &str) -> String {
    let encoded = session.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    format!("/v1/sessions/{}", encoded.collect::<String>())
}

impl Client {
    /// An append that may meet a gateway that is going; none where the connection broke.
    pub(crate) async fn try_append(&self, session: &str, text: &str) -> Option<Answer> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let body = serde_json::json!({ "payload": text }).to_string();
        let request = Request::builder()
            .method("POST")
            .uri(format!("{}/records", path(session)))
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Sends these bytes and reads until the other side has nothing more to say.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // What is refused early is not read to its end.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Lets this process open so many files.
pub(crate) fn allow_handles(handles: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < handles) {
        limit.current = limit.maximum.map_or(Some(handles), |most| Some(most.min(handles)));
        setrlimit(Resource::Nofile, limit).expect("more file handles");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    assert!(
        allowed.is_none_or(|allowed| allowed >= handles),
        "{handles} file handles, not {allowed:?}"
    );
}
