//! Where events go: to standard error, as many as were asked for; spans to a collector, if one is named.

use std::io::IsTerminal;

#[cfg(feature = "otel")]
use session_journal_gateway::otel::Exporter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::args::Cli;
use crate::exit::Failure;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line each, for people
    Text,
    /// An object a line, for programs
    Json,
}

/// What tells of events as long as it lives.
pub(crate) struct Log {
    #[cfg(feature = "otel")]
    _exporter: Option<Exporter>,
}

impl Log {
    /// Begins. A gateway tells more of its own accord than other commands.
    #[cfg_attr(
        not(feature = "otel"),
        allow(clippy::unnecessary_wraps, reason = "exporting may fail")
    )]
    pub(crate) fn start(cli: &Cli) -> Result<Self, Failure> {
        let serving = cli.command.log_format();
        let level = match cli.global.verbose + u8::from(serving.is_some() && !cli.global.quiet) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let colour = std::io::stderr().is_terminal();
        let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
        let lines = match serving {
            Some(LogFormat::Json) => lines.json().with_filter(level).boxed(),
            _ => lines.with_filter(level).boxed(),
        };
        let events = tracing_subscriber::registry().with(lines);
        #[cfg(feature = "otel")]
        {
            let exporter = exporter(cli)?;
            let spans = exporter.as_ref().map(Exporter::layer);
            events.with(spans.with_filter(LevelFilter::INFO)).init();
            Ok(Self { _exporter: exporter })
        }
        #[cfg(not(feature = "otel"))]
        {
            events.init();
            Ok(Self {})
        }
    }
}

#[cfg(feature = "otel")]
fn exporter(cli: &Cli) -> Result<Option<Exporter>, Failure> {
    let started = cli.command.collector().map(Exporter::start);
    started.transpose().map_err(|error| Failure::usage(error.to_string()))
}
