//! Turns, deliveries and agents over HTTP, against a gateway that runs.

mod stage;
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use session_journal::{AppendOptions, NewRecord, SessionName};
use session_journal_gateway::Ask;
use session_journal_gateway::config::{Scope, Token, WebhookSettings};
use sha2::{Digest, Sha256};
use stage::stub::{Step, Stub, completion, ok, said, status, streaming};
use support::{Client, Events, Server, path};

/// Says a word, waits for the bell, says another one.
fn in_two_halves() -> Vec<Step> {
    let end = "data: [DONE]\n\n";
    vec![
        streaming(),
        Step::Send(said("Hel").into_bytes()),
        Step::Wait,
        Step::Send(format!("{}{end}", said("lo")).into_bytes()),
    ]
}

fn hook(stub: &Stub) -> WebhookSettings {
    WebhookSettings { name: "hook".to_owned(), url: stub.url.clone(), timeout_ms: 60_000 }
}

async fn new_session(client: &Client, session: &str) {
    client.post("/v1/sessions", json!({ "session": session })).await.well();
}

fn turns(session: &str) -> String {
    format!("{}/turns", path(session))
}

async fn turn(client: &Client, session: &str, key: &str, text: &str) -> Value {
    client.post(&turns(session), json!({ "key": key, "text": text })).await.well()
}

