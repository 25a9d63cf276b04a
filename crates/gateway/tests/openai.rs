//! The OpenAI-compatible provider against a stub server: whatever the server does, the answer is
//! whole or there is a typed error.

mod stage;

use std::time::Duration;

use futures_util::StreamExt;
use session_journal_gateway::conversation::{Message, Role};
use session_journal_gateway::provider::{
    Delta, Finish, OpenAi, OpenAiOptions, Provider, ProviderError, Request,
};
use stage::stub::{PATIENCE, Step, Stub, completion, said, status, streaming};

fn provider(url: &str, silence_max: Duration) -> OpenAi {
    let options = OpenAiOptions {
        name: "local".to_owned(),
        base_url: format!("{url}/v1/"),
        model: "small".to_owned(),
        api_key: Some("secret-key".to_owned()),
        silence_max,
    };
    OpenAi::new(options).expect("an address")
}

fn request() -> Request {
    let context = [
        Message::text_of(Role::System, "be short"),
        Message::text_of(Role::Tool, "42"),
        Message::text_of(Role::Assistant, ""),
        Message::text_of(Role::User, "hello"),
    ];
    Request { turn: "t".to_owned(), context: context.into(), model: None }
}

/// The text that came, and how it ended.
async fn ask(steps: Vec<Step>) -> (String, Result<Finish, ProviderError>) {
    let stub = Stub::new(vec![steps]).await;
    read(&provider(&stub.url, PATIENCE)).await
}

async fn read(provider: &OpenAi) -> (String, Result<Finish, ProviderError>) {
    let (mut text, mut end) = (String::new(), None);
    let mut deltas = provider.complete(request());
    while let Some(delta) = deltas.next().await {
        assert!(end.is_none(), "nothing comes behind the end");
        match delta {
            Ok(Delta::Text(more)) => text.push_str(&more),
            Ok(Delta::End(finish)) => end = Some(Ok(finish)),
            Err(error) => end = Some(Err(error)),
        }
    }
    (text, end.expect("a stream says how it ends"))
}

fn with(body: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![streaming(), Step::Send(body.into())]
}

#[tokio::test]
async fn an_answer_is_the_same_in_pieces_of_any_size() {
    for piece in (1..40).chain([1000]) {
        let (text, end) = ask(completion("Grüße aus der Stille 🌙", piece)).await;
        assert_eq!(text, "Grüße aus der Stille 🌙", "pieces of {piece}");
        let finish = end.expect("it is whole");
        assert_eq!(finish.reason.as_deref(), Some("stop"));
        assert_eq!(finish.model.as_deref(), Some("stub-1"));
        assert_eq!(finish.usage.expect("counted")["total_tokens"], 7);
    }
}

