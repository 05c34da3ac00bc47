//! Memory, threads and tasks as pages of text.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::ops::http::HttpResponse;
use crate::ops::probe::Activity;
use crate::ops::respond;
use crate::telemetry::profile;

/// Answers `/debug/pprof/heap?debug=1`.
pub(super) fn heap() -> HttpResponse {
    let figures = profile::memory();
    let mut page = String::from("# The process as the kernel counts it, bytes\n");
    for (name, bytes) in figures.kernel {
        let _ = writeln!(page, "{name} {bytes}");
    }
    if let Some(allocator) = figures.allocator {
        let (reserved, committed) = (allocator.reserved, allocator.committed);
        let _ = write!(
            page,
            "\n# The allocator, mimalloc {}, bytes taken from the system\n\
             committed {}\ncommitted_peak {}\nreserved {}\nreserved_peak {}\n\
             mmap_calls {}\npurge_calls {}\n",
            allocator.version,
            committed.current,
            committed.peak,
            reserved.current,
            reserved.peak,
            allocator.mmap_calls,
            allocator.purge_calls,
        );
    }
    page.push_str(
        "\n# Who allocated what is not recorded. Bounds of the larger users are flags:\n\
         # --backend-hot-bytes, --wal-kept-bytes, --max-concurrent-streams\n",
    );
    respond::text_as_is(StatusCode::OK, page)
}

/// Answers `/debug/pprof/goroutine?debug=1`.
pub(super) fn tasks(activity: &Activity) -> HttpResponse {
    let mut page = String::from("# Threads: id, state, user and system CPU seconds, name\n");
    for thread in profile::threads() {
        let _ = writeln!(
            page,
            "{} {} {} {} {}",
            thread.id,
            thread.state,
            seconds(thread.user),
            seconds(thread.system),
            thread.name
        );
    }
    runtime(&Handle::current().metrics(), &mut page);
    page.push_str("\n# Long-lived tasks by name\n");
    for (name, count) in &activity.tasks {
        let _ = writeln!(page, "{count} {name}");
    }
    page.push_str("\n# What they work on\n");
    for (name, count) in &activity.counts {
        let _ = writeln!(page, "{count} {name}");
    }
    page.push_str("\n# Stacks of waiting tasks and threads are not recorded.\n");
    respond::text_as_is(StatusCode::OK, page)
}

/// The runtime that serves clients.
fn runtime(metrics: &RuntimeMetrics, page: &mut String) {
    let _ = write!(
        page,
        "\n# RPC runtime\nworkers {}\nalive_tasks {}\nglobal_queue_depth {}\n",
        metrics.num_workers(),
        metrics.num_alive_tasks(),
        metrics.global_queue_depth()
    );
    for worker in 0..metrics.num_workers() {
        let _ = writeln!(
            page,
            "worker {worker}: busy_seconds {} parks {}",
            seconds(metrics.worker_total_busy_duration(worker)),
            metrics.worker_park_count(worker)
        );
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64())
}