async fn stream_turn(client: &Client, session: &str, key: &str) -> Events {
    let body = json!({ "key": key, "text": "hello" }).to_string();
    let headers = [("accept", "text/event-stream")];
    let response = client.send("POST", &turns(session), &headers, Some(body)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Events::new(response.into_body())
}

async fn kinds(client: &Client, session: &str) -> Vec<String> {
    let page = client.get(&format!("{}/records", path(session))).await.well();
    let records = page["records"].as_array().expect("records");
    records.iter().map(|one| one["kind"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn a_turn_is_answered_and_answered_the_same_when_it_is_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![completion("well then", 7)]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let first = turn(&client, "a/s", "m1", "hello").await;
    assert_eq!((&first["state"], &first["turn"]), (&"answered".into(), &"m1".into()));
    let answer = &first["answer"];
    assert_eq!((&answer["text"], &answer["model"]), (&"well then".into(), &"stub-1".into()));
    assert_eq!((&answer["provider"], &answer["replayed"]), (&"local".into(), &false.into()));
    let again = turn(&client, "a/s", "m1", "hello").await;
    assert_eq!(
        (&again["answer"]["seq"], &again["answer"]["replayed"]),
        (&answer["seq"], &true.into())
    );
    let looked = client.get(&format!("{}/m1", turns("a/s"))).await.well();
    assert_eq!(looked["answer"], again["answer"]);
    assert_eq!(stub.requests().len(), 1);
    let refused = client.post(&turns("a/s"), json!({ "key": "m1", "text": "other" })).await;
    assert_eq!(refused.code(), "invalid");
    assert_eq!(client.get(&format!("{}/m2", turns("a/s"))).await.code(), "not-found");
    let nobody = json!({ "key": "m2", "text": "x", "provider": "nobody" });
    assert_eq!(client.post(&turns("a/s"), nobody).await.code(), "invalid");
    let missing = client.post(&turns("a/missing"), json!({ "key": "m", "text": "x" })).await;
    assert_eq!(missing.code(), "not-found");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_drafts_and_ends_with_what_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![in_two_halves()]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let mut events = stream_turn(&client, "a/s", "m1").await;
    let draft = events.next().await.expect("a draft");
    assert_eq!((draft.name.as_str(), &draft.json()["text"]), ("draft", &"Hel".into()));
    let stored = client.get(&format!("{}/records", path("a/s"))).await.well();
    let held = &stored["records"][1];
    assert_eq!(held["kind"], "turn.draft");
    assert_eq!(held["payload"], json!({ "turn": "m1", "begun": 1, "text": "Hel" }).to_string());
    let running = client.get(&turns("a/s")).await.well();
    assert_eq!(running["running"], json!(["m1"]));
    let state = client.get(&format!("{}/m1", turns("a/s"))).await.well();
    assert_eq!(state["draft"], json!({ "begun": 1, "text": "Hel" }));
    // Who comes late hears all of it.
    let headers = [("accept", "text/event-stream")];
    let late = client.send("GET", &format!("{}/m1", turns("a/s")), &headers, None).await;
    let mut late = Events::new(late.into_body());
    assert_eq!(late.next().await.expect("a draft").json()["text"], "Hel");
    stub.bell.notify_one();
    for events in [&mut events, &mut late] {
        let mut more = events.next().await.expect("more");
        if more.name == "draft" {
            assert_eq!(more.json()["text"], "lo");
            more = events.next().await.expect("the end");
        }
        assert_eq!((more.name.as_str(), &more.json()["text"]), ("answer", &"Hello".into()));
        assert!(events.next().await.is_none());
    }
    // Once it is there, a stream is its one event.
    let over = client.send("GET", &format!("{}/m1", turns("a/s")), &headers, None).await;
    let mut over = Events::new(over.into_body());
    assert_eq!(over.next().await.expect("the answer").json()["text"], "Hello");
    server.stop().await;
}

/// Listening has what is heard stored, so a token that may only read hears what others had stored.
#[tokio::test]
async fn the_stream_of_a_reader_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![in_two_halves()]).await;
    let server = Server::with_model(folder.path(), &stub.url, |config| {
        let reader = Token { scopes: vec![Scope::Read], ..token("reader", "*") };
        config.tokens = vec![reader, token("writer", "*")];
    })
    .await;
    let (reader, writer) =
        (server.client().with_token("reader"), server.client().with_token("writer"));
    new_session(&writer, "a/s").await;
    let body = json!({ "key": "m1", "text": "hello" });
    writer.post(&format!("{}?wait=false", turns("a/s")), body).await.well();
    stub.arrived(1).await;
    let listens = async |client: &Client| {
        let headers = [("accept", "text/event-stream")];
        let target = format!("{}/m1", turns("a/s"));
        Events::new(client.send("GET", &target, &headers, None).await.into_body())
    };
    let mut reading = listens(&reader).await;
    let drafted = tokio::time::timeout(Duration::from_millis(500), reading.next());
    assert!(drafted.await.is_err(), "nothing is stored for a reader");
    assert_eq!(kinds(&writer, "a/s").await, ["message"]);
    let mut hearing = listens(&writer).await;
    for events in [&mut hearing, &mut reading] {
        assert_eq!(events.next().await.expect("a draft").json()["text"], "Hel");
    }
    assert_eq!(kinds(&writer, "a/s").await, ["message", "turn.draft"]);
    stub.bell.notify_one();
    let mut end = reading.next().await.expect("more");
    if end.name == "draft" {
        end = reading.next().await.expect("the end");
    }
    assert_eq!((end.name.as_str(), &end.json()["text"]), ("answer", &"Hello".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_record_of_somebodys_own_is_not_the_answer_of_a_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let own = json!({ "key": "m1/answer", "payload": "my own" });
    client.post(&format!("{}/records", path("a/s")), own).await.well();
    let target = format!("{}/m1", turns("a/s"));
    assert_eq!(client.get(&target).await.code(), "not-found");
    assert_eq!(client.delete(&target).await.code(), "not-found");
    server.stop().await;
}

/// A5: who goes away holds nothing up, and the turn goes on.
#[tokio::test]
async fn a_client_that_goes_away_finds_its_answer_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![in_two_halves()]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let mut events = stream_turn(&client, "a/s", "m1").await;
    events.next().await.expect("a draft");
    drop(events);
    stub.bell.notify_one();
    assert_eq!(turn(&client, "a/s", "m1", "hello").await["answer"]["text"], "Hello");
    assert_eq!(stub.requests().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_turn_that_nobody_waits_for_runs_and_can_be_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![vec![streaming(), Step::Hang], completion("again", 100)]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let body = json!({ "key": "m1", "text": "hello" });
    let started = client.post(&format!("{}?wait=false", turns("a/s")), body).await.well();
    assert_eq!(started["state"], "running");
    stub.arrived(1).await;
    let cancelled = client.delete(&format!("{}/m1", turns("a/s"))).await.well();
    assert_eq!(cancelled["state"], "cancelled");
    stub.gone(1).await;
    assert_eq!(kinds(&client, "a/s").await, ["message", "turn.cancelled"]);
    assert_eq!(client.delete(&format!("{}/m1", turns("a/s"))).await.code(), "not-found");
    assert_eq!(turn(&client, "a/s", "m1", "hello").await["answer"]["text"], "again");
    let over = client.delete(&format!("{}/m1", turns("a/s"))).await.well();
    assert_eq!(over["state"], "answered", "it came to its end before");
    server.stop().await;
}

#[tokio::test]
async fn who_waits_for_a_turn_that_is_cancelled_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![vec![streaming(), Step::Hang]]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let asking = client.clone();
    let waiting = tokio::spawn(async move {
        asking.post(&turns("a/s"), json!({ "key": "m1", "text": "hello" })).await
    });
    stub.arrived(1).await;
    client.delete(&format!("{}/m1", turns("a/s"))).await.well();
    let told = waiting.await.expect("no panic");
    assert_eq!((told.status.as_u16(), told.code().as_str()), (409, "cancelled"));
    server.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_cancels_its_turns_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![in_two_halves(), completion("whole", 100)]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let mut events = stream_turn(&client, "a/s", "m1").await;
    events.next().await.expect("a draft");
    server.stop().await;
    let end = events.next().await.expect("an end");
    assert_eq!((end.name.as_str(), &end.json()["code"]), ("problem", &"cancelled".into()));
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    assert_eq!(kinds(&client, "a/s").await, ["message", "turn.draft", "turn.cancelled"]);
    assert_eq!(turn(&client, "a/s", "m1", "hello").await["answer"]["text"], "whole");
    server.stop().await;
}

#[tokio::test]
async fn what_came_in_between_is_told_where_the_caller_wants_to_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![in_two_halves()]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let asking = client.clone();
    let told = tokio::spawn(async move {
        let body = json!({ "key": "m1", "text": "hello", "policy": "tell" });
        asking.post(&turns("a/s"), body).await
    });
    stub.arrived(1).await;
    client.append("a/s", "something else").await;
    stub.bell.notify_one();
    let told = told.await.expect("no panic");
    assert_eq!((told.code().as_str(), told.status.as_u16()), ("conflict", 409));
    assert_eq!(told.json()["answer"], "Hello");
    assert_eq!(told.json()["came"][0]["seq"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_says_that_a_draft_does_not_count_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![in_two_halves(), completion("anew", 100)]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let body = json!({ "key": "m1", "text": "hello", "policy": "rerun" }).to_string();
    let headers = [("accept", "text/event-stream")];
    let response = client.send("POST", &turns("a/s"), &headers, Some(body)).await;
    let mut events = Events::new(response.into_body());
    assert_eq!(events.next().await.expect("a draft").json()["text"], "Hel");
    let other = json!({ "kind": "message", "json": { "role": "user", "content": "wait" } });
    client.post(&format!("{}/records", path("a/s")), other).await.well();
    stub.bell.notify_one();
    let (mut draft, mut restarts) = ("Hel".to_owned(), 0);
    let end = loop {
        let event = events.next().await.expect("an event");
        match event.name.as_str() {
            "draft" => draft.push_str(event.json()["text"].as_str().expect("text")),
            "restart" => {
                restarts += 1;
                draft.clear();
            }
            _ => break event,
        }
    };
    assert_eq!((end.name.as_str(), &end.json()["reruns"]), ("answer", &1.into()));
    // The answer may be there before a draft of it is due.
    assert!("anew".starts_with(&draft) && restarts == 1, "{draft:?}, {restarts}");
    assert!(
        stub.requests()[1]
            .contains(r#"{"role":"user","content":"wait"},{"role":"user","content":"hello"}"#),
        "{}",
        stub.requests()[1]
    );
    server.stop().await;
}

/// B12: whoever was fenced in the middle says so, and the owner finishes the turn.
#[tokio::test]
async fn a_turn_is_finished_by_the_gateway_that_took_the_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let (slow, fast) =
        (Stub::new(vec![in_two_halves()]).await, Stub::new(vec![completion("mine", 100)]).await);
    let first = Server::with_model(folder.path(), &slow.url, |_| {}).await;
    let second = Server::with_model(folder.path(), &fast.url, |_| {}).await;
    new_session(&first.client(), "a/s").await;
    let mut events = stream_turn(&first.client(), "a/s", "m1").await;
    events.next().await.expect("a draft");
    let body = json!({ "key": "m1", "text": "hello" });
    let held = second.client().post(&turns("a/s"), body.clone()).await;
    assert_eq!(held.code(), "held-by");
    assert_eq!(held.json()["owner"]["label"], first.state.config.label.as_str());
    let taken = second.client().post(&format!("{}?takeover=always", turns("a/s")), body).await;
    assert_eq!(taken.well()["answer"]["text"], "mine");
    slow.bell.notify_one();
    let end = events.next().await.expect("an end");
    assert_eq!((end.name.as_str(), &end.json()["code"]), ("problem", &"fenced".into()));
    assert_eq!(end.json()["answer"], "Hello", "what was not stored goes back to who asked");
    assert_eq!(kinds(&second.client(), "a/s").await, ["message", "turn.draft", "message"]);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_model_that_is_not_there_is_told_apart_from_everything_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::new(vec![status("503 Busy", "loading")]).await;
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let answer = client.post(&turns("a/s"), json!({ "key": "m1", "text": "x" })).await;
    assert_eq!((answer.code().as_str(), answer.status.as_u16()), ("provider", 502));
    assert_eq!(
        (&answer.json()["may_pass"], &answer.json()["provider"]),
        (&true.into(), &"local".into())
    );
    assert!(!answer.json().to_string().contains(&stub.url), "{answer:?}");
    server.stop().await;
}

// ---- deliveries ------------------------------------------------------------------------------

fn deliveries(session: &str) -> String {
    format!("{}/deliveries", path(session))
}

#[tokio::test]
async fn an_answer_is_delivered_and_what_is_open_is_listed_and_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let hooked = Stub::new(vec![status("503 Busy", ""), ok("{}")]).await;
    let webhooks = vec![hook(&hooked)];
    let server = Server::start(folder.path(), |config| {
        config.webhooks = webhooks;
        config.turns.delivery_retry_ms = 0;
    })
    .await;
    let client = server.client();
    new_session(&client, "a/s").await;
    let body =
        json!({ "key": "m1", "text": "hello", "deliver": [{ "sink": "hook", "to": "ann" }] });
    let answered = client.post(&turns("a/s"), body).await.well();
    assert_eq!(answered["answer"]["deliveries"][0]["state"], "pending");
    let open = client.get(&deliveries("a/s")).await.well();
    assert_eq!(open["deliveries"][0]["key"], "m1/answer/0");
    let again = client.ask("POST", &format!("{}/retry", deliveries("a/s")), &[], None).await.well();
    assert_eq!(again["deliveries"][0]["state"], "delivered");
    assert_eq!(client.get(&deliveries("a/s")).await.well()["deliveries"], json!([]));
    let one = json!({ "key": "d1", "sink": "hook", "to": "ann", "of": "m1/answer" });
    for _ in 0..2 {
        assert_eq!(client.post(&deliveries("a/s"), one.clone()).await.well()["state"], "delivered");
    }
    assert_eq!(hooked.requests().len(), 3);
    let body = client.get("/metrics").await.body;
    let metrics = String::from_utf8(body.to_vec()).expect("text");
    for line in [
        "session_journal_turns_total{kind=\"answered\"} 1",
        "session_journal_turn_seconds_count 1",
        "session_journal_turns_running 0",
        "session_journal_deliveries_total{kind=\"pending\"} 1",
        "session_journal_deliveries_total{kind=\"delivered\"} 2",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} is not in {metrics}");
    }
    let nowhere = json!({ "key": "d2", "sink": "nowhere", "text": "x" });
    assert_eq!(client.post(&deliveries("a/s"), nowhere).await.code(), "invalid");
    let nothing = json!({ "key": "d2", "sink": "hook", "of": "m9" });
    assert_eq!(client.post(&deliveries("a/s"), nothing).await.code(), "not-found");
    assert_eq!(client.get(&deliveries("a/s")).await.well()["deliveries"], json!([]));
    server.stop().await;
}

/// C11, B11: what one gateway left open, the next one delivers: at its start, and when it opens the
/// session.
#[tokio::test]
async fn what_was_left_open_is_delivered_at_the_start_and_at_an_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    let off = Stub::new(vec![status("503 Busy", "")]).await;
    let on = Stub::new(vec![ok("{}")]).await;
    let start = async |stub: &Stub, recover: bool| {
        let webhooks = vec![hook(stub)];
        Server::start(folder.path(), |config| {
            config.webhooks = webhooks;
            config.turns.delivery_retry_ms = 0;
            config.turns.recover_on_start = recover;
        })
        .await
    };
    let first = start(&off, false).await;
    for session in ["a/one", "a/two"] {
        new_session(&first.client(), session).await;
        let body = json!({ "key": "d1", "sink": "hook", "text": session });
        let left = first.client().post(&deliveries(session), body).await.well();
        assert_eq!(left["state"], "pending");
    }
    let second = start(&on, false).await;
    first.client().post(&format!("{}/release", path("a/two")), json!({})).await.well();
    second.client().append("a/two", "opened").await;
    on.arrived(1).await;
    assert!(on.requests()[0].contains("a/two"), "{}", on.requests()[0]);
    first.stop().await;
    let third = start(&on, true).await;
    on.arrived(2).await;
    assert!(on.requests()[1].contains("a/one"), "{}", on.requests()[1]);
    third.stop().await;
    second.stop().await;
}

