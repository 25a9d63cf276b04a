//! Settings of turns, and what is built of them: providers, sinks, the turns themselves.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Config, InvalidConfig};
use crate::hub::Hub;
use crate::outbox::{ANNOUNCEMENT, Outbox, SESSION, Sink, Webhook};
use crate::provider::{Echo, OpenAi, OpenAiOptions, Provider, Script};
use crate::running::Turns;
use crate::turn::{OnLoss, Tools};

/// The provider that is always there.
const ECHO: &str = "echo";

/// How turns run and answers are delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnSettings {
    /// Who answers where a turn names nobody. Default: `echo`.
    pub provider: String,
    /// Most turns at a time. Default: 1,024.
    pub turns_max: usize,
    /// Largest context of a turn in bytes of its records. Default: 4 MiB.
    pub context_bytes_max: usize,
    /// Largest answer in bytes. Default: 1 MiB.
    pub answer_bytes_max: usize,
    /// What a turn does about records of its context that are lost. Default: `note`.
    pub on_loss: OnLoss,
    /// Pause between two attempts to deliver what a sink did not take, in milliseconds. Zero: only
    /// when it is asked for. Default: 5,000.
    pub delivery_retry_ms: u64,
    /// Look through the whole store for open deliveries at the start. Default: true.
    pub recover_on_start: bool,
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self {
            provider: ECHO.to_owned(),
            turns_max: 1024,
            context_bytes_max: 4 << 20,
            answer_bytes_max: 1 << 20,
            on_loss: OnLoss::Note,
            delivery_retry_ms: 5_000,
            recover_on_start: true,
        }
    }
}

/// Where answers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
pub enum ProviderSettings {
    /// The OpenAI-compatible protocol over plain HTTP.
    OpenAi {
        /// Its name in turns and answers.
        name: String,
        /// Such as `http://127.0.0.1:8080/v1`.
        base_url: String,
        /// Which model, unless a turn names one.
        model: String,
        /// The variable of the environment that holds the server's key, where it wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key_variable: Option<String>,
        /// The longest time without a byte, in milliseconds. Default: 120,000.
        #[serde(default = "silence_ms")]
        silence_ms: u64,
    },
    /// Answers and delays from a file.
    Script {
        /// Its name in turns and answers.
        name: String,
        /// The file.
        file: PathBuf,
        /// The same seed gives the same answers. Default: 0.
        #[serde(default)]
        seed: u64,
        /// Delays are divided by this. Default: 1.
        #[serde(default = "compression")]
        compression: u32,
    },
}

const fn silence_ms() -> u64 {
    120_000
}

const fn compression() -> u32 {
    1
}

/// Where answers can be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Its name as a sink.
    pub name: String,
    /// Where it is; plain HTTP.
    pub url: String,
    /// The longest that a request may take, in milliseconds. Default: 30,000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

const fn timeout_ms() -> u64 {
    30_000
}

impl ProviderSettings {
    fn name(&self) -> &str {
        match self {
            Self::OpenAi { name, .. } | Self::Script { name, .. } => name,
        }
    }

    fn build(&self) -> Result<Arc<dyn Provider>, InvalidConfig> {
        let place = format!("provider {:?}", self.name());
        let invalid = |what: String| InvalidConfig::new(place.clone(), what);
        match self {
            Self::OpenAi { name, base_url, model, api_key_variable, silence_ms } => {
                let key = |variable| {
                    std::env::var(variable).map_err(|error| invalid(format!("{variable}: {error}")))
                };
                let options = OpenAiOptions {
                    name: name.clone(),
                    base_url: base_url.clone(),
                    model: model.clone(),
                    api_key: api_key_variable.as_ref().map(key).transpose()?,
                    silence_max: Duration::from_millis(*silence_ms),
                };
                let built = OpenAi::new(options).map_err(|error| invalid(error.to_string()))?;
                Ok(Arc::new(built))
            }
            Self::Script { name, file, seed, compression } => {
                let built = Script::open(file, *seed, f64::from(*compression));
                let built = built.map_err(|error| invalid(error.to_string()))?;
                Ok(Arc::new(built.named(name)))
            }
        }
    }
}

impl Config {
    /// Whether the settings of turns can be meant, without reading a file.
    pub(super) fn check_turns(&self) -> Result<(), String> {
        let providers = self.providers.iter().map(ProviderSettings::name);
        let mut known: HashSet<&str> = HashSet::from([ECHO]);
        for name in providers {
            if name.is_empty() || !known.insert(name) {
                return Err(format!("the provider {name:?} has no name of its own"));
            }
        }
        if !known.contains(self.turns.provider.as_str()) {
            return Err(format!("turns.provider: there is no provider {:?}", self.turns.provider));
        }
        let mut sinks: HashSet<&str> = HashSet::from([SESSION, ANNOUNCEMENT]);
        for webhook in &self.webhooks {
            if webhook.name.is_empty() || !sinks.insert(&webhook.name) {
                return Err(format!("the webhook {:?} has no name of its own", webhook.name));
            }
        }
        match self.turns.turns_max {
            0 => Err("turns.turns_max is zero".to_owned()),
            _ => Ok(()),
        }
    }

