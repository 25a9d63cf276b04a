//! The browser's process, and its pipe: JSON texts, each with a zero byte behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Whoever waits longer than this waits for something that does not come.
const PATIENCE: Duration = Duration::from_secs(90);

/// Inherits the pipes as 3 and 4, where the browser expects them.
const SHELL: &str = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2";

#[derive(Debug)]
pub(crate) struct Browser {
    process: Child,
    commands: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    /// What came while an answer was waited for.
    events: RefCell<VecDeque<Value>>,
    number: Cell<u64>,
}

impl Browser {
    pub(crate) fn start(program: &Path, folder: &Path) -> Self {
        let log = std::fs::File::create(folder.join("stderr")).expect("a file");
        let mut process = Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .arg(program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"])
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-extensions"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            // Nothing but this machine can be reached, whatever the page asks for.
            .args(["--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the browser starts");
        let commands = RefCell::new(process.stdin.take().expect("a pipe"));
        let mut answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            while answers.read_until(0, &mut text).is_ok_and(|read| read > 0) {
                text.pop();
                let message = serde_json::from_slice(&text).expect("JSON that can be read");
                if sender.send(message).is_err() {
                    break;
                }
                text.clear();
            }
        });
        let (events, number) = (RefCell::default(), Cell::new(0));
        Self { process, commands, messages, events, number }
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(&self, tab: Option<&str>, method: &str, parameters: &Value) -> Value {
        let answer = self.try_call(tab, method, parameters);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The same, where the browser may refuse.
    pub(crate) fn try_call(
        &self,
        tab: Option<&str>,
        method: &str,
        parameters: &Value,
    ) -> Result<Value, Value> {
        let id = self.number.get() + 1;
        self.number.set(id);
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(tab) = tab {
            command["sessionId"] = tab.into();
        }
        let mut commands = self.commands.borrow_mut();
        let sent = commands.write_all(format!("{command}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("the browser is gone: {error}"));
        loop {
            let message = self.messages.recv_timeout(PATIENCE);
            let message = message.unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == id {
                let refused = &message["error"];
                return if refused.is_null() {
                    Ok(message["result"].clone())
                } else {
                    Err(refused.clone())
                };
            }
            self.events.borrow_mut().push_back(message);
        }
    }

    /// The events that came until now.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut events = self.events.borrow_mut();
        events.extend(self.messages.try_iter());
        events.drain(..).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when its pipe does; it is not waited for long if it does not.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