// ---- agents ----------------------------------------------------------------------------------

#[tokio::test]
async fn agents_send_spawn_beat_and_compact() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    for session in ["a/one", "a/two"] {
        new_session(&client, session).await;
    }
    let post = async |what: &str, body: Value| {
        client.post(&format!("{}/{what}", path("a/one")), body).await
    };
    let sent = json!({ "to": "a/two", "key": "s1", "text": "there?" });
    assert_eq!(post("sends", sent).await.well()["answer"]["text"], "there?");
    let sent = json!({ "to": "a/two", "key": "s2", "text": "!", "answer": "none" });
    assert_eq!(post("sends", sent).await.well()["answer"], Value::Null);
    assert_eq!(kinds(&client, "a/two").await, ["message", "message", "message"]);
    let child = json!({ "child": "a/child", "key": "c1", "task": "count", "title": "counter", "wait": true });
    assert_eq!(post("children", child).await.well()["answer"]["text"], "count");
    let listed = client.get(&path("a/child")).await.well();
    assert_eq!(listed["attributes"]["lineage"][0]["session"], "a/one");
    assert_eq!(listed["attributes"]["title"], "counter");
    assert_eq!(post("heartbeats", json!({ "note": "alive" })).await.well()["session"], "a/one");
    turn(&client, "a/one", "m1", "hello").await;
    let done =
        post("compactions", json!({ "key": "k1", "keep": 1, "summary": "short" })).await.well();
    assert_eq!((&done["first_kept"], &done["replayed"]), (&"m1/answer".into(), &false.into()));
    assert_eq!(post("compactions", json!({ "key": "k2", "keep": 50 })).await.code(), "invalid");
    let last = kinds(&client, "a/one").await;
    assert_eq!(last.last().map(String::as_str), Some("compaction"), "{last:?}");
    server.stop().await;
}

