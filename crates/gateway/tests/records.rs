//! Records over HTTP: read from both ends, appended once, all or none, and under a condition.

mod support;

use hyper::StatusCode;
use serde_json::{Value, json};
use support::{Client, Server, path};

async fn read(client: &Client, query: &str) -> Value {
    client.get(&format!("{}/records{query}", path("a/s"))).await.well()
}

fn sequences(page: &Value) -> Vec<u64> {
    let records = page["records"].as_array().expect("records").iter();
    records.map(|one| one["seq"].as_u64().expect("a number")).collect()
}

async fn append(client: &Client, query: &str, body: Value) -> support::Answer {
    client.post(&format!("{}/records{query}", path("a/s")), body).await
}

#[tokio::test]
async fn records_are_read_from_both_ends_and_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    for at in 1..=10 {
        client.append("a/s", &format!("text {at}")).await;
    }
    let all = read(&client, "").await;
    assert_eq!(sequences(&all), (1..=10).collect::<Vec<_>>());
    assert_eq!((&all["next"], &all["last_seq"]), (&Value::Null, &json!(10)));
    assert_eq!(all["mark"], all["records"][9]["mark"]);
    assert_eq!(all["records"][0]["payload"], "text 1");

    let page = read(&client, "?from=3&limit=4").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![3, 4, 5, 6], &json!(7)));
    assert_eq!(sequences(&read(&client, "?last=3").await), [8, 9, 10]);
    let page = read(&client, "?backwards=true&limit=4").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![10, 9, 8, 7], &json!(7)));
    let page = read(&client, "?before=7&limit=4").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![6, 5, 4, 3], &json!(3)));
    let page = read(&client, "?before=3&limit=4").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![2, 1], &Value::Null));
    assert!(sequences(&read(&client, "?from=11").await).is_empty());
    assert!(sequences(&read(&client, "?before=1").await).is_empty());
    for wrong in ["?from=1&last=1", "?last=1&before=2", "?from=x", "?limit=-1", "?what=1"] {
        let answer = client.get(&format!("{}/records{wrong}", path("a/s"))).await;
        assert_eq!(answer.code(), "invalid", "{wrong}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_page_ends_with_the_record_that_fills_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| config.limits.page_bytes_max = 100).await;
    let client = server.client();
    for _ in 0..5 {
        client.append("a/s", &"x".repeat(60)).await;
    }
    let page = read(&client, "").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![1, 2], &json!(3)));
    let page = read(&client, "?backwards=true").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![5], &json!(5)));
    let page = read(&client, "?before=5").await;
    assert_eq!((sequences(&page), &page["next"]), (vec![4], &json!(4)));
    assert_eq!(sequences(&read(&client, "?last=3").await), [5]);
    server.stop().await;
}

#[tokio::test]
async fn a_payload_is_text_base64_or_json_as_it_was_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let sent = r#"{"json":{"b":1.50, "a":12345678901234567890123},"kind":"message","key":"k","parent":"p","time_ms":7}"#;
    let target = format!("{}/records?create=true", path("a/s"));
    client.ask("POST", &target, &[], Some(sent.to_owned())).await.well();
    append(&client, "", json!({ "payload_base64": "/wA=" })).await.well();
    append(&client, "", json!({ "payload": "" })).await.well();
    let page = read(&client, "").await;
    let first = &page["records"][0];
    assert_eq!(first["payload"], r#"{"b":1.50, "a":12345678901234567890123}"#);
    assert_eq!((&first["kind"], &first["key"]), (&json!("message"), &json!("k")));
    assert_eq!((&first["parent"], &first["time_ms"]), (&json!("p"), &json!(7)));
    assert_eq!(page["records"][1]["payload_base64"], "/wA=");
    assert_eq!(page["records"][2]["payload"], "");
    for wrong in [
        json!({}),
        json!({ "payload": "x", "json": 1 }),
        json!({ "payload_base64": "?" }),
        json!({ "payload": 1 }),
        json!({ "payload": "x", "colour": "red" }),
        json!({ "payload": "x", "kind": "sj.attributes" }),
        json!({ "payload": "x", "kind": "k".repeat(256) }),
        json!("x"),
    ] {
        let answer = append(&client, "", wrong.clone()).await;
        assert!(["invalid", "too-large"].contains(&answer.code().as_str()), "{wrong}: {answer:?}");
    }
    assert_eq!(read(&client, "").await["last_seq"], 3, "nothing of that was stored");
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_stored_once_however_often_it_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let target = format!("{}/records?create=true", path("a/s"));
    let key = [("idempotency-key", "once")];
    let send = |text: &str| {
        client.ask("POST", &target, &key, Some(json!({ "payload": text }).to_string()))
    };
    let first = send("one").await.well();
    assert_eq!((&first["seq"], &first["duplicate"]), (&json!(1), &json!(false)));
    let again = send("two").await.well();
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    client.ask("POST", &format!("{}/release", path("a/s")), &[], None).await.well();
    assert_eq!(send("three").await.well()["duplicate"], true, "also behind a release");
    let body = json!({ "payload": "x", "key": "other" }).to_string();
    assert_eq!(client.ask("POST", &target, &key, Some(body)).await.code(), "invalid");
    server.stop().await;
}

