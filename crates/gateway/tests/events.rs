//! Following a session: nothing is missed and nothing is repeated, whatever happens to the stream.

mod support;

use hyper::StatusCode;
use serde_json::json;
use support::{Event, Events, Server, path};

fn payloads(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::payload).collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("text {number}")).collect()
}

#[tokio::test]
async fn a_stream_gives_what_is_there_and_what_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    for at in 0..3 {
        client.append("a/s", &format!("text {at}")).await;
    }
    let mut events = client.follow("a/s", None).await;
    assert_eq!(payloads(&events.take(3).await), numbered(0..3));
    for at in 3..6 {
        client.append("a/s", &format!("text {at}")).await;
    }
    let came = events.take(3).await;
    assert_eq!(payloads(&came), numbered(3..6));
    let record =
        client.get(&format!("{}/records?last=1", path("a/s"))).await.well()["records"][0].clone();
    assert_eq!(came[2].json(), record, "an event is the record as it is read");
    assert_eq!(came[2].id.as_deref(), record["mark"].as_str());
    server.stop().await;
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    for at in 0..5 {
        client.append("a/s", &format!("text {at}")).await;
    }
    let page = client.get(&format!("{}/records?from=2&limit=1", path("a/s"))).await.well();
    let mark = page["records"][0]["mark"].as_str().expect("a mark").to_owned();
    for (query, headers, first) in [
        ("?from=4".to_owned(), vec![], 3),
        (format!("?after={mark}"), vec![], 2),
        (String::new(), vec![("last-event-id", mark.as_str())], 2),
        ("?from=1".to_owned(), vec![("last-event-id", mark.as_str())], 2),
        ("?from=5".to_owned(), vec![("last-event-id", "")], 4),
    ] {
        let target = format!("{}/events{query}", path("a/s"));
        let response = client.send("GET", &target, &headers, None).await;
        let mut events = support::Events::new(response.into_body());
        let got = events.take(5 - first).await;
        let first = u32::try_from(first).expect("small");
        assert_eq!(payloads(&got), numbered(first..5), "{query} {headers:?}");
    }
    // A number that is not there yet is waited for.
    let target = format!("{}/events?from=7", path("a/s"));
    let mut events = support::Events::new(client.send("GET", &target, &[], None).await.into_body());
    client.append("a/s", "text 5").await;
    client.append("a/s", "text 6").await;
    assert_eq!(payloads(&events.take(1).await), numbered(6..7));
    server.stop().await;
}

#[tokio::test]
async fn a_mark_that_the_journal_does_not_hold_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let mark = client.get(&path("a/s")).await.well()["mark"].as_str().expect("a mark").to_owned();
    let target = format!("{}/events", path("a/s"));
    let wrong = [mark.replace("-1-", "-2-"), mark.replacen(&mark[..8], "00000000", 1)];
    for id in wrong {
        let answer = client.ask("GET", &target, &[("last-event-id", &id)], None).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "diverged"));
    }
    let answer = client.ask("GET", &target, &[("last-event-id", "17")], None).await;
    assert_eq!(answer.code(), "invalid");
    server.stop().await;
}

/// One who reads a stream and loses it again and again, from whichever gateway is there.
async fn read_on(
    server: &Server,
    last: &mut Option<String>,
    seen: &mut Vec<String>,
    records: usize,
) {
    let mut events = server.client().follow("a/s", last.as_deref()).await;
    seen.extend(payloads(&events.take(records).await));
    *last = events.last;
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_across_restarts_and_takeovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut last, mut seen) = (None, Vec::new());
    let mut written = 0;
    let mut write = async |server: &Server, takeover: &str| {
        for _ in 0..7 {
            let target = format!("{}/records?create=true&takeover={takeover}", path("a/s"));
            let record = json!({ "payload": format!("text {written}") });
            server.client().post(&target, record).await.well();
            written += 1;
        }
    };
    let first = Server::on(folder.path()).await;
    write(&first, "if-gone").await;
    read_on(&first, &mut last, &mut seen, 4).await;
    first.stop().await;

    // A restart.
    let first = Server::on(folder.path()).await;
    write(&first, "if-gone").await;
    read_on(&first, &mut last, &mut seen, 5).await;

    // The other gateway takes it, and the client asks there.
    let second = Server::on(folder.path()).await;
    write(&second, "always").await;
    read_on(&second, &mut last, &mut seen, 6).await;
    // The first one lost it, and serves its readers as well.
    read_on(&first, &mut last, &mut seen, 3).await;
    write(&first, "always").await;
    read_on(&second, &mut last, &mut seen, 10).await;
    first.stop().await;
    second.stop().await;
    assert_eq!(seen, numbered(0..28));
}

