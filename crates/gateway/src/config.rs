//! Settings: a TOML file, the environment, flags; what comes later wins. Each has its unit in its name
//! and a default. What is not known is an error, not ignored.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_journal::{Durability, Options, StoreOptions};
use toml::{Table, Value};

mod turns;

pub use turns::{ProviderSettings, TurnSettings, WebhookSettings};

/// Environment variables with this in front are settings: `…_LISTEN`, `…_LIMITS_BODY_BYTES_MAX`.
pub(crate) const VARIABLE_PREFIX: &str = "SESSION_JOURNAL_GATEWAY_";

/// The settings of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port. Default: `127.0.0.1:7420`. Off loopback there must be tokens.
    pub listen: SocketAddr,
    /// Folder of the journals. There is no default here; `sjournal serve` has one.
    pub store: PathBuf,
    /// What this gateway says of itself in the journals that it holds, so that the others can tell
    /// where a session is; a URL is best. Default: `http://` and the address that it listens on.
    pub label: String,
    /// Open a journal with holes without asking. Default: true. Where false it answers
    /// `needs-repair`.
    pub auto_repair: bool,
    /// When an append is answered unless it says otherwise: `durable` or `written`. Default:
    /// `durable`.
    pub durability: When,
    /// A session that nobody asked for in so many milliseconds is released, so that others can have
    /// it. Zero: never. Default: 300,000.
    pub release_idle_ms: u64,
    /// How long a shutdown waits for requests that are under way, in milliseconds. Default: 10,000.
    pub shutdown_ms: u64,
    /// What is not allowed to grow.
    pub limits: Limits,
    /// How turns run and answers are delivered.
    pub turns: TurnSettings,
    /// Where answers come from. `echo` is always there.
    pub providers: Vec<ProviderSettings>,
    /// Where answers can be delivered, beside other sessions.
    pub webhooks: Vec<WebhookSettings>,
    /// Who may do what. Empty: everybody may do everything, on loopback alone.
    pub tokens: Vec<Token>,
}

/// When an append is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// After the sync.
    #[default]
    Durable,
    /// After the write.
    Written,
}

impl From<When> for Durability {
    fn from(when: When) -> Self {
        match when {
            When::Durable => Self::Durable,
            When::Written => Self::Written,
        }
    }
}

/// What is not allowed to grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest body of a request in bytes. Default: 16 MiB.
    pub body_bytes_max: usize,
    /// Largest payload of a record in bytes. Default: 8 MiB.
    pub record_bytes_max: u64,
    /// Most headers of a request. Default: 64.
    pub headers_max: usize,
    /// Largest head of a request, its line and headers, in bytes. Default: 16 KiB; at least 8 KiB.
    pub head_bytes_max: usize,
    /// Most connections at a time; more wait in the system's queue. Default: 4,096.
    pub connections_max: usize,
    /// Most event streams at a time. Default: 1,024.
    pub streams_max: usize,
    /// Most file jobs (listing, reading, opening) at a time; more wait. Default: 16.
    pub file_jobs_max: usize,
    /// Most records in one answer. Default: 1,000.
    pub page_records_max: u64,
    /// Bytes of payloads after which an answer ends with the record at hand. Default: 8 MiB.
    pub page_bytes_max: u64,
    /// The longest that the head of a request may take, in milliseconds. Default: 10,000.
    pub head_ms: u64,
    /// The longest pause within a body, in milliseconds. Default: 10,000.
    pub body_pause_ms: u64,
    /// The longest that a whole body may take, in milliseconds. Default: 60,000.
    pub body_ms: u64,
    /// The longest that a client may take nothing of an answer, in milliseconds. Default: 30,000.
    pub write_pause_ms: u64,
    /// Pause between two signs of life on a stream, in milliseconds. Default: 15,000.
    pub keep_alive_ms: u64,
    /// Most file handles that open sessions hold. Default: 256.
    pub file_handles_max: usize,
    /// Most threads that do file work for open sessions. Default: 8.
    pub threads_max: usize,
    /// Most requests that wait for one session. Default: 1,024.
    pub inbox_max: usize,
}

/// A bearer token, as its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; appears in logs.
    pub name: String,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
    /// The agents whose sessions it reaches; `*` is all, and sessions that belong to none.
    pub agents: Vec<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// What a token may do. Each one stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read sessions and follow them.
    Read,
    /// Create sessions, append to them, take them over.
    Write,
    /// Delete sessions, release them, read metrics.
    Admin,
}

impl Scope {
    /// The word for it in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7420)),
            store: PathBuf::new(),
            label: String::new(),
            auto_repair: true,
            durability: When::default(),
            release_idle_ms: 300_000,
            shutdown_ms: 10_000,
            limits: Limits::default(),
            turns: TurnSettings::default(),
            providers: Vec::new(),
            webhooks: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            record_bytes_max: 8 << 20,
            headers_max: 64,
            head_bytes_max: 16 << 10,
            connections_max: 4096,
            streams_max: 1024,
            file_jobs_max: 16,
            page_records_max: 1000,
            page_bytes_max: 8 << 20,
            head_ms: 10_000,
            body_pause_ms: 10_000,
            body_ms: 60_000,
            write_pause_ms: 30_000,
            keep_alive_ms: 15_000,
            file_handles_max: 256,
            threads_max: 8,
            inbox_max: 1024,
        }
    }
}

/// What is wrong with the settings, and where it says so.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what} [invalid]")]
pub struct InvalidConfig {
    place: String,
    what: String,
}

