//! Persist before deliver: nobody gets text that no record holds, nobody gets it twice, and what was
//! left open is delivered later.

mod stage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use session_journal::{Item, Reader, SessionName};
use session_journal_gateway::Ask;
use session_journal_gateway::conversation::Message;
use session_journal_gateway::outbox::{
    Address, Delivery, Intent, Outgoing, SESSION, Sink, SinkError, State, Webhook, What,
};
use session_journal_gateway::provider::Echo;
use session_journal_gateway::turn::TurnRequest;
use stage::bench::{Bench, Gateway, name, turn, user};
use stage::stub::{PATIENCE, Step, Stub, ok, status};

fn to(sink: &str, to: &str) -> Address {
    Address { sink: sink.to_owned(), to: to.to_owned() }
}

fn saying(address: Address, text: &str) -> Intent {
    Intent { address, what: What::Message(user(text)) }
}

async fn scene() -> (Bench, Gateway, SessionName) {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let gateway = bench.gateway();
    gateway.create(&session).await;
    (bench, gateway, session)
}

async fn send(gateway: &Gateway, session: &SessionName, key: &str, intent: &Intent) -> Delivery {
    let sent = gateway.tools.outbox.send(session, key, intent, Ask::default()).await;
    sent.expect("stored")
}

fn code<T>(outcome: Result<T, session_journal_gateway::Problem>) -> &'static str {
    outcome.err().map_or("none", |problem| problem.code())
}

/// Looks into the journal when it is given something.
#[derive(Debug)]
struct Witness {
    journal: std::path::PathBuf,
    saw: Mutex<Vec<String>>,
}

impl Sink for Witness {
    fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
        let reader = Reader::open(&self.journal).expect("a journal");
        let holds = |record: session_journal::Record| {
            let record = Message::of(&record).map(|message| message.text());
            record.as_deref() == Some(&*outgoing.message.text())
        };
        let is_held = reader.records().any(|record| holds(record.expect("sound")));
        let kinds = reader.records().map(|record| record.expect("sound").kind.unwrap_or_default());
        let kinds: Vec<String> = kinds.collect();
        let text = outgoing.message.text();
        let saw = format!("{text} is held: {is_held}; {}", kinds.join(", "));
        self.saw.lock().expect("no panic").push(saw);
        Box::pin(async { Ok(()) })
    }
}

/// B11: nobody saw text that no record holds.
#[tokio::test]
async fn an_answer_and_its_intent_are_stored_before_it_is_delivered_and_that_it_is_done_after() {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let journal = bench.folder.path().join("store").join(session.relative_path());
    let witness = Arc::new(Witness { journal, saw: Mutex::default() });
    let sink: Arc<dyn Sink> = Arc::clone(&witness) as _;
    let gateway = bench.gateway_with(vec![("witness".to_owned(), sink)]);
    gateway.create(&session).await;
    let deliver = vec![to("witness", "a"), to("chat", "b")];
    let request = TurnRequest { deliver, ..turn("m1", "hello") };
    let answer = gateway.run(&Echo, &session, &request).await.expect("an answer");
    assert!(answer.deliveries.iter().all(|one| one.state == State::Delivered), "{answer:?}");
    let saw =
        "hello is held: true; message, message, delivery.begin, delivery.intent, delivery.intent";
    assert_eq!(*witness.saw.lock().unwrap(), [saw]);
    let expected = [
        "message m1",
        "message m1/answer",
        "delivery.begin delivery/begin",
        "delivery.intent delivery/intent/m1/answer/0",
        "delivery.intent delivery/intent/m1/answer/1",
        "delivery.done delivery/done/m1/answer/0",
        "delivery.done delivery/done/m1/answer/1",
    ];
    assert_eq!(bench.outline(&session), expected);
    let again = gateway.run(&Echo, &session, &request).await.expect("replayed");
    assert_eq!(again.deliveries, answer.deliveries);
    assert_eq!(gateway.chat.kept().values().map(|kept| kept.times).collect::<Vec<_>>(), [1]);
    assert_eq!(bench.records(&session).len(), 7);
}