#[tokio::test]
async fn the_context_is_sent_with_model_and_key() {
    let stub = Stub::new(vec![completion("x", 1000)]).await;
    read(&provider(&stub.url, PATIENCE)).await.1.expect("it answers");
    let request = stub.requests().remove(0);
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer secret-key\r\n"), "{request}");
    let body = request.split_once("\r\n\r\n").expect("a body").1;
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let expected = serde_json::json!({
        "model": "small",
        "messages": [
            { "role": "system", "content": "be short" },
            { "role": "user", "content": "[tool result]\n42" },
            { "role": "user", "content": "hello" },
        ],
        "stream": true,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_error_status_is_told_with_what_the_server_says() {
    let body = r#"{"error":{"message":"no such model\u0007"}}"#;
    let (_, end) = ask(status("404 Not Found", body)).await;
    let message = "no such model ".to_owned();
    assert_eq!(end, Err(ProviderError::Refused { status: 404, message }));
    let (_, end) = ask(status("503 Busy", "<html>")).await;
    let error = end.unwrap_err();
    assert_eq!(error, ProviderError::Refused { status: 503, message: "<html>".to_owned() });
    assert!(error.may_pass());
    let redirect = status("307 Elsewhere", "");
    assert!(matches!(ask(redirect).await.1, Err(ProviderError::Refused { status: 307, .. })));
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_no_end() {
    let body = format!("{}data: {{\"error\":{{\"message\":\"out of memory\"}}}}\n\n", said("half"));
    let (text, end) = ask(with(body)).await;
    assert_eq!(text, "half");
    let message = "out of memory".to_owned();
    assert_eq!(end, Err(ProviderError::Refused { status: 200, message }));
}

#[tokio::test]
async fn a_stream_that_ends_early_was_cut() {
    for body in ["", "data: {\"choi", &said("half"), "data: [DONE]"] {
        let (_, end) = ask(with(body)).await;
        assert!(matches!(end, Err(ProviderError::Cut(_))), "{body:?}: {end:?}");
    }
    // The length promised more than came.
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\ndata: {}\n\n".to_vec();
    let (_, end) = ask(vec![Step::Send(head)]).await;
    assert!(matches!(end, Err(ProviderError::Cut(_))), "{end:?}");
}

#[tokio::test]
async fn garbage_is_called_so() {
    for body in ["data: <html>\n\n", "data: \u{0}\n\n", "data: 7\n\n", "data: \n\n"] {
        let (_, end) = ask(with(body)).await;
        assert!(matches!(end, Err(ProviderError::Garbage(_))), "{body:?}: {end:?}");
    }
    let (_, end) = ask(with(b"data: \xff\xfe\n\n".to_vec())).await;
    assert!(matches!(end, Err(ProviderError::Garbage(_))), "{end:?}");
    let endless = format!("data: {}", "x".repeat(1 << 21));
    let (_, end) = ask(with(endless)).await;
    assert!(matches!(end, Err(ProviderError::TooLong { .. })), "{end:?}");
    let (_, end) = ask(vec![Step::Send(b"no HTTP\r\n\r\n".to_vec())]).await;
    assert!(matches!(end, Err(ProviderError::Unreachable(_))), "{end:?}");
}

#[tokio::test]
async fn events_that_say_nothing_are_passed_over() {
    let body = "data: {}\n\ndata: {\"choices\":[]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":null}}]}\n\ndata: {\"choices\":{}}\n\ndata: [DONE]\n\n";
    let (text, end) = ask(with(body)).await;
    assert_eq!((text.as_str(), end), ("", Ok(Finish::default())));
}

#[tokio::test]
async fn a_silent_server_is_given_up_before_and_within_its_answer() {
    for steps in [vec![Step::Hang], vec![streaming(), Step::Send(said("a").into()), Step::Hang]] {
        let stub = Stub::new(vec![steps]).await;
        let (_, end) = read(&provider(&stub.url, Duration::from_millis(50))).await;
        assert_eq!(end, Err(ProviderError::Silent { seconds: 0 }));
        stub.gone(1).await;
    }
}

#[tokio::test]
async fn dropping_the_stream_ends_the_request() {
    let steps = vec![streaming(), Step::Send(said("a").into()), Step::Hang];
    let stub = Stub::new(vec![steps]).await;
    let provider = provider(&stub.url, PATIENCE);
    let mut deltas = provider.complete(request());
    assert_eq!(deltas.next().await, Some(Ok(Delta::Text("a".to_owned()))));
    drop(deltas);
    stub.gone(1).await;
    // One that was never polled asks nothing.
    drop(provider.complete(request()));
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_without_its_address() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let (_, end) = read(&provider(&format!("http://{address}"), PATIENCE)).await;
    let error = end.unwrap_err();
    assert!(matches!(error, ProviderError::Unreachable(_)) && error.may_pass(), "{error:?}");
    assert!(!error.to_string().contains(&address), "{error}");
}

#[test]
fn only_plain_http_is_spoken() {
    for base_url in ["https://127.0.0.1/v1", "nowhere", "file:///x"] {
        let options = OpenAiOptions {
            name: String::new(),
            base_url: base_url.to_owned(),
            model: String::new(),
            api_key: None,
            silence_max: PATIENCE,
        };
        assert!(OpenAi::new(options).is_err(), "{base_url}");
    }
    assert!(!format!("{:?}", provider("http://127.0.0.1", PATIENCE)).contains("secret-key"));
}
