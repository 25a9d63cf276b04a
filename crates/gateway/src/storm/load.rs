//! The load: agents that go through their plans, signs of life, and probes that only write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Scheme;
use super::clerk::{Acknowledged, ChildNote, Clerk, SendNote, TurnEnd, TurnNote, Written};
use super::client::{Ask, Client, NoReply, Reply};
use super::peers::Peers;
use super::plan::{PROBE_PAUSE, PROBES, Plan, Step, probe, session_of};
use crate::turn::Policy;

/// So many last messages stay as they are when a conversation is compacted.
const KEEP: u32 = 20;
/// Between two questions whether a session has delivered all: whoever asks without one keeps the gateway
/// from delivering.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// So many sessions are looked after at a time, once the storm is over.
const AT_A_TIME: usize = 16;

/// A storm that goes on until it is told to end.
#[derive(Debug)]
pub(super) struct Storm {
    tasks: JoinSet<()>,
    ended: CancellationToken,
    client: Client,
}

/// Who does something, and whom it tells.
#[derive(Clone, Debug)]
struct Actor {
    plan: Arc<Plan>,
    client: Client,
    clerk: Arc<Clerk>,
    ended: CancellationToken,
}

impl Storm {
    /// Makes the sessions, then lets everybody begin.
    pub(super) async fn begin(plan: &Arc<Plan>, client: &Client, clerk: &Arc<Clerk>) -> Self {
        let ended = CancellationToken::new();
        let actor = Actor {
            plan: Arc::clone(plan),
            client: client.clone(),
            clerk: Arc::clone(clerk),
            ended: ended.clone(),
        };
        let sessions = (0..plan.agents).map(session_of).chain((0..PROBES).map(probe));
        let make = |session: String| {
            let actor = &actor;
            async move { actor.append(&session, "first", "user", "the first message", true).await }
        };
        stream::iter(sessions).for_each_concurrent(AT_A_TIME, make).await;
        let mut tasks = JoinSet::new();
        for number in 0..plan.agents {
            tasks.spawn(actor.clone().agent(number));
            tasks.spawn(actor.clone().heart(number));
        }
        for number in 0..PROBES {
            tasks.spawn(actor.clone().probe(number));
        }
        Self { tasks, ended, client: client.clone() }
    }

    /// Nobody begins anything new; what is under way has so long to come to its end.
    pub(super) async fn end(mut self, calm: Duration) {
        self.ended.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(calm, all).await.is_err() {
            self.client.give_up();
            while self.tasks.join_next().await.is_some() {}
        }
    }
}

impl Actor {
    /// Whether the storm goes on after a pause.
    async fn goes_on(&self, pause: Duration) -> bool {
        tokio::select! {
            () = sleep(pause) => !self.ended.is_cancelled(),
            () = self.ended.cancelled() => false,
        }
    }

    async fn agent(self, agent: u32) {
        let session = session_of(agent);
        for (number, (pause, step)) in (1_u64..).zip(self.plan.steps(agent)) {
            if !self.goes_on(pause).await {
                return;
            }
            let key = format!("a{agent}-{number}");
            match step {
                Step::Append { text } => self.append(&session, &key, "user", &text, false).await,
                Step::Mirror { text } => self.append(&session, &key, "mirror", &text, false).await,
                Step::Turn { policy, text, cancel } => {
                    self.turn(&session, &key, policy, &text, cancel).await;
                }
                Step::Send { text, answered } => {
                    let to = session_of((agent + 1) % self.plan.agents);
                    self.send(&session, &to, &key, &text, answered).await;
                }
                Step::FanOut { children } => self.fan_out(&session, &key, children).await,
                Step::Compact => self.compact(&session, &key).await,
            }
        }
    }