#[tokio::test]
async fn a_stream_goes_on_while_the_other_gateway_takes_the_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Server::on(folder.path()).await, Server::on(folder.path()).await);
    first.client().append("a/s", "text 0").await;
    let mut events = first.client().follow("a/s", None).await;
    assert_eq!(payloads(&events.take(1).await), numbered(0..1));
    for at in 1..9 {
        let server = if at % 2 == 1 { &second } else { &first };
        let target = format!("{}/records?takeover=always", path("a/s"));
        let record = json!({ "payload": format!("text {at}") });
        server.client().post(&target, record).await.well();
    }
    assert_eq!(payloads(&events.take(8).await), numbered(1..9));
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_client_that_falls_behind_misses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "text 0").await;
    // Does not read for longer than the feed, the connection and the system hold for it.
    let mut slow = client.follow("a/s", None).await;
    let mut quick = client.follow("a/s", None).await;
    let large = "x".repeat(20_000);
    let records: Vec<_> =
        (1..400).map(|at| json!({ "payload": format!("{at} {large}") })).collect();
    for batch in records.chunks(40) {
        let target = format!("{}/batches", path("a/s"));
        client.post(&target, json!({ "records": batch })).await.well();
    }
    for events in [&mut quick, &mut slow] {
        let all = payloads(&events.take(400).await);
        let numbers: Vec<_> =
            all[1..].iter().map(|text| text.split(' ').next().expect("a number")).collect();
        assert_eq!(numbers, (1..400).map(|at| at.to_string()).collect::<Vec<_>>());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_record_too_large_to_be_passed_on_comes_from_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "small").await;
    let mut events = client.follow("a/s", None).await;
    events.take(1).await;
    let large = "y".repeat(3 << 20);
    client.append("a/s", &large).await;
    client.append("a/s", "small again").await;
    let came = events.take(2).await;
    assert!(came[0].payload() == large, "the large one comes whole");
    assert_eq!(came[1].payload(), "small again");
    server.stop().await;
}

