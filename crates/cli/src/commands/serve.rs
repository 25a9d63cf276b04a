//! `sjournal serve`: a gateway on the store, until a signal comes.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use session_journal::ErrorKind;
use session_journal_gateway::{Config, Gateway, ServeError};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::log::LogFormat;
use crate::parent::Parent;

/// The environment variable that names the file.
const CONFIG_VARIABLE: &str = "SESSION_JOURNAL_GATEWAY_CONFIG";

/// Serve the store over HTTP, until a signal comes
///
/// Settings come from a file, then from the environment, then from here; what comes later wins. A signal lets requests that are under way finish, and releases all sessions.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal serve\n  \
    sjournal serve --config gateway.toml --listen 127.0.0.1:8080\n  \
    sjournal serve --set limits.streams_max=10000 --no-auto-repair")]
pub(crate) struct Args {
    /// Settings in TOML
    #[arg(long, value_name = "FILE", env = CONFIG_VARIABLE)]
    config: Option<PathBuf>,
    /// Address and port; off loopback the file must have tokens [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// What the sessions held here say of their owner [default: its URL]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// A session that needs repair answers so instead of being repaired
    #[arg(long)]
    no_auto_repair: bool,
    /// How events are written to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log: LogFormat,
    /// Where spans go: the address of a collector, for OTLP as JSON, its path included
    #[cfg(feature = "otel")]
    #[arg(long, value_name = "URL")]
    pub(crate) otel: Option<String>,
    /// Any other setting, by its name in the file
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    parent: Parent,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    args.parent.heed()?;
    let config = args.settings(context)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::Here(ErrorKind::Io, format!("could not start threads: {error}; see the limits"))
    })?;
    runtime.block_on(async {
        let gateway = Gateway::bind(config).await.map_err(failure)?;
        let stopper = gateway.stopper();
        context.stop.then(move || stopper.stop());
        announce(&gateway, context)?;
        gateway.run().await;
        Ok(Exit::Done)
    })
}

impl Args {
    fn settings(&self, context: &Context) -> Result<Config, Failure> {
        let named = |key: &str, value: Option<String>| value.map(|value| (key.to_owned(), value));
        let no = self.no_auto_repair.then(|| false.to_string());
        let flags = [
            named("listen", self.listen.map(|listen| listen.to_string())),
            named("label", self.label.clone()),
            named("auto_repair", no),
        ];
        let flags = flags.into_iter().flatten().chain(self.set.iter().cloned());
        // Named for all commands, it counts for this one too.
        let folder = context.chosen_folder().and_then(|folder| folder.to_str());
        let folder = folder.map(|folder| ("store".to_owned(), folder.to_owned()));
        let variables = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let variables = variables.filter(|(name, _)| name != CONFIG_VARIABLE);
        let flags = folder.into_iter().chain(flags);
        let mut config = Config::load(self.config.as_deref(), variables, flags)
            .map_err(|error| Failure::usage(error.to_string()))?;
        if config.store.as_os_str().is_empty() {
            context.folder()?.clone_into(&mut config.store);
        }
        Ok(config)
    }
}

/// Says where it listens: whoever asked for port 0 learns which one it is.
fn announce(gateway: &Gateway, context: &mut Context) -> Result<(), Failure> {
    let url = format!("http://{}", gateway.address());
    if context.json {
        context.output.json(&json!({ "listening": url }))?;
    } else {
        context.output.line(&format!("listening on {url}"))?;
    }
    Ok(context.output.flush()?)
}

fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Store(error) => Failure::Engine(error),
        ServeError::Config(_) => Failure::usage(error.to_string()),
        other => Failure::Here(ErrorKind::Io, other.to_string()),
    }
}