/// C3: the same delivery a hundred times, many at once.
#[tokio::test]
async fn a_key_is_delivered_once_however_often_it_is_sent() {
    let (bench, gateway, session) = scene().await;
    let intent = saying(to("chat", "a"), "text");
    let all = (0..100).map(|_| send(&gateway, &session, "d1", &intent));
    assert!(join_all(all).await.iter().all(|one| one.state == State::Delivered));
    let kept: Vec<_> = gateway.chat.kept().into_values().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].times, kept[0].outgoing.to.as_str()), (1, "a"));
    assert_eq!(bench.records(&session).len(), 3);
    let other = saying(to("chat", "a"), "other text");
    let outbox = &gateway.tools.outbox;
    assert_eq!(code(outbox.send(&session, "d1", &other, Ask::default()).await), "invalid");
    let nowhere = saying(to("nowhere", ""), "text");
    assert_eq!(code(outbox.send(&session, "d2", &nowhere, Ask::default()).await), "invalid");
    assert_eq!(code(outbox.deliver(&session, "d3").await), "not-found");
    assert_eq!(bench.records(&session).len(), 3, "what is refused is not stored");
}

/// Is there, or not; counts what it is given.
#[derive(Debug, Default)]
struct Flaky {
    is_there: AtomicBool,
    refuses: AtomicBool,
    given: AtomicUsize,
}

impl Sink for Flaky {
    fn deliver(&self, _: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
        self.given.fetch_add(1, Ordering::SeqCst);
        let outcome =
            match (self.refuses.load(Ordering::SeqCst), self.is_there.load(Ordering::SeqCst)) {
                (true, _) => Err(SinkError::Never("nobody lives there".to_owned())),
                (_, true) => Ok(()),
                (_, false) => Err(SinkError::Later("it is off".to_owned())),
            };
        Box::pin(async move { outcome })
    }
}

fn flaky(bench: &Bench) -> (Arc<Flaky>, Gateway) {
    let flaky = Arc::new(Flaky::default());
    let sink: Arc<dyn Sink> = Arc::clone(&flaky) as _;
    let gateway = bench.gateway_with(vec![("flaky".to_owned(), sink)]);
    (flaky, gateway)
}

/// A sink is not asked a second time while it is at it.
#[tokio::test]
async fn one_delivery_is_made_once_at_a_time() {
    #[derive(Debug)]
    struct Gate {
        came: tokio::sync::watch::Sender<u32>,
        open: tokio::sync::watch::Sender<bool>,
    }
    impl Sink for Gate {
        fn deliver(&self, _: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
            self.came.send_modify(|came| *came += 1);
            let mut open = self.open.subscribe();
            Box::pin(async move {
                open.wait_for(|open| *open).await.expect("the test lives");
                Ok(())
            })
        }
    }
    let (bench, session) = (Bench::new(), name("main/chat"));
    let (came, open) = (tokio::sync::watch::Sender::new(0), tokio::sync::watch::Sender::new(false));
    let gate: Arc<dyn Sink> = Arc::new(Gate { came: came.clone(), open: open.clone() });
    let gateway = bench.gateway_with(vec![("gate".to_owned(), gate)]);
    gateway.create(&session).await;
    let both = [(), ()].map(|()| {
        let (gateway, session) = (gateway.clone(), session.clone());
        tokio::spawn(
            async move { send(&gateway, &session, "d1", &saying(to("gate", ""), "x")).await },
        )
    });
    came.subscribe().wait_for(|came| *came > 0).await.expect("the sink lives");
    // Others get by meanwhile, so the second one has had its time.
    for number in 0..20 {
        send(&gateway, &session, &format!("other-{number}"), &saying(to("chat", ""), "x")).await;
    }
    open.send_replace(true);
    for one in both {
        assert_eq!(one.await.expect("no panic").state, State::Delivered);
    }
    assert_eq!(*came.borrow(), 1);
}

#[tokio::test]
async fn what_a_sink_does_not_take_waits_and_is_tried_again() {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let (flaky, gateway) = flaky(&bench);
    gateway.create(&session).await;
    let outbox = &gateway.tools.outbox;
    let delivery = send(&gateway, &session, "d1", &saying(to("flaky", ""), "text")).await;
    assert_eq!(delivery.state, State::Pending { why: "it is off".to_owned() });
    assert_eq!(outbox.pending(&session).await.expect("read").len(), 1);
    assert_eq!(outbox.retry().await, 1, "it is still off");
    flaky.is_there.store(true, Ordering::SeqCst);
    assert_eq!(outbox.retry().await, 0);
    assert_eq!(outbox.retry().await, 0);
    assert_eq!(flaky.given.load(Ordering::SeqCst), 3, "delivered once, then never again");
    assert!(outbox.pending(&session).await.expect("read").is_empty());
}

