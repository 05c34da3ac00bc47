//! The quoin server binary: flags, log lines, runtime, signals, exit status.
//!
//! Exit status: 0 for help, version and a member that was removed; 1 for a
//! configuration or start that failed and for a member that cannot go on; 2 for
//! flag syntax and panics; otherwise death by the signal that asked for it.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use quoin_server::base::error_chain::error_chain;
use quoin_server::bootstrap::{self, MemberEnd, Server, StartError};
use quoin_server::config::{self, LoadError, Loaded, Notice, ServerConfig};
use quoin_server::process::{self, Signals, TerminationSignal};
use quoin_server::telemetry::logs;
use quoin_server::telemetry::metrics::Metrics;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match arguments.split_first() {
        Some((first, rest)) if first == quoin_server::local::COMMAND => {
            quoin_server::local::run(rest)
        }
        Some((first, rest)) if first == quoin_server::local::MEMBER_COMMAND => {
            match quoin_server::local::prepare_member(rest) {
                Ok(flags) => serve(&flags, &environment),
                Err(text) => {
                    print_error(&text);
                    ExitCode::FAILURE
                }
            }
        }
        _ => serve(&arguments, &environment),
    }
}

fn serve(arguments: &[String], environment: &[(String, String)]) -> ExitCode {
    let Loaded { config, notices } = match config::load(arguments, environment) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(error),
    };
    if let Err(error) = logs::init(&config.logs) {
        print_error(&format!("failed to open log outputs: {error}\n"));
        return ExitCode::FAILURE;
    }
    logs::exit_on_panic();
    let command_line: Vec<String> = std::env::args().collect();
    tracing::info!(args = ?logs::json(&command_line), "Running: ");
    notices.iter().for_each(logs::write_notice);
    match run(config, environment) {
        Ok(End::Signal(signal)) => signal.end_process(),
        Ok(End::Itself(MemberEnd::Removed)) => ExitCode::SUCCESS,
        Ok(End::Itself(MemberEnd::Failed(reason))) => {
            tracing::error!(
                severity = "fatal",
                error = reason,
                "the member cannot go on"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!(severity = "fatal", error, "discovery failed");
            ExitCode::FAILURE
        }
    }
}

/// How a server that had started ended.
enum End {
    Signal(TerminationSignal),
    /// By itself.
    Itself(MemberEnd),
}

fn run(config: ServerConfig, environment: &[(String, String)]) -> Result<End, String> {
    process::raise_limit().map_err(|error| error.to_string())?;
    process::announce(&config)
        .map_err(|error| format!("failed to list data directory: {error}"))?;
    let notify_socket = environment
        .iter()
        .find(|(name, _)| name == "NOTIFY_SOCKET")
        .map_or(String::new(), |(_, value)| value.clone());
    let metrics = Metrics::new(config.metrics_extensive).map_err(|error| error.to_string())?;
    metrics.server.set_feature_gates(&config.feature_gates);
    let mut builder = match config.rpc_threads_count {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(config.rpc_threads_count.max(1))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("quoin-rpc")
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let end = runtime.block_on(supervise(
        Arc::new(config),
        Arc::new(metrics),
        &notify_socket,
    ));
    // Tasks left are of connections already cut off.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    end
}

async fn supervise(
    config: Arc<ServerConfig>,
    metrics: Arc<Metrics>,
    notify_socket: &str,
) -> Result<End, String> {
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let patience = config.request_timeout();
    let mut server = tokio::select! {
        biased;
        // Nothing is promised before the start is complete.
        signal = signals.next() => return Ok(End::Signal(signal)),
        started = bootstrap::start(config, metrics) => match started {
            Ok(server) => server,
            Err(StartError::Removed) => {
                say_removed();
                return Ok(End::Itself(MemberEnd::Removed));
            }
            Err(error) => return Err(error_chain(&error)),
        }
    };
    let end = tokio::select! {
        signal = signals.next() => End::Signal(signal),
        end = server.stopped() => End::Itself(end),
        error = serve_until_failure(&mut server, notify_socket) => {
            End::Itself(MemberEnd::Failed(error))
        }
    };
    let patience = match &end {
        End::Signal(_) | End::Itself(MemberEnd::Removed) => patience,
        // What needs the log will not be answered any more.
        End::Itself(MemberEnd::Failed(_)) => FAILED_PATIENCE,
    };
    match &end {
        End::Signal(signal) => {
            tracing::info!(signal = signal.as_str(), "received signal; shutting down");
        }
        End::Itself(MemberEnd::Removed) => {
            say_removed();
        }
        End::Itself(MemberEnd::Failed(_)) => {}
    }
    tracing::info!("closing etcd server");
    tokio::select! {
        () = server.shutdown(patience) => tracing::info!("closed etcd server"),
        // Whoever asks twice does not want to wait; the log makes that safe.
        signal = signals.next() => {
            tracing::warn!(signal = signal.as_str(), "received another signal; stopping at once");
            return Ok(End::Signal(signal));
        }
    }
    Ok(end)
}

/// Says that the cluster has removed this member, and what is left to do.
/// Source: etcd 3.7.
fn say_removed() {
    let error = "the member has been permanently removed from the cluster";
    tracing::warn!(error, "server error");
    tracing::warn!("data-dir used by this member must be removed");
}

/// Becomes ready, says so, and stays; resolves with what made that fail.
async fn serve_until_failure(server: &mut Server, notify_socket: &str) -> String {
    if let Err(error) = server.ready().await {
        return error_chain(&error);
    }
    tracing::info!("ready to serve client requests");
    process::notify_ready(notify_socket);
    std::future::pending().await
}

fn refuse(error: LoadError) -> ExitCode {
    match error {
        LoadError::HelpWanted => {
            print_error(config::usage_text());
            print(&config::help_text());
            ExitCode::SUCCESS
        }
        LoadError::VersionWanted => {
            print(&config::version_text());
            ExitCode::SUCCESS
        }
        LoadError::Syntax(text) => {
            print_error(&format!("{text}\n{}", config::usage_text()));
            ExitCode::from(2)
        }
        LoadError::Refused { error, notices } => {
            log_before_refusal(&notices);
            tracing::warn!(error, "failed to verify flags");
            if error == config::ADVERTISE_CLIENT_URLS_UNSET {
                tracing::warn!(error, "advertise client URLs are not set");
            }
            ExitCode::FAILURE
        }
        LoadError::Fatal { notice, notices } => {
            log_before_refusal(&notices);
            logs::write_fatal(&notice);
            ExitCode::FAILURE
        }
    }
}

fn log_before_refusal(notices: &[Notice]) {
    // Nothing was installed before, so this cannot fail.
    let _ = logs::init_default();
    let command_line: Vec<String> = std::env::args().collect();
    tracing::info!(args = ?logs::json(&command_line), "Running: ");
    notices.iter().for_each(logs::write_notice);
}

fn print(text: &str) {
    // A reader that went away is not our error.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print_error(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Time for reads in flight when the member cannot go on.
const FAILED_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
/// Threads for calls that block. Raft's are among them (snapshots, the log's files,
/// names of peers), and must not queue behind those of clients, which are bounded
/// where they begin.
const BLOCKING_THREADS_MAX: usize = 512;
