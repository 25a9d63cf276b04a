//! Turns, step by step, with a model that the test leads: what came in between, who took the session,
//! who went away.

mod stage;

use session_journal::{NewRecord, SessionName};
use session_journal_gateway::conversation::{Message, Role};
use session_journal_gateway::provider::{Echo, ProviderError};
use session_journal_gateway::turn::{Policy, TurnRequest, answer_key};
use session_journal_gateway::{Ask, Problem};
use stage::bench::{Asked, Bench, Gateway, Led, Questions, led, name, turn};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A session, a gateway that has it, and a model.
struct Scene {
    bench: Bench,
    gateway: Gateway,
    session: SessionName,
    model: std::sync::Arc<Led>,
    questions: Questions,
}

type Outcome = Result<session_journal_gateway::turn::Answer, Problem>;

impl Scene {
    async fn new() -> Self {
        let (bench, session) = (Bench::new(), name("main/chat"));
        let (gateway, (model, questions)) = (bench.gateway(), led());
        gateway.create(&session).await;
        Self { bench, gateway, session, model, questions }
    }

    fn begin(&self, request: TurnRequest) -> JoinHandle<Outcome> {
        self.begin_cancellable(request, CancellationToken::new())
    }

    fn begin_cancellable(
        &self,
        request: TurnRequest,
        cancel: CancellationToken,
    ) -> JoinHandle<Outcome> {
        let (gateway, session) = (self.gateway.clone(), self.session.clone());
        let model = std::sync::Arc::clone(&self.model);
        tokio::spawn(
            async move { gateway.run_cancellable(&*model, &session, &request, &cancel).await },
        )
    }

    /// A turn that has come to its model.
    async fn asked(&mut self, request: TurnRequest) -> (JoinHandle<Outcome>, Asked) {
        let turn = self.begin(request);
        (turn, self.questions.next().await)
    }

    fn outline(&self) -> Vec<String> {
        self.bench.outline(&self.session)
    }
}

fn with(policy: Policy, request: TurnRequest) -> TurnRequest {
    TurnRequest { policy, ..request }
}

fn fact<'a>(problem: &'a serde_json::Value, name: &str) -> &'a str {
    problem[name].as_str().unwrap_or_default()
}

/// C1: a message is not lost where the run dies before its first reply.
#[tokio::test]
async fn the_message_is_durable_before_the_model_is_asked() {
    let mut scene = Scene::new().await;
    let (turn, asked) = scene.asked(turn("m1", "hello")).await;
    assert_eq!(scene.outline(), ["message m1"]);
    let held = scene.gateway.tools.hub.held(&scene.session).expect("held");
    assert_eq!(held.durable_through().get(), 1);
    asked.answers("hi");
    let answer = turn.await.unwrap().expect("an answer");
    assert_eq!((answer.text.as_str(), answer.seq, answer.replayed), ("hi", 2, false));
    assert_eq!(scene.outline(), ["message m1", "message m1/answer"]);
    let stored = scene.bench.records(&scene.session).remove(1);
    let expected =
        r#"{"role":"assistant","content":"hi","reply_to":"m1","provider":"led","reruns":0}"#;
    assert_eq!(stored.payload, expected);
}

#[tokio::test]
async fn the_model_gets_what_was_said_up_to_the_message() {
    let mut scene = Scene::new().await;
    for (key, text) in [("m1", "one"), ("m2", "two")] {
        let (turn, asked) = scene.asked(turn(key, text)).await;
        asked.answers(&format!("answer to {text}"));
        turn.await.unwrap().expect("an answer");
    }
    let (turn, asked) = scene.asked(turn("m3", "three")).await;
    let expected = [
        "user: one",
        "assistant: answer to one",
        "user: two",
        "assistant: answer to two",
        "user: three",
    ];
    assert_eq!(asked.context(), expected);
    assert_eq!(asked.request.turn, "m3");
    asked.ends();
    assert_eq!(turn.await.unwrap().expect("an answer").text, "");
}