#[tokio::test]
async fn what_a_sink_refuses_for_good_is_not_tried_again() {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let (flaky, gateway) = flaky(&bench);
    gateway.create(&session).await;
    flaky.refuses.store(true, Ordering::SeqCst);
    let intent = saying(to("flaky", ""), "text");
    for _ in 0..3 {
        let delivery = send(&gateway, &session, "d1", &intent).await;
        assert_eq!(delivery.state, State::Refused { why: "nobody lives there".to_owned() });
    }
    assert_eq!(flaky.given.load(Ordering::SeqCst), 1);
    assert!(gateway.tools.outbox.pending(&session).await.expect("read").is_empty());
}

/// C11: what was left open is delivered by whoever opens the session next.
#[tokio::test]
async fn the_next_gateway_delivers_what_the_last_one_left_open() {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let (other, quiet) = (name("other/has-none"), name("other/all-done"));
    let (flaky, first) = flaky(&bench);
    for session in [&session, &other, &quiet] {
        first.create(session).await;
    }
    send(&first, &quiet, "d1", &saying(to("chat", "q"), "quiet")).await;
    for number in 0..3 {
        let (key, sink) = (format!("d{number}"), if number == 1 { "chat" } else { "flaky" });
        send(&first, &session, &key, &saying(to(sink, ""), &format!("text {number}"))).await;
    }
    assert_eq!(flaky.given.load(Ordering::SeqCst), 2);
    // It goes as if it was killed: nothing is released.
    drop(first);
    let (flaky, second) = self::flaky(&bench);
    flaky.is_there.store(true, Ordering::SeqCst);
    assert_eq!(second.tools.outbox.recover_store().await.expect("listed"), (2, 0));
    assert_eq!(flaky.given.load(Ordering::SeqCst), 2, "in order, and only those that were open");
    assert!(second.chat.kept().is_empty(), "what was done is not done again");
    assert!(second.tools.hub.held(&other).is_none(), "a session without deliveries is not opened");
    assert!(second.tools.hub.held(&quiet).is_none());
    assert_eq!(second.tools.outbox.recover_store().await.expect("listed"), (0, 0));
}

#[tokio::test]
async fn a_sink_that_this_gateway_has_not_leaves_the_delivery_for_one_that_has() {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let (_, first) = flaky(&bench);
    first.create(&session).await;
    send(&first, &session, "d1", &saying(to("flaky", ""), "text")).await;
    drop(first);
    let without = bench.gateway();
    let deliveries = without.tools.outbox.recover(&session).await.expect("read");
    assert!(matches!(&deliveries[0].state, State::Pending { why } if why.contains("flaky")));
    drop(without);
    let (flaky, with) = flaky(&bench);
    flaky.is_there.store(true, Ordering::SeqCst);
    assert_eq!(with.tools.outbox.recover(&session).await.expect("read")[0].state, State::Delivered);
}

// ---- damage, and long sessions ---------------------------------------------------------------

/// Changes one byte of what a session holds, behind the last place where this text stands.
fn damage(bench: &Bench, session: &SessionName, text: &str) {
    let path = bench.folder.path().join("store").join(session.relative_path());
    let mut bytes = std::fs::read(&path).expect("reads");
    let found = bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
    bytes[found.expect("is there")] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
}

fn states(deliveries: &[Delivery]) -> Vec<(&str, &State)> {
    deliveries.iter().map(|one| (one.key.as_str(), &one.state)).collect()
}

/// A gateway that opens a session which delivered long ago reads what came since somebody looked.
#[tokio::test]
async fn who_reads_much_to_find_what_is_open_writes_down_how_far_all_is_done() {
    let (bench, gateway, session) = scene().await;
    send(&gateway, &session, "d1", &saying(to("chat", "a"), "text")).await;
    for number in 0..520 {
        gateway.says(&session, &format!("m{number}"), "hello").await;
    }
    let settled = |bench: &Bench| {
        let outline = bench.outline(&session);
        outline.into_iter().filter(|one| one.starts_with("delivery.settled")).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(gateway.tools.outbox.recover(&session).await.expect("read"), []);
        assert_eq!(settled(&bench), ["delivery.settled delivery/settled/1"]);
    }
    send(&gateway, &session, "d2", &saying(to("chat", "a"), "text 2")).await;
    assert_eq!(gateway.chat.kept().len(), 2);
}

