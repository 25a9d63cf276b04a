//! Two gateways fight over the same sessions while turns run on both: every turn is finished by trying
//! again, no message and no answer is lost or there twice, and every delivery arrives once.
//!
//! The schedule comes from a seed that a failure prints; `SESSION_JOURNAL_SEED` replays it, as far as
//! the system's own scheduling lets it.

mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use session_journal::{SessionName, Takeover};
use session_journal_gateway::Ask;
use session_journal_gateway::conversation::Message;
use session_journal_gateway::outbox::{Address, Sink};
use session_journal_gateway::provider::{Provider, Script};
use session_journal_gateway::running::Turns;
use session_journal_gateway::turn::{Policy, TurnRequest};
use stage::bench::{Bench, name, turn};

const SESSIONS: usize = 4;
const TURNS: usize = 25;
/// A turn that is tried so often is lost.
const ATTEMPTS: u32 = 1000;

/// Codes that say: somebody else has it, or had it a moment ago; try again.
const TRY_AGAIN: [&str; 6] = ["fenced", "held-by", "closed", "conflict", "poisoned", "unknown"];

#[derive(Default)]
struct Counts {
    tries: u32,
    codes: BTreeMap<&'static str, u32>,
}

/// Runs one turn to its end, wherever and however often that takes.
async fn finish(
    gateways: [Turns; 2],
    provider: Arc<dyn Provider>,
    session: SessionName,
    request: TurnRequest,
    mut chance: fastrand::Rng,
) -> Counts {
    let mut counts = Counts::default();
    loop {
        counts.tries += 1;
        assert!(counts.tries < ATTEMPTS, "{session} {}: {:?}", request.key, counts.codes);
        let takeover = if chance.u8(..4) == 0 { Takeover::Always } else { Takeover::IfGone };
        let ask = Ask { takeover, create: false };
        let run =
            |at: usize| gateways[at].run(&session, request.clone(), Arc::clone(&provider), ask);
        let at = chance.usize(..2);
        // Now and then somebody is impatient and asks both.
        let outcomes = match chance.u8(..8) {
            0 => {
                let (here, there) = tokio::join!(run(at), run(1 - at));
                vec![here, there]
            }
            _ => vec![run(at).await],
        };
        let mut is_done = false;
        for outcome in outcomes {
            match outcome {
                Ok(_) => is_done = true,
                Err(problem) if TRY_AGAIN.contains(&problem.code()) => {
                    *counts.codes.entry(problem.code()).or_default() += 1;
                }
                Err(problem) => panic!("{session} {}: {problem} {:?}", request.key, problem.code()),
            }
        }
        if is_done {
            return counts;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "the seed, and how to replay it")]
async fn two_gateways_that_fight_lose_no_turn() {
    let seed = std::env::var("SESSION_JOURNAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}; replay with SESSION_JOURNAL_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let bench = Bench::new();
    let [first, second] = [bench.gateway(), bench.gateway()];
    let sessions: Vec<SessionName> =
        (0..SESSIONS).map(|number| name(&format!("fight/{number}"))).collect();
    for session in &sessions {
        first.create(session).await;
    }
    let script = br#"{"answers":[{"text":"one two three four","delay_ms":[0,20]}]}"#;
    let provider: Arc<dyn Provider> = Arc::new(Script::parse(script, seed, 1.0).expect("a script"));
    let gateways = [&first, &second].map(|gateway| gateway.turns(&[Arc::clone(&provider)]));

    let deliver = vec![Address { sink: "chat".to_owned(), to: String::new() }];
    let mut running = Vec::new();
    for session in &sessions {
        for number in 0..TURNS {
            let policy = [Policy::GoOn, Policy::Rerun, Policy::Tell][chance.usize(..3)];
            let (key, text) = (format!("m{number}"), format!("message {number}"));
            let deliver = deliver.clone();
            let request = TurnRequest { policy, deliver, ..turn(&key, &text) };
            let one = finish(
                gateways.clone(),
                Arc::clone(&provider),
                session.clone(),
                request,
                chance.fork(),
            );
            running.push(tokio::spawn(one));
        }
    }
    let counts = join_all(running).await.into_iter().map(|one| one.expect("a turn was lost"));
    let mut codes: BTreeMap<&str, u32> = BTreeMap::new();
    for one in counts {
        one.codes.into_iter().for_each(|(code, times)| *codes.entry(code).or_default() += times);
    }
    println!("{codes:?}");
    assert!(
        codes.contains_key("fenced") && codes.contains_key("held-by"),
        "nobody fought: {codes:?}"
    );

    for session in &sessions {
        let records = bench.records(session);
        let times =
            |key: &str| records.iter().filter(|one| one.key.as_deref() == Some(key)).count();
        for number in 0..TURNS {
            assert_eq!(times(&format!("m{number}")), 1, "{session} m{number}");
            assert_eq!(times(&format!("m{number}/answer")), 1, "{session} m{number}");
        }
        let said = records.iter().filter_map(Message::of).count();
        assert_eq!(said, 2 * TURNS, "{session}: nothing else was said");
    }
    delivered_once(&bench, [first, second], &sessions).await;
}

/// What a fenced gateway left open the owner delivers; the two chats stand for one that knows keys.
async fn delivered_once(
    bench: &Bench,
    gateways: [stage::bench::Gateway; 2],
    sessions: &[SessionName],
) {
    for gateway in &gateways {
        gateway.tools.hub.close().await;
    }
    let chat = Arc::clone(&gateways[0].chat);
    let last = bench.gateway_with(vec![("chat".to_owned(), Arc::clone(&chat) as Arc<dyn Sink>)]);
    last.tools.outbox.recover_store().await.expect("listed");
    let mut keys: Vec<String> = Vec::new();
    for kept in [&chat, &gateways[1].chat, &last.chat] {
        keys.extend(kept.kept().into_keys());
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), sessions.len() * TURNS);
    for session in sessions {
        assert!(last.tools.outbox.pending(session).await.expect("read").is_empty());
    }
}
