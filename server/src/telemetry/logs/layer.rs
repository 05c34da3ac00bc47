//! The `tracing` layer that writes the lines, and its installation.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use super::line::{self, Line};
use super::output::Outputs;
use super::sampling::Sampler;
use crate::config::{LogFormat, LogLevel, LogOutput, LogsConfig};

/// Writes events as log lines.
#[derive(Debug)]
pub struct LogLayer {
    level: LogLevel,
    format: LogFormat,
    outputs: Outputs,
    sampler: Sampler,
}

impl LogLayer {
    /// Opens the outputs of the configuration.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(config: &LogsConfig) -> io::Result<Self> {
        Ok(Self::over(config, Outputs::open(&config.outputs)?))
    }

    fn over(config: &LogsConfig, outputs: Outputs) -> Self {
        Self {
            level: config.level,
            format: config.format,
            outputs,
            sampler: Sampler::new(),
        }
    }

    /// Whether events of this kind can ever be written. `fatal` and `panic`
    /// lines are events of level error, so that this admits errors always.
    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        let threshold = match self.level {
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error | LogLevel::Panic | LogLevel::Fatal => Level::ERROR,
        };
        let foreign = !is_own(metadata.target());
        *metadata.level()
            <= if foreign {
                threshold.min(Level::WARN)
            } else {
                threshold
            }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && self.admits(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.is_event() && self.admits(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        let own = is_own(metadata.target());
        if !own && line.logger.is_empty() {
            line.logger = foreign_logger(metadata.target()).to_owned();
        }
        let (level, rank) = level_of(*metadata.level(), line.severity, own);
        if rank < self.level {
            return;
        }
        let time = SystemTime::now();
        let second = time
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        if !self.sampler.admits(level, &line.message, second) {
            return;
        }
        let context = line::Context {
            level,
            time,
            file: metadata.file().unwrap_or("unknown"),
            line_number: metadata.line().unwrap_or(0),
        };
        self.outputs
            .write(line.render(self.format, context).as_bytes());
    }
}

/// Installs the lines of this configuration for the whole process.
///
/// # Errors
/// An output that cannot be opened, or lines installed before.
pub fn init(config: &LogsConfig) -> io::Result<()> {
    let layer = LogLayer::open(config)?;
    tracing::subscriber::set_global_default(Registry::default().with(layer))
        .map_err(io::Error::other)
}

/// Installs JSON lines on standard error, for a process that has no
/// configuration to go by.
///
/// # Errors
/// Lines were installed before.
pub fn init_default() -> io::Result<()> {
    init(&LogsConfig {
        level: LogLevel::Info,
        format: LogFormat::Json,
        outputs: vec![LogOutput::Stderr],
    })
}

fn level_of(level: Level, severity: Option<&'static str>, own: bool) -> (&'static str, LogLevel) {
    match (severity, level) {
        (Some("fatal"), _) => ("fatal", LogLevel::Fatal),
        (Some("panic"), _) => ("panic", LogLevel::Panic),
        (_, Level::ERROR) if own => ("error", LogLevel::Error),
        (_, Level::ERROR | Level::WARN) => ("warn", LogLevel::Warn),
        (_, Level::INFO) => ("info", LogLevel::Info),
        _ => ("debug", LogLevel::Debug),
    }
}

fn is_own(target: &str) -> bool {
    target.starts_with("quoin")
}

/// The sub-logger of a foreign crate: Raft by its role, others by name.
fn foreign_logger(target: &str) -> &str {
    match target.split("::").next().unwrap_or(target) {
        "openraft" => "raft",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::json;
    use super::super::output::Outputs;
    use super::{LogFormat, LogLayer, LogLevel, LogsConfig};

    /// Lines written by `body`, times and line numbers blanked.
    fn lines(level: LogLevel, format: LogFormat, body: impl FnOnce()) -> Vec<String> {
        let (outputs, bytes) = Outputs::memory();
        let config = LogsConfig {
            level,
            format,
            outputs: Vec::new(),
        };
        let layer = LogLayer::over(&config, outputs);
        tracing::subscriber::with_default(Registry::default().with(layer), body);
        let text = String::from_utf8(Mutex::lock(&bytes).clone()).unwrap();
        text.lines().map(blanked).collect()
    }

    fn blanked(line: &str) -> String {
        let mut text = String::new();
        for part in line.split_inclusive(['"', '\t']) {
            let body = part.trim_end_matches(['"', '\t']);
            let blank = match body {
                _ if body.len() == 27 && body.ends_with('Z') => "TIME",
                _ if body.starts_with("logs/layer.rs:") => "logs/layer.rs:N",
                other => other,
            };
            text.push_str(blank);
            text.push_str(part.get(body.len()..).unwrap_or_default());
        }
        text
    }

    #[test]
    fn a_line_has_etcds_keys_in_order() {
        let written = lines(LogLevel::Info, LogFormat::Json, || {
            tracing::info!(
                "local-member-id" = %format_args!("{:x}", 0x8e9e_u64),
                urls = ?json(&["http://a:1"]),
                "commit-index" = 4_u64,
                ready = true,
                "starting \"local\" member\n"
            );
            tracing::warn!(logger = "raft", error = "no route", "lost");
            tracing::debug!("not written");
        });
        assert_eq!(
            written,
            [
                "{\"level\":\"info\",\"ts\":\"TIME\",\"caller\":\"logs/layer.rs:N\",\
                 \"msg\":\"starting \\\"local\\\" member\\n\",\"local-member-id\":\"8e9e\",\
                 \"urls\":[\"http://a:1\"],\"commit-index\":4,\"ready\":true}",
                "{\"level\":\"warn\",\"ts\":\"TIME\",\"logger\":\"raft\",\
                 \"caller\":\"logs/layer.rs:N\",\"msg\":\"lost\",\"error\":\"no route\"}",
            ]
        );
    }

    #[test]
    fn an_object_of_fields_is_spread_and_a_severity_replaces_the_level() {
        let written = lines(LogLevel::Fatal, LogFormat::Json, || {
            let fields = serde_json::json!({"error": "e", "n": 1});
            tracing::error!(severity = "fatal", fields = ?json(&fields), "discovery failed");
            tracing::error!("below the level");
        });
        assert_eq!(
            written,
            [
                "{\"level\":\"fatal\",\"ts\":\"TIME\",\"caller\":\"logs/layer.rs:N\",\
              \"msg\":\"discovery failed\",\"error\":\"e\",\"n\":1}"
            ]
        );
    }

    #[test]
    fn console_lines_are_tab_separated() {
        let written = lines(LogLevel::Info, LogFormat::Console, || {
            tracing::info!(path = "rst", took = "7s", "restoring\nsnapshot");
        });
        assert_eq!(
            written,
            [
                "TIME\tinfo\tlogs/layer.rs:N\trestoring\\nsnapshot\t{\"path\": \"rst\", \"took\": \"7s\"}"
            ]
        );
    }

    #[test]
    fn a_foreign_crate_warns_at_most_and_never_informs() {
        let written = lines(LogLevel::Debug, LogFormat::Json, || {
            tracing::info!(target: "h2::codec", "frame");
            tracing::error!(target: "openraft::core", "timeout");
        });
        assert_eq!(
            written,
            ["{\"level\":\"warn\",\"ts\":\"TIME\",\"logger\":\"raft\",\
              \"caller\":\"logs/layer.rs:N\",\"msg\":\"timeout\"}"]
        );
    }
}