/// Who asked for a delivery goes away in the middle of it: it is tried again, and nothing is kept for
/// that request.
#[tokio::test]
async fn a_delivery_whose_request_is_dropped_is_tried_again() {
    /// Takes a delivery when it is told to.
    #[derive(Debug, Default)]
    struct Slow {
        given: AtomicUsize,
        may: AtomicBool,
        arrived: tokio::sync::Notify,
    }
    impl Sink for Slow {
        fn deliver(&self, _: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
            self.given.fetch_add(1, Ordering::SeqCst);
            self.arrived.notify_one();
            let may = self.may.load(Ordering::SeqCst);
            Box::pin(async move { if may { Ok(()) } else { std::future::pending().await } })
        }
    }
    let (bench, session) = (Bench::new(), name("main/chat"));
    let slow = Arc::new(Slow::default());
    let gateway = bench.gateway_with(vec![("slow".to_owned(), Arc::clone(&slow) as _)]);
    gateway.create(&session).await;
    let intent = saying(to("slow", ""), "text");
    tokio::select! {
        _ = send(&gateway, &session, "d1", &intent) => panic!("it takes nothing yet"),
        () = slow.arrived.notified() => {}
    }
    slow.may.store(true, Ordering::SeqCst);
    assert_eq!(gateway.tools.outbox.retry().await, 0);
    assert_eq!(slow.given.load(Ordering::SeqCst), 2);
    assert_eq!(gateway.tools.outbox.recover(&session).await.expect("read"), [], "it is done");
}

/// A delivery whose text is lost is closed, and does not hold up those behind it.
#[tokio::test]
async fn what_is_damaged_is_not_delivered_and_holds_up_nothing() {
    let (bench, session) = (Bench::new(), name("main/chat"));
    let (_, first) = flaky(&bench);
    first.create(&session).await;
    for (key, text) in [("m1", "the first text"), ("m2", "the second text")] {
        first.says(&session, key, text).await;
        let intent = Intent { address: to("flaky", ""), what: What::Of(key.to_owned()) };
        send(&first, &session, &format!("d-{key}"), &intent).await;
    }
    drop(first);
    damage(&bench, &session, "the first text");
    let (flaky, second) = flaky(&bench);
    flaky.is_there.store(true, Ordering::SeqCst);
    let deliveries = second.tools.outbox.recover(&session).await.expect("both were tried");
    let lost = State::Refused { why: "what it delivers was damaged".to_owned() };
    assert_eq!(states(&deliveries), [("d-m1", &lost), ("d-m2", &State::Delivered)]);
    assert_eq!(flaky.given.load(Ordering::SeqCst), 1);
    assert_eq!(second.tools.outbox.recover(&session).await.expect("read"), []);
}

/// Where damage hides that it was delivered it is delivered again under its key, once.
#[tokio::test]
async fn a_delivery_whose_end_is_damaged_is_made_again_under_its_key() {
    let (bench, gateway, session) = scene().await;
    send(&gateway, &session, "d1", &saying(to("chat", "a"), "text")).await;
    drop(gateway);
    damage(&bench, &session, "delivery/done/d1");
    let second = bench.gateway();
    let deliveries = second.tools.outbox.recover(&session).await.expect("read");
    assert_eq!(states(&deliveries), [("d1", &State::Delivered)]);
    assert_eq!(second.chat.kept().len(), 1);
    assert_eq!(second.tools.outbox.recover(&session).await.expect("read"), [], "it has an end");
}

/// A session that lost a record still gets what others send it: what arrived can be read once.
#[tokio::test]
async fn a_message_arrives_in_a_session_that_lost_a_record() {
    let (bench, gateway, session) = scene().await;
    let target = name("other/inbox");
    gateway.create(&target).await;
    gateway.says(&target, "m1", "a text that is going to be lost").await;
    gateway.tools.hub.release(&target).await.expect("released");
    damage(&bench, &target, "a text that is going to be lost");
    let intent = saying(to(SESSION, "other/inbox"), "for you");
    for _ in 0..3 {
        assert_eq!(send(&gateway, &session, "d1", &intent).await.state, State::Delivered);
    }
    let path = bench.folder.path().join("store").join(target.relative_path());
    let reader = Reader::open(path).expect("a journal");
    let texts = reader.records().with_gaps().filter_map(|item| match item.expect("reads") {
        Item::Record(record) => Message::of(&record),
        Item::Gap(_) => None,
    });
    assert_eq!(texts.map(|one| one.text()).collect::<Vec<_>>(), ["for you"]);
}