/// B1, B2, B3: compaction, settings, heartbeats, mirrors and deliveries never end a turn.
#[tokio::test]
async fn control_records_are_no_conflict_even_where_everything_is_to_be_told() {
    let mut scene = Scene::new().await;
    let kinds = [
        "compaction",
        "heartbeat",
        "turn.cancelled",
        "spawn",
        "delivery.begin",
        "delivery.intent",
        "delivery.done",
        "sj.attributes",
        "sj.import",
        "meter",
    ];
    let harmless = vec!["meter".to_owned()];
    let request = TurnRequest { harmless, ..with(Policy::Tell, turn("m1", "hello")) };
    let (turn, asked) = scene.asked(request).await;
    for kind in kinds {
        scene.gateway.append(&scene.session, NewRecord::new("{}").kind(kind)).await;
    }
    asked.answers("hi");
    let answer = turn.await.unwrap().expect("no conflict");
    assert_eq!((answer.seq, answer.came.len()), (2 + kinds.len() as u64, 0));
}

/// B4: a turn may be as long as it likes, and as much may come as likes to.
#[tokio::test]
async fn a_turn_goes_on_although_a_thousand_messages_came() {
    let mut scene = Scene::new().await;
    let (turn, asked) = scene.asked(turn("m1", "hello")).await;
    let sayings = (0..1000).map(|number| {
        let (gateway, session) = (scene.gateway.clone(), scene.session.clone());
        async move { gateway.says(&session, &format!("other-{number}"), "x").await }
    });
    futures_util::future::join_all(sayings).await;
    asked.answers("hi");
    let answer = turn.await.unwrap().expect("it goes on");
    assert_eq!((answer.seq, answer.came.len(), answer.reruns), (1002, 1000, 0));
    assert!(answer.came.iter().all(|came| came.kind.as_deref() == Some("message")));
}

#[tokio::test]
async fn a_rerun_sees_what_came_and_answers_the_message_last() {
    let mut scene = Scene::new().await;
    let (turn, asked) = scene.asked(with(Policy::Rerun, turn("m1", "hello"))).await;
    scene.gateway.says(&scene.session, "m2", "wait").await;
    asked.answers("too early");
    let again = scene.questions.next().await;
    assert_eq!(again.context(), ["user: wait", "user: hello"]);
    again.answers("now");
    let answer = turn.await.unwrap().expect("an answer");
    assert_eq!((answer.text.as_str(), answer.reruns), ("now", 1));
    assert_eq!(scene.outline(), ["message m1", "message m2", "message m1/answer"]);
}

#[tokio::test]
async fn reruns_are_bounded_and_then_told() {
    let mut scene = Scene::new().await;
    let request = TurnRequest { reruns_max: 3, ..with(Policy::Rerun, turn("m1", "hello")) };
    let turn = scene.begin(request);
    for number in 0..4 {
        let asked = scene.questions.next().await;
        scene.gateway.says(&scene.session, &format!("other-{number}"), "x").await;
        asked.answers(&number.to_string());
    }
    let problem = turn.await.unwrap().expect_err("told").to_json();
    assert_eq!((fact(&problem, "code"), fact(&problem, "answer")), ("conflict", "3"));
    assert!(scene.questions.is_empty());
}

#[tokio::test]
async fn a_conflict_that_is_told_names_what_came_and_stores_nothing() {
    let mut scene = Scene::new().await;
    let (turn, asked) = scene.asked(with(Policy::Tell, turn("m1", "hello"))).await;
    scene.gateway.says(&scene.session, "m2", "wait").await;
    asked.answers("too early");
    let problem = turn.await.unwrap().expect_err("told").to_json();
    assert_eq!((fact(&problem, "code"), fact(&problem, "answer")), ("conflict", "too early"));
    assert_eq!(problem["came"], serde_json::json!([{ "seq": 2, "kind": "message", "key": "m2" }]));
    assert_eq!(scene.outline(), ["message m1", "message m2"]);
}

/// A2: nothing that a turn does late holds a session; B6: what was cancelled is not in the way.
#[tokio::test]
async fn a_dropped_turn_leaves_its_message_and_can_be_finished() {
    let mut scene = Scene::new().await;
    let (dropped, asked) = scene.asked(turn("m1", "hello")).await;
    asked.says("hal");
    dropped.abort();
    asked.dropped().await;
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(scene.outline(), ["message m1"]);
    let (turn, asked) = scene.asked(turn("m1", "hello")).await;
    asked.answers("whole");
    assert_eq!(turn.await.unwrap().expect("finished").text, "whole");
    assert_eq!(scene.outline(), ["message m1", "message m1/answer"]);
}

