//! Metrics under etcd's names, and Quoin's own under `quoin_`.
//!
//! Three ways in, by who owns the number: handles that code increments
//! ([`Metrics::server`] and its siblings), hooks that set gauges when a scrape
//! comes ([`Metrics::on_scrape`]), and sources that read counters other parts
//! keep as plain atomics ([`Metrics::add_source`]). Names and labels are those
//! of etcd 3.7, because dashboards and alerts are written against them. Go's
//! runtime metrics do not exist here and are not imitated.

mod digest;
mod disk;
mod grpc;
mod mvcc;
mod network;
mod outcome;
pub(crate) mod process;
mod registrar;
mod server;
mod source;

use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};

pub use self::digest::DigestMetrics;
pub use self::disk::DiskMetrics;
pub use self::grpc::{GRPC_CODES_COUNT, GrpcMetrics, MethodMetrics};
pub use self::mvcc::{LeaseMetrics, MvccMetrics};
pub use self::network::NetworkMetrics;
pub use self::outcome::{ApplyDurations, OutcomeDurations, RequestDurations};
pub use self::server::ServerMetrics;
pub use self::source::{HistogramReading, SourceKind};

use self::registrar::Registrar;
use self::source::Source;

/// Sets gauges just before they are read.
type ScrapeHook = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    hooks: Mutex<Vec<ScrapeHook>>,
    sources: Mutex<Vec<Source>>,
    /// The member as a server: leadership, proposals, requests.
    pub server: ServerMetrics,
    /// Disk work.
    pub disk: DiskMetrics,
    /// Bytes to and from clients and peers.
    pub network: NetworkMetrics,
    /// The store and its watchers.
    pub mvcc: MvccMetrics,
    /// Leases.
    pub lease: LeaseMetrics,
    /// gRPC calls by method.
    pub grpc: GrpcMetrics,
    /// Agreement of the members.
    pub digest: DigestMetrics,
}

impl Metrics {
    /// A fresh set, all zero. `extensive` adds latency histograms per gRPC
    /// method.
    ///
    /// # Errors
    /// Two metrics of one name: a programming error.
    pub fn new(extensive: bool) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let registrar = Registrar::new(&registry);
        Ok(Self {
            server: ServerMetrics::register(&registrar)?,
            disk: DiskMetrics::register(&registrar)?,
            network: NetworkMetrics::register(&registrar)?,
            mvcc: MvccMetrics::register(&registrar)?,
            lease: LeaseMetrics::register(&registrar)?,
            grpc: GrpcMetrics::register(&registrar, extensive)?,
            digest: DigestMetrics::register(&registrar)?,
            hooks: Mutex::default(),
            sources: Mutex::default(),
            registry,
        })
    }

    /// The registry, for collectors of other shapes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Calls `hook` before every scrape, to set gauges. It must not block.
    pub fn on_scrape(&self, hook: impl Fn(&Self) + Send + Sync + 'static) {
        self.hooks.lock().push(Box::new(hook));
    }

    /// Exports a number that is read when a scrape comes.
    pub fn add_source(
        &self,
        kind: SourceKind,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.sources
            .lock()
            .push(Source::number(kind, name, help, labels, Box::new(read)));
    }

    /// Exports a histogram that somebody else keeps.
    pub fn add_histogram_source(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> HistogramReading + Send + Sync + 'static,
    ) {
        self.sources
            .lock()
            .push(Source::histogram(name, help, labels, Box::new(read)));
    }

    /// Everything in the Prometheus text format.
    ///
    /// # Errors
    /// A metric that cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        for hook in self.hooks.lock().iter() {
            hook(self);
        }
        let mut families = self.registry.gather();
        for source in self.sources.lock().iter() {
            source.collect_into(&mut families);
        }
        process::collect_into(&mut families);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{HistogramReading, Metrics, SourceKind};

    #[test]
    fn numbers_reach_the_text_by_all_three_ways() {
        let metrics = Metrics::new(false).unwrap();
        metrics.mvcc.put_total.inc_by(2);
        metrics.on_scrape(|metrics| metrics.server.has_leader.set(1));
        metrics.add_source(
            SourceKind::Counter,
            "quoin_pool_gets_total",
            "Gets.",
            &[],
            || 7.0,
        );
        metrics.add_source(
            SourceKind::Gauge,
            "quoin_x",
            "X.",
            &[("member", "a")],
            || 0.5,
        );
        metrics.add_source(
            SourceKind::Gauge,
            "quoin_x",
            "X.",
            &[("member", "b")],
            || 1.5,
        );
        let reading = || HistogramReading {
            buckets: vec![(0.001, 3), (0.002, 1)],
            above_count: 1,
            sum_seconds: 0.25,
        };
        let name = "etcd_disk_wal_fsync_duration_seconds";
        metrics.add_histogram_source(name, "Syncs.", &[], reading);
        metrics.add_histogram_source("quoin_y", "Y.", &[("stage", "a")], reading);
        metrics.server.set_identity(0x8e9e, "3.7.1");
        metrics.server.set_cluster_version("3.7");
        let text = metrics.render().unwrap();
        for line in [
            "etcd_mvcc_put_total 2",
            "etcd_server_has_leader 1",
            "quoin_pool_gets_total 7",
            "quoin_x{member=\"a\"} 0.5",
            "quoin_x{member=\"b\"} 1.5",
            "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.002\"} 4",
            "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 5",
            "etcd_disk_wal_fsync_duration_seconds_count 5",
            "quoin_y_bucket{stage=\"a\",le=\"0.002\"} 4",
            "etcd_server_version{server_version=\"3.7.1\"} 1",
            "etcd_server_id{server_id=\"8e9e\"} 1",
            "etcd_cluster_version{cluster_version=\"3.7\"} 1",
            "grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Watch\",\
             grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        assert_eq!(text.matches("# TYPE quoin_x gauge").count(), 1);
        assert!(text.contains("\nprocess_resident_memory_bytes "));
        assert!(text.contains("\nos_fd_used "));
        assert!(!text.contains("grpc_server_handling_seconds"));
    }

    #[test]
    fn extensive_metrics_add_latency_per_method() {
        let metrics = Metrics::new(true).unwrap();
        let put = metrics.grpc.method("/etcdserverpb.KV/Put").unwrap();
        put.observe(std::time::Duration::from_millis(2));
        put.handled(0);
        let text = metrics.render().unwrap();
        assert!(text.contains("grpc_server_handling_seconds_count{grpc_method=\"Put\""));
        assert!(metrics.grpc.method("/etcdserverpb.KV/Nope").is_none());
    }
}