    async fn append(&self, session: &str, key: &str, role: &str, text: &str, is_new: bool) {
        // A mirror is what the model said elsewhere.
        let role = if role == "mirror" { "assistant" } else { role };
        let is_mirror = role == "assistant";
        let said = json!({ "role": role, "content": text, "mirror": is_mirror });
        let body = json!({ "kind": "message", "key": key, "json": said });
        let query = if is_new { "&create=true" } else { "" };
        let ask = Ask { session, path: "records", query, body: &body, thinks: false };
        let written = self.write(ask, key).await;
        self.clerk.books().records.push(written);
    }

    /// Something small, which is to be stored at once.
    async fn write(&self, ask: Ask<'_>, key: &str) -> Written {
        let begun = Instant::now();
        let reply = self.client.call(ask, |_| false).await.ok();
        let took = reply.as_ref().map_or_else(|| begun.elapsed(), |reply| reply.took);
        self.clerk.books().writes.add(took, ask.session);
        let (session, key) = (ask.session.to_owned(), key.to_owned());
        Written {
            session,
            key,
            acknowledged: Acknowledged::by(reply.as_ref().map(|reply| &reply.body)),
        }
    }

    async fn turn(
        &self,
        session: &str,
        key: &str,
        policy: Policy,
        text: &str,
        cancel: Option<Duration>,
    ) {
        let body = json!({ "key": key, "text": text, "policy": policy });
        let ask = Ask { session, path: "turns", query: "", body: &body, thinks: true };
        let asked = AtomicBool::new(false);
        // A gateway that shuts down cancels turns, too; those are tried again.
        let is_final = |code: &str| match code {
            "conflict" => true,
            "cancelled" => asked.load(Ordering::SeqCst),
            _ => false,
        };
        let cancelling = async {
            if let Some(after) = cancel {
                sleep(after).await;
                asked.store(true, Ordering::SeqCst);
                self.client.cancel(session, key).await;
            }
            std::future::pending().await
        };
        let reply = tokio::select! {
            reply = self.client.call(ask, is_final) => reply,
            never = cancelling => never,
        };
        let end = match reply {
            Ok(reply) => {
                self.count_attempts(&reply);
                TurnEnd::Answered { reruns: reply.body["answer"]["reruns"].as_u64().unwrap_or(0) }
            }
            Err(NoReply::Told(code)) if code == "conflict" => TurnEnd::Told,
            Err(NoReply::Told(_)) => TurnEnd::Cancelled,
            Err(NoReply::Over(last)) => TurnEnd::Lost { last },
        };
        let (session, key) = (session.to_owned(), key.to_owned());
        self.clerk.books().turns.push(TurnNote { session, key, policy, end });
    }

    fn count_attempts(&self, reply: &Reply) {
        self.clerk.books().turns_again += u64::from(reply.attempts - 1);
    }

    async fn send(&self, from: &str, to: &str, key: &str, text: &str, answered: bool) {
        let answer = if answered { "wait" } else { "none" };
        let body = json!({ "to": to, "key": key, "text": text, "answer": answer });
        let ask = Ask { session: from, path: "sends", query: "", body: &body, thinks: answered };
        let begun = Instant::now();
        let reply = self.client.call(ask, |_| false).await;
        match &reply {
            Ok(reply) if answered => self.count_attempts(reply),
            Err(_) if answered => {}
            reply => {
                let took = reply.as_ref().map_or_else(|_| begun.elapsed(), |reply| reply.took);
                self.clerk.books().writes.add(took, from);
            }
        }
        let (from, to, key) = (from.to_owned(), to.to_owned(), key.to_owned());
        // A message that waits for its session has no answer yet.
        let is_answered = |reply: Reply| !reply.body["answer"].is_null();
        let (acknowledged, answered) =
            reply.map_or((false, false), |reply| (true, is_answered(reply)));
        self.clerk.books().sends.push(SendNote { from, to, key, acknowledged, answered });
    }

    async fn fan_out(&self, parent: &str, key: &str, children: u32) {
        let spawn = |number| self.child(parent, format!("{key}-{number}"));
        stream::iter(0..children).for_each_concurrent(None, spawn).await;
    }

