//! Who does what, in which order, with which pauses. All of it follows from the seed.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::turn::Policy;

/// Times of the incident; they pass compressed.
const STEP_PAUSE_S: (f64, f64) = (10.0, 230.0);
const HEARTBEAT_PAUSE: Duration = Duration::from_mins(5);
/// Of every gateway's life; not compressed, for gateways are as fast as they are.
const MISHAP_PAUSE_S: (f64, f64) = (2.0, 6.0);
const STOPPED_S: (f64, f64) = (0.3, 5.0);
const FANOUT: (u32, u32) = (20, 50);
/// Sessions that nothing happens to but small appends, one behind the other.
pub(super) const PROBES: u32 = 24;
/// Pause between two appends of a probe.
pub(super) const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    seed: u64,
    pub(super) agents: u32,
    compress: u32,
}

/// What an agent does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Somebody says something, and nobody answers.
    Append { text: String },
    /// A copy of what was delivered elsewhere.
    Mirror { text: String },
    /// A turn, and after which time it is cancelled.
    Turn { policy: Policy, text: String, cancel: Option<Duration> },
    /// A message to the next agent of the ring; whether it is answered there.
    Send { text: String, answered: bool },
    /// So many children at once.
    FanOut { children: u32 },
    /// A summary for what came before.
    Compact,
}

/// What befalls a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// SIGSTOP, and SIGCONT after a while.
    Stopped(usize, Duration),
    /// SIGKILL, and started again.
    Killed(usize),
    /// SIGTERM, and started again.
    Ended(usize),
    /// It takes sessions from the other one, for no reason: every so many-th.
    Grabs(usize, u32),
}

impl Plan {
    pub(super) fn new(seed: u64, agents: u32, compress: u32) -> Self {
        Self { seed, agents: agents.max(2), compress: compress.max(1) }
    }

