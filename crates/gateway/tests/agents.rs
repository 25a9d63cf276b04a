//! What agents do beside answering: sending, children, compaction, and turns that run by themselves.

mod stage;

use std::sync::Arc;

use futures_util::future::join_all;
use session_journal::SessionName;
use session_journal_gateway::agents::{
    CompactRequest, Send, Spawn, compact, heartbeat, send, spawn,
};
use session_journal_gateway::conversation::Message;
use session_journal_gateway::outbox::State;
use session_journal_gateway::provider::{Deltas, Echo, Provider, ProviderError, Request};
use session_journal_gateway::turn::KEY_BYTES_MAX;
use session_journal_gateway::{Ask, Problem};
use session_journal_import::{Attributes, Relation};
use stage::bench::{Bench, Gateway, led, name, turn};

async fn scene(sessions: &[&str]) -> (Bench, Gateway, Vec<SessionName>) {
    let bench = Bench::new();
    let gateway = bench.gateway();
    let sessions: Vec<SessionName> = sessions.iter().map(|one| name(one)).collect();
    for session in &sessions {
        gateway.create(session).await;
    }
    (bench, gateway, sessions)
}

fn echo() -> Arc<dyn Provider> {
    Arc::new(Echo)
}

fn code<T>(outcome: Result<T, Problem>) -> &'static str {
    outcome.err().map_or("none", |problem| problem.code())
}

fn texts(bench: &Bench, session: &SessionName) -> Vec<String> {
    let messages = bench.records(session).into_iter().filter_map(|record| Message::of(&record));
    messages.map(|one| format!("{}: {}", one.role.as_str(), one.text())).collect()
}

// ---- sending ---------------------------------------------------------------------------------

#[tokio::test]
async fn a_message_to_another_session_is_answered_there() {
    let (bench, gateway, sessions) = scene(&["a/one", "b/two"]).await;
    let turns = gateway.turns(&[echo()]);
    let message = || Send {
        from: sessions[0].clone(),
        to: sessions[1].clone(),
        key: "s1".to_owned(),
        text: "are you there?".to_owned(),
        answerer: Some(echo()),
    };
    for number in 0..3 {
        let sent = send(&turns, message(), Ask::default()).await.expect("sent");
        assert_eq!(sent.delivery.state, State::Delivered);
        let answer = sent.turn.expect("somebody answers").outcome().await.expect("an answer");
        assert_eq!((answer.text.as_str(), answer.replayed), ("are you there?", number > 0));
    }
    let expected = ["user: are you there?", "assistant: are you there?"];
    assert_eq!(texts(&bench, &sessions[1]), expected);
    let from = Message::of(&bench.records(&sessions[1])[0]).expect("a message").from;
    assert_eq!(from.as_deref(), Some("a/one"));
    let unanswered = Send { key: "s2".to_owned(), answerer: None, ..message() };
    assert!(send(&turns, unanswered, Ask::default()).await.expect("sent").turn.is_none());
    assert_eq!(texts(&bench, &sessions[1]).len(), 3);
    let itself = Send { to: sessions[0].clone(), ..message() };
    assert_eq!(code(send(&turns, itself, Ask::default()).await), "invalid");
}

#[tokio::test]
async fn a_message_whose_key_is_too_long_to_be_answered_is_not_delivered() {
    let (bench, gateway, sessions) = scene(&["a/one", "b/two"]).await;
    let turns = gateway.turns(&[echo()]);
    let message = |bytes: usize, answerer| Send {
        from: sessions[0].clone(),
        to: sessions[1].clone(),
        key: "k".repeat(bytes),
        text: "are you there?".to_owned(),
        answerer,
    };
    let longest = KEY_BYTES_MAX - 33;
    let refused = send(&turns, message(longest + 1, Some(echo())), Ask::default()).await;
    assert_eq!(code(refused), "invalid");
    assert_eq!((bench.outline(&sessions[0]), bench.outline(&sessions[1])), (vec![], vec![]));
    let sent = send(&turns, message(longest, Some(echo())), Ask::default()).await.expect("sent");
    sent.turn.expect("somebody answers").outcome().await.expect("an answer");
    // Nobody answers: it is the key of no turn.
    let sent = send(&turns, message(KEY_BYTES_MAX, None), Ask::default()).await.expect("sent");
    assert_eq!(sent.delivery.state, State::Delivered);
    assert_eq!(texts(&bench, &sessions[1]).len(), 3);
}