// ---- into another session --------------------------------------------------------------------

#[tokio::test]
async fn a_message_arrives_in_another_session_once() {
    let (bench, gateway, session) = scene().await;
    let target = name("other/inbox");
    gateway.create(&target).await;
    let intent = saying(to(SESSION, "other/inbox"), "for you");
    for _ in 0..3 {
        assert_eq!(send(&gateway, &session, "d1", &intent).await.state, State::Delivered);
    }
    let arrived = bench.records(&target);
    assert_eq!(arrived.len(), 1);
    assert_eq!(Message::of(&arrived[0]).expect("a message").text(), "for you");
    // Another session may use the same key.
    let third = name("main/third");
    gateway.create(&third).await;
    send(&gateway, &third, "d1", &intent).await;
    assert_eq!(bench.records(&target).len(), 2);
}

/// B3, B10: a delivery into a session that another gateway has waits in the sender's journal, and
/// nothing is written past its owner.
#[tokio::test]
async fn a_message_for_a_session_that_another_gateway_has_waits() {
    let (bench, gateway, session) = scene().await;
    let (target, other) = (name("other/inbox"), bench.gateway());
    other.create(&target).await;
    let intent = saying(to(SESSION, "other/inbox"), "for you");
    let delivery = send(&gateway, &session, "d1", &intent).await;
    assert_eq!(delivery.state, State::Pending { why: "the session answered held-by".to_owned() });
    assert!(bench.records(&target).is_empty());
    other.tools.hub.release(&target).await.expect("released");
    assert_eq!(gateway.tools.outbox.retry().await, 0);
    assert_eq!(bench.records(&target).len(), 1);
}

#[tokio::test]
async fn a_message_for_a_session_that_is_not_there_is_refused() {
    let (bench, gateway, session) = scene().await;
    let delivery = send(&gateway, &session, "d1", &saying(to(SESSION, "other/none"), "x")).await;
    assert!(matches!(delivery.state, State::Refused { .. }), "{delivery:?}");
    let bad = saying(to(SESSION, ""), "x");
    let outbox = &gateway.tools.outbox;
    assert_eq!(code(outbox.send(&session, "d2", &bad, Ask::default()).await), "invalid");
    assert!(!bench.folder.path().join("store/other/none.journal").exists());
}

/// B12: a gateway that lost the session after it delivered says nothing more in it; the new owner
/// delivers again under the same key, and the sink has it once.
#[tokio::test]
async fn a_delivery_whose_owner_was_fenced_is_closed_by_the_new_owner() {
    #[derive(Debug)]
    struct Steals {
        thief: Gateway2,
        session: SessionName,
        keys: Mutex<BTreeMap<String, u32>>,
    }
    #[derive(Debug)]
    struct Gateway2(session_journal_gateway::Hub);
    impl Sink for Steals {
        fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
            *self.keys.lock().expect("no panic").entry(outgoing.key).or_default() += 1;
            Box::pin(async {
                let taken = self.thief.0.session(&self.session, Ask::always()).await;
                taken.map(|_| ()).map_err(|problem| SinkError::Later(problem.to_string()))
            })
        }
    }
    let (bench, session) = (Bench::new(), name("main/chat"));
    let thief = bench.gateway();
    let sink = Arc::new(Steals {
        thief: Gateway2(thief.tools.hub.clone()),
        session: session.clone(),
        keys: Mutex::default(),
    });
    let as_sink = || vec![("thief".to_owned(), Arc::clone(&sink) as Arc<dyn Sink>)];
    let gateway = bench.gateway_with(as_sink());
    gateway.create(&session).await;
    let intent = saying(to("thief", ""), "text");
    let outcome = gateway.tools.outbox.send(&session, "d1", &intent, Ask::default()).await;
    assert_eq!(code(outcome), "fenced");
    // The same hub as the thief's has the session now.
    let owner = session_journal_gateway::outbox::Outbox::new(thief.tools.hub.clone(), as_sink());
    let deliveries = owner.recover(&session).await.expect("its own");
    assert_eq!(deliveries[0].state, State::Delivered);
    let keys: Vec<_> = sink.keys.lock().unwrap().values().copied().collect();
    assert_eq!(keys, [2], "twice under one key");
}

