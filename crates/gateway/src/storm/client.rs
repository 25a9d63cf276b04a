//! A client as it would be in the field: it knows both gateways, asks the one that answered for a
//! session the last time, and goes to the other one where there is no answer. What it sends has a
//! key, so it may send it again. After the first attempt it takes the session whoever has it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::clerk::{Clerk, LockNotes};
use super::locks::WAIT;
use super::peers::Peers;
use super::{Scheme, StormError};

/// A gateway that does not even say that it is alive for so long is left, the first time. It may only be
/// slow, and then it has more to do for every client that comes and takes: so each attempt is given
/// twice the time of the one before.
const PATIENCE: Duration = Duration::from_millis(200);
const PATIENCE_MAX: Duration = Duration::from_secs(3);
/// After this time without an answer it is looked whether it is alive; again and again.
const LOOK: Duration = Duration::from_millis(50);
/// The same where a model is asked, which takes its time.
const LOOK_SLOWLY: Duration = Duration::from_millis(500);
/// One that is alive and stores nothing for so long is left as well.
const STORED: Duration = Duration::from_secs(2);
/// Pauses between attempts grow to this.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// See the module. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    peers: Arc<Peers>,
    clerk: Arc<Clerk>,
    scheme: Scheme,
    /// The longest that an answer without a model may take.
    patience: Duration,
    homes: Mutex<HashMap<String, usize>>,
    over: AtomicBool,
}

/// Something to be asked until it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) session: &'a str,
    /// Behind the session.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a Value,
    /// A model is asked: it takes as long as it takes, while the gateway is alive.
    pub(super) thinks: bool,
}

/// What a gateway answered in the end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) body: Value,
    pub(super) attempts: u32,
    /// From the first attempt on.
    pub(super) took: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoReply {
    /// A gateway says no, and will say so again.
    Told(String),
    /// The storm is over; the last thing that was heard.
    Over(String),
}

/// What came of one attempt.
#[derive(Debug)]
enum Heard {
    Done(Value),
    Problem { code: String, body: Value },
    Nothing,
}

impl Client {
    pub(super) fn new(
        peers: Arc<Peers>,
        clerk: Arc<Clerk>,
        scheme: Scheme,
        compress: u32,
    ) -> Result<Self, StormError> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build();
        let http = http.map_err(|error| {
            StormError::io("make a client")(std::io::Error::other(error.to_string()))
        })?;
        // Whoever asked for a session with a lock waited as long as its gateway did.
        let patience = match scheme {
            Scheme::Journal => STORED,
            Scheme::Locks => STORED + WAIT / compress,
        };
        let (homes, over) = (Mutex::default(), AtomicBool::new(false));
        let inner = Inner { http, peers, clerk, scheme, patience, homes, over };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// No more attempts.
    pub(super) fn give_up(&self) {
        self.inner.over.store(true, Ordering::SeqCst);
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.inner.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway that is asked first.
    pub(super) fn home(&self, session: &str) -> usize {
        let at_first = session.bytes().map(usize::from).sum::<usize>() % 2;
        self.homes().get(session).copied().unwrap_or(at_first)
    }

    /// Away from a gateway, unless somebody else went before.
    fn leave(&self, session: &str, gateway: usize) {
        if self.home(session) == gateway {
            self.move_to(session, 1 - gateway);
        }
    }

    pub(super) fn move_to(&self, session: &str, gateway: usize) {
        self.homes().insert(session.to_owned(), gateway);
    }

    /// Asks until there is an answer, or a no for good: one of these codes.
    pub(super) async fn call(
        &self,
        ask: Ask<'_>,
        is_final: impl Fn(&str) -> bool,
    ) -> Result<Reply, NoReply> {
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let gateway = self.home(ask.session);
            let heard = self.once(gateway, ask, attempts).await;
            let last = match heard {
                Heard::Done(body) => {
                    return Ok(Reply { body, attempts, took: begun.elapsed() });
                }
                Heard::Nothing => {
                    self.leave(ask.session, gateway);
                    "no answer".to_owned()
                }
                Heard::Problem { code, .. } if is_final(&code) => return Err(NoReply::Told(code)),
                Heard::Problem { code, body } => {
                    self.heed(gateway, ask.session, &code, &body, attempts).await;
                    code
                }
            };
            if self.inner.over.load(Ordering::SeqCst) {
                return Err(NoReply::Over(last));
            }
            if attempts > 1 {
                sleep((Duration::from_millis(5) * attempts).min(PAUSE_MAX)).await;
            }
        }
    }

    /// Does what a problem asks for.
    async fn heed(&self, gateway: usize, session: &str, code: &str, body: &Value, attempts: u32) {
        let about = body["session"].as_str().unwrap_or(session);
        match code {
            "held-by" | "fenced" if about != session => self.grab(gateway, about).await,
            "held-by" if attempts == 1 => {
                let owner = body["owner"]["label"].as_str();
                if let Some(owner) = owner.and_then(|url| self.inner.peers.number_of(url)) {
                    self.move_to(session, owner);
                }
            }
            "shutting-down" => self.leave(session, gateway),
            _ => {}
        }
    }

