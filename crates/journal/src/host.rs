//! What the engine asks of the machine: the time, randomness, and who runs here.
//!
//! Nothing here decides who may write. What is known about an owner's process is shown to people
//! and answers the courtesy question "is it provably gone?". So a fact that cannot be had is left
//! out (zero or empty), and what is not proven is [`Liveness::Unknown`], which counts as held.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;

use crate::background;
use crate::identity::{Incarnation, Liveness, Owner};

/// Incarnations of the handles that this process holds. A handle that was dropped without being
/// closed is gone, although its pid is alive: without this the process would wait for itself.
static HANDLES: Mutex<BTreeSet<[u8; 16]>> = Mutex::new(BTreeSet::new());

/// The longest text that an owner holds, in bytes.
const TEXT_MAX: usize = 255;

/// The machine as the engine sees it. Tests put their own clock, randomness and processes here;
/// everybody else takes [`LocalHost`].
pub trait Host: Send + Sync + fmt::Debug {
    /// Milliseconds since the epoch. Goes into frames, for people: nothing is decided by it.
    fn now_ms(&self) -> i64;

    /// Fills `bytes` with randomness fit for identities.
    ///
    /// # Errors
    ///
    /// The system has none to give.
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// This process as an owner, with a fresh random incarnation. The label is cut to 255 bytes.
    ///
    /// # Errors
    ///
    /// The system has no randomness to give. Facts that cannot be had are left out instead.
    fn owner(&self, label: &str) -> io::Result<Owner>;

    /// What is known here about the process of an owner.
    fn liveness(&self, owner: &Owner) -> Liveness;

    /// The handle of this owner is closed or dropped: the owner is gone, though its process lives.
    fn retire(&self, owner: &Owner);

    /// The id of this process, asked anew each time: it changes with `fork`.
    fn pid(&self) -> u32;

    /// Waits. Default: as long as it is asked to.
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Runs a job while the caller goes on. Default: on one of the engine's own few threads.
    fn run_aside(&self, job: Box<dyn FnOnce() + Send>) {
        background::run(job);
    }
}

/// The machine that this process runs on.
///
/// On Linux the facts about processes are those of proc(5): boot id, inode of the pid namespace,
/// and the start time in `/proc/<pid>/stat`. Elsewhere there are none, and every owner's liveness
/// is [`Liveness::Unknown`].
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalHost;

impl Host for LocalHost {
    fn now_ms(&self) -> i64 {
        clock::now_ms()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::other(error.to_string()),
        })
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        let mut incarnation = [0; 16];
        self.fill_random(&mut incarnation)?;
        HANDLES.lock().insert(incarnation);
        let here = process::here();
        Ok(Owner {
            incarnation: Incarnation::from_bytes(incarnation),
            host: host_name(),
            boot_id: here.boot_id,
            pid: here.pid,
            pid_namespace: here.pid_namespace,
            start_ticks: here.start_ticks,
            started_ms: here.started_ms,
            program: program(),
            label: cut(label),
        })
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        if owner.host != host_name() {
            return Liveness::Unknown;
        }
        match process::liveness(owner) {
            // Our own process: it knows which of its handles are left.
            Liveness::Alive
                if owner.pid == self.pid()
                    && !HANDLES.lock().contains(&owner.incarnation.to_bytes()) =>
            {
                Liveness::Gone
            }
            known => known,
        }
    }

    fn retire(&self, owner: &Owner) {
        HANDLES.lock().remove(&owner.incarnation.to_bytes());
    }

    fn pid(&self) -> u32 {
        crate::fork::pid()
    }
}

/// The clock that the kernel stamps files with: a few milliseconds coarse, and three times cheaper
/// than the fine one.
#[cfg(target_os = "linux")]
mod clock {
    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn now_ms() -> i64 {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
    }
}

#[cfg(not(target_os = "linux"))]
mod clock {
    use std::time::{SystemTime, UNIX_EPOCH};

