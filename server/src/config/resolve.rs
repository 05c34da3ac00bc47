//! From flag texts to checked values: cross-flag rules and their refusals.
//!
//! Texts and order of the checks are etcd's, so that tools which look for them
//! find them. Flags of absent features are refused here.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use super::feature_gates::{FeatureGate, FeatureGates};
use super::flags::Values;
use super::go_values::parse_duration;
use super::load::Notice;
use super::resolved::{
    AutoCompaction, BackendConfig, ClusterState, CorsOrigins, Engine, InitialMember, Keepalive,
    LogFormat, LogLevel, LogOutput, LogsConfig, Quota, ServerConfig,
};
use super::url::Url;
use super::verify::{check_support, check_urls};

/// Why values that parse are refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Found while verifying flags.
    Verify(String),
    /// Found while starting.
    Fatal(String),
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::Verify(text)
    }
}

/// Resolves flag values; `from_file` relaxes what only the command line demands.
#[expect(clippy::too_many_lines, reason = "one line per setting")]
pub(super) fn resolve(
    values: &Values,
    from_file: bool,
    notices: &mut Vec<Notice>,
) -> Result<ServerConfig, Refusal> {
    let logs = logs(values)?;
    check_support(values, from_file, notices)?;
    check_urls(values, from_file)?;
    let (heartbeat_interval, election_timeout) = timing(values)?;
    let feature_gates = gates(values)?;
    let compact_hash_check_interval = feature_gates
        .is_enabled(FeatureGate::CompactHashCheck)
        .then(|| values.duration("compact-hash-check-time"));
    let auto_compaction = auto_compaction(values)?;
    let initial_cluster = initial_cluster(values)?;
    let name = values.text("name").to_owned();
    let (data_directory, wal_directory) = directories(values, &name, notices);
    let listen_client_urls = values.urls("listen-client-urls");
    let listen_client_http_urls = values.urls("listen-client-http-urls");
    notices_of_listeners(&name, listen_client_http_urls.is_empty(), notices);
    Ok(ServerConfig {
        wal_directory_dedicated: !values.text("wal-dir").is_empty(),
        data_directory,
        wal_directory,
        name,
        listen_peer_urls: values.urls("listen-peer-urls"),
        listen_client_urls,
        listen_client_http_urls,
        listen_metrics_urls: values.urls("listen-metrics-urls"),
        advertise_peer_urls: values.urls("initial-advertise-peer-urls"),
        advertise_client_urls: values.urls("advertise-client-urls"),
        initial_cluster,
        discovery_srv: values.text("discovery-srv").to_owned(),
        discovery_srv_name: values.text("discovery-srv-name").to_owned(),
        initial_cluster_state: match values.text("initial-cluster-state") {
            "existing" => ClusterState::Existing,
            _ => ClusterState::New,
        },
        initial_cluster_token: values.text("initial-cluster-token").to_owned(),
        heartbeat_interval,
        election_timeout,
        initial_election_tick_advance: values.bool("initial-election-tick-advance"),
        snapshot_count: non_zero(values.unsigned("snapshot-count"), SNAPSHOT_COUNT),
        snapshot_catchup_entries_count: non_zero(
            values.unsigned("snapshot-catchup-entries"),
            CATCHUP_ENTRIES_COUNT,
        ),
        quota: quota(values.signed("quota-backend-bytes"), notices),
        auto_compaction,
        compaction_batch_limit: count(
            u64::try_from(values.signed("compaction-batch-limit")).unwrap_or(0),
            COMPACTION_BATCH_LIMIT,
        ),
        compaction_sleep_interval: or_default(
            values.duration("compaction-sleep-interval"),
            COMPACTION_SLEEP_INTERVAL,
        ),
        max_txn_ops: count(values.unsigned("max-txn-ops"), 0),
        max_request_bytes: max_request_bytes(values, notices),
        max_concurrent_streams: u32::try_from(values.unsigned("max-concurrent-streams"))
            .unwrap_or(u32::MAX),
        keepalive: Keepalive {
            client_interval_min: values.duration("grpc-keepalive-min-time"),
            interval: values.duration("grpc-keepalive-interval"),
            timeout: values.duration("grpc-keepalive-timeout"),
        },
        watch_progress_notify_interval: or_default(
            values.duration("watch-progress-notify-interval"),
            WATCH_PROGRESS_NOTIFY_INTERVAL,
        ),
        warning_apply_duration: values.duration("warning-apply-duration"),
        warning_unary_request_duration: or_default(
            values.duration("warning-unary-request-duration"),
            WARNING_UNARY_REQUEST_DURATION,
        ),
        strict_reconfig_check: values.bool("strict-reconfig-check"),
        pre_vote: values.bool("pre-vote"),
        max_learners_count: usize::try_from(values.signed("max-learners")).unwrap_or(0),
        auth_token_ttl: Duration::from_secs(values.unsigned("auth-token-ttl")),
        bcrypt_cost: bcrypt_cost(values.unsigned("bcrypt-cost"), notices),
        cors: cors(values.text("cors")),
        host_whitelist: host_whitelist(values.text("host-whitelist")),
        enable_grpc_gateway: values.bool("enable-grpc-gateway"),
        metrics_extensive: values.text("metrics") == "extensive",
        enable_pprof: values.bool("enable-pprof") || logs.level == LogLevel::Debug,
        fsync: !values.bool("unsafe-no-fsync"),
        force_new_cluster: values.bool("force-new-cluster"),
        feature_gates,
        logs,
        backend: backend(values),
        wal_kept_bytes_max: values.unsigned("wal-kept-bytes"),
        corrupt_check_interval: Some(values.duration("corrupt-check-time"))
            .filter(|interval| !interval.is_zero()),
        compact_hash_check_interval,
        state_digest_interval: values.duration("state-digest-interval"),
        rpc_threads_count: rpc_threads_count(values.text("rpc-threads"))?,
    })
}