/// A9, B3: everybody sends to the next while everybody answers; nobody waits for a lock, no turn dies,
/// and every message is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_agents_that_all_send_at_once_loses_nothing() {
    const AGENTS: usize = 8;
    const ROUNDS: usize = 10;
    let ring: Vec<String> = (0..AGENTS).map(|number| format!("ring/{number}")).collect();
    let ring: Vec<&str> = ring.iter().map(String::as_str).collect();
    let (bench, gateway, sessions) = scene(&ring).await;
    let turns = gateway.turns(&[echo()]);
    let send_one = |agent: usize, round: usize| {
        let message = Send {
            from: sessions[agent].clone(),
            to: sessions[(agent + 1) % AGENTS].clone(),
            key: format!("round-{round}"),
            text: format!("{agent} in round {round}"),
            answerer: Some(echo()),
        };
        let turns = turns.clone();
        tokio::spawn(async move {
            let sent = send(&turns, message, Ask::default()).await.expect("sent");
            heartbeat(
                &turns.tools().hub,
                &sent.delivery.address.to.parse().unwrap(),
                "",
                Ask::default(),
            )
            .await
            .expect("alive");
            sent.turn.expect("arrived").outcome().await.expect("answered")
        })
    };
    let all = (0..AGENTS).flat_map(|agent| (0..ROUNDS).map(move |round| (agent, round)));
    let answers = join_all(all.map(|(agent, round)| send_one(agent, round))).await;
    assert_eq!(answers.into_iter().flatten().count(), AGENTS * ROUNDS);
    for (agent, session) in sessions.iter().enumerate() {
        let sender = (agent + AGENTS - 1) % AGENTS;
        let said = texts(&bench, session);
        for round in 0..ROUNDS {
            for role in ["user", "assistant"] {
                let line = format!("{role}: {sender} in round {round}");
                assert_eq!(said.iter().filter(|said| **said == line).count(), 1, "{line}");
            }
        }
        assert_eq!(said.len(), 2 * ROUNDS, "and what it sent is no part of its own conversation");
    }
    assert_eq!(turns.count(), 0);
}

// ---- children --------------------------------------------------------------------------------

fn child(parent: &SessionName, child: &str, key: &str) -> Spawn {
    Spawn {
        parent: parent.clone(),
        child: name(child),
        key: key.to_owned(),
        task: "count".to_owned(),
        title: Some("counter".to_owned()),
        ignore_gaps: false,
    }
}

#[tokio::test]
async fn a_child_knows_its_parent_and_its_result_is_announced_once() {
    let (bench, gateway, sessions) = scene(&["main/parent"]).await;
    let (parent, turns) = (&sessions[0], gateway.turns(&[echo()]));
    for _ in 0..3 {
        let begun = spawn(&turns, child(parent, "main/child", "c1"), echo(), Ask::default()).await;
        let answer = begun.expect("begun").outcome().await.expect("its result");
        assert_eq!(answer.deliveries[0].state, State::Delivered);
    }
    let outline = bench.outline(parent);
    assert_eq!(outline[0], "spawn spawn/c1");
    assert!(outline[1].starts_with("announce ") && outline.len() == 2, "{outline:?}");
    assert_eq!(texts(&bench, parent), ["user: count"]);
    let announced = Message::of(&bench.records(parent)[1]).expect("a message");
    assert_eq!(announced.from.as_deref(), Some("main/child"));
    let of = name("main/child");
    let read = gateway.tools.hub.file_job(move |store| Attributes::of(&store.reader(&of).unwrap()));
    let attributes = read.await.expect("read").expect("sound").expect("it has attributes");
    assert_eq!(attributes.title.as_deref(), Some("counter"));
    let lineage = &attributes.lineage[0];
    assert_eq!(lineage.relation, Relation::ChildOf);
    assert_eq!(lineage.session.as_deref(), Some("main/parent"));
}

/// C11: the child is finished, the parent cannot be had; the result is not lost.
#[tokio::test]
async fn a_result_waits_in_the_child_while_another_gateway_has_the_parent() {
    let (bench, gateway, sessions) = scene(&["main/parent"]).await;
    let (parent, (model, mut questions)) = (&sessions[0], led());
    let turns = gateway.turns(&[Arc::clone(&model) as _]);
    let begun = spawn(&turns, child(parent, "main/child", "c1"), model, Ask::default()).await;
    let asked = questions.next().await;
    let other = bench.gateway();
    other.tools.hub.session(parent, Ask::always()).await.expect("taken over");
    asked.answers("seven");
    let answer = begun.expect("begun").outcome().await.expect("its result is stored");
    assert!(matches!(answer.deliveries[0].state, State::Pending { .. }), "{answer:?}");
    assert_eq!(gateway.tools.outbox.retry().await, 1);
    other.tools.hub.release(parent).await.expect("released");
    assert_eq!(gateway.tools.outbox.retry().await, 0);
    assert_eq!(texts(&bench, parent), ["user: seven"]);
}

