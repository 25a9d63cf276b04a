//! Processes that do not outlive their test.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde_json::Value;

/// Nothing takes so long unless it hangs.
pub const WATCHDOG: Duration = Duration::from_mins(1);

/// Waits until something is so; a test that waits for ever fails instead.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < WATCHDOG, "hangs: {what}");
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// A process that is killed and reaped when it is dropped, also while a test panics.
#[derive(Debug)]
pub struct Shell {
    child: Child,
    /// What a wrapper runs: signals are for it.
    wrapped: Option<Wrapped>,
}

#[derive(Debug)]
struct Wrapped {
    pid: u32,
    /// Means this process for ever; its id may become another's when its wrapper reaped it.
    handle: OwnedFd,
}

impl Shell {
    /// Starts a command.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, wrapped: None }
    }

    /// Starts a command that only runs another one as its child, and lives as long: signals are for
    /// that one from now on.
    #[must_use]
    pub fn spawn_wrapper(command: &mut Command) -> Self {
        let mut shell = Self::spawn(command);
        let children = format!("/proc/{0}/task/{0}/children", shell.pid());
        wait_until("a wrapper runs its program", || {
            let pids = fs::read_to_string(&children).unwrap_or_default();
            let pid = pids.split_whitespace().next().and_then(|pid| pid.parse().ok());
            shell.wrapped = pid.and_then(|pid: i32| {
                let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
                Some(Wrapped { pid: pid.unsigned_abs(), handle })
            });
            shell.wrapped.is_some()
        });
        shell
    }

    /// Its id, as this process sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.wrapped.as_ref().map_or(self.child.id(), |wrapped| wrapped.pid)
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        match &self.wrapped {
            // The wrapper ends when it has seen the end of what it runs.
            Some(wrapped) => drop(pidfd_send_signal(&wrapped.handle, Signal::KILL)),
            None => drop(self.child.kill()),
        }
        let _ = self.child.wait();
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_some()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("a process ends", || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Waits for its end, however long that takes.
    pub fn wait_long(&mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }

    /// A process that has ended has no use for a signal.
    fn signal(&self, signal: Signal) {
        let sent = if let Some(wrapped) = &self.wrapped {
            pidfd_send_signal(&wrapped.handle, signal)
        } else {
            let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a pid");
            kill_process(pid, signal)
        };
        assert!(matches!(sent, Ok(()) | Err(rustix::io::Errno::SRCH)), "{sent:?}");
    }

    /// Stops it at some moment soon.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Stops it, and waits until all of it stands still.
    pub fn stop(&self) {
        self.pause();
        let tasks = format!("/proc/{}/task", self.pid());
        let is_stopped = |task: std::io::Result<fs::DirEntry>| {
            let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat")));
            let state = stat.ok().and_then(|stat| {
                let (_, rest) = stat.rsplit_once(") ")?;
                rest.chars().next()
            });
            matches!(state, Some('T' | 't' | 'Z'))
        };
        wait_until("a process stops", || {
            fs::read_dir(&tasks).is_ok_and(|mut tasks| tasks.all(is_stopped))
        });
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that runs a driver. What stands in `wrapper` runs it, for example `prlimit`.
#[must_use]
pub fn serve_command(driver: &str, wrapper: &[&str], arguments: &[&OsStr]) -> Command {
    let mut words = wrapper.iter().map(OsStr::new).chain([OsStr::new(driver)]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A driver that owns a journal and does what it is asked, one question after the other.
#[derive(Debug)]
pub struct Driver {
    /// The process; dropped first, so that nobody waits for a pipe.
    pub process: Shell,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    path: PathBuf,
}

impl Driver {
    /// Starts a driver that opens a journal as `flags` say; what it says of that is its first answer.
    #[must_use]
    pub fn serve(driver: &str, path: &Path, flags: &str) -> (Self, Value) {
        Self::serve_in(driver, &[], path, flags)
    }

    /// As [`serve`](Self::serve), with a program that runs the driver.
    #[must_use]
    pub fn serve_in(driver: &str, wrapper: &[&str], path: &Path, flags: &str) -> (Self, Value) {
        let mut arguments = vec![OsStr::new("serve"), path.as_os_str()];
        arguments.extend(flags.split_whitespace().map(OsStr::new));
        let mut process = Shell::spawn(&mut serve_command(driver, wrapper, &arguments));
        let questions = process.child.stdin.take();
        let answers = BufReader::new(process.child.stdout.take().expect("a pipe"));
        let mut driver = Self { process, questions, answers, path: path.to_owned() };
        let opened = driver.answer();
        (driver, opened)
    }

    /// Asks for something without waiting for the answer.
    pub fn tell(&mut self, question: &str) {
        let questions = self.questions.as_mut().expect("it still listens");
        questions.write_all(format!("{question}\n").as_bytes()).expect("it still listens");
    }

    /// The next answer.
    pub fn answer(&mut self) -> Value {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        assert!(read.is_ok() && line.ends_with('\n'), "{}: no answer", self.path.display());
        serde_json::from_str(&line).expect("an answer is JSON")
    }

    /// Asks for something and waits for the answer.
    pub fn ask(&mut self, question: &str) -> Value {
        self.tell(question);
        self.answer()
    }

    /// Asks for something that must succeed; gives its answer.
    pub fn must(&mut self, question: &str) -> Value {
        let answer = self.ask(question);
        assert_ne!(answer["event"], "error", "{question}: {answer}");
        answer
    }

    /// No more questions: it ends as a process that drops its handle does.
    pub fn leave(mut self) {
        self.questions = None;
        self.process.wait();
    }
}
