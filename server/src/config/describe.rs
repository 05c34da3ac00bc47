//! The configuration as the fields of the line `starting an etcd server`.
//!
//! Test suites and operators look for pairs in the raw JSON text of this line,
//! so that names, order and value types are etcd's. Fields of things that do
//! not exist here (Go's version) say so.

use serde_json::{Map, Value, json};

use super::API_VERSION;
use super::go_values::format_duration;
use super::help::go_arch;
use super::resolved::{AutoCompaction, CorsOrigins, ServerConfig};
use super::url::Url;

/// All fields of the line; `initialized` says whether a log exists.
#[expect(
    clippy::too_many_lines,
    reason = "one line per field, in the order of the log line"
)]
pub fn start_line(config: &ServerConfig, initialized: bool, threads_count: usize) -> Value {
    let mut fields = Map::new();
    let mut add = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    add("etcd-version", json!(API_VERSION));
    add(
        "git-sha",
        json!(format!("quoin {}", crate::base::version::QUOIN)),
    );
    add("go-version", json!("none"));
    add("go-os", json!(std::env::consts::OS));
    add("go-arch", json!(go_arch()));
    add("max-cpu-set", json!(threads_count));
    add("max-cpu-available", json!(threads_count));
    add("member-initialized", json!(initialized));
    add("name", json!(config.name));
    add("data-dir", path(&config.data_directory));
    add("wal-dir", path(&config.wal_directory));
    let dedicated = if config.wal_directory_dedicated {
        path(&config.wal_directory)
    } else {
        json!("")
    };
    add("wal-dir-dedicated", dedicated);
    add("member-dir", path(&config.member_directory()));
    add("force-new-cluster", json!(config.force_new_cluster));
    add(
        "heartbeat-interval",
        json!(format_duration(config.heartbeat_interval)),
    );
    add(
        "election-timeout",
        json!(format_duration(config.election_timeout)),
    );
    add(
        "initial-election-tick-advance",
        json!(config.initial_election_tick_advance),
    );
    add("snapshot-count", json!(config.snapshot_count));
    add(
        "snapshot-catchup-entries",
        json!(config.snapshot_catchup_entries_count),
    );
    add(
        "initial-advertise-peer-urls",
        urls(&config.advertise_peer_urls),
    );
    add("listen-peer-urls", urls(&config.listen_peer_urls));
    add("advertise-client-urls", urls(&config.advertise_client_urls));
    add("listen-client-urls", urls(&config.listen_client_urls));
    add("listen-metrics-urls", urls(&config.listen_metrics_urls));
    add("cors", cors(&config.cors));
    add("host-whitelist", host_whitelist(&config.host_whitelist));
    let first_boot = |text: String| json!(if initialized { String::new() } else { text });
    add("initial-cluster", first_boot(config.initial_cluster_text()));
    add(
        "initial-cluster-state",
        json!(config.initial_cluster_state.as_str()),
    );
    add(
        "initial-cluster-token",
        first_boot(config.initial_cluster_token.clone()),
    );
    add("quota-backend-bytes", json!(config.quota.shown_bytes()));
    add("max-request-bytes", json!(config.max_request_bytes));
    add(
        "max-concurrent-streams",
        json!(config.max_concurrent_streams),
    );
    add("pre-vote", json!(config.pre_vote));
    add("feature-gates", json!(config.feature_gates.to_string()));
    let (mode, retention) = auto_compaction(config.auto_compaction);
    add("auto-compaction-mode", json!(mode));
    add("auto-compaction-retention", json!(retention));
    add("max-learners", json!(config.max_learners_count));
    add("v2-deprecation", json!("write-only"));
    add("backend-engine", json!(config.backend.engine.as_str()));
    add("backend-hot-bytes", json!(config.backend.hot_bytes_max));
    add("backend-cache-bytes", json!(config.backend.cache_bytes_max));
    add("wal-kept-bytes", json!(config.wal_kept_bytes_max));
    add(
        "state-digest-interval",
        json!(format_duration(config.state_digest_interval)),
    );
    Value::Object(fields)
}

fn path(path: &std::path::Path) -> Value {
    json!(path.display().to_string())
}

fn urls(urls: &[Url]) -> Value {
    json!(urls.iter().map(Url::as_str).collect::<Vec<_>>())
}

fn cors(origins: &CorsOrigins) -> Value {
    match origins {
        CorsOrigins::All => json!(["*"]),
        CorsOrigins::Listed(list) => json!(list),
    }
}

fn host_whitelist(hosts: &[String]) -> Value {
    if hosts.is_empty() {
        json!(["*"])
    } else {
        json!(hosts)
    }
}

fn auto_compaction(setting: AutoCompaction) -> (&'static str, String) {
    match setting {
        AutoCompaction::Off => ("periodic", "0s".to_owned()),
        AutoCompaction::Periodic(age) => ("periodic", format_duration(age)),
        AutoCompaction::Revision(count) => ("revision", count.to_string()),
    }
}