    /// The turns that these settings make possible. Reads the scripts; blocks.
    ///
    /// # Errors
    /// Which provider or webhook cannot be used, and why.
    pub fn build_turns(&self, hub: &Hub) -> Result<Turns, InvalidConfig> {
        let echo: Arc<dyn Provider> = Arc::new(Echo);
        let mut providers = BTreeMap::from([(ECHO.to_owned(), echo)]);
        for settings in &self.providers {
            providers.insert(settings.name().to_owned(), settings.build()?);
        }
        let mut sinks: Vec<(String, Arc<dyn Sink>)> = Vec::new();
        for WebhookSettings { name, url, timeout_ms } in &self.webhooks {
            let webhook = Webhook::new(url, Duration::from_millis(*timeout_ms));
            let place = format!("webhook {name:?}");
            let webhook = webhook.map_err(|error| InvalidConfig::new(place, error.to_string()))?;
            sinks.push((name.clone(), Arc::new(webhook)));
        }
        let tools = Tools {
            hub: hub.clone(),
            outbox: Outbox::new(hub.clone(), sinks),
            context_bytes_max: self.turns.context_bytes_max,
            answer_bytes_max: self.turns.answer_bytes_max,
            on_loss: self.turns.on_loss,
        };
        Ok(Turns::new(tools, providers, &self.turns.provider, self.turns.turns_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn load(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let none: [(String, String); 0] = [];
        Config::load(Some(file.path()), none.clone(), none).map_err(|error| error.to_string())
    }

    fn build(text: &str) -> Result<Turns, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config { store: folder.path().to_owned(), ..load(text)? };
        let hub = Hub::open(&config, Metrics::default()).expect("a store");
        config.build_turns(&hub).map_err(|error| error.to_string())
    }

    const LOCAL: &str = "[[providers]]\nkind = 'openai'\nname = 'local'\nmodel = 'm'\n";

    #[test]
    fn providers_and_webhooks_are_built_as_the_file_has_them() {
        let script = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(script.path(), r#"{"answers":[{"text":"x"}]}"#).expect("written");
        let file = script.path().display();
        let turns = build(&format!(
            "[turns]\nprovider = 'replay'\n{LOCAL}base_url = 'http://127.0.0.1:1/v1'\n\
             [[providers]]\nkind = 'script'\nname = 'replay'\nfile = '{file}'\nseed = 7\n\
             [[webhooks]]\nname = 'hook'\nurl = 'http://127.0.0.1:1/'\n"
        ));
        let turns = turns.expect("built");
        for (asked, name) in [(None, "replay"), (Some("local"), "local"), (Some("echo"), "echo")] {
            assert_eq!(turns.provider(asked).expect("there").name(), name);
        }
        let to = |sink: &str| crate::outbox::Address { sink: sink.to_owned(), to: "a".to_owned() };
        for sink in ["hook", "session", "announce"] {
            turns.tools().outbox.check(&to(sink)).expect("there");
        }
        assert!(turns.tools().outbox.check(&to("other")).is_err());
    }

    #[test]
    fn what_is_not_known_or_cannot_be_meant_is_an_error() {
        let refused = |text: &str| build(text).map(|_| ()).expect_err("refused");
        let with = |more: &str| format!("{LOCAL}{more}");
        assert!(refused(&with("base_url = 'http://127.0.0.1'\nurl = 'x'\n")).contains("url"));
        assert!(refused(LOCAL).contains("base_url"));
        assert!(refused(&with("base_url = 'https://x'\n")).contains("provider \"local\""));
        let variable = "base_url = 'http://x'\napi_key_variable = 'SJ_TEST_IS_NOT_SET'\n";
        assert!(refused(&with(variable)).contains("SJ_TEST_IS_NOT_SET"));
        let local = with("base_url = 'http://127.0.0.1'\n");
        assert!(refused(&format!("{local}{local}")).contains("no name of its own"));
        assert!(refused("[turns]\nprovider = 'nobody'\n").contains("nobody"));
        assert!(refused("[turns]\nturns_max = 0\n").contains("turns_max"));
        assert!(refused("[turns]\nturn_max = 1\n").contains("turn_max"));
        let missing = "[[providers]]\nkind = 'script'\nname = 's'\nfile = 'nowhere'\n";
        assert!(refused(missing).contains("provider \"s\""));
        let kind = "[[providers]]\nkind = 'other'\nname = 's'\n";
        assert!(refused(kind).contains("other"));
        let hook =
            |name: &str, url: &str| format!("[[webhooks]]\nname = '{name}'\nurl = '{url}'\n");
        assert!(refused(&hook("session", "http://x")).contains("no name of its own"));
        assert!(refused(&hook("h", "nowhere")).contains("webhook \"h\""));
    }
}
