//! A terminal of its own for a program: what is typed into it, and what it shows.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A line of it, in characters.
const COLUMNS: u16 = 120;
/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Ctrl-C sends.
pub(crate) const CTRL_C: &[u8] = b"\x03";
/// What Ctrl-D sends.
pub(crate) const CTRL_D: &[u8] = b"\x04";

/// A pseudo-terminal; this side of it is the keyboard and the screen.
pub(crate) struct Terminal {
    this_side: File,
    other_side: File,
}

/// A program that runs on one.
pub(crate) struct Running {
    child: Child,
    keyboard: File,
    screen: Arc<Screen>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Screen {
    shown: Mutex<Shown>,
    is_more: Condvar,
}

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    /// Whether nobody is left who could show more.
    is_over: bool,
}

/// Which of its channels go there; the others are those of the command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    All,
    AllButOutput,
    AllButErrors,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let this_side = openpt(flags).expect("a pseudo-terminal");
        grantpt(&this_side).expect("is ours");
        unlockpt(&this_side).expect("can be opened");
        let size = Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&this_side, size).expect("has a size");
        let other_side = ioctl_tiocgptpeer(&this_side, flags).expect("opens the other side");
        Self { this_side: this_side.into(), other_side: other_side.into() }
    }

    /// Starts a command as a shell starts it: the terminal is the one whose keys send it signals.
    /// What is not on it must be set by the caller. `None` where `setsid` is missing.
    pub(crate) fn run(self, command: &Command, on: On, other: Stdio) -> Option<Running> {
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        session.current_dir(command.get_current_dir().expect("a folder")).env_clear();
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        session.env("TERM", "xterm");
        let side = || Stdio::from(self.other_side.as_fd().try_clone_to_owned().expect("a copy"));
        session.stdin(side()).stdout(side()).stderr(side());
        match on {
            On::All => {}
            On::AllButOutput => drop(session.stdout(other)),
            On::AllButErrors => drop(session.stderr(other)),
        }
        let child = match session.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            spawned => spawned.expect("starts"),
        };
        let screen = Arc::new(Screen::default());
        let (mut output, to) = (self.this_side.try_clone().expect("a copy"), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It answers an error when nobody is left on the other side.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let more = &bytes[..length];
                to.shown.lock().expect("not poisoned").bytes.extend_from_slice(more);
                to.is_more.notify_all();
            }
            to.shown.lock().expect("not poisoned").is_over = true;
            to.is_more.notify_all();
        });
        Some(Running { child, keyboard: self.this_side, screen, reader })
    }
}

impl Shown {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Running {
    /// Types these keys.
    pub(crate) fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("types");
    }

    /// Waits until the screen shows a text.
    pub(crate) fn shows(&mut self, text: &str) {
        self.wait(&format!("{text:?} does not come"), |shown| shown.text().contains(text));
    }

    /// Waits for its end; its exit code, and all that the screen showed.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let text = self.wait("it does not end", |shown| shown.is_over);
        let status = self.child.wait().expect("ends");
        self.reader.join().expect("reads");
        (status.code(), text)
    }

    /// Waits for something for as long as the screen changes now and then, and gives what it shows.
    fn wait(&mut self, what: &str, is_so: impl Fn(&Shown) -> bool) -> String {
        let mut shown = self.screen.shown.lock().expect("not poisoned");
        while !is_so(&shown) {
            let before = shown.bytes.len();
            let is_same = |shown: &mut Shown| shown.bytes.len() == before && !shown.is_over;
            let waited = self.screen.is_more.wait_timeout_while(shown, PATIENCE, is_same);
            let (now, timeout) = waited.expect("not poisoned");
            if timeout.timed_out() || now.is_over && !is_so(&now) {
                let text = now.text();
                drop(now);
                // It may have ended just now.
                let _ = self.child.kill();
                panic!("{what}: {text}");
            }
            shown = now;
        }
        shown.text()
    }
}