    pub(super) fn now_ms() -> i64 {
        // A clock before 1970 is not set at all.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(unix)]
fn host_name() -> String {
    cut(&rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(not(unix))]
fn host_name() -> String {
    cut(&std::env::var("COMPUTERNAME").unwrap_or_default())
}

fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // What Linux appends once the file was replaced by an update.
    cut(name.strip_suffix(" (deleted)").unwrap_or(&name))
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

/// What is known about this process. Zero stands for unknown.
#[derive(Clone, Copy, Debug, Default)]
struct Here {
    pid: u32,
    boot_id: [u8; 16],
    pid_namespace: u64,
    start_ticks: u64,
    started_ms: i64,
}

#[cfg(not(target_os = "linux"))]
mod process {
    use super::{Here, Liveness, Owner};

    pub(super) fn here() -> Here {
        Here { pid: std::process::id(), ..Here::default() }
    }

    pub(super) fn liveness(_owner: &Owner) -> Liveness {
        Liveness::Unknown
    }
}

#[cfg(target_os = "linux")]
mod process {
    use std::fmt::Display;
    use std::fs::{self, File};
    use std::io::{self, Read};
    use std::os::unix::fs::MetadataExt;
    use std::sync::OnceLock;

    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    use rustix::time::{ClockId, clock_gettime};

    use super::{Here, Host, Liveness, LocalHost, Owner};

    /// Milliseconds per clock tick: 100 ticks make a second wherever Linux and Rust run.
    const TICK_MS: i64 = 10;
    /// More than the 52 fields of a `stat` take.
    const STAT_BYTES: usize = 1024;

    /// The facts about this process, read once.
    pub(super) fn here() -> Here {
        static HERE: OnceLock<Here> = OnceLock::new();
        let pid = std::process::id();
        // After a fork the facts here are the parent's, so the pid is compared; and nothing slow
        // is done inside the lock: a child forked meanwhile would wait for it for ever.
        if let Some(here) = HERE.get().filter(|here| here.pid == pid) {
            return *here;
        }
        let read = read_here(pid);
        let here = HERE.get_or_init(|| read);
        if here.pid == pid { *here } else { read }
    }

    fn read_here(pid: u32) -> Here {
        let Ok(stat) = Stat::read("self") else {
            return Here { pid, ..Here::default() };
        };
        let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        Here {
            pid,
            boot_id: boot_id().unwrap_or_default(),
            // Where `/proc` belongs to another pid namespace, its pids are not ours.
            pid_namespace: if stat.pid == pid { pid_namespace() } else { 0 },
            start_ticks: if is_shifted(&offsets) { 0 } else { stat.start_ticks },
            started_ms: started_ms(stat.start_ticks),
        }
    }

    fn boot_id() -> Option<[u8; 16]> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let number = u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()?;
        Some(number.to_be_bytes())
    }

    fn pid_namespace() -> u64 {
        fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
    }

    /// Whether a time namespace shifts the clock since boot: then ticks are not comparable.
    pub(super) fn is_shifted(timens_offsets: &str) -> bool {
        timens_offsets
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("boottime"))
            .flat_map(str::split_whitespace)
            .any(|offset| offset != "0")
    }

    fn started_ms(start_ticks: u64) -> i64 {
        let since_boot = clock_gettime(ClockId::Boottime);
        let boot_ms =
            LocalHost.now_ms() - since_boot.tv_sec * 1000 - since_boot.tv_nsec / 1_000_000;
        let ticks = i64::try_from(start_ticks).unwrap_or(i64::MAX);
        boot_ms.saturating_add(ticks.saturating_mul(TICK_MS))
    }

    /// What is known of an owner on a host of our name. Pids mean the same process only within one
    /// boot and one pid namespace.
    pub(super) fn liveness(owner: &Owner) -> Liveness {
        let here = here();
        let same_boot = owner.boot_id == here.boot_id && here.boot_id != [0; 16];
        let same_pids = owner.pid_namespace == here.pid_namespace && here.pid_namespace != 0;
        if !same_boot || !same_pids {
            return Liveness::Unknown;
        }
        match Stat::read(owner.pid) {
            Ok(stat) => stat.liveness(owner.start_ticks, here.start_ticks),
            Err(error) if is_no_process(&error) => liveness_of_missing(owner.pid),
            Err(_) => Liveness::Unknown,
        }
    }

    /// There is no such folder, or its process went away while it was read.
    fn is_no_process(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::NotFound
            || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
    }

    /// `/proc` may be mounted to hide the processes of others (`hidepid`); `kill` tells of them.
    fn liveness_of_missing(pid: u32) -> Liveness {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        match pid.map(test_kill_process) {
            Some(Err(Errno::SRCH)) => Liveness::Gone,
            _ => Liveness::Unknown,
        }
    }

    /// The fields of `/proc/<pid>/stat` that tell one process from another.
    #[derive(Debug)]
    pub(super) struct Stat {
        pid: u32,
        state: u8,
        threads: u64,
        pub(super) start_ticks: u64,
    }

    impl Stat {
        pub(super) fn read(pid: impl Display) -> io::Result<Self> {
            // proc(5): one read gives all of it.
            let mut bytes = [0; STAT_BYTES];
            let read = File::open(format!("/proc/{pid}/stat"))?.read(&mut bytes)?;
            Self::parse(bytes.get(..read).unwrap_or_default())
                .ok_or_else(|| io::ErrorKind::InvalidData.into())
        }

        /// proc(5) counts fields from one. The second is the program's name in brackets, which may
        /// hold anything: spaces, brackets, no text at all.
        pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
            let text = String::from_utf8_lossy(bytes);
            let (front, fields) = text.rsplit_once(')')?;
            let (pid, _) = front.split_once(' ')?;
            let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
            let field = |number: usize| fields.get(number - 3);
            Some(Self {
                pid: pid.parse().ok()?,
                state: *field(3)?.as_bytes().first()?,
                threads: field(20)?.parse().ok()?,
                start_ticks: field(22)?.parse().ok()?,
            })
        }

        /// What this process, which has the owner's pid, tells about the owner.
        pub(super) fn liveness(&self, owner_ticks: u64, our_ticks: u64) -> Liveness {
            if self.is_dead() {
                Liveness::Gone
            } else if owner_ticks == 0 || our_ticks == 0 {
                // One of the two does not see ticks since boot as they are.
                Liveness::Unknown
            } else if owner_ticks == self.start_ticks {
                Liveness::Alive
            } else {
                Liveness::Gone
            }
        }

        /// A process whose first thread has ended looks like a zombie while the others still run,
        /// perhaps in the middle of a write.
        fn is_dead(&self) -> bool {
            matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_now() {
        use std::time::{SystemTime, UNIX_EPOCH};
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(u128::from(LocalHost.now_ms().unsigned_abs()).abs_diff(now) < 5_000);
    }

    #[test]
    fn every_owner_is_somebody_else() {
        let (a, b) = (LocalHost.owner("one").unwrap(), LocalHost.owner("one").unwrap());
        assert_ne!(a.incarnation, b.incarnation);
        assert_eq!(Owner { incarnation: b.incarnation, ..a }, b);
        assert_eq!((b.pid, b.label.as_str()), (LocalHost.pid(), "one"));
        assert!(!b.host.is_empty() && !b.program.is_empty());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(LocalHost.owner(&"x".repeat(300)).unwrap().label, "x".repeat(255));
        assert_eq!(LocalHost.owner(&"é".repeat(300)).unwrap().label, "é".repeat(127));
    }

    #[test]
    fn another_host_is_unknown() {
        let owner = LocalHost.owner("").unwrap();
        let elsewhere = Owner { host: format!("{}-b", owner.host), ..owner };
        assert_eq!(LocalHost.liveness(&elsewhere), Liveness::Unknown);
    }

    #[cfg(target_os = "linux")]
    mod linux {
        use std::process::{Child, Command};
        use std::time::{Duration, Instant};

        use super::super::process::{Stat, is_shifted};
        use super::*;

        fn ours() -> Owner {
            LocalHost.owner("").unwrap()
        }

        fn sleeper() -> (Child, Owner) {
            let child = Command::new("sleep").arg("60").spawn().unwrap();
            let pid = child.id();
            let start_ticks = Stat::read(pid).unwrap().start_ticks;
            (child, Owner { pid, start_ticks, ..ours() })
        }

        /// A killed process takes a moment to go.
        fn goes(owner: &Owner) -> bool {
            let start = Instant::now();
            while LocalHost.liveness(owner) != Liveness::Gone {
                if start.elapsed() > Duration::from_secs(10) {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            true
        }

        #[test]
        fn knows_itself() {
            let owner = ours();
            assert_eq!(LocalHost.liveness(&owner), Liveness::Alive);
            let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            assert_eq!(owner.boot_id_text(), boot_id.trim());
            assert!(owner.pid_namespace != 0 && owner.start_ticks != 0);
            let age = LocalHost.now_ms() - owner.started_ms;
            assert!((-1000..3_600_000).contains(&age), "{age} ms");
        }

        #[test]
        fn a_child_is_alive_until_it_is_reaped() {
            let (mut child, owner) = sleeper();
            assert_eq!(LocalHost.liveness(&owner), Liveness::Alive);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(LocalHost.liveness(&owner), Liveness::Gone);
        }

        #[test]
        fn a_zombie_is_gone() {
            let (mut child, owner) = sleeper();
            child.kill().unwrap();
            assert!(goes(&owner));
            assert!(std::fs::exists(format!("/proc/{}", owner.pid)).unwrap(), "not reaped yet");
            child.wait().unwrap();
        }

        #[test]
        fn a_recycled_pid_is_gone() {
            let owner = ours();
            let before = Owner { start_ticks: owner.start_ticks - 1, ..owner };
            assert_eq!(LocalHost.liveness(&before), Liveness::Gone);
        }

        #[test]
        fn other_boots_and_namespaces_are_unknown() {
            let owner = ours();
            let gone = Owner { start_ticks: 1, ..owner.clone() };
            assert_eq!(LocalHost.liveness(&gone), Liveness::Gone);
            for boot_id in [[0; 16], [7; 16]] {
                let other = Owner { boot_id, ..gone.clone() };
                assert_eq!(LocalHost.liveness(&other), Liveness::Unknown);
            }
            for pid_namespace in [0, owner.pid_namespace + 1] {
                let other = Owner { pid_namespace, ..gone.clone() };
                assert_eq!(LocalHost.liveness(&other), Liveness::Unknown);
            }
        }

        #[test]
        fn a_pid_that_cannot_be_is_unknown() {
            for pid in [0, u32::MAX] {
                assert_eq!(LocalHost.liveness(&Owner { pid, ..ours() }), Liveness::Unknown);
            }
        }

        #[test]
        fn ticks_that_are_not_known_prove_nothing() {
            let owner = Owner { start_ticks: 0, ..ours() };
            assert_eq!(LocalHost.liveness(&owner), Liveness::Unknown);
        }

        fn stat(name: &[u8], state: &str, threads: u32) -> Stat {
            let rest =
                format!(") {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 {threads} 0 4711 9");
            let text = [b"42 (", name, rest.as_bytes()].concat();
            Stat::parse(&text).unwrap()
        }

        #[test]
        fn the_name_of_a_program_may_hold_anything() {
            for name in ["sleep", "a b", ") Z 1 2", "((", "\n", ""] {
                let stat = stat(name.as_bytes(), "S", 3);
                assert_eq!((stat.start_ticks, stat.liveness(4711, 1)), (4711, Liveness::Alive));
            }
            assert_eq!(stat(b"\xff)\xff", "S", 1).start_ticks, 4711);
            for bad in ["", "42", "42 (x", "42 (x)", "42 (x) S 1 2 3", ") S"] {
                assert!(Stat::parse(bad.as_bytes()).is_none(), "{bad:?}");
            }
        }

        #[test]
        fn only_a_whole_process_is_dead() {
            for state in ["R", "S", "D", "T", "t", "I"] {
                assert_eq!(stat(b"x", state, 1).liveness(4711, 1), Liveness::Alive, "{state}");
            }
            for state in ["Z", "X"] {
                assert_eq!(stat(b"x", state, 1).liveness(4711, 1), Liveness::Gone, "{state}");
                assert_eq!(stat(b"x", state, 2).liveness(4711, 1), Liveness::Alive, "{state}");
            }
        }

        #[test]
        fn a_shifted_clock_is_noticed() {
            assert!(!is_shifted(""));
            assert!(!is_shifted(
                "monotonic           0         0\nboottime            0         0\n"
            ));
            assert!(!is_shifted(
                "monotonic          86400      0\nboottime            0         0\n"
            ));
            assert!(is_shifted(
                "monotonic           0         0\nboottime       100000         0\n"
            ));
            assert!(is_shifted(
                "monotonic           0         0\nboottime           -1 900000000\n"
            ));
            assert_eq!(stat(b"x", "S", 1).liveness(4711, 0), Liveness::Unknown);
        }
    }
}
