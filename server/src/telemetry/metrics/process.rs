//! The process as the operating system sees it: memory, time, descriptors.
//!
//! Read from `/proc/self` when a scrape comes; what cannot be read is left out.

use prometheus::proto::MetricFamily;

use super::source::{SourceKind, number_metric, push};

/// Adds the `process_*` and `os_fd_*` metrics.
pub(super) fn collect_into(families: &mut Vec<MetricFamily>) {
    let mut add = |kind, name: &str, help: &str, value: f64| {
        let (kind, metric) = number_metric(kind, value);
        push(families, name, help, kind, &[], metric);
    };
    if let Some(usage) = usage() {
        add(
            SourceKind::Counter,
            "process_cpu_seconds_total",
            "CPU time.",
            usage.cpu_seconds,
        );
        add(
            SourceKind::Gauge,
            "process_resident_memory_bytes",
            "RAM.",
            usage.resident_bytes,
        );
        add(
            SourceKind::Gauge,
            "process_virtual_memory_bytes",
            "Mapped.",
            usage.virtual_bytes,
        );
        add(
            SourceKind::Gauge,
            "process_threads",
            "Threads.",
            usage.threads_count,
        );
        let start = usage.start_unix_seconds;
        add(
            SourceKind::Gauge,
            "process_start_time_seconds",
            "Start, unix time.",
            start,
        );
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the directory being listed.
        let open = as_float(entries.count().saturating_sub(1));
        add(
            SourceKind::Gauge,
            "process_open_fds",
            "Open descriptors.",
            open,
        );
        add(SourceKind::Gauge, "os_fd_used", "Open descriptors.", open);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
        add(
            SourceKind::Gauge,
            "process_max_fds",
            "Most descriptors.",
            as_float(limit),
        );
        add(
            SourceKind::Gauge,
            "os_fd_limit",
            "Most descriptors.",
            as_float(limit),
        );
    }
}

/// Descriptors the process may open; for `/debug/vars`.
pub(crate) fn descriptors_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX)
}

/// Bytes of memory resident now, if the system tells.
pub(crate) fn resident_bytes() -> Option<f64> {
    usage().map(|usage| usage.resident_bytes)
}

struct Usage {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads_count: f64,
    start_unix_seconds: f64,
}

/// Parses `/proc/self/stat`; fields are numbered from after the name.
fn usage() -> Option<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let ticks_per_second = as_float(usize::try_from(rustix::param::clock_ticks_per_second()).ok()?);
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot_unix_seconds: f64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(Usage {
        cpu_seconds: (field(11)? + field(12)?) / ticks_per_second,
        threads_count: field(17)?,
        start_unix_seconds: boot_unix_seconds + field(19)? / ticks_per_second,
        virtual_bytes: field(20)?,
        resident_bytes: field(21)? * as_float(rustix::param::page_size()),
    })
}

/// Counts here stay far below where a float loses integers.
fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
