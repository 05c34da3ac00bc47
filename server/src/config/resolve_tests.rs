//! Cross-flag rules through the whole loading path.

use std::time::Duration;

use super::super::{AutoCompaction, LoadError, Loaded, Quota, load};

fn loaded(arguments: &[&str]) -> Result<Loaded, LoadError> {
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    load(&arguments, &[])
}

fn refusal(arguments: &[&str]) -> String {
    match loaded(arguments).unwrap_err() {
        LoadError::Refused { error, .. } => error,
        LoadError::Fatal { notice, .. } => notice.fields[0].1.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn defaults_are_those_of_etcd() {
    let config = loaded(&[]).unwrap().config;
    assert_eq!(config.name, "default");
    assert_eq!(config.data_directory.to_str(), Some("default.etcd"));
    assert_eq!(
        config.wal_directory.to_str(),
        Some("default.etcd/member/wal")
    );
    assert_eq!(config.snapshot_count, 10_000);
    assert_eq!(config.quota, Quota::Default);
    assert_eq!(config.auto_compaction, AutoCompaction::Off);
    assert_eq!(config.request_timeout(), Duration::from_secs(7));
    assert_eq!(config.grpc_receive_bytes_max(), 2_097_152);
    assert_eq!(config.max_concurrent_streams, u32::MAX);
    assert_eq!(
        config.initial_cluster_text(),
        "default=http://localhost:2380"
    );
    assert!(config.check_first_boot().is_ok());
    let (members, cluster_id) = config.bootstrap_members();
    assert_eq!(
        format!("{:x} {cluster_id:x}", members[0].id),
        "8e9e05c52164694d cdf818194e3a8c32"
    );
}

#[test]
fn refusals_have_etcds_texts() {
    for (arguments, expected) in [
        (&["word"][..], "\"word\" is not a valid flag"),
        (
            &["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            &["--heartbeat-interval=0"],
            "--heartbeat-interval must be >0 (set to 0ms)",
        ),
        (
            &["--election-timeout=0"],
            "--election-timeout must be >0 (set to 0ms)",
        ),
        (
            &["--election-timeout=100"],
            "--election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
        (
            &["--election-timeout=60000"],
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        (
            &["--auto-compaction-mode=x"],
            "unknown auto-compaction-mode \"x\"",
        ),
        (
            &["--auto-compaction-mode="],
            "undefined auto-compaction-mode",
        ),
        (
            &["--auto-compaction-retention=abc"],
            "error parsing CompactionRetention: time: invalid duration \"abc\"",
        ),
        (
            &["--log-format=x"],
            "unknown log format: x, supported values json, console",
        ),
        (
            &["--log-outputs=default,stderr"],
            "multi logoutput for \"default\" is not supported yet",
        ),
        (
            &["--logger=capnslog"],
            "--logger=capnslog is removed in v3.5",
        ),
        (
            &["--initial-advertise-peer-urls=http://:2380"],
            "--initial-advertise-peer-urls \"http://:2380\" must be \"host:port\" (unexpected \
             empty host (http://:2380))",
        ),
        (
            &["--initial-cluster=foo"],
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: ",
        ),
        (
            &["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
             LeaseCheckpoint",
        ),
        (
            &[
                "--discovery-srv=example.org",
                "--initial-cluster=a=http://127.0.0.1:1",
            ],
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
             \"discovery-endpoints\" or \"discovery-srv\"",
        ),
        (
            &["--config-file=/no/such.yml"],
            "open /no/such.yml: no such file or directory",
        ),
    ] {
        assert_eq!(refusal(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn an_absent_feature_is_refused_by_name_but_its_default_is_not() {
    for arguments in [
        "--cert-file=a.pem",
        "--auto-tls",
        "--discovery-token=x",
        "--auth-token=jwt,pub-key=a",
        "--feature-gates=SetMemberLocalAddr=true",
        "--listen-peer-urls=https://127.0.0.1:1",
    ] {
        let text = refusal(&[arguments]);
        assert!(text.ends_with("is not supported by quoin yet"), "{text}");
    }
    assert!(loaded(&["--auto-tls=false", "--cert-file="]).is_ok());
}

#[test]
fn hashes_are_compared_when_asked_to() {
    let checks = |arguments: &[&str]| {
        let config = loaded(arguments).unwrap().config;
        (
            config.corrupt_check_interval,
            config.compact_hash_check_interval,
        )
    };
    assert_eq!(checks(&[]), (None, None));
    assert_eq!(checks(&["--compact-hash-check-time=5s"]), (None, None));
    let minute = Some(Duration::from_secs(60));
    let gate = "--feature-gates=CompactHashCheck=true";
    assert_eq!(
        checks(&[gate, "--corrupt-check-time=60s"]),
        (minute, minute)
    );
}

#[test]
fn a_flag_without_effect_is_said_to_have_none() {
    let notices = loaded(&["--backend-batch-limit=5", "--max-wals=5"])
        .unwrap()
        .notices;
    let said: Vec<_> = notices
        .iter()
        .filter(|notice| notice.message.contains("no effect"))
        .collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].fields[0].1, "backend-batch-limit");
}

#[test]
fn zero_means_the_default_where_etcd_says_so() {
    let config = loaded(&["--snapshot-count=0", "--quota-backend-bytes=-1"])
        .unwrap()
        .config;
    assert_eq!(config.snapshot_count, 10_000);
    assert_eq!(config.quota.bytes_max(), u64::MAX);
    assert_eq!(config.compaction_sleep_interval, Duration::from_millis(10));
}

#[test]
fn retention_has_two_grammars() {
    let retention = |arguments: &[&str]| loaded(arguments).unwrap().config.auto_compaction;
    let hours = Duration::from_secs(7200);
    assert_eq!(
        retention(&["--auto-compaction-retention=2"]),
        AutoCompaction::Periodic(hours)
    );
    let minutes = Duration::from_secs(300);
    assert_eq!(
        retention(&["--auto-compaction-retention=5m"]),
        AutoCompaction::Periodic(minutes)
    );
    let revisions = [
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=1000",
    ];
    assert_eq!(retention(&revisions), AutoCompaction::Revision(1000));
}

#[test]
fn first_boot_checks_the_initial_cluster() {
    let peer = "--initial-advertise-peer-urls=http://127.0.0.1:24802";
    for (arguments, expected) in [
        (
            &[
                "--name=n3",
                "--initial-cluster=default=http://127.0.0.1:24802",
                peer,
            ][..],
            "couldn't find local name \"n3\" in the initial cluster configuration",
        ),
        (
            &[
                "--name=n3",
                "--initial-cluster=n3=http://127.0.0.1:24804",
                peer,
            ],
            "--initial-cluster has n3=http://127.0.0.1:24804 but missing from \
             --initial-advertise-peer-urls=http://127.0.0.1:24802 (resolved urls: \
             \"http://127.0.0.1:24802\" != \"http://127.0.0.1:24804\")",
        ),
        (
            &[
                "--initial-cluster=default=http://127.0.0.1:24802,b=http://127.0.0.1:24802",
                peer,
            ],
            "initial cluster b=http://127.0.0.1:24802,default=http://127.0.0.1:24802 has \
             duplicate url",
        ),
    ] {
        let config = loaded(arguments).unwrap().config;
        assert_eq!(config.check_first_boot().unwrap_err(), expected);
    }
    assert_eq!(
        loaded(&["--name=n3", peer])
            .unwrap()
            .config
            .initial_cluster_text(),
        "n3=http://127.0.0.1:24802"
    );
}

#[test]
fn threads_are_counted_or_chosen() {
    let count = |text: &str| {
        let flag = format!("--rpc-threads={text}");
        loaded(&[&flag]).unwrap().config.rpc_threads_count
    };
    assert_eq!((count("0"), count("3")), (0, 3));
    let processors = std::thread::available_parallelism().unwrap().get();
    assert_eq!(count("auto"), super::rpc_threads_on(processors));
    assert_eq!([1, 2, 3, 64].map(super::rpc_threads_on), [0, 0, 2, 2]);
    assert_eq!(
        refusal(&["--rpc-threads=many"]),
        "--rpc-threads must be 'auto' or a number from 0 to 1024, not \"many\""
    );
}