fn token(name: &str, agent: &str) -> Token {
    Token {
        name: name.to_owned(),
        sha256: format!("{:x}", Sha256::digest(name)),
        agents: vec![agent.to_owned()],
        scopes: vec![Scope::Read, Scope::Write],
    }
}

/// Two agents: none reaches into the other's sessions, by whatever way.
#[tokio::test]
async fn nobody_has_the_gateway_write_where_the_token_does_not_reach() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = vec![token("ann", "a"), token("bob", "b")];
    let server = Server::start(folder.path(), |config| config.tokens = tokens).await;
    let (ann, bob) = (server.client().with_token("ann"), server.client().with_token("bob"));
    new_session(&ann, "a/s").await;
    new_session(&bob, "b/s").await;
    let post = async |what: &str, body: Value| {
        ann.post(&format!("{}/{what}", path("a/s")), body).await.code()
    };
    for sink in ["session", "announce"] {
        let to_bob = json!({ "sink": sink, "to": "b/s" });
        let body = json!({ "key": "m1", "text": "x", "deliver": [to_bob] });
        assert_eq!(post("turns", body).await, "forbidden");
        let body = json!({ "key": "d1", "text": "x", "sink": sink, "to": "b/s" });
        assert_eq!(post("deliveries", body).await, "forbidden");
    }
    assert_eq!(post("sends", json!({ "to": "b/s", "key": "s1", "text": "x" })).await, "forbidden");
    assert_eq!(
        post("children", json!({ "child": "b/c", "key": "c1", "task": "x" })).await,
        "forbidden"
    );
    // Nor by an intent of one's own making, or by something that looks like one.
    let intent = json!({ "sink": "session", "to": "b/s", "what": { "message": { "role": "user", "content": "x" } } });
    let forged =
        |kind: &str| json!({ "json": intent, "kind": kind, "key": "delivery/intent/f1/answer/0" });
    assert_eq!(post("records", forged("delivery.intent")).await, "invalid");
    assert_eq!(post("records", forged("message")).await, "invalid");
    // Nor where the session had one before the gateway: an import, the command line.
    let key = "delivery/intent/f1/answer/0";
    let foreign = NewRecord::new(intent.to_string()).kind("message").key(key);
    let name: SessionName = "a/s".parse().expect("a name");
    let stored =
        server.state.hub.append(&name, vec![foreign], AppendOptions::default(), Ask::default());
    stored.await.expect("is stored");
    let retried = ann.post(&format!("{}/retry", deliveries("a/s")), json!({})).await.well();
    assert_eq!(retried["deliveries"], json!([]));
    turn(&ann, "a/s", "f1", "x").await;
    assert_eq!(kinds(&ann, "a/s").await, ["message"; 3]);
    assert!(kinds(&bob, "b/s").await.is_empty());
    // What the token reaches it may use.
    let own = json!({ "child": "a/c", "key": "c1", "task": "x", "wait": true });
    ann.post(&format!("{}/children", path("a/s")), own).await.well();
    server.stop().await;
}
