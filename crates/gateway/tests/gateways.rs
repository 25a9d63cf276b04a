//! Several gateways on one store: one owner a session at a time, and nobody is stuck.

mod support;

use hyper::StatusCode;
use serde_json::{Value, json};
use session_journal::{State, Store, StoreOptions};
use support::{Answer, Server, path};

async fn append(server: &Server, session: &str, query: &str, text: &str) -> Answer {
    let target = format!("{}/records{query}", path(session));
    server.client().post(&target, json!({ "payload": text })).await
}

async fn texts(server: &Server, session: &str) -> Vec<String> {
    let page = server.client().get(&format!("{}/records", path(session))).await.well();
    let records = page["records"].as_array().expect("records").iter();
    records.map(|one| one["payload"].as_str().expect("a text").to_owned()).collect()
}

fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(&format!("session_journal_{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

async fn metrics(server: &Server) -> String {
    String::from_utf8(server.client().get("/metrics").await.body.to_vec()).expect("text")
}

#[tokio::test]
async fn the_wrong_gateway_names_the_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Server::on(folder.path()).await, Server::on(folder.path()).await);
    append(&first, "a/s", "?create=true", "x").await.well();
    for query in ["", "?takeover=if-gone", "?takeover=never", "?create=true"] {
        let answer = append(&second, "a/s", query, "y").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "held-by"));
        let owner = answer.json()["owner"].clone();
        assert_eq!(owner["label"], format!("http://{}", first.address));
        assert_eq!((&owner["pid"], &owner["alive"]), (&json!(std::process::id()), &json!(true)));
    }
    assert_eq!(second.client().delete(&path("a/s")).await.code(), "held-by");
    assert_eq!(texts(&second, "a/s").await, ["x"], "reading needs no ownership");
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_taken_session_is_fenced_once_then_held_by_and_the_rest_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Server::on(folder.path()).await, Server::on(folder.path()).await);
    append(&first, "a/s", "?create=true", "1").await.well();
    append(&first, "a/other", "?create=true", "1").await.well();

    append(&second, "a/s", "?takeover=always", "2").await.well();
    let fenced = append(&first, "a/s", "", "late").await;
    assert_eq!((fenced.status, fenced.code().as_str()), (StatusCode::CONFLICT, "fenced"));
    assert_eq!(fenced.json()["owner"]["label"], format!("http://{}", second.address));
    assert!(first.state.hub.held(&"a/s".parse().expect("a name")).is_none(), "it is given up");
    for _ in 0..3 {
        assert_eq!(append(&first, "a/s", "", "late").await.code(), "held-by");
    }
    append(&first, "a/other", "", "2").await.well();
    assert_eq!(metric(&metrics(&first).await, "fences_total"), 1);
    assert_eq!(metric(&metrics(&second).await, "fences_total"), 0);

    append(&first, "a/s", "?takeover=always", "3").await.well();
    assert_eq!(append(&second, "a/s", "", "late").await.code(), "fenced");
    assert_eq!(texts(&first, "a/s").await, ["1", "2", "3"]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn who_asks_to_take_it_is_not_told_that_it_was_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Server::on(folder.path()).await, Server::on(folder.path()).await);
    append(&first, "a/s", "?create=true", "0").await.well();
    for at in 1..8 {
        let server = if at % 2 == 1 { &second } else { &first };
        append(server, "a/s", "?takeover=always", &at.to_string()).await.well();
    }
    let expected: Vec<_> = (0..8).map(|at| at.to_string()).collect();
    assert_eq!(texts(&first, "a/s").await, expected);

    let claim = format!("{}/claim?takeover=always", path("a/s"));
    for server in [&first, &second, &first, &first] {
        let claimed = server.client().ask("POST", &claim, &[], None).await.well();
        let info = server.client().get(&path("a/s")).await.well();
        assert_eq!(info["generation"], claimed["generation"]);
        assert_eq!(info["owner"]["label"], format!("http://{}", server.address));
    }
    // The second one holds what it lost without knowing.
    let polite = format!("{}/claim", path("a/s"));
    assert_eq!(second.client().ask("POST", &polite, &[], None).await.code(), "held-by");
    let delete = format!("{}?takeover=always", path("a/s"));
    second.client().delete(&delete).await.well();
    assert_eq!(append(&first, "a/s", "", "late").await.code(), "fenced");
    assert_eq!(append(&first, "a/s", "", "late").await.code(), "not-found");
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_leaves_everything_released() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Server::on(folder.path()).await, Server::on(folder.path()).await);
    for at in 0..20 {
        append(&first, &format!("a/s{at}"), "?create=true", "x").await.well();
    }
    // One was lost before: there is nothing to release.
    append(&second, "a/s0", "?takeover=always", "y").await.well();
    first.stop().await;
    for at in 1..20 {
        let info = second.client().get(&path(&format!("a/s{at}"))).await.well();
        assert_eq!((&info["state"], &info["owner"]), (&json!("released"), &Value::Null));
        append(&second, &format!("a/s{at}"), "?takeover=never", "y").await.well();
    }
    second.stop().await;
    let store = Store::open(folder.path(), StoreOptions::default()).expect("opens");
    let listed = store.list().expect("lists");
    assert_eq!(listed.len(), 20);
    assert!(listed.iter().all(|one| one.state == State::Released), "{listed:?}");
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_gateway_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    append(&server, "a/s", "?create=true", "first").await.well();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..8 {
        let client = client.clone();
        producers.spawn(async move {
            let mut acknowledged = Vec::new();
            for at in 0..200 {
                let text = format!("{producer}:{at}");
                let Some(answer) = client.try_append("a/s", &text).await else { break };
                if answer.status.is_success() {
                    acknowledged.push(text);
                } else {
                    assert_eq!(answer.code(), "shutting-down");
                    break;
                }
            }
            acknowledged
        });
    }
    let mut events = client.follow("a/s", None).await;
    events.take(30).await;
    server.stop().await;
    let acknowledged: Vec<String> = producers.join_all().await.into_iter().flatten().collect();
    let server = Server::on(folder.path()).await;
    let mut stored = Vec::new();
    let mut from = Some(2);
    while let Some(at) = from {
        let target = format!("{}/records?from={at}&limit=1000", path("a/s"));
        let page = server.client().get(&target).await.well();
        let records = page["records"].as_array().expect("records").iter();
        stored.extend(records.map(|one| one["payload"].as_str().expect("a text").to_owned()));
        from = page["next"].as_u64();
    }
    assert!(acknowledged.len() >= 29, "{}", acknowledged.len());
    for text in &acknowledged {
        assert_eq!(stored.iter().filter(|one| *one == text).count(), 1, "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_needs_repair_says_so_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = {
        let server = Server::on(folder.path()).await;
        append(&server, "a/torn", "?create=true", "1").await.well();
        append(&server, "a/well", "?create=true", "1").await.well();
        let file = server.state.hub.store().path_of(&"a/torn".parse().expect("a name"));
        server.stop().await;
        file
    };
    let mut torn = std::fs::OpenOptions::new().append(true).open(file).expect("opens");
    std::io::Write::write_all(&mut torn, b"half a frame").expect("writes");
    drop(torn);

    let careful = Server::start(folder.path(), |config| config.auto_repair = false).await;
    let answer = append(&careful, "a/torn", "", "2").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "needs-repair"));
    assert_eq!(answer.json()["report"]["torn"][0]["bytes"], 12);
    append(&careful, "a/well", "", "2").await.well();
    assert_eq!(texts(&careful, "a/torn").await, ["1"], "it can be read");
    assert_eq!(metric(&metrics(&careful).await, "repairs_total"), 0);
    careful.stop().await;

    let server = Server::on(folder.path()).await;
    append(&server, "a/torn", "", "2").await.well();
    assert_eq!(metric(&metrics(&server).await, "repairs_total"), 1);
    let history = server.client().get(&format!("{}/history", path("a/torn"))).await.well();
    let events = history["events"].as_array().expect("events");
    let repair = events.iter().find(|one| one["event"] == "repair").expect("it is in the journal");
    assert_eq!(repair["report"]["torn"][0]["bytes"], 12);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_journal_or_a_newer_one_is_told_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("a")).expect("makes");
    std::fs::write(folder.path().join("a/text.journal"), "not a journal").expect("writes");
    let server = Server::on(folder.path()).await;
    let answer = append(&server, "a/text", "?create=true", "x").await;
    assert_eq!(answer.code(), "not-a-journal");
    assert_eq!(server.client().get(&path("a/text")).await.code(), "not-a-journal");
    let page = server.client().get("/v1/sessions").await.well();
    assert_eq!(page["sessions"][0]["error"], "not-a-journal");
    assert!(!answer.json().to_string().contains(folder.path().to_str().expect("text")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_beside_releases_claims_and_takeovers_are_stored_once_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Server::on(folder.path()).await, Server::on(folder.path()).await);
    append(&first, "a/s", "?create=true", "first").await.well();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..6 {
        let client = if producer % 2 == 0 { first.client() } else { second.client() };
        producers.spawn(async move {
            let target = format!("{}/records?takeover=always", path("a/s"));
            for at in 0..15 {
                let key = format!("{producer}:{at}");
                let record = json!({ "payload": key, "key": key });
                loop {
                    let answer = client.post(&target, record.clone()).await;
                    if answer.status.is_success() {
                        break;
                    }
                    // Whoever is taken from again and again is told so, and asks again.
                    let code = answer.code();
                    assert!(
                        ["fenced", "held-by", "closed", "unknown"].contains(&code.as_str()),
                        "{answer:?}"
                    );
                }
            }
        });
    }
    let disturb = async {
        loop {
            for server in [&first, &second] {
                let client = server.client();
                client.ask("POST", &format!("{}/release", path("a/s")), &[], None).await.well();
                client
                    .ask("POST", &format!("{}/claim?takeover=always", path("a/s")), &[], None)
                    .await;
            }
        }
    };
    let produced = async {
        while let Some(done) = producers.join_next().await {
            done.expect("appends");
        }
    };
    tokio::select! {
        () = disturb => {}
        () = produced => {}
    }
    let mut stored = texts(&first, "a/s").await;
    stored.sort();
    let mut expected: Vec<_> =
        (0..6).flat_map(|p| (0..15).map(move |at| format!("{p}:{at}"))).collect();
    expected.push("first".to_owned());
    expected.sort();
    assert_eq!(stored, expected);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_that_is_deleted_under_its_producers_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = server.client();
        producers.spawn(async move {
            let target = format!("{}/records?create=true", path("a/s"));
            for _ in 0..50 {
                let answer = client.post(&target, json!({ "payload": "x" })).await;
                let is_known = answer.status.is_success()
                    || ["closed", "detached", "not-found", "sealed"]
                        .contains(&answer.code().as_str());
                assert!(is_known, "{answer:?}");
            }
        });
    }
    for _ in 0..20 {
        let answer = server.client().delete(&path("a/s")).await;
        assert!(answer.status.is_success() || answer.code() == "not-found", "{answer:?}");
    }
    producers.join_all().await;
    append(&server, "a/s", "?create=true", "x").await.well();
    server.client().delete(&path("a/s")).await.well();
    assert_eq!(server.client().get(&path("a/s")).await.code(), "not-found");
    server.stop().await;
}