    fn rng(&self, stream: u64) -> Rng {
        let mut rng = Rng::with_seed(self.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Neighbouring seeds begin alike.
        rng.u64(..);
        rng
    }

    /// A time of the incident, as it passes here.
    pub(super) fn compressed(&self, time: Duration) -> Duration {
        time / self.compress
    }

    fn between(&self, rng: &mut Rng, (least, most): (f64, f64)) -> Duration {
        self.compressed(seconds(rng, (least, most)))
    }

    /// The pauses and steps of an agent, without end.
    pub(super) fn steps(&self, agent: u32) -> impl Iterator<Item = (Duration, Step)> + Send {
        let (plan, mut rng, mut number) = (self.clone(), self.rng(u64::from(agent)), 0_u64);
        std::iter::from_fn(move || {
            number += 1;
            let step = plan.step(&mut rng, agent, number);
            Some((plan.between(&mut rng, STEP_PAUSE_S), step))
        })
    }

    fn step(&self, rng: &mut Rng, agent: u32, number: u64) -> Step {
        let text = format!("agent {agent} says {number}: {}", words(rng));
        match rng.u32(..1000) {
            // However short the storm, there is one.
            _ if agent == 0 && number == 3 => {
                Step::FanOut { children: rng.u32(FANOUT.0..=FANOUT.1) }
            }
            0..350 => self.turn(rng, &text),
            350..680 => Step::Append { text },
            680..910 => Step::Send { text, answered: rng.u32(..4) == 0 },
            910..970 => Step::Mirror { text },
            970..998 => Step::Compact,
            _ => Step::FanOut { children: rng.u32(FANOUT.0..=FANOUT.1) },
        }
    }

    fn turn(&self, rng: &mut Rng, text: &str) -> Step {
        let policy = match rng.u32(..10) {
            0..5 => Policy::GoOn,
            5..8 => Policy::Rerun,
            _ => Policy::Tell,
        };
        let length = if rng.u32(..5) == 0 { "long" } else { "short" };
        let cancelled = rng.u32(..30) == 0;
        let cancel = cancelled.then(|| self.between(rng, (1.0, 60.0)));
        Step::Turn { policy, text: format!("{text} ({length})"), cancel }
    }

    /// The pauses between the signs of life of an agent, without end.
    pub(super) fn heartbeats(&self, agent: u32) -> impl Iterator<Item = Duration> + Send {
        let every = self.compressed(HEARTBEAT_PAUSE);
        let first = every.mul_f64(self.rng(1 << 32 | u64::from(agent)).f64());
        std::iter::once(first).chain(std::iter::repeat(every))
    }

    /// The pauses between what befalls gateways, and what it is, without end.
    pub(super) fn mishaps(&self) -> impl Iterator<Item = (Duration, Mishap)> + Send {
        let (mut rng, mut number) = (self.rng(2 << 32), 0);
        std::iter::from_fn(move || {
            number += 1;
            let pause = seconds(&mut rng, MISHAP_PAUSE_S);
            let gateway = rng.usize(..2);
            // However short the storm, one is killed and one is stopped.
            let kind = match number {
                1 => 4,
                2 => 0,
                _ => rng.u32(..10),
            };
            let mishap = match kind {
                0..4 => Mishap::Stopped(gateway, seconds(&mut rng, STOPPED_S)),
                4..7 => Mishap::Killed(gateway),
                7 => Mishap::Ended(gateway),
                _ => Mishap::Grabs(gateway, rng.u32(4..10)),
            };
            Some((pause, mishap))
        })
    }

    /// What the models say, and how long they take for it, in milliseconds of the incident.
    pub(super) fn script() -> Value {
        let text = "It is done as it was asked for, and the result is in the place that was named.";
        json!({ "answers": [
            { "when": "(short)", "text": text, "delay_ms": [2_000, 20_000] },
            { "when": "(long)", "text": text, "delay_ms": [20_000, 180_000] },
            { "when": "Sum up", "text": "All that was wanted is done.", "delay_ms": [20_000, 148_000] },
            { "text": text, "delay_ms": [1_000, 10_000] },
        ] })
    }
}

fn seconds(rng: &mut Rng, (least, most): (f64, f64)) -> Duration {
    Duration::from_secs_f64(least + rng.f64() * (most - least))
}

/// Some hundred bytes, as people write.
fn words(rng: &mut Rng) -> String {
    const WORDS: [&str; 12] = [
        "the",
        "report",
        "of",
        "yesterday",
        "goes",
        "to",
        "whoever",
        "asked",
        "for",
        "it",
        "before",
        "noon",
    ];
    let count = rng.usize(5..60);
    let words: Vec<&str> = (0..count).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    words.join(" ")
}

/// The session of an agent. Five of them are of one agent's folder.
pub(super) fn session_of(agent: u32) -> String {
    format!("agent{}/s{agent}", agent / 5)
}

/// The session of a probe.
pub(super) fn probe(number: u32) -> String {
    format!("probe/p{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_one_plan() {
        let (one, same, other) = (Plan::new(7, 9, 60), Plan::new(7, 9, 60), Plan::new(8, 9, 60));
        let steps = |plan: &Plan, agent| plan.steps(agent).take(100).collect::<Vec<_>>();
        assert_eq!(steps(&one, 3), steps(&same, 3));
        assert_ne!(steps(&one, 3), steps(&other, 3));
        assert_ne!(steps(&one, 3), steps(&one, 4));
        let mishaps = |plan: &Plan| plan.mishaps().take(100).collect::<Vec<_>>();
        assert_eq!(mishaps(&one), mishaps(&same));
        assert_ne!(mishaps(&one), mishaps(&other));
    }

    #[test]
    fn everything_that_belongs_to_the_incident_is_in_a_plan() {
        let plan = Plan::new(1, 9, 60);
        let steps: Vec<Step> = plan.steps(1).take(2000).map(|(_, step)| step).collect();
        let any = |is: fn(&Step) -> bool| assert!(steps.iter().any(is));
        any(|step| matches!(step, Step::Append { .. }));
        any(|step| matches!(step, Step::Mirror { .. }));
        any(|step| matches!(step, Step::Turn { cancel: Some(_), .. }));
        any(|step| matches!(step, Step::Turn { policy: Policy::Tell, cancel: None, .. }));
        any(|step| matches!(step, Step::Send { answered: true, .. }));
        any(|step| matches!(step, Step::Compact));
        any(|step| matches!(step, Step::FanOut { children: 20..=50 }));
        let mishaps: Vec<Mishap> = plan.mishaps().take(200).map(|(_, mishap)| mishap).collect();
        let any = |is: fn(&Mishap) -> bool| assert!(mishaps.iter().any(is));
        any(|mishap| matches!(mishap, Mishap::Stopped(0, _)));
        any(|mishap| matches!(mishap, Mishap::Killed(1)));
        any(|mishap| matches!(mishap, Mishap::Ended(_)));
        any(|mishap| matches!(mishap, Mishap::Grabs(..)));
    }

    #[test]
    fn time_is_compressed_and_the_life_of_gateways_is_not() {
        let (fast, slow) = (Plan::new(1, 9, 60), Plan::new(1, 9, 1));
        let pause = |plan: &Plan| plan.steps(2).next().map(|(pause, _)| pause);
        let (fast_pause, slow_pause) = (pause(&fast), pause(&slow));
        assert_eq!(fast_pause, slow_pause.map(|pause| pause / 60));
        assert!(fast.mishaps().take(50).eq(slow.mishaps().take(50)));
    }

    #[test]
    fn the_script_is_one_that_the_gateway_reads() {
        let script = Plan::script().to_string();
        crate::provider::Script::parse(script.as_bytes(), 1, 60.0).expect("a script");
    }
}