/// A message with such a key would stand where the gateway looks for its own: the delivery would stay open
/// for ever, a turn's intent would not be stored.
#[tokio::test]
async fn keys_of_the_gateways_own_records_are_refused_alone_in_a_batch_and_in_the_header() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let [records, turns, batches] =
        ["records", "turns", "batches"].map(|what| format!("{}/{what}", path("a/s")));
    let message = |key: &str| json!({ "kind": "message", "key": key, "json": { "role": "user", "content": "x" } });
    for key in [
        "sj.x",
        "delivery/intent/d1",
        "delivery/done/d1",
        "delivery/settled/1",
        "delivery/begin",
        "spawn/c1",
    ] {
        assert_eq!(client.post(&records, message(key)).await.code(), "invalid", "{key}");
        let batch = json!({ "records": [message("well"), message(key)] });
        assert_eq!(client.post(&batches, batch).await.code(), "invalid", "{key}");
        let body = Some(json!({ "payload": "x" }).to_string());
        let header = [("idempotency-key", key)];
        let answer = client.ask("POST", &records, &header, body).await;
        assert_eq!(answer.code(), "invalid", "{key}");
        // What may not be chosen here may not be chosen there, either.
        let turn = json!({ "key": key, "text": "x" });
        assert_eq!(client.post(&turns, turn).await.code(), "invalid", "{key}");
    }
    assert_eq!(read(&client, "").await["last_seq"], 1, "nothing of that was stored");
    for near in ["sj", "delivery", "delivery.done", "spawning/c1", "my/delivery/done/d1"] {
        assert_eq!(client.post(&records, message(near)).await.well()["duplicate"], false, "{near}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| config.limits.record_bytes_max = 1000).await;
    let client = server.client();
    let target = format!("{}/batches?create=true", path("a/s"));
    let three = json!({ "records": [{ "payload": "1" }, { "payload": "2" }, { "payload": "3" }] });
    let stored = client.post(&target, three).await.well();
    let stored = stored["records"].as_array().expect("records").iter();
    assert_eq!(stored.map(|one| one["seq"].clone()).collect::<Vec<_>>(), [1, 2, 3]);
    let large = json!({ "records": [{ "payload": "4" }, { "payload": "x".repeat(1001) }] });
    let refused = client.post(&target, large).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too-large")
    );
    assert_eq!(refused.json()["limit"], 1000);
    assert_eq!(client.post(&target, json!({ "records": [] })).await.code(), "invalid");
    assert_eq!(read(&client, "").await["last_seq"], 3);
    server.stop().await;
}

#[tokio::test]
async fn an_append_under_a_condition_is_told_what_came_in_between() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "question").await;
    let mark = read(&client, "").await["mark"].as_str().expect("a mark").to_owned();
    append(&client, &format!("?expect_mark={mark}"), json!({ "payload": "answer" })).await.well();

    let beat = json!({ "payload": "-", "kind": "heartbeat", "key": "b1" });
    append(&client, "?expect_seq=2", beat).await.well();
    let refused = append(&client, &format!("?expect_mark={mark}"), json!({ "payload": "x" })).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "conflict"));
    let came = refused.json()["came"].clone();
    assert_eq!(came[1], json!({ "seq": 3, "kind": "heartbeat", "key": "b1" }));
    assert_eq!(
        append(&client, "?expect_seq=2", json!({ "payload": "x" })).await.code(),
        "conflict"
    );

    let mark = read(&client, "?from=2&limit=1").await["records"][0]["mark"].clone();
    let mark = mark.as_str().expect("a mark");
    let beats = format!("?expect_mark={mark}&expect_kinds=heartbeat,compaction");
    append(&client, &beats, json!({ "payload": "behind beats" })).await.well();
    assert_eq!(append(&client, &beats, json!({ "payload": "x" })).await.code(), "conflict");

    for wrong in ["?expect_mark=x", "?expect_kinds=a", &format!("?expect_mark={mark}&expect_seq=1")]
    {
        assert_eq!(append(&client, wrong, json!({ "payload": "x" })).await.code(), "invalid");
    }
    let other = mark.replacen(&mark[..32], &"0".repeat(32), 1);
    let diverged =
        append(&client, &format!("?expect_mark={other}"), json!({ "payload": "x" })).await;
    assert!(["diverged", "conflict"].contains(&diverged.code().as_str()), "{diverged:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_written_append_is_answered_before_its_sync_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    assert_eq!(client.append("a/s", "x").await["durable"], true);
    let written = append(&client, "?durability=written", json!({ "payload": "y" })).await.well();
    assert_eq!(written["durable"], false);
    assert_eq!(
        append(&client, "?durability=soon", json!({ "payload": "y" })).await.code(),
        "invalid"
    );
    server.stop().await;
}

#[tokio::test]
async fn many_producers_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "first").await;
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..8 {
        let client = client.clone();
        producers.spawn(async move {
            for at in 0..10 {
                client.append("a/s", &format!("{producer}:{at}")).await;
            }
        });
    }
    producers.join_all().await;
    let page = read(&client, "?from=2&limit=1000").await;
    assert_eq!(sequences(&page), (2..=81).collect::<Vec<_>>());
    let mut texts: Vec<_> = page["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|one| one["payload"].to_string())
        .collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 80);
    server.stop().await;
}