#[tokio::test]
async fn lost_records_are_told_once_and_what_is_behind_them_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let mut offsets = Vec::new();
    for at in 0..5 {
        let stored = client.append("a/s", &format!("text {at}")).await;
        offsets.push(stored["offset"].as_u64().expect("an offset"));
    }
    let file = server.state.hub.store().path_of(&"a/s".parse().expect("a name"));
    damage(&file, offsets[2] + 82);
    let mut events = client.follow("a/s", None).await;
    let came = events.take(5).await;
    assert_eq!(payloads(&came[..2]), numbered(0..2));
    assert_eq!(came[2].name, "gap");
    assert_eq!(
        (&came[2].json()["first_seq"], &came[2].json()["records_lost"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(came[2].id, None, "the place is still behind the record before");
    assert_eq!(payloads(&came[3..]), numbered(3..5));
    client.append("a/s", "text 5").await;
    assert_eq!(payloads(&events.take(1).await), numbered(5..6));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_does_not_follow_ends_behind_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    for at in 0..200 {
        client.append("a/s", &format!("text {at}")).await;
    }
    let target = format!("{}/events?follow=false&from=11", path("a/s"));
    let mut events = Events::new(client.send("GET", &target, &[], None).await.into_body());
    assert_eq!(payloads(&events.take(190).await), numbered(10..200));
    assert_eq!(events.next().await, None);
    // Who comes back for more goes on where it ended.
    client.append("a/s", "text 200").await;
    let last = events.last.clone().expect("a mark");
    let target = format!("{}/events?follow=false", path("a/s"));
    let again = client.send("GET", &target, &[("last-event-id", &last)], None).await;
    let mut events = Events::new(again.into_body());
    assert_eq!(payloads(&events.take(1).await), numbered(200..201));
    assert_eq!(events.next().await, None);
    server.stop().await;
}

/// Nothing comes behind it that would tell of it, so the end has to.
#[tokio::test]
async fn a_stream_that_does_not_follow_tells_what_the_end_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let mut last = 0;
    for at in 0..4 {
        let stored = client.append("a/s", &format!("text {at}")).await;
        last = stored["offset"].as_u64().expect("an offset");
    }
    let file = server.state.hub.store().path_of(&"a/s".parse().expect("a name"));
    server.stop().await;
    // The header page still tells how many records there were.
    let cut = std::fs::OpenOptions::new().write(true).open(&file).expect("opens");
    cut.set_len(last).expect("cuts");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let target = format!("{}/events?follow=false", path("a/s"));
    let mut events = Events::new(client.send("GET", &target, &[], None).await.into_body());
    assert_eq!(payloads(&events.take(3).await), numbered(0..3));
    let gap = events.next().await.expect("a gap");
    assert_eq!(gap.name, "gap", "{gap:?}");
    assert_eq!((&gap.json()["first_seq"], &gap.json()["records_lost"]), (&json!(4), &json!(1)));
    assert_eq!(events.next().await, None);
    server.stop().await;
}

/// Turns one byte of a file round.
fn damage(file: &std::path::Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[!byte[0]], at).expect("writes");
}

#[tokio::test]
async fn a_stream_of_a_session_that_is_deleted_ends_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let mut events = client.follow("a/s", None).await;
    events.take(1).await;
    client.delete(&path("a/s")).await.well();
    let end = events.next().await.expect("an event");
    assert_eq!((end.name.as_str(), &end.json()["code"]), ("end", &json!("detached")));
    assert_eq!(events.next().await, None);
    assert!(server.state.feeds.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_followed_once_for_all_and_not_any_more_when_the_last_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut events = client.follow("a/s", None).await;
        events.take(1).await;
        streams.push(events);
    }
    assert_eq!(server.state.feeds.len(), 1);
    let metrics = client.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).expect("text");
    assert!(text.contains("session_journal_streams 5\n"), "{text}");
    drop(streams);
    while !server.state.feeds.is_empty() {
        // A cut connection is noticed when something is to be sent.
        client.append("a/s", "y").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_gateway_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let mut events = client.follow("a/s", None).await;
    events.take(1).await;
    server.begin_stop();
    let end = events.next().await.expect("an event");
    assert_eq!((end.name.as_str(), &end.json()["code"]), ("end", &json!("shutting-down")));
    assert_eq!(events.next().await, None);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_while_a_stream_is_opened_is_not_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let append = async |session: &str, text: &str| {
        let target = format!("{}/records?create=true&durability=written", path(session));
        server.client().post(&target, json!({ "payload": text })).await.well();
    };
    for round in 0..120_u32 {
        // A session each, so that each stream starts a follower of its own.
        let session = format!("a/s{round}");
        append(&session, "text 0").await;
        let (client, of) = (server.client(), session.clone());
        let seen = tokio::spawn(async move {
            let mut events = client.follow(&of, None).await;
            payloads(&events.take(2).await)
        });
        // Nothing comes behind it that could make up for it. Somewhat later each time.
        for _ in 0..round % 40 {
            server.client().get("/healthz").await;
        }
        append(&session, "text 1").await;
        assert_eq!(seen.await.expect("reads"), numbered(0..2), "round {round}");
    }
    server.stop().await;
}