    /// One gateway takes a session, whoever has it, and is asked from now on.
    pub(super) async fn grab(&self, gateway: usize, session: &str) {
        if self.inner.scheme == Scheme::Journal {
            let ask = Ask { session, path: "claim", query: "", body: &Value::Null, thinks: false };
            self.once(gateway, ask, 2).await;
        }
        self.move_to(session, gateway);
    }

    /// One attempt, and nothing more: a sign of life that does not come is the next one's matter.
    pub(super) async fn try_once(&self, ask: Ask<'_>) -> Option<Value> {
        let gateway = self.home(ask.session);
        match self.once(gateway, ask, 1).await {
            Heard::Done(body) => Some(body),
            Heard::Nothing => {
                self.leave(ask.session, gateway);
                None
            }
            Heard::Problem { code, body } => {
                self.heed(gateway, ask.session, &code, &body, 1).await;
                None
            }
        }
    }

    /// One attempt. From the second one on it takes the session.
    async fn once(&self, gateway: usize, ask: Ask<'_>, attempt: u32) -> Heard {
        let Some(url) = self.inner.peers.url(gateway) else { return self.noted(Heard::Nothing) };
        let takeover = if attempt > 1 { "always" } else { "if-gone" };
        let target = format!(
            "{url}/v1/sessions/{}/{}?takeover={takeover}{}",
            ask.session.replace('/', "%2F"),
            ask.path,
            ask.query
        );
        let mut request = self.inner.http.post(target).bearer_auth(&self.inner.peers.token);
        if !ask.body.is_null() {
            request = request.json(ask.body);
        }
        let heard = async {
            let response = request.send().await.ok()?;
            let is_well = response.status().is_success();
            let body: Value = response.json().await.ok()?;
            if is_well {
                return Some(Heard::Done(body));
            }
            let code = body["code"].as_str().unwrap_or("no code").to_owned();
            Some(Heard::Problem { code, body })
        };
        let heard = tokio::select! {
            heard = heard => heard,
            () = self.runs_out(&url, ask.thinks, attempt) => None,
        };
        self.noted(heard.unwrap_or(Heard::Nothing))
    }

    /// Ends when a gateway is not worth waiting for any more.
    async fn runs_out(&self, url: &str, thinks: bool, attempt: u32) {
        let alive = (PATIENCE * (1 << (attempt - 1).min(8))).min(PATIENCE_MAX);
        let (begun, pause) = (Instant::now(), if thinks { LOOK_SLOWLY } else { LOOK });
        while thinks || begun.elapsed() < self.inner.patience {
            sleep(pause).await;
            let look = self.inner.http.get(format!("{url}/healthz")).timeout(alive).send();
            if look.await.is_err() {
                return;
            }
        }
    }

    fn noted(&self, heard: Heard) -> Heard {
        let (code, body) = match &heard {
            Heard::Done(body) => ("ok", Some(body)),
            Heard::Problem { code, body } => (code.as_str(), Some(body)),
            Heard::Nothing => ("no answer", None),
        };
        self.inner.clerk.heard(code);
        if let Some(lock) = body.map(|body| &body["lock"]).filter(|lock| lock.is_object()) {
            add(&mut self.inner.clerk.books().locks, lock);
        }
        heard
    }

    /// How many sessions a gateway holds, where it says so at once.
    pub(super) async fn held(&self, gateway: usize) -> Option<u64> {
        let url = self.inner.peers.url(gateway)?;
        let request = self.inner.http.get(format!("{url}/metrics")).timeout(PATIENCE);
        let response = request.bearer_auth(&self.inner.peers.token).send().await.ok()?;
        let text = response.text().await.ok()?;
        let number = text.lines().find_map(|line| line.strip_prefix("session_journal_sessions "));
        number?.trim().parse().ok()
    }

    /// Cancels a turn where it runs; whether somebody said that it is.
    pub(super) async fn cancel(&self, session: &str, key: &str) {
        let Some(url) = self.inner.peers.url(self.home(session)) else { return };
        let session = session.replace('/', "%2F");
        let request = self.inner.http.delete(format!("{url}/v1/sessions/{session}/turns/{key}"));
        let request = request.bearer_auth(&self.inner.peers.token).timeout(LOOK_SLOWLY);
        // The turn itself is answered with what came of it.
        let _ = request.send().await;
    }
}

fn add(notes: &mut LockNotes, lock: &Value) {
    let number = |name: &str| lock[name].as_u64().unwrap_or(0);
    let waited = Duration::from_micros(number("waited_us"));
    notes.acquisitions += number("acquired");
    notes.overlaps += number("overlaps");
    notes.waited += u64::from(number("polls") > 0);
    notes.wait_sum += waited;
    notes.wait_max = notes.wait_max.max(waited);
}