#[tokio::test]
async fn a_cancelled_turn_leaves_a_record_that_says_so_and_can_be_finished() {
    let mut scene = Scene::new().await;
    let cancel = CancellationToken::new();
    let cancelled = scene.begin_cancellable(turn("m1", "hello"), cancel.clone());
    let asked = scene.questions.next().await;
    asked.says("hal");
    cancel.cancel();
    asked.dropped().await;
    assert_eq!(cancelled.await.unwrap().expect_err("cancelled").code(), "cancelled");
    assert_eq!(scene.outline(), ["message m1", "turn.cancelled -"]);
    let (turn, asked) = scene.asked(with(Policy::Tell, turn("m1", "hello"))).await;
    assert_eq!(asked.context(), ["user: hello"]);
    asked.answers("whole");
    turn.await.unwrap().expect("finished");
}

/// B5, B12, A5: whoever lost the session in the middle appends nothing and says so; whoever has it
/// finishes the turn.
#[tokio::test]
async fn a_turn_that_was_fenced_stores_nothing_and_is_finished_by_the_new_owner() {
    let mut scene = Scene::new().await;
    let (turn_here, asked) = scene.asked(turn("m1", "hello")).await;
    let other = scene.bench.gateway();
    other.tools.hub.session(&scene.session, Ask::always()).await.expect("taken over");
    asked.answers("too late");
    let problem = turn_here.await.unwrap().expect_err("fenced").to_json();
    assert_eq!((fact(&problem, "code"), fact(&problem, "answer")), ("fenced", "too late"));
    assert_eq!(scene.outline(), ["message m1"]);
    // It is not taken back by itself.
    let again = scene.gateway.run(&Echo, &scene.session, &turn("m1", "hello")).await;
    assert_eq!(again.expect_err("held").code(), "held-by");
    let finished = other.run(&Echo, &scene.session, &turn("m1", "hello")).await;
    assert_eq!(finished.expect("finished").text, "hello");
    // The gateway that was fenced serves the rest.
    let rest = name("main/rest");
    scene.gateway.create(&rest).await;
    scene.gateway.run(&Echo, &rest, &turn("m1", "x")).await.expect("served");
}

/// A8: no lock is around the model, so nobody waits for it.
#[tokio::test]
async fn a_session_may_be_released_and_taken_again_while_the_model_thinks() {
    let mut scene = Scene::new().await;
    let (turn, asked) = scene.asked(with(Policy::Tell, turn("m1", "hello"))).await;
    assert!(scene.gateway.tools.hub.release(&scene.session).await.expect("released"));
    let other = scene.bench.gateway();
    other.tools.hub.session(&scene.session, Ask::default()).await.expect("it is free");
    other.tools.hub.release(&scene.session).await.expect("released");
    asked.answers("hi");
    let answer = turn.await.unwrap().expect("nothing was said in between");
    let generation = scene.bench.records(&scene.session)[1].generation.get();
    assert_eq!((answer.seq, generation), (2, 3));
}

/// C3: the same message again is the same turn.
#[tokio::test]
async fn an_answer_that_is_there_is_given_back_without_a_model() {
    let scene = Scene::new().await;
    let first = scene.gateway.run(&Echo, &scene.session, &turn("m1", "hello")).await.expect("one");
    for _ in 0..100 {
        let again = scene.gateway.run(&*scene.model, &scene.session, &turn("m1", "hello")).await;
        let again = again.expect("replayed");
        assert!(again.replayed);
        assert_eq!(
            (again.seq, again.text, again.provider),
            (first.seq, first.text.clone(), "echo".into())
        );
    }
    assert!(scene.questions.is_empty());
    assert_eq!(scene.bench.records(&scene.session).len(), 2);
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let scene = Scene::new().await;
    let run = async |request: TurnRequest| {
        let outcome = scene.gateway.run(&Echo, &scene.session, &request).await;
        outcome.err().map(|problem| problem.code())
    };
    assert_eq!(run(turn("m1", "hello")).await, None);
    assert_eq!(run(turn("m1", "other")).await, Some("invalid"));
    let elsewhere = TurnRequest { parent: Some("m0".to_owned()), ..turn("m1", "hello") };
    assert_eq!(run(elsewhere).await, Some("invalid"));
    scene.gateway.append(&scene.session, NewRecord::new("{}").kind("note").key("n1")).await;
    assert_eq!(run(turn("n1", "hello")).await, Some("invalid"));
    let before = scene.bench.records(&scene.session).len();
    let long = "k".repeat(513);
    for key in ["", "sj.x", "delivery/x", "spawn/x", "m1/answer", &long] {
        assert_eq!(run(turn(key, "hello")).await, Some("invalid"), "{key:?}");
    }
    let answer = TurnRequest::new("m9", Message::text_of(Role::Assistant, "I"));
    assert_eq!(run(answer).await, Some("invalid"));
    assert_eq!(scene.bench.records(&scene.session).len(), before, "nothing was stored");
}

