//! Runs a scene under many schedules, and tells how to run one again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use session_journal::mutation::races::{self, Race};
use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, FailurePersistence, Runner};

use super::machine::Machine;

/// Schedules of one test in a short run; a long one has so many times as many.
const SHORT: usize = 1500;
const LONG_FACTOR: usize = 40;
/// So many schedules go by one seed, each way.
const BATCH: usize = 50;
/// The engine's stack frames, unoptimised.
const STACK_BYTES: usize = 512 << 10;

/// One scene: everything that happens in one schedule.
pub(crate) type Scene = fn(&Machine);

/// Who chooses which thread goes on.
#[derive(Clone, Copy, Debug)]
enum Way {
    Random,
    /// By priorities that change a few times (PCT): finds what takes few switches at the wrong moments.
    Priorities(usize),
}

const WAYS: [Way; 3] = [Way::Random, Way::Priorities(2), Way::Priorities(4)];

impl Way {
    fn scheduler(self, seed: u64, schedules: usize) -> Box<dyn Scheduler + Send> {
        match self {
            Self::Random => Box::new(RandomScheduler::new_from_seed(seed, schedules)),
            Self::Priorities(depth) => {
                Box::new(PctScheduler::new_from_seed(seed, depth, schedules))
            }
        }
    }
}

/// Runs the scene under as many schedules as were asked for.
#[allow(clippy::print_stdout, reason = "the seed, and the command that replays it")]
pub(crate) fn explore(test: &str, scene: Scene) {
    if let Ok(schedule) = std::env::var("SJ_SCHEDULE") {
        let scheduler = ReplayScheduler::new_from_encoded(&schedule);
        run(scheduler, FailurePersistence::None, scene, &Arc::default());
        return;
    }
    let given = std::env::var("SJ_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let batches = if given.is_some() { 1 } else { schedules().div_ceil(BATCH * WAYS.len()) };
    let first: u64 = given.unwrap_or_else(any_seed);
    for seed in (first..).take(batches) {
        for way in WAYS {
            let tried = Arc::new(AtomicUsize::new(0));
            let batch =
                || run(way.scheduler(seed, BATCH), FailurePersistence::Print, scene, &tried);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(batch)) {
                let nth = tried.load(Ordering::Relaxed);
                println!(
                    "{way:?}, schedule {nth} of seed {seed}; replay: SJ_TEST_SEED={seed} \
                     scripts/schedules {test}\nor that schedule alone, printed above: \
                     SJ_SCHEDULE='…', all of its lines, scripts/schedules {test}"
                );
                resume_unwind(panic);
            }
        }
    }
}

/// Fails where a scene rests on anything but the schedule: it could not be run again then.
pub(crate) fn must_be_decided_by_the_schedule(scene: Scene) {
    let random = RandomScheduler::new_from_seed(1, 10);
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(random);
    run(scheduler, FailurePersistence::None, scene, &Arc::default());
}

/// How many schedules of a scene it takes until the broken engine shows, where it does.
pub(crate) fn noticed_after(race: Race, scene: Scene, at_most: usize) -> Option<usize> {
    let tried = Arc::new(AtomicUsize::new(0));
    for seed in 0.. {
        for way in WAYS {
            let left = at_most - tried.load(Ordering::Relaxed);
            if left == 0 {
                return None;
            }
            let scheduler = way.scheduler(seed, left.min(BATCH));
            let batch = || run(scheduler, FailurePersistence::None, scene, &tried);
            let broken = || catch_unwind(AssertUnwindSafe(batch));
            if races::with(race, broken).is_err() {
                return Some(tried.load(Ordering::Relaxed));
            }
        }
    }
    None
}

fn run(
    scheduler: impl Scheduler + 'static,
    failure_persistence: FailurePersistence,
    scene: Scene,
    tried: &Arc<AtomicUsize>,
) {
    let folder = tempfile::tempdir().unwrap();
    let (path, tried) = (folder.path().to_owned(), Arc::clone(tried));
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = failure_persistence;
    Runner::new(scheduler, config).run(move || {
        tried.fetch_add(1, Ordering::Relaxed);
        scene(&Machine::new(path.clone()));
    });
}

/// Whether only chosen schedules are run: then not everything is reached.
pub(crate) fn replays() -> bool {
    ["SJ_SCHEDULE", "SJ_TEST_SEED"].iter().any(|given| std::env::var_os(given).is_some())
}

fn schedules() -> usize {
    let given = std::env::var("SJ_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let is_long = std::env::var_os("SESSION_JOURNAL_LONG").is_some();
    given.unwrap_or(if is_long { SHORT * LONG_FACTOR } else { SHORT })
}

fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() << 20 | u64::from(now.subsec_nanos() >> 10)
}