fn logs(values: &Values) -> Result<LogsConfig, Refusal> {
    match values.text("logger") {
        "zap" => {}
        "capnslog" => return Err("--logger=capnslog is removed in v3.5".to_owned().into()),
        other => return Err(format!("unknown logger option \"{other}\"").into()),
    }
    let format = match values.text("log-format") {
        "json" => LogFormat::Json,
        "console" => LogFormat::Console,
        other => {
            let text = format!("unknown log format: {other}, supported values json, console");
            return Err(text.into());
        }
    };
    let mut words: Vec<&str> = values
        .text("log-outputs")
        .split(',')
        .map(str::trim)
        .collect();
    words.sort_unstable();
    words.dedup();
    if words.len() > 1 && words.contains(&"default") {
        return Err("multi logoutput for \"default\" is not supported yet"
            .to_owned()
            .into());
    }
    let mut outputs = Vec::new();
    for word in words {
        match word {
            "default" | "stderr" => outputs.push(LogOutput::Stderr),
            "stdout" => outputs.push(LogOutput::Stdout),
            "systemd/journal" => {
                return Err(
                    "--log-outputs=systemd/journal is not supported by quoin yet"
                        .to_owned()
                        .into(),
                );
            }
            "" => return Err("--log-outputs is empty".to_owned().into()),
            path => outputs.push(LogOutput::File(PathBuf::from(path))),
        }
    }
    if outputs.contains(&LogOutput::File(PathBuf::from("/dev/null"))) {
        outputs.clear();
    }
    let level = match values.text("log-level") {
        "debug" => LogLevel::Debug,
        "warn" => LogLevel::Warn,
        "error" => LogLevel::Error,
        "dpanic" | "panic" => LogLevel::Panic,
        "fatal" => LogLevel::Fatal,
        _ => LogLevel::Info,
    };
    Ok(LogsConfig {
        level,
        format,
        outputs,
    })
}

fn timing(values: &Values) -> Result<(Duration, Duration), Refusal> {
    let (tick, election) = (
        values.unsigned("heartbeat-interval"),
        values.unsigned("election-timeout"),
    );
    if tick == 0 {
        return Err("--heartbeat-interval must be >0 (set to 0ms)"
            .to_owned()
            .into());
    }
    if election == 0 {
        return Err("--election-timeout must be >0 (set to 0ms)"
            .to_owned()
            .into());
    }
    if tick.saturating_mul(5) > election {
        return Err(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as \
             --heartbeat-interval[{tick}ms]"
        )
        .into());
    }
    if election > ELECTION_TIMEOUT_MAX_MS {
        return Err(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than \
             {ELECTION_TIMEOUT_MAX_MS}ms"
        )
        .into());
    }
    Ok((Duration::from_millis(tick), Duration::from_millis(election)))
}

fn gates(values: &Values) -> Result<FeatureGates, Refusal> {
    use super::feature_gates::FeatureGate::{LeaseCheckpoint, LeaseCheckpointPersist};
    let gates = FeatureGates::parse(values.text("feature-gates"))?;
    if gates.is_enabled(LeaseCheckpointPersist) && !gates.is_enabled(LeaseCheckpoint) {
        return Err(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
                    LeaseCheckpoint"
                .to_owned()
                .into(),
        );
    }
    if let Some(gate) = gates.unsupported() {
        let (name, on) = (gate.name(), gates.is_enabled(gate));
        return Err(format!("--feature-gates={name}={on} is not supported by quoin yet").into());
    }
    match values.text("auth-token").split(',').next() {
        Some("simple") => Ok(gates),
        _ => Err(format!(
            "--auth-token={} is not supported by quoin yet",
            values.text("auth-token")
        )
        .into()),
    }
}