/// A11: a model that fails is told apart from storage that fails.
#[tokio::test]
async fn a_model_that_gives_no_answer_is_no_error_of_storage() {
    let mut scene = Scene::new().await;
    let (turn1, asked) = scene.asked(turn("m1", "hello")).await;
    asked.fails(ProviderError::Unreachable("it is off".to_owned()));
    let problem = turn1.await.unwrap().expect_err("no answer").to_json();
    assert_eq!((fact(&problem, "code"), fact(&problem, "provider")), ("provider", "led"));
    assert_eq!(problem["may_pass"], true);
    let (turn2, asked) = scene.asked(turn("m1", "hello")).await;
    asked.says("half");
    drop(asked);
    assert_eq!(turn2.await.unwrap().expect_err("cut").code(), "provider");
    let (turn3, asked) = scene.asked(turn("m1", "hello")).await;
    asked.says(&"x".repeat(1 << 17));
    assert_eq!(turn3.await.unwrap().expect_err("too long").code(), "provider");
    assert_eq!(scene.outline(), ["message m1"]);
}

#[tokio::test]
async fn a_branch_is_answered_with_what_leads_to_it() {
    let mut scene = Scene::new().await;
    for (key, text) in [("m1", "one"), ("m2", "two")] {
        scene.gateway.run(&Echo, &scene.session, &turn(key, text)).await.expect("an answer");
    }
    let parent = Some(answer_key("m1"));
    let request = TurnRequest { parent, ..with(Policy::Rerun, turn("b1", "another way")) };
    let (turn1, asked) = scene.asked(request).await;
    assert_eq!(asked.context(), ["user: one", "assistant: one", "user: another way"]);
    scene.gateway.says(&scene.session, "other", "elsewhere").await;
    asked.answers("yes");
    let answer = turn1.await.unwrap().expect("what came is on no way that leads there");
    assert_eq!((answer.reruns, answer.came.len()), (0, 1));
    let stored = scene.bench.records(&scene.session).pop().expect("stored");
    assert_eq!(stored.parent.as_deref(), Some("b1"));
    // What comes then follows the branch.
    let (_turn, asked) = scene.asked(turn("m3", "on")).await;
    let expected =
        ["user: one", "assistant: one", "user: another way", "assistant: yes", "user: on"];
    assert_eq!(asked.context(), expected);
}

#[tokio::test]
async fn a_context_that_is_too_large_is_refused_and_not_cut() {
    let scene = Scene::new().await;
    for number in 0..3 {
        let text = "x".repeat(1 << 19);
        scene.gateway.says(&scene.session, &format!("m{number}"), &text).await;
    }
    let refused = scene.gateway.run(&Echo, &scene.session, &turn("m9", "hello")).await;
    assert_eq!(refused.expect_err("refused").code(), "too-large");
}

/// C5: turns that run at the same time in one session all find their place.
#[tokio::test]
async fn turns_at_the_same_time_lose_nothing() {
    let scene = Scene::new().await;
    let turns = (0..20).map(|number| {
        let (key, text) = (format!("m{number}"), format!("text {number}"));
        let (gateway, session) = (scene.gateway.clone(), scene.session.clone());
        async move { gateway.run(&Echo, &session, &turn(&key, &text)).await.expect("an answer") }
    });
    for (number, answer) in futures_util::future::join_all(turns).await.iter().enumerate() {
        assert_eq!(answer.text, format!("text {number}"), "each is asked its own message");
    }
    let mut scene = scene;
    let (_turn, asked) = scene.asked(turn("last", "all?")).await;
    assert_eq!(asked.context().len(), 41, "everything is in the next context");
}

#[tokio::test]
async fn a_session_that_is_not_there_is_not_made() {
    let scene = Scene::new().await;
    let missing = name("main/missing");
    let refused = scene.gateway.run(&Echo, &missing, &turn("m1", "x")).await;
    assert_eq!(refused.expect_err("refused").code(), "not-found");
}
