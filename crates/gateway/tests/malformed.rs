//! Requests that nobody would send: made from the served document, and wrong in every place that it
//! names. None may fail inside the gateway, and every answer must be described.
//!
//! A failure prints the smallest case that fails. The cases are those of seed 1 each time;
//! `PROPTEST_RNG_SEED=N` tries others, and replays them.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;
use support::{Server, document};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request.
#[derive(Clone, Debug)]
struct Case {
    operation: prop::sample::Index,
    /// What stands for the path's parameters.
    path: String,
    query: Vec<(prop::sample::Index, String)>,
    header: Option<String>,
    body: String,
    /// A body that the operation asks for, numbered, instead of that one.
    fitting: Option<u8>,
}

/// The cases of one seed.
fn seeded(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::with_cases(cases) };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

/// Values that are wrong, or right by accident.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just(u64::MAX.to_string()),
        Just("18446744073709551616".to_owned()),
        Just("true".to_owned()),
        Just("always".to_owned()),
        Just(format!("{}-1-00000000", "0".repeat(32))),
        Just("a,b".to_owned()),
        "[0-9]{1,4}",
        "\\PC{0,12}",
        any::<String>(),
    ]
}

fn json(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        value().prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 16, 4, |inner| {
        let name = prop_oneof![
            prop::sample::select(vec![
                "payload",
                "payload_base64",
                "json",
                "kind",
                "key",
                "parent",
                "time_ms",
                "records",
                "session",
                "agent",
                "id",
                "title",
            ])
            .prop_map(str::to_owned),
            value(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

/// A record that may well be right.
fn record() -> impl Strategy<Value = Value> {
    let parts = (value(), prop::option::of(value()), prop::option::of(any::<i64>()));
    parts.prop_map(|(payload, key, time_ms)| {
        serde_json::json!({ "payload": payload, "key": key, "time_ms": time_ms })
    })
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => record().prop_map(|record| record.to_string()),
        3 => prop::collection::vec(record(), 0..3)
            .prop_map(|records| serde_json::json!({ "records": records }).to_string()),
        2 => json(3).prop_map(|value| value.to_string()),
        1 => (json(3), any::<prop::sample::Index>()).prop_map(|(value, cut)| {
            let text = value.to_string();
            text.chars().take(cut.index(text.chars().count() + 1)).collect()
        }),
        1 => value(),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let query = prop::collection::vec((any::<prop::sample::Index>(), value()), 0..4);
    let query = prop_oneof![Just(Vec::new()), query];
    let path = prop_oneof![2 => Just("a/s".to_owned()), 1 => value()];
    let body = (body(), prop::option::of(any::<u8>()));
    let parts = (any::<prop::sample::Index>(), path, query, prop::option::of(value()), body);
    parts.prop_map(|(operation, path, query, header, (body, fitting))| Case {
        operation,
        path,
        query,
        header,
        body,
        fitting,
    })
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}

/// What an operation may well be asked; nothing for those that take no body.
fn fitting(path: &str, number: u8) -> Option<Value> {
    let key = format!("k{number}");
    match path.rsplit('/').next()? {
        "records" => Some(serde_json::json!({ "key": key, "payload": "x" })),
        "batches" => Some(serde_json::json!({ "records": [{ "payload": "x" }] })),
        "turns" => Some(serde_json::json!({ "key": key, "text": "x" })),
        "deliveries" => {
            Some(serde_json::json!({ "key": key, "text": "x", "sink": "session", "to": "b/s" }))
        }
        "sends" => Some(serde_json::json!({ "key": key, "text": "x", "to": "b/s" })),
        "children" => {
            Some(serde_json::json!({ "key": key, "task": "x", "child": format!("a/c{number}") }))
        }
        "heartbeats" => Some(serde_json::json!({ "note": key })),
        "compactions" => {
            Some(serde_json::json!({ "key": format!("c{number}"), "summary": "x", "keep": 0 }))
        }
        _ => None,
    }
}

impl Case {
    async fn send(&self, server: &Server) {
        let operations = document().operations();
        let (method, path) = self.operation.get(&operations).clone();
        let described = &document().0["paths"][&path][method.to_lowercase()]["parameters"];
        let described = described.as_array().expect("parameters");
        let name = |one: &Value| one["name"].as_str().expect("a name").to_owned();
        let of = |place: &str| {
            described.iter().filter(|one| one["in"] == place).map(name).collect::<Vec<_>>()
        };
        let described_path = path.clone();
        let mut target = path;
        for name in of("path") {
            // An empty segment is another route.
            let value = if self.path.is_empty() { "a%2Fs".to_owned() } else { escaped(&self.path) };
            target = target.replace(&format!("{{{name}}}"), &value);
        }
        let mut names = of("query");
        names.push("other".to_owned());
        let pairs = self
            .query
            .iter()
            .map(|(index, value)| format!("{}={}", index.get(&names), escaped(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let headers = of("header");
        let plain = self
            .header
            .clone()
            .filter(|value| value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let headers: Vec<(&str, &str)> =
            headers.iter().filter_map(|name| Some((name.as_str(), plain.as_deref()?))).collect();
        let fitting = self.fitting.and_then(|number| fitting(&described_path, number));
        let body = fitting.map_or_else(|| self.body.clone(), |body| body.to_string());
        let body = (method == "POST").then_some(body);
        let response = server.client().send(&method, &target, &headers, body).await;
        assert_ne!(response.status(), 500, "{method} {target}");
    }
}

#[test]
fn no_request_fails_inside_and_every_answer_is_described() {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let folder = tempfile::tempdir().expect("a folder");
    let server = runtime.block_on(Server::on(folder.path()));
    let mut runner = TestRunner::new(seeded(900));
    let ran = runner.run(&case(), |case| {
        runtime.block_on(async {
            // An earlier case may have deleted it.
            server.client().append("a/s", "x").await;
            let turn = serde_json::json!({ "key": "a/s", "text": "x" });
            server.client().post("/v1/sessions/a%2Fs/turns", turn).await.well();
            case.send(&server).await;
        });
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{:?}: {failure}", runner.config().rng_seed);
    }
    // They get further than the first check.
    let metrics = runtime.block_on(async { server.client().get("/metrics").await.body });
    let metrics = String::from_utf8(metrics.to_vec()).expect("text");
    let operations = document().operations();
    for (method, path) in operations.iter().filter(|(_, path)| path.contains("{session}")) {
        let route = format!("{{method=\"{method}\",route=\"{path}\",status=\"");
        let statuses = metrics.lines().filter(|line| line.contains(&route));
        let statuses: Vec<_> = statuses.filter_map(|line| line.split("status=\"").nth(1)).collect();
        let went_well = statuses.iter().any(|status| status.starts_with('2'));
        assert!(went_well, "{method} {path}: {statuses:?}");
    }
    runtime.block_on(server.stop());
}

/// The members of a body that may be there, and whether the document says that they may be null.
fn optional_members(path: &str) -> Vec<(String, bool)> {
    let document = &document().0;
    let body = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
    let Some(reference) = body["schema"]["$ref"].as_str() else { return Vec::new() };
    let schema = &document["components"]["schemas"][reference.rsplit('/').next().expect("a name")];
    let may_be_null = |member: &Value| {
        let is_anything = ["type", "oneOf", "$ref"].iter().all(|one| member[one].is_null());
        let types = member["type"].as_array();
        let has_null = types.is_some_and(|types| types.contains(&Value::from("null")));
        is_anything
            || has_null
            || member["oneOf"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["type"] == "null"))
    };
    let members = schema["properties"].as_object().expect("members").iter();
    members.map(|(name, member)| (name.clone(), may_be_null(member))).collect()
}

#[test]
fn what_may_be_null_is_what_the_document_says() {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let folder = tempfile::tempdir().expect("a folder");
    let server = runtime.block_on(Server::on(folder.path()));
    runtime.block_on(async {
        let client = server.client();
        client.append("a/s", "x").await;
        client.append("b/s", "x").await;
        // Or there may be nothing to sum up yet: what a child answers comes when it comes.
        let said = serde_json::json!({ "key": "said", "text": "x" });
        client.post("/v1/sessions/a%2Fs/turns", said).await.well();
        let (mut wrong, mut number) = (Vec::new(), 0);
        for (method, path) in document().operations() {
            if method != "POST" {
                continue;
            }
            for (name, may_be_null) in optional_members(&path) {
                number += 1;
                let fitting = fitting(&path, number).unwrap_or_else(|| serde_json::json!({}));
                if fitting.get(&name).is_some() {
                    continue;
                }
                let mut body = fitting;
                body[&name] = Value::Null;
                let answer = client.post(&path.replace("{session}", "a%2Fs"), body).await;
                // A conflict with what another request of these does meanwhile is no refusal.
                if (answer.status == 400) == may_be_null {
                    wrong.push(format!("{path} {name}: {} {:?}", answer.status, answer.body));
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert!(number > 30, "{number}");
    });
    runtime.block_on(server.stop());
}

#[test]
fn what_is_no_http_at_all_harms_nobody() {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let folder = tempfile::tempdir().expect("a folder");
    let server = runtime.block_on(Server::on(folder.path()));
    let piece = prop_oneof![
        Just(b"GET /v1/sessions HTTP/1.1\r\n".to_vec()),
        Just(b"host: 127.0.0.1\r\n".to_vec()),
        Just(b"content-length: 18446744073709551616\r\n".to_vec()),
        Just(b"content-length: 5\r\ncontent-length: 6\r\n".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"ffffffffffffffff\r\n".to_vec()),
        Just(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let bytes = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    let mut runner = TestRunner::new(seeded(100));
    let ran = runner.run(&bytes, |bytes| {
        runtime.block_on(async {
            let mut stream = TcpStream::connect(server.address).await.expect("connects");
            // It may be cut off in the middle, and nothing more comes from here.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{:?}: {failure}", runner.config().rng_seed);
    }
    let health = runtime.block_on(async { server.client().get("/healthz").await });
    assert!(health.status.is_success());
    runtime.block_on(server.stop());
}
