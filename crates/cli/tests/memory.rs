//! One `sjournal serve` whose sessions stay as many as they are, under everything that a session can be
//! asked for, again and again: what was opened, made and ended leaves nothing in memory.
//!
//! `SESSION_JOURNAL_LONG=1` does ten times as much.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};
use support::Bench;
use support::gateway::{Gateway, command};

/// So many clients, with so many sessions each.
const CLIENTS: usize = 4;
const SESSIONS: usize = 4;
/// Rounds of a half; long ones so many times as many.
const ROUNDS: usize = 48;
const LONG: usize = 10;
/// Plain appends of a round.
const APPENDS: usize = 8;
/// Conversations are summed up so often, so that what a turn reads stays as long as it is.
const SUMMED_UP: usize = 8;
/// Requests to deliver of a round that are dropped in the middle, under keys of so many bytes: together more
/// than a round may lose.
const DROPPED: usize = 4;
const KEY_BYTES: usize = 500;
/// Pages of the allocator that come and go. In the long form that is 2 KiB for each round, of some forty
/// requests: what is lost at each turn, stream or session that is made is found if it is larger, and what
/// is kept for a request that was dropped, with its key.
const ALLOWED_BYTES: u64 = 4 << 20;

struct Client<'a> {
    gateway: &'a Gateway,
    /// Where what it delivers arrives.
    hook: &'a TcpListener,
    number: usize,
}

impl Client<'_> {
    fn session(&self, number: usize) -> String {
        format!("c{}%2Fs{number}", self.number)
    }

    fn must(&self, method: &str, session: &str, path: &str, body: &Value) -> Value {
        let target = format!("/v1/sessions/{session}{path}");
        let (status, answer) = self.gateway.ask(method, &target, Some(body));
        assert!((200..300).contains(&status), "{method} {target}: {status} {answer}");
        answer
    }

    fn begin(&self) {
        for number in 0..SESSIONS {
            self.append(&self.session(number), "?create=true", "first");
        }
    }

    /// Lets go of everything, so that each half begins alike: a session that is held keeps in memory
    /// where its records are, up to 4,096 of them, until the next checkpoint.
    fn release(&self) {
        for number in 0..SESSIONS {
            self.must("POST", &self.session(number), "/release", &Value::Null);
        }
    }

    fn append(&self, session: &str, query: &str, key: &str) {
        let said = json!({ "role": "user", "content": "x".repeat(500) });
        let body = json!({ "kind": "message", "key": key, "json": said });
        self.must("POST", session, &format!("/records{query}"), &body);
    }

    /// Everything once.
    fn round(&self, round: usize) {
        let session = self.session(round % SESSIONS);
        let key = |what: &str| format!("{what}{round}");
        for at in 0..APPENDS {
            self.append(&session, "", &key(&format!("a{at}-")));
        }
        self.must("POST", &session, "/heartbeats", &json!({ "note": key("h") }));
        let turn = json!({ "key": key("t"), "text": "hello", "policy": "go-on" });
        self.must("POST", &session, "/turns", &turn);
        let to = self.session((round + 1) % SESSIONS).replace("%2F", "/");
        let answer = if round.is_multiple_of(2) { "wait" } else { "none" };
        let send = json!({ "to": to, "key": key("m"), "text": "hello", "answer": answer });
        self.must("POST", &session, "/sends", &send);
        self.follow(&session);
        self.must("GET", &session, "/records?last=20", &Value::Null);
        self.child(&session, &key("k"));
        self.dropped(round);
        if round % (SESSIONS * SUMMED_UP) < SESSIONS {
            self.must("POST", &session, "/compactions", &json!({ "key": key("c"), "keep": 5 }));
        }
        // One that is not there, and one that is refused.
        self.gateway.ask("GET", &format!("/v1/sessions/none%2F{round}"), None);
        self.gateway.ask("POST", "/v1/sessions", Some(&json!({ "id": round })));
    }

    /// Opens a stream, hears one event, and goes.
    fn follow(&self, session: &str) {
        let mut stream = TcpStream::connect(self.gateway.address).expect("connects");
        let address = self.gateway.address;
        let head = format!("GET /v1/sessions/{session}/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("writes");
        let mut lines = BufReader::new(stream).lines();
        let event = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("data: ")));
        assert!(event.is_some(), "an event");
    }

    /// A session that is made, does its part, and is deleted.
    fn child(&self, parent: &str, key: &str) {
        let child = format!("children/{}-{key}", self.number);
        let body = json!({ "child": child, "key": key, "task": "your part", "wait": true });
        self.must("POST", parent, "/children", &body);
        self.must("DELETE", &child.replace('/', "%2F"), "", &Value::Null);
    }

    /// Deliveries whose client goes away while the sink has them: each request is dropped in the middle.
    /// The session is deleted with all of them open, so that none comes to its end later.
    fn dropped(&self, round: usize) {
        let session = format!("dropped%2F{}-{round}", self.number);
        self.append(&session, "?create=true", "first");
        for at in 0..DROPPED {
            let asking = self.ask_for_delivery(&session, &format!("{at:0>KEY_BYTES$}"));
            let mut sink = self.asked_sink();
            drop(asking);
            // Ends, in whatever way, when the gateway has noticed.
            let _ = sink.read_to_end(&mut Vec::new());
        }
        self.must("DELETE", &session, "", &Value::Null);
    }

    /// Now and then a connection is opened and given up without a request.
    fn asked_sink(&self) -> TcpStream {
        loop {
            let (mut sink, _) = self.hook.accept().expect("it is delivered");
            if sink.read(&mut [0]).is_ok_and(|read| read == 1) {
                return sink;
            }
        }
    }

    fn ask_for_delivery(&self, session: &str, key: &str) -> TcpStream {
        let sink = format!("hook{}", self.number);
        let body = json!({ "key": key, "sink": sink, "text": "hello" }).to_string();
        let address = self.gateway.address;
        let head = format!(
            "POST /v1/sessions/{session}/deliveries HTTP/1.1\r\nhost: {address}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.write_all((head + &body).as_bytes()).expect("writes");
        stream
    }
}