    async fn child(&self, parent: &str, key: String) {
        let child = format!("children/{key}");
        let task = format!("do your part of it, {key} (short)");
        let body = json!({ "child": child, "key": key, "task": task, "wait": true });
        let ask = Ask { session: parent, path: "children", query: "", body: &body, thinks: true };
        let reply = self.client.call(ask, |_| false).await;
        if let Ok(reply) = &reply {
            self.count_attempts(reply);
        }
        let (parent, acknowledged) = (parent.to_owned(), reply.is_ok());
        self.clerk.books().children.push(ChildNote { parent, child, key, acknowledged });
    }

    async fn compact(&self, session: &str, key: &str) {
        let body = json!({ "key": key, "keep": KEEP });
        let ask = Ask { session, path: "compactions", query: "", body: &body, thinks: true };
        let reply = self.client.call(ask, |code| code == "invalid" || code == "conflict").await;
        if let Err(NoReply::Told(_)) = reply {
            self.clerk.books().nothing_to_compact += 1;
            return;
        }
        let acknowledged = Acknowledged::by(reply.ok().as_ref().map(|reply| &reply.body));
        let (session, key) = (session.to_owned(), key.to_owned());
        self.clerk.books().compactions.push(Written { session, key, acknowledged });
    }

    async fn heart(self, agent: u32) {
        let session = session_of(agent);
        for (number, pause) in (1_u64..).zip(self.plan.heartbeats(agent)) {
            if !self.goes_on(pause).await {
                return;
            }
            let key = format!("h{agent}-{number}");
            let body = json!({ "note": key });
            let path = "heartbeats";
            let ask = Ask { session: &session, path, query: "", body: &body, thinks: false };
            let acknowledged = Acknowledged::by(self.client.try_once(ask).await.as_ref());
            let session = session.clone();
            self.clerk.books().beats.push(Written { session, key, acknowledged });
        }
    }

    async fn probe(self, number: u32) {
        let session = probe(number);
        let mut before = Instant::now();
        for at in 1_u64.. {
            if !self.goes_on(PROBE_PAUSE).await {
                return;
            }
            let key = format!("p{number}-{at}");
            let body = json!({ "kind": "message", "key": key, "json": { "role": "user", "content": key } });
            let path = "records";
            let ask = Ask { session: &session, path, query: "", body: &body, thinks: false };
            let written = self.write(ask, &key).await;
            // The pause counts: nobody knows whether it could be written meanwhile.
            let now = Instant::now();
            let mut books = self.clerk.books();
            books.records.push(written);
            books.gaps.add(now - before, &session);
            before = now;
        }
    }
}

/// One gateway is left, which takes every session and delivers what waits in it, as an operator
/// would have it do. Whether all of them were looked at in time.
pub(super) async fn settle(
    peers: &Peers,
    client: &Client,
    clerk: &Clerk,
    scheme: Scheme,
    calm: Duration,
) -> bool {
    if scheme == Scheme::Locks {
        return true;
    }
    peers.leave_one().await;
    let mut sessions = BTreeSet::new();
    {
        let books = clerk.books();
        sessions.extend(books.records.iter().map(|one| one.session.clone()));
        sessions.extend(books.children.iter().map(|one| one.child.clone()));
    }
    for session in &sessions {
        client.move_to(session, 0);
    }
    let retry = |session: String| async move {
        let path = "deliveries/retry";
        let query = "";
        loop {
            let ask = Ask { session: &session, path, query, body: &Value::Null, thinks: true };
            // A child that was never made has nothing to deliver.
            let Ok(reply) = client.call(ask, |code| code == "not-found").await else { return };
            let deliveries = reply.body["deliveries"].as_array();
            let is_open = |one: &Value| one["state"] == "pending";
            if !deliveries.is_some_and(|all| all.iter().any(is_open)) {
                return;
            }
            sleep(SETTLE_PAUSE).await;
        }
    };
    let all = stream::iter(sessions).for_each_concurrent(AT_A_TIME, retry);
    timeout(calm, all).await.is_ok()
}