/// A parent that waits for a child learns that there is nothing to wait for, and later what came of it.
#[tokio::test]
async fn a_child_whose_model_fails_says_so_in_its_parent() {
    let (bench, gateway, sessions) = scene(&["main/parent"]).await;
    let (parent, (model, mut questions)) = (&sessions[0], led());
    let turns = gateway.turns(&[Arc::clone(&model) as _]);
    let begin = async || {
        let one = child(parent, "main/child", "c1");
        spawn(&turns, one, Arc::clone(&model) as _, Ask::default()).await.expect("begun")
    };
    let failed = "user: main/child gave no answer. Begin it again with its key.";
    for _ in 0..2 {
        let begun = begin().await;
        questions.next().await.fails(ProviderError::Cut("it fell over".to_owned()));
        assert_eq!(code(begun.outcome().await), "provider");
    }
    assert_eq!(texts(&bench, parent), [failed], "once");
    let begun = begin().await;
    questions.next().await.answers("seven");
    begun.outcome().await.expect("answered");
    assert_eq!(texts(&bench, parent), [failed, "user: seven"]);
}

/// Whatever the reason: here the task alone is more than a context may be.
#[tokio::test]
async fn a_child_whose_task_is_too_large_says_so_in_its_parent() {
    let (bench, gateway, sessions) = scene(&["main/parent"]).await;
    let turns = gateway.turns(&[echo()]);
    let task = "long ".repeat(300_000);
    let one = Spawn { task, ..child(&sessions[0], "main/child", "c1") };
    let begun = spawn(&turns, one, echo(), Ask::default()).await.expect("begun");
    assert_eq!(code(begun.outcome().await), "too-large");
    let failed = "user: main/child gave no answer. Begin it again with its key.";
    assert_eq!(texts(&bench, &sessions[0]), [failed]);
}

/// A6: children in fast succession.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_children_at_once_are_all_heard() {
    let (bench, gateway, sessions) = scene(&["main/parent"]).await;
    let turns = gateway.turns(&[echo()]);
    let children = (0..50).map(|number| {
        let (turns, key) = (turns.clone(), format!("c{number}"));
        let one = child(&sessions[0], &format!("main/child-{number}"), &key);
        tokio::spawn(async move {
            let begun = spawn(&turns, one, echo(), Ask::default()).await.expect("begun");
            begun.outcome().await.expect("its result").deliveries.remove(0).state
        })
    });
    let states = join_all(children).await;
    assert!(states.into_iter().all(|state| state.unwrap() == State::Delivered));
    assert_eq!(texts(&bench, &sessions[0]).len(), 50);
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_made_a_child() {
    let (bench, gateway, sessions) = scene(&["main/parent", "main/empty", "main/other"]).await;
    let (parent, turns) = (&sessions[0], gateway.turns(&[echo()]));
    gateway.says(&sessions[2], "m1", "mine").await;
    let begin = async |one| code(spawn(&turns, one, echo(), Ask::default()).await);
    assert_eq!(begin(child(parent, "main/other", "c1")).await, "invalid");
    assert_eq!(bench.outline(&sessions[2]), ["message m1"], "it is left alone");
    assert_eq!(begin(child(parent, "main/child", "c2")).await, "none");
    assert_eq!(begin(child(parent, "main/child", "c3")).await, "invalid");
    assert_eq!(begin(child(parent, "main/another", "c2")).await, "invalid");
    assert_eq!(begin(child(parent, "main/parent", "c4")).await, "invalid");
    // A crash may have left it empty.
    assert_eq!(begin(child(parent, "main/empty", "c5")).await, "none");
}

// ---- compaction ------------------------------------------------------------------------------

fn compaction(key: &str, keep: usize, summary: Option<&str>) -> CompactRequest {
    let summary = summary.map(str::to_owned);
    CompactRequest { key: key.to_owned(), keep, summary, model: None }
}

async fn context(gateway: &Gateway, session: &SessionName, key: &str) -> Vec<String> {
    let (model, mut questions) = led();
    let (gateway, session, request) = (gateway.clone(), session.clone(), turn(key, "and now?"));
    let run = tokio::spawn(async move { gateway.run(&*model, &session, &request).await });
    let asked = questions.next().await;
    let context = asked.context();
    asked.answers("so");
    run.await.unwrap().expect("an answer");
    context
}

