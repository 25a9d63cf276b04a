//! `sjournal serve` as a process, and a client that asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A gateway that runs as a process; killed when it is dropped.
pub struct Gateway {
    pub process: Child,
    pub address: SocketAddr,
    errors: Option<std::thread::JoinHandle<String>>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sjournal"));
    command.arg("--json").args(["--store".as_ref(), store.as_os_str()]);
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
    command.env_remove("SESSION_JOURNAL_STORE").env_remove("SESSION_JOURNAL_GATEWAY_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Gateway {
    pub fn start(mut command: Command) -> Self {
        let mut process = command.spawn().expect("starts");
        let mut said = String::new();
        let mut out = BufReader::new(process.stdout.take().expect("piped"));
        out.read_line(&mut said).expect("reads");
        let mut pipe = process.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("text");
            text
        });
        let listening: Value = serde_json::from_str(&said)
            .unwrap_or_else(|_| panic!("it does not listen: {}", errors.is_finished()));
        let url = listening["listening"].as_str().expect("a URL").to_owned();
        let address = url.trim_start_matches("http://").parse().expect("an address");
        Self { process, address, errors: Some(errors) }
    }

    pub fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// The body of an answer that is no JSON.
    pub fn text(&self, target: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        let head =
            format!("GET {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }

    pub fn append(&self, query: &str, text: &str) -> (u16, Value) {
        let target = format!("/v1/sessions/a%2Fs/records{query}");
        self.ask("POST", &target, Some(&json!({ "payload": text, "key": text })))
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end: its exit code, and what it wrote to standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        let code = self.process.wait().expect("ends").code();
        let errors = self.errors.take().expect("is read").join().expect("reads");
        (code, errors)
    }
}
