//! The two gateways: processes of their own, which are killed when this is dropped, and by the kernel
//! when this process is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::plan::Plan;
use super::{Options, Scheme, StormError};

/// A gateway that is not up by then does not come up.
const START: Duration = Duration::from_mins(1);
/// A gateway that did not end by then is killed.
const END: Duration = Duration::from_secs(30);

/// Both gateways.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) token: String,
    both: [Peer; 2],
    /// Goes when nobody writes into it any more: it stands behind them.
    folder: TempDir,
    keep: bool,
}

/// One of them.
#[derive(Debug)]
struct Peer {
    number: usize,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: tokio::sync::Mutex<Option<Child>>,
    at: Mutex<At>,
}

/// Where it is now.
#[derive(Clone, Debug, Default)]
struct At {
    url: Option<String>,
    pid: Option<u32>,
}

impl Peers {
    /// Makes a folder, writes the settings into it, and starts both.
    pub(super) async fn start(options: &Options, scheme: Scheme) -> Result<Self, StormError> {
        let made = tempfile::Builder::new().prefix("sjournal-storm-").tempdir();
        let mut made = made.map_err(StormError::io("make a folder"))?;
        made.disable_cleanup(options.keep);
        let folder = made.path();
        let token = format!("storm-{:016x}", options.seed);
        let store = folder.join("store");
        fs::create_dir_all(&store).map_err(StormError::io("make the store"))?;
        let script = folder.join("script.json");
        fs::write(&script, Plan::script().to_string()).map_err(StormError::io("write a script"))?;
        let arguments = match scheme {
            Scheme::Journal => {
                let settings = folder.join("gateway.toml");
                let text = settings_text(options, &store, &script, &token);
                fs::write(&settings, text).map_err(StormError::io("write settings"))?;
                vec![
                    "--json".to_owned(),
                    "serve".to_owned(),
                    format!("--config={}", settings.display()),
                ]
            }
            Scheme::Locks => vec![
                "--json".to_owned(),
                super::locks::COMMAND.to_owned(),
                format!("--folder={}", store.display()),
                format!("--script={}", script.display()),
                format!("--seed={}", model_seed(options)),
                format!("--compress={}", options.compress),
            ],
        };
        // The kernel tells them when the thread is gone that started them. That is one of the runtime's,
        // which are there until all is over.
        let dies_with = format!("--dies-with={}", std::process::id());
        let peer = |number| Peer {
            number,
            program: options.program.clone(),
            arguments: arguments.iter().chain([&dies_with]).cloned().collect(),
            log: folder.join(format!("gateway-{number}.log")),
            child: tokio::sync::Mutex::default(),
            at: Mutex::default(),
        };
        let both = [peer(0), peer(1)];
        let peers = Self { token, both, folder: made, keep: options.keep };
        for peer in &peers.both {
            peer.start().await?;
        }
        Ok(peers)
    }

    /// Where the sessions are.
    pub(super) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The folder, where it is to be kept.
    pub(super) fn kept(&self) -> Option<PathBuf> {
        self.keep.then(|| self.folder.path().to_owned())
    }

    /// Where a gateway listens; nowhere while it is down.
    pub(super) fn url(&self, number: usize) -> Option<String> {
        self.both[number].at().url.clone()
    }

    /// Which gateway says this of itself.
    pub(super) fn number_of(&self, url: &str) -> Option<usize> {
        self.both.iter().position(|peer| peer.at().url.as_deref() == Some(url))
    }

    /// SIGSTOP or SIGCONT.
    pub(super) fn signal(&self, number: usize, signal: Signal) -> Result<(), StormError> {
        self.both[number].signal(signal)
    }

    /// SIGKILL, and a new life.
    pub(super) async fn kill(&self, number: usize) -> Result<(), StormError> {
        let peer = &self.both[number];
        peer.stop(Signal::KILL).await?;
        peer.start().await
    }

    /// SIGTERM, and a new life.
    pub(super) async fn restart(&self, number: usize) -> Result<(), StormError> {
        let peer = &self.both[number];
        peer.stop(Signal::TERM).await?;
        peer.start().await
    }

