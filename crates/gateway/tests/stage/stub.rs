//! A server that answers every request with bytes of a test's own, as a model server would, or would
//! not. It knows nothing of HTTP but where a request ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is sent: pieces, and what happens between them.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Nothing more comes; the connection stays until the client goes.
    Hang,
    /// Waits until the test rings.
    Wait,
}

pub(crate) struct Stub {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    arrived: watch::Sender<usize>,
    gone: watch::Sender<usize>,
    pub(crate) bell: Arc<tokio::sync::Notify>,
}

impl Stub {
    /// Answers every request with the next of these, and the last of them from then on.
    pub(crate) async fn new(answers: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stub = Self {
            url,
            requests: Arc::default(),
            arrived: watch::Sender::new(0),
            gone: watch::Sender::new(0),
            bell: Arc::default(),
        };
        let (requests, arrived) = (Arc::clone(&stub.requests), stub.arrived.clone());
        let (gone, bell) = (stub.gone.clone(), Arc::clone(&stub.bell));
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let steps = answers[number.min(answers.len() - 1)].clone();
                let (requests, arrived) = (Arc::clone(&requests), arrived.clone());
                let (gone, bell) = (gone.clone(), Arc::clone(&bell));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let request = read_request(&mut stream).await;
                    requests.lock().expect("no panic").push(request);
                    arrived.send_modify(|count| *count += 1);
                    answer(&mut stream, steps, &bell).await;
                    gone.send_modify(|count| *count += 1);
                });
            }
        });
        stub
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Until so many requests came.
    pub(crate) async fn arrived(&self, count: usize) {
        self.arrived.subscribe().wait_for(|now| *now >= count).await.expect("the stub lives");
    }

    /// Until so many connections ended.
    pub(crate) async fn gone(&self, count: usize) {
        self.gone.subscribe().wait_for(|now| *now >= count).await.expect("the stub lives");
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
    });
    body.len() >= length.unwrap_or(0)
}

async fn answer(stream: &mut TcpStream, steps: Vec<Step>, bell: &tokio::sync::Notify) {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Step::Hang => {
                // The client's end is the event.
                let mut rest = [0; 64];
                while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
            }
            Step::Wait => bell.notified().await,
        }
    }
}

/// A whole answer with this body.
pub(crate) fn ok(body: &str) -> Vec<Step> {
    status("200 OK", body)
}

pub(crate) fn status(status: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    vec![Step::Send(format!("{head}{body}").into_bytes())]
}

/// The beginning of an answer that ends with its connection.
pub(crate) fn streaming() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    Step::Send(head.as_bytes().to_vec())
}

/// An event of a model server with this text.
pub(crate) fn said(text: &str) -> String {
    let event = serde_json::json!({
        "model": "stub-1", "choices": [{ "index": 0, "delta": { "content": text } }]
    });
    format!("data: {event}\n\n")
}

/// A whole answer of a model server, in pieces of so many bytes.
pub(crate) fn completion(text: &str, piece: usize) -> Vec<Step> {
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\ndata: [DONE]\n\n";
    let words: String = text.split_inclusive(' ').map(said).collect();
    let body = format!(": ready\n\n{words}{end}{usage}");
    let pieces = body.as_bytes().chunks(piece).map(|bytes| Step::Send(bytes.to_vec()));
    [streaming()].into_iter().chain(pieces).collect()
}

/// Longer than anything here takes: what hangs is told instead.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