fn auto_compaction(values: &Values) -> Result<AutoCompaction, Refusal> {
    let mode = values.text("auto-compaction-mode");
    let periodic = match mode {
        "periodic" => true,
        "revision" => false,
        "" => return Err("undefined auto-compaction-mode".to_owned().into()),
        other => return Err(format!("unknown auto-compaction-mode \"{other}\"").into()),
    };
    let text = values.text("auto-compaction-retention");
    let retention = match text.parse::<u32>() {
        Ok(number) if periodic => Duration::from_secs(u64::from(number) * 3600),
        Ok(number) => Duration::from_nanos(u64::from(number)),
        Err(_) => match parse_duration(text) {
            Some((false, duration)) => duration,
            _ => {
                return Err(Refusal::Fatal(format!(
                    "error parsing CompactionRetention: time: invalid duration \"{text}\""
                )));
            }
        },
    };
    Ok(match (retention.is_zero(), periodic) {
        (true, _) => AutoCompaction::Off,
        (false, true) => AutoCompaction::Periodic(retention),
        (false, false) => {
            AutoCompaction::Revision(i64::try_from(retention.as_nanos()).unwrap_or(i64::MAX))
        }
    })
}

/// Text: etcd 3.7.
const SEVERAL_SOURCES: &str = "multiple discovery or bootstrap flags are set. Choose one of \
                               \"initial-cluster\", \"discovery-endpoints\" or \
                               \"discovery-srv\"";

/// The bootstrap members; none where they are listed elsewhere. Not given, a named
/// member is alone with its own URLs; the name `default` keeps the default peer URL.
fn initial_cluster(values: &Values) -> Result<Vec<InitialMember>, Refusal> {
    let name = values.text("name");
    let advertised = values.text("initial-advertise-peer-urls");
    if !values.text("discovery-srv").is_empty() {
        if values.is_set("initial-cluster") {
            return Err(SEVERAL_SOURCES.to_owned().into());
        }
        return Ok(Vec::new());
    }
    let text = if values.is_set("initial-cluster") {
        values.text("initial-cluster").to_owned()
    } else if name == DEFAULT_NAME {
        format!("{DEFAULT_NAME}={DEFAULT_PEER_URL}")
    } else {
        let own = |url: &str| format!("{name}={url}");
        advertised.split(',').map(own).collect::<Vec<_>>().join(",")
    };
    let mut members: BTreeMap<&str, Vec<Url>> = BTreeMap::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, url) = part.split_once('=').unwrap_or((part, ""));
        let url = Url::parse(url).map_err(|error| {
            Refusal::Fatal(format!("error setting up initial cluster: {error}"))
        })?;
        members.entry(name).or_default().push(url);
    }
    let sorted = |mut urls: Vec<Url>| {
        urls.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        urls
    };
    Ok(members
        .into_iter()
        .map(|(name, urls)| InitialMember {
            name: name.to_owned(),
            peer_urls: sorted(urls),
        })
        .collect())
}

fn directories(values: &Values, name: &str, notices: &mut Vec<Notice>) -> (PathBuf, PathBuf) {
    let data = match values.text("data-dir") {
        "" => {
            let default = format!("{name}.etcd");
            notices.push(Notice::warn(
                "'data-dir' was empty; using default",
                &[("data-dir", &default)],
            ));
            PathBuf::from(default)
        }
        path => PathBuf::from(path),
    };
    let wal = match values.text("wal-dir") {
        "" => data.join("member").join("wal"),
        path => PathBuf::from(path),
    };
    (data, wal)
}

fn notices_of_listeners(name: &str, single_port: bool, notices: &mut Vec<Notice>) {
    if name == DEFAULT_NAME {
        notices.push(Notice::warn(
            "it isn't recommended to use default name, please set a value for --name. Note that \
             etcd might run into issue when multiple members have the same default name",
            &[("name", name)],
        ));
    }
    if single_port {
        notices.push(Notice::warn(
            "Running http and grpc server on single port. This is not recommended for production.",
            &[],
        ));
    }
}