/// C4, C9: a compaction is one record, and what it stands for stays where it is.
#[tokio::test]
async fn a_compaction_is_one_record_and_rewrites_nothing() {
    let (bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (session, turns) = (&sessions[0], gateway.turns(&[echo()]));
    for number in 0..10 {
        gateway.says(session, &format!("m{number}"), &"long ".repeat(1000)).await;
    }
    let path = bench.folder.path().join("store").join(session.relative_path());
    let before = std::fs::read(&path).expect("a file");
    let request = compaction("c1", 2, Some("they said long"));
    let done = compact(&turns, session, &request, &Echo, Ask::default()).await.expect("done");
    assert_eq!(done.compacted.first_kept.as_deref(), Some("m8"));
    assert_eq!((done.compacted.through_seq, done.replayed), (8, false));
    let after = std::fs::read(&path).expect("a file");
    // The header page alone is written in place.
    assert_eq!(before[4096..], after[4096..before.len()]);
    assert!(after.len() - before.len() < 500, "{} bytes", after.len() - before.len());
    let again = compact(&turns, session, &request, &Echo, Ask::default()).await.expect("done");
    assert!(again.replayed && again.seq == done.seq);
    let long = format!("user: {}", "long ".repeat(1000));
    let summary = "user: Summary of what came before:\nthey said long";
    assert_eq!(context(&gateway, session, "m10").await, [summary, &long, &long, "user: and now?"]);
}

#[tokio::test]
async fn a_second_compaction_stands_for_the_first_too() {
    let (_bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (session, turns) = (&sessions[0], gateway.turns(&[echo()]));
    for key in ["m1", "m2", "m3"] {
        gateway.says(session, key, key).await;
    }
    for (key, summary) in [("c1", "first"), ("c2", "second")] {
        let request = compaction(key, 1, Some(summary));
        compact(&turns, session, &request, &Echo, Ask::default()).await.expect("done");
    }
    let summary = "user: Summary of what came before:\nsecond";
    assert_eq!(context(&gateway, session, "m4").await, [summary, "user: m3", "user: and now?"]);
}

/// A8: nobody waits for a compaction, and what is said meanwhile stays.
#[tokio::test]
async fn messages_that_come_while_a_summary_is_made_stay() {
    let (bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (session, (model, mut questions)) = (&sessions[0], led());
    let turns = gateway.turns(&[Arc::clone(&model) as _]);
    for key in ["m1", "m2"] {
        gateway.says(session, key, key).await;
    }
    for (key, keep) in [("c1", 1), ("c2", 0)] {
        let (turns, of, model) = (turns.clone(), session.clone(), Arc::clone(&model));
        let begun = tokio::spawn(async move {
            compact(&turns, &of, &compaction(key, keep, None), &*model, Ask::default()).await
        });
        let asked = questions.next().await;
        assert!(asked.context().last().expect("asked").contains("Sum up"));
        gateway.says(session, &format!("during {key}"), &format!("during {key}")).await;
        asked.answers("in short");
        let code = code(begun.await.unwrap());
        // With nothing kept, what came in between would be lost from the context.
        assert_eq!(code, if keep > 0 { "none" } else { "conflict" });
    }
    let expected = [
        "user: Summary of what came before:\nin short",
        "user: m2",
        "user: during c1",
        "user: during c2",
        "user: and now?",
    ];
    assert_eq!(context(&gateway, session, "m3").await, expected);
    assert_eq!(bench.outline(session)[3], "compaction c1");
}

#[tokio::test]
async fn a_compaction_that_makes_no_sense_is_refused() {
    let (bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (session, turns) = (&sessions[0], gateway.turns(&[echo()]));
    gateway.says(session, "m1", "one").await;
    let begin = async |request: CompactRequest| {
        code(compact(&turns, session, &request, &Echo, Ask::default()).await)
    };
    assert_eq!(begin(compaction("c1", 5, None)).await, "invalid", "there is nothing before");
    assert_eq!(begin(compaction("m1", 0, None)).await, "invalid", "the key is a message's");
    assert_eq!(begin(compaction("", 0, None)).await, "invalid");
    assert_eq!(bench.records(session).len(), 1);
}

// ---- turns that run --------------------------------------------------------------------------

#[tokio::test]
async fn a_turn_that_runs_is_joined_and_outlives_who_asked_for_it() {
    let (bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (session, (model, mut questions)) = (&sessions[0], led());
    let turns = gateway.turns(&[Arc::clone(&model) as _]);
    let provider = || Arc::clone(&model) as Arc<dyn Provider>;
    let start = |text| turns.start(session, turn("m1", text), provider(), Ask::default());
    drop(start("hello").expect("started"));
    let asked = questions.next().await;
    let mut joined = start("hello").expect("joined");
    assert_eq!(code(start("something else")), "invalid");
    assert_eq!((turns.count(), turns.keys(session)), (1, vec!["m1".to_owned()]));
    asked.says("he");
    let hearing = joined.hear();
    while joined.draft().text != "he" {
        joined.changed().await.expect("it runs");
    }
    let mut late = turns.watch(session, "m1").expect("it runs");
    let draft = late.draft().clone();
    assert_eq!((draft.text.as_str(), draft.begun), ("he", 1));
    // A session that an operator released stays released while a model thinks, whoever listens.
    gateway.tools.hub.release(session).await.expect("released");
    asked.says("l");
    // Drafts are told every tenth of a second.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(gateway.tools.hub.held(session).is_none());
    assert_eq!(joined.draft().text, "he", "nobody hears what no record holds");
    gateway.tools.hub.session(session, Ask::default()).await.expect("held again");
    while joined.draft().text != "hel" {
        joined.changed().await.expect("it runs");
    }
    drop(hearing);
    asked.says("lo");
    asked.ends();
    let answers = join_all([joined.outcome(), late.outcome()]).await;
    assert!(answers.iter().all(|one| one.as_ref().is_ok_and(|one| one.text == "hello")));
    assert!(turns.watch(session, "m1").is_none() && questions.is_empty());
    let held = ["message m1", "turn.draft -", "turn.draft -", "message m1/answer"];
    assert_eq!(bench.outline(session), held, "what was heard, and nothing that nobody heard");
}

#[tokio::test]
async fn closing_cancels_what_runs_and_starts_nothing_more() {
    let (bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (session, (model, mut questions)) = (&sessions[0], led());
    let turns = gateway.turns(&[Arc::clone(&model) as _]);
    let start = |key| turns.start(session, turn(key, "x"), Arc::clone(&model) as _, Ask::default());
    let started = [start("m1").expect("started"), start("m2").expect("started")];
    let asked = [questions.next().await, questions.next().await];
    turns.close().await;
    for one in &asked {
        one.dropped().await;
    }
    for one in started {
        assert_eq!(code(one.outcome().await), "cancelled");
    }
    assert_eq!(code(start("m3")), "shutting-down");
    let kinds = bench.outline(session);
    assert_eq!(kinds.iter().filter(|kind| *kind == "turn.cancelled -").count(), 2);
}

#[tokio::test]
async fn a_model_that_panics_ends_its_turn_alone() {
    #[derive(Debug)]
    struct Panics;
    impl Provider for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        fn complete(&self, _: Request) -> Deltas {
            panic!("a defect in a provider")
        }
    }
    let (bench, gateway, sessions) = scene(&["main/chat"]).await;
    let turns = gateway.turns(&[echo()]);
    let run = turns.run(&sessions[0], turn("m1", "x"), Arc::new(Panics), Ask::default()).await;
    assert_eq!(code(run), "internal");
    assert_eq!((turns.count(), bench.outline(&sessions[0])), (0, vec!["message m1".to_owned()]));
    let run = turns.run(&sessions[0], turn("m1", "x"), echo(), Ask::default()).await;
    assert_eq!(run.expect("finished by another").text, "x");
}

#[tokio::test]
async fn there_are_only_so_many_turns_at_a_time() {
    let (_bench, gateway, sessions) = scene(&["main/chat"]).await;
    let (model, mut questions) = led();
    let turns = gateway.turns(&[Arc::clone(&model) as _]);
    let start = |number: usize| {
        let request = turn(&format!("m{number}"), "x");
        turns.start(&sessions[0], request, Arc::clone(&model) as _, Ask::default())
    };
    let first = start(0).expect("started");
    (1..100).for_each(|number| drop(start(number).expect("started")));
    assert_eq!(code(start(100)), "busy");
    assert_eq!(code(turns.provider(Some("nobody"))), "invalid");
    let asked = questions.next().await;
    assert_eq!(asked.request.context.len(), asked.context().len());
    turns.cancel(&sessions[0], "m0").expect("it runs");
    assert_eq!(code(first.outcome().await), "cancelled");
    start(100).expect("there is room again");
    assert!(turns.cancel(&sessions[0], "m0").is_none());
}