// ---- over HTTP -------------------------------------------------------------------------------

async fn posted(answers: Vec<Vec<Step>>) -> (Stub, Bench, Gateway, SessionName) {
    let stub = Stub::new(answers).await;
    let webhook = Webhook::new(&format!("{}/hook", stub.url), PATIENCE).expect("an address");
    let (bench, session) = (Bench::new(), name("main/chat"));
    let gateway = bench.gateway_with(vec![("hook".to_owned(), Arc::new(webhook))]);
    gateway.create(&session).await;
    (stub, bench, gateway, session)
}

#[tokio::test]
async fn a_webhook_gets_the_key_each_time_until_it_takes_it() {
    let answers = vec![status("503 Busy", ""), status("429 Slow", ""), ok("{}")];
    let (stub, _bench, gateway, session) = posted(answers).await;
    let delivery = send(&gateway, &session, "d1", &saying(to("hook", "ann"), "grüß")).await;
    assert_eq!(delivery.state, State::Pending { why: "it answered 503".to_owned() });
    assert_eq!(gateway.tools.outbox.retry().await, 1);
    assert_eq!(gateway.tools.outbox.retry().await, 0);
    let requests = stub.requests();
    assert_eq!(requests.len(), 3);
    let key = |request: &String| {
        let line = request.lines().find(|line| line.starts_with("idempotency-key: "));
        line.expect("the header").to_owned()
    };
    assert!(key(&requests[0]).ends_with("/d1"), "{}", key(&requests[0]));
    assert!(requests.iter().all(|request| key(request) == key(&requests[0])));
    assert!(requests[0].starts_with("POST /hook HTTP/1.1\r\n"));
    let body = requests[2].split_once("\r\n\r\n").expect("a body").1;
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&body["from"], &body["to"]), (&"main/chat".into(), &"ann".into()));
    assert_eq!(body["message"]["content"], "grüß");
    assert!(key(&requests[0]).ends_with(body["key"].as_str().expect("a key")));
}

#[tokio::test]
async fn a_webhook_that_is_gone_for_good_is_not_asked_again() {
    let (stub, _bench, gateway, session) = posted(vec![status("410 Gone", "")]).await;
    let intent = saying(to("hook", ""), "x");
    let delivery = send(&gateway, &session, "d1", &intent).await;
    assert_eq!(delivery.state, State::Refused { why: "it answered 410".to_owned() });
    send(&gateway, &session, "d1", &intent).await;
    assert_eq!(stub.requests().len(), 1);
    // A key that no header could hold as it is.
    send(&gateway, &session, "d\u{7}\nx: y", &intent).await;
    assert!(stub.requests()[1].contains("/d\\u{7}\\nx: y\r\n"), "{}", stub.requests()[1]);
}

#[tokio::test]
async fn a_webhook_that_says_nothing_or_is_not_there_is_tried_later() {
    let stub = Stub::new(vec![vec![Step::Hang]]).await;
    let webhook = Webhook::new(&stub.url, Duration::from_millis(50)).expect("an address");
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", nowhere.local_addr().expect("an address"));
    drop(nowhere);
    let gone = Webhook::new(&url, PATIENCE).expect("an address");
    let (bench, session) = (Bench::new(), name("main/chat"));
    let sinks: Vec<(String, Arc<dyn Sink>)> =
        vec![("slow".to_owned(), Arc::new(webhook)), ("gone".to_owned(), Arc::new(gone))];
    let gateway = bench.gateway_with(sinks);
    gateway.create(&session).await;
    let state = async |sink: &str| {
        let delivery = send(&gateway, &session, sink, &saying(to(sink, ""), "x")).await;
        delivery.state
    };
    assert_eq!(state("slow").await, State::Pending { why: "it took too long".to_owned() });
    assert_eq!(state("gone").await, State::Pending { why: "it cannot be reached".to_owned() });
    assert!(Webhook::new("https://127.0.0.1", PATIENCE).is_err());
    assert!(Webhook::new("nowhere", PATIENCE).is_err());
}