fn quota(bytes: i64, notices: &mut Vec<Notice>) -> Quota {
    match u64::try_from(bytes) {
        Err(_) => Quota::Disabled,
        Ok(0) => Quota::Default,
        Ok(bytes) => {
            if bytes > QUOTA_RECOMMENDED_BYTES_MAX {
                let (given, most) = (bytes.to_string(), QUOTA_RECOMMENDED_BYTES_MAX.to_string());
                notices.push(Notice::warn(
                    "quota exceeds the maximum value",
                    &[
                        ("quota-size-bytes", &given),
                        ("quota-maximum-size-bytes", &most),
                    ],
                ));
            }
            Quota::Bytes(bytes)
        }
    }
}

fn max_request_bytes(values: &Values, notices: &mut Vec<Notice>) -> usize {
    let bytes = values.unsigned("max-request-bytes");
    if bytes > REQUEST_RECOMMENDED_BYTES_MAX {
        let (given, most) = (bytes.to_string(), REQUEST_RECOMMENDED_BYTES_MAX.to_string());
        notices.push(Notice::warn(
            "exceeded recommended request limit",
            &[
                ("max-request-bytes", &given),
                ("recommended-request-bytes", &most),
            ],
        ));
    }
    count(bytes, 0)
}

fn bcrypt_cost(cost: u64, notices: &mut Vec<Notice>) -> u32 {
    match u32::try_from(cost) {
        Ok(cost) if (4..=31).contains(&cost) => cost,
        _ => {
            notices.push(Notice::warn(
                "use default bcrypt cost instead of the invalid given cost",
                &[("default-cost", "10"), ("given-cost", &cost.to_string())],
            ));
            BCRYPT_COST
        }
    }
}

fn cors(text: &str) -> CorsOrigins {
    let origins: Vec<String> = split_words(text);
    if origins.is_empty() || origins.iter().any(|origin| origin == "*") {
        return CorsOrigins::All;
    }
    CorsOrigins::Listed(origins)
}

fn host_whitelist(text: &str) -> Vec<String> {
    let hosts = split_words(text);
    if hosts.iter().any(|host| host == "*") {
        Vec::new()
    } else {
        hosts
    }
}

fn backend(values: &Values) -> BackendConfig {
    let engine = match values.text("backend-engine") {
        "redb" => Engine::Redb,
        "memory" => Engine::Memory,
        _ => Engine::Sled,
    };
    BackendConfig {
        engine,
        hot_bytes_max: values.unsigned("backend-hot-bytes").max(HOT_BYTES_MIN),
        cache_bytes_max: values.unsigned("backend-cache-bytes"),
    }
}

fn rpc_threads_count(text: &str) -> Result<usize, Refusal> {
    if text == "auto" {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        return Ok(rpc_threads_on(processors));
    }
    match text.parse() {
        Ok(count) if count <= RPC_THREADS_COUNT_MAX => Ok(count),
        _ => Err(format!(
            "--rpc-threads must be 'auto' or a number from 0 to {RPC_THREADS_COUNT_MAX}, not \
             \"{text}\""
        )
        .into()),
    }
}

/// Where processors are few, threads only take turns on them.
fn rpc_threads_on(processors: usize) -> usize {
    if processors <= 2 {
        0
    } else {
        RPC_THREADS_COUNT
    }
}

fn split_words(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn non_zero(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

fn count(value: u64, default: usize) -> usize {
    let value = usize::try_from(value).unwrap_or(usize::MAX);
    if value == 0 { default } else { value }
}

fn or_default(value: Duration, default: Duration) -> Duration {
    if value.is_zero() { default } else { value }
}

const DEFAULT_NAME: &str = "default";
const DEFAULT_PEER_URL: &str = "http://localhost:2380";
const ELECTION_TIMEOUT_MAX_MS: u64 = 50_000;
const SNAPSHOT_COUNT: u64 = 10_000;
const CATCHUP_ENTRIES_COUNT: u64 = 5_000;
const COMPACTION_BATCH_LIMIT: usize = 1_000;
const COMPACTION_SLEEP_INTERVAL: Duration = Duration::from_millis(10);
const WATCH_PROGRESS_NOTIFY_INTERVAL: Duration = Duration::from_secs(600);
const WARNING_UNARY_REQUEST_DURATION: Duration = Duration::from_millis(300);
const BCRYPT_COST: u32 = 10;
const QUOTA_RECOMMENDED_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
const REQUEST_RECOMMENDED_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Fewer unsaved bytes than one revision segment would stall every write.
const HOT_BYTES_MIN: u64 = 8 * 1024 * 1024;
const RPC_THREADS_COUNT: usize = 2;
const RPC_THREADS_COUNT_MAX: usize = 1024;

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