impl InvalidConfig {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl Config {
    /// Reads the settings: the file if one is named, then these variables of the environment, then
    /// these flags, each a setting's name (`listen`, `limits.body_bytes_max`) and its value.
    ///
    /// # Errors
    /// What cannot be read, is not known, or cannot be meant, and where it stands.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidConfig> {
        let mut table = file.map(read).transpose()?.unwrap_or_default();
        if let Some(file) = file {
            // Alone first, so that what is wrong in it is said of the file.
            typed(table.clone(), &file.display().to_string())?;
        }
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
            let Some(key) = keys().into_iter().find(|key| variable_of(key) == name) else {
                return Err(InvalidConfig::new(variable, "no such setting; see docs/gateway.md"));
            };
            set(&mut table, &key, &value).map_err(|what| InvalidConfig::new(variable, what))?;
        }
        for (key, value) in flags {
            set(&mut table, &key, &value).map_err(|what| InvalidConfig::new(&key, what))?;
        }
        let config = typed(table, "the settings together")?;
        config.check().map_err(|what| InvalidConfig::new("the settings together", what))?;
        Ok(config)
    }

    /// Whether these settings can be meant.
    ///
    /// # Errors
    /// Says what cannot.
    pub fn check(&self) -> Result<(), String> {
        if self.tokens.is_empty() && !self.listen.ip().is_loopback() {
            let listen = self.listen;
            return Err(format!("listening on {listen}, off loopback, needs at least one token"));
        }
        for token in &self.tokens {
            token.check()?;
        }
        self.check_turns()?;
        let limits = &self.limits;
        if limits.head_bytes_max < 8 << 10 {
            return Err("limits.head_bytes_max is below 8,192".to_owned());
        }
        if limits.record_bytes_max > Options::RECORD_BYTES_LIMIT {
            return Err("limits.record_bytes_max is above 1 GiB".to_owned());
        }
        let positive = [
            ("file_jobs_max", limits.file_jobs_max as u64),
            ("connections_max", limits.connections_max as u64),
            ("page_records_max", limits.page_records_max),
            ("head_ms", limits.head_ms),
            ("body_pause_ms", limits.body_pause_ms),
            ("body_ms", limits.body_ms),
            ("write_pause_ms", limits.write_pause_ms),
            ("keep_alive_ms", limits.keep_alive_ms),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("limits.{name} is zero")),
            None => Ok(()),
        }
    }

    /// The settings of the store.
    #[must_use]
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            journal: Options {
                durability: self.durability.into(),
                auto_repair: self.auto_repair,
                label: self.label.clone(),
                record_bytes_max: self.limits.record_bytes_max,
                ..Options::default()
            },
            file_handles_max: self.limits.file_handles_max,
            threads_max: self.limits.threads_max,
            inbox_max: self.limits.inbox_max,
        }
    }

    /// After which time nobody used a session it is released; `None` where never.
    #[must_use]
    pub fn release_idle(&self) -> Option<Duration> {
        (self.release_idle_ms > 0).then(|| Duration::from_millis(self.release_idle_ms))
    }
}

impl Token {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if self.hash().is_none() {
            return Err(format!("token {name:?}: sha256 is not 64 hexadecimal digits"));
        }
        if self.agents.is_empty() || self.scopes.is_empty() {
            return Err(format!("token {name:?} has no agents or no scopes: it reaches nothing"));
        }
        Ok(())
    }

    /// The hash as bytes; `None` where it is not one.
    pub(crate) fn hash(&self) -> Option<[u8; 32]> {
        let text = self.sha256.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        Some(hash)
    }
}

fn read(file: &Path) -> Result<Table, InvalidConfig> {
    let place = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| InvalidConfig::new(&place, format!("could not read it: {error}")))?;
    text.parse().map_err(|error: toml::de::Error| InvalidConfig::new(place, error.to_string()))
}

fn typed(table: Table, place: &str) -> Result<Config, InvalidConfig> {
    table.try_into().map_err(|error: toml::de::Error| InvalidConfig::new(place, error.to_string()))
}

/// The names of all settings that are one value: those that a variable or a flag can set.
fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in defaults() {
        match value {
            Value::Table(section) => keys.extend(section.keys().map(|key| format!("{name}.{key}"))),
            Value::Array(_) => {}
            _ => keys.push(name),
        }
    }
    keys
}

fn defaults() -> Table {
    Table::try_from(Config::default()).unwrap_or_default()
}

fn variable_of(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}

/// Sets one value, read as what its default is.
fn set(table: &mut Table, key: &str, text: &str) -> Result<(), String> {
    let (section, name) =
        key.split_once('.').map_or((None, key), |(section, name)| (Some(section), name));
    let defaults = defaults();
    let default = match section {
        None => defaults.get(name),
        Some(section) => defaults.get(section).and_then(|section| section.get(name)),
    };
    let value = match default {
        Some(Value::Integer(_)) => text.parse().map(Value::Integer).map_err(|e| e.to_string())?,
        Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).map_err(|e| e.to_string())?,
        Some(Value::String(_)) => Value::String(text.to_owned()),
        Some(_) => return Err("it can be set in the file alone".to_owned()),
        None => return Err("no such setting; see docs/gateway.md".to_owned()),
    };
    let table = match section {
        None => table,
        Some(section) => {
            let place = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            place.as_table_mut().ok_or("it is no section in the file")?
        }
    };
    table.insert(name.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