/// So many rounds of every client, at once.
fn rounds(clients: &[Client<'_>], rounds: &std::ops::Range<usize>) {
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| rounds.clone().for_each(|at| client.round(at)));
        }
    });
}

/// A sink for each of these, under its number. None is tried a second time: a sink is asked when its
/// client expects it.
fn with_hooks(bench: &Bench, hooks: &[TcpListener]) -> Gateway {
    let hook = |(number, hook): (usize, &TcpListener)| {
        let address = hook.local_addr().expect("an address");
        format!("[[webhooks]]\nname = \"hook{number}\"\nurl = \"http://{address}/\"\n")
    };
    let hooks = hooks.iter().enumerate().map(hook);
    let config: String =
        ["[turns]\ndelivery_retry_ms = 0\n".to_owned()].into_iter().chain(hooks).collect();
    let config = bench.write("gateway.toml", config);
    let config = config.to_str().expect("text");
    let arguments = ["--config", config, "--set", "durability=written"];
    Gateway::start(command(&bench.path("store"), &arguments))
}

fn resident(gateway: &Gateway) -> u64 {
    let status = format!("/proc/{}/status", gateway.process.id());
    let status = fs::read_to_string(status).expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib << 10
}

fn held(gateway: &Gateway) -> u64 {
    let metrics = gateway.text("/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("session_journal_sessions "));
    line.and_then(|number| number.trim().parse().ok()).expect("a figure")
}

#[test]
#[allow(clippy::print_stdout, reason = "the figures are the result")]
fn a_gateway_whose_sessions_stay_as_many_stays_as_large() {
    let is_long = std::env::var_os("SESSION_JOURNAL_LONG").is_some();
    let half = if is_long { ROUNDS * LONG } else { ROUNDS };
    let bench = Bench::new();
    let hooks = [(); CLIENTS].map(|()| TcpListener::bind("127.0.0.1:0").expect("binds"));
    let gateway = with_hooks(&bench, &hooks);
    let client = |(number, hook)| Client { gateway: &gateway, hook, number };
    let clients: Vec<_> = hooks.iter().enumerate().map(client).collect();
    clients.iter().for_each(Client::begin);
    let mut sizes = Vec::new();
    for at in 0..3 {
        rounds(&clients, &(at * half..(at + 1) * half));
        sizes.push((resident(&gateway), held(&gateway)));
        println!("{} rounds: {:?} bytes, sessions held", (at + 1) * half * CLIENTS, sizes[at]);
        clients.iter().for_each(Client::release);
    }
    let [_, first, second] = sizes[..] else { panic!("a warm-up and two halves") };
    assert_eq!((first.1, second.1), (16, 16), "sessions that were deleted are not held");
    assert!(
        second.0 <= first.0 + ALLOWED_BYTES,
        "it grew from {} to {} bytes in {} rounds",
        first.0,
        second.0,
        half * CLIENTS
    );
}
