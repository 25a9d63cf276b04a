//! Sessions over HTTP: created, listed, looked at, taken, released, deleted.

mod support;

use hyper::StatusCode;
use serde_json::{Value, json};
use support::{Server, path};

fn names(page: &Value) -> Vec<String> {
    let sessions = page["sessions"].as_array().expect("sessions").iter();
    sessions.map(|one| one["session"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_session_is_created_once_and_has_what_was_said_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let new =
        json!({ "agent": "main", "id": "first", "title": "A title", "key": "agent:main:main" });
    let created = client.post("/v1/sessions", new.clone()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let created = created.json();
    assert_eq!(
        (&created["session"], &created["reason"]),
        (&json!("main/first"), &json!("created"))
    );

    let again = client.post("/v1/sessions", new).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "already-exists"));

    let info = client.get(&path("main/first")).await.well();
    assert_eq!(info["attributes"]["title"], "A title");
    assert_eq!((&info["state"], &info["held_here"]), (&json!("open"), &json!(true)));
    assert_eq!(info["records"], 1);
    let found = client.get("/v1/sessions?key=agent:main:main").await.well();
    assert_eq!(names(&found), ["main/first"]);
    assert_eq!(found["sessions"][0]["attributes"]["key"], "agent:main:main");
    assert!(names(&client.get("/v1/sessions?key=agent:main").await.well()).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_session_without_an_id_gets_one_and_a_name_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let one = client.post("/v1/sessions", json!({ "agent": "a" })).await.well();
    let other = client.post("/v1/sessions", json!({ "agent": "a" })).await.well();
    assert_ne!(one["session"], other["session"]);
    for wrong in [
        json!({ "session": "" }),
        json!({ "agent": "", "id": "x" }),
        json!({ "agent": "a/b", "id": "x" }),
        json!({ "session": "a/b", "id": "x" }),
        json!({ "id": "x".repeat(3001) }),
        json!({ "id": "x", "colour": "red" }),
        json!([]),
    ] {
        let answer = client.post("/v1/sessions", wrong.clone()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid"));
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_hold_every_session_once_in_either_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let mut all = Vec::new();
    for at in 0..23 {
        let name = format!("{}/s{at:02}", if at % 2 == 0 { "even" } else { "odd" });
        client.append(&name, "x").await;
        all.push(name);
    }
    for order in ["name", "updated"] {
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let behind = after.as_deref().map(|after| format!("&after={}", escaped(after)));
            let behind = behind.unwrap_or_default();
            let target = format!("/v1/sessions?limit=5&order={order}{behind}");
            let page = client.get(&target).await.well();
            assert_eq!(page["total"], 23);
            seen.extend(names(&page));
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        if order == "name" {
            assert!(seen.is_sorted(), "{seen:?}");
        }
        seen.sort();
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!(seen, sorted, "by {order}");
    }
    let odd = client.get("/v1/sessions?agent=odd&limit=1000").await.well();
    assert_eq!(names(&odd).len(), 11);
    let searched = client.get("/v1/sessions?search=EVEN/S0").await.well();
    assert_eq!(names(&searched).len(), 5);
    assert_eq!(client.get("/v1/sessions?after=nonsense").await.code(), "invalid");
    assert_eq!(client.get("/v1/sessions?order=size").await.code(), "invalid");
    assert_eq!(client.get("/v1/sessions?colour=red").await.code(), "invalid");
    server.stop().await;
}

fn escaped(text: &str) -> String {
    path(text).trim_start_matches("/v1/sessions/").to_owned()
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let of = |suffix: &str| format!("{}{suffix}", path("a/none"));
    for target in [of(""), of("/records"), of("/history"), of("/events")] {
        let answer = client.get(&target).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "not-found"));
        assert_eq!(answer.json()["session"], "a/none", "{target}");
    }
    assert_eq!(client.delete(&of("")).await.code(), "not-found");
    assert_eq!(client.post(&of("/records"), json!({ "payload": "x" })).await.code(), "not-found");
    assert_eq!(client.ask("POST", &of("/claim"), &[], None).await.code(), "not-found");
    let released = client.ask("POST", &of("/release"), &[], None).await.well();
    assert_eq!(released["released"], false);
    assert_eq!(client.get("/nowhere").await.code(), "no-route");
    assert_eq!(client.ask("PATCH", "/v1/sessions", &[], None).await.code(), "method-not-allowed");
    assert!(std::fs::read_dir(folder.path()).expect("reads").next().is_none(), "nothing is made");
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_released_and_claimed_again_and_its_history_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let released = client.ask("POST", &format!("{}/release", path("a/s")), &[], None).await.well();
    assert_eq!(released["released"], true);
    assert_eq!(client.get(&path("a/s")).await.well()["state"], "released");
    let claimed = client.ask("POST", &format!("{}/claim", path("a/s")), &[], None).await.well();
    assert_eq!((&claimed["reason"], &claimed["generation"]), (&json!("released"), &json!(2)));
    let again = client.ask("POST", &format!("{}/claim", path("a/s")), &[], None).await.well();
    assert_eq!(again["generation"], 2, "what is held is not claimed again");

    let history = client.get(&format!("{}/history", path("a/s"))).await.well();
    let events = history["events"].as_array().expect("events").iter();
    let events: Vec<&str> = events.map(|one| one["event"].as_str().expect("a word")).collect();
    assert_eq!(events, ["opening", "release", "claim", "opening"]);
    let label = format!("http://{}", server.address);
    assert_eq!(history["events"][3]["owner"]["label"], label.as_str());
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_session_is_gone_and_its_name_is_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let deleted = client.delete(&path("a/s")).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(client.get(&path("a/s")).await.code(), "not-found");
    assert_eq!(client.append("a/s", "y").await["seq"], 1);
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_asked_for_in_a_while_is_released() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| config.release_idle_ms = 40).await;
    let client = server.client();
    client.append("a/s", "x").await;
    // The release is an event in the history, which followers of the file see; here it is polled.
    while client.get(&path("a/s")).await.well()["state"] != "released" {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.append("a/s", "y").await["generation"], 2);
    server.stop().await;
}