    /// Ends one for good.
    pub(super) async fn leave_one(&self) {
        // It releases what it holds; where it does not, it is killed, and that is the same.
        let _ = self.both[1].stop(Signal::TERM).await;
    }

    /// Ends both.
    pub(super) async fn end(&self) {
        for peer in &self.both {
            let _ = peer.stop(Signal::TERM).await;
        }
    }

    /// SIGKILL for both, and nothing after.
    pub(super) async fn kill_all(&self) {
        for peer in &self.both {
            let _ = peer.stop(Signal::KILL).await;
        }
    }

    /// The process of a gateway, and its resident bytes.
    pub(super) fn resident(&self, number: usize) -> Option<(u32, u64)> {
        let pid = self.both[number].at().pid?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((pid, kib << 10))
    }
}

impl Peer {
    fn at(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self) -> Result<(), StormError> {
        let mut child = self.child.lock().await;
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(StormError::io("open a log"))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut started = command.spawn().map_err(StormError::io("start a gateway"))?;
        let not_started = |why: String| StormError::NotStarted { number: self.number, why };
        let Some(stdout) = started.stdout.take() else {
            return Err(not_started("it has no output".to_owned()));
        };
        let mut lines = BufReader::new(stdout).lines();
        let line = match timeout(START, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(not_started(self.last_words())),
            Ok(Err(error)) => return Err(not_started(error.to_string())),
            Err(_) => return Err(not_started("it says nothing".to_owned())),
        };
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let Some(url) = said["listening"].as_str() else { return Err(not_started(line)) };
        let mut at = self.at();
        *at = At { url: Some(url.to_owned()), pid: started.id() };
        drop(at);
        *child = Some(started);
        Ok(())
    }

    /// The last line of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().unwrap_or("it ended without a word").to_owned()
    }

    fn signal(&self, signal: Signal) -> Result<(), StormError> {
        let Some(pid) = self.at().pid.and_then(|pid| i32::try_from(pid).ok()) else {
            return Ok(());
        };
        let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
        kill_process(pid, signal).map_err(|errno| StormError::io("send a signal")(errno.into()))
    }

    async fn stop(&self, signal: Signal) -> Result<(), StormError> {
        let mut child = self.child.lock().await;
        let Some(mut child) = child.take() else { return Ok(()) };
        self.signal(signal)?;
        if signal == Signal::KILL {
            // Nobody asks a dead one.
            self.at().url = None;
        }
        if timeout(END, child.wait()).await.is_err() {
            child.kill().await.map_err(StormError::io("kill a gateway"))?;
        }
        let mut at = self.at();
        (at.url, at.pid) = (None, None);
        Ok(())
    }
}

/// Whole numbers of TOML have a sign.
const fn model_seed(options: &Options) -> u64 {
    options.seed & (u64::MAX >> 1)
}

fn settings_text(options: &Options, store: &Path, script: &Path, token: &str) -> String {
    let (seed, compress) = (model_seed(options), options.compress);
    let (store, script) = (toml_text(store), toml_text(script));
    let hash =
        Sha256::digest(token).iter().fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
    // Five minutes of the incident.
    let idle = (300_000 / u64::from(compress)).max(1000);
    format!(
        "listen = \"127.0.0.1:0\"\n\
         store = {store}\n\
         release_idle_ms = {idle}\n\
         shutdown_ms = 2000\n\
         [turns]\n\
         provider = \"script\"\n\
         delivery_retry_ms = 500\n\
         [[providers]]\n\
         name = \"script\"\n\
         kind = \"script\"\n\
         file = {script}\n\
         seed = {seed}\n\
         compression = {compress}\n\
         [[tokens]]\n\
         name = \"storm\"\n\
         sha256 = \"{hash}\"\n\
         agents = [\"*\"]\n\
         scopes = [\"read\", \"write\", \"admin\"]\n"
    )
}

/// A string of JSON is one of TOML.
fn toml_text(path: &Path) -> String {
    Value::from(path.display().to_string()).to_string()
}
