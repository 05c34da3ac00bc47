//! Progress marks: "every matching event up to this revision was sent".
//!
//! A mark is queued behind the events it speaks of, and only while the worker
//! is between two revisions, so what it says is true when it is sent. A request
//! that arrives while the worker is behind the store waits until the worker has
//! reached the revision the store had then.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::hub::Shared;
use super::queue::StreamQueue;
use super::watcher::{Mode, Watcher};

/// Watch id of a mark that speaks for all watchers of a stream.
const STREAM_ID: i64 = -1;

/// Answers a progress request of a stream with these watchers, now or later.
/// True if it was postponed.
pub(super) fn request(shared: &Shared, queue: &Arc<StreamQueue>, watchers: &[&Watcher]) -> bool {
    let processed = shared.processed.read();
    let revision = shared.history.revision();
    if *processed < revision {
        // Under the lock of `processed`: the worker cannot pass by unseen.
        shared
            .progress_waiting
            .lock()
            .push((revision, Arc::clone(queue)));
        drop(processed);
        shared.wake_worker();
        return true;
    }
    mark_stream(queue, watchers, *processed);
    false
}

/// Answers a postponed request.
pub(super) fn answer(shared: &Shared, queue: &StreamQueue, watchers: &[&Watcher]) {
    let processed = shared.processed.read();
    mark_stream(queue, watchers, *processed);
}

/// Marks every quiet, caught-up watcher that asked for signs of life.
pub(super) fn tick(shared: &Shared, queue: &StreamQueue, watchers: &[&Watcher]) {
    let processed = shared.processed.read();
    for watcher in watchers {
        if !watcher.wish.progress_notify || watcher.was_busy.swap(false, Ordering::Relaxed) {
            continue;
        }
        if is_caught_up(watcher, *processed) && !queue.is_full() {
            queue.mark_progress(watcher.id, *processed);
        }
    }
}

/// A watcher that compaction has overtaken is not caught up: until the client
/// cancels it there are no marks, as observed in etcd 3.7.
fn mark_stream(queue: &StreamQueue, watchers: &[&Watcher], processed: i64) {
    let is_caught_up = |watcher: &&Watcher| is_caught_up(watcher, processed);
    if !watchers.is_empty() && watchers.iter().all(is_caught_up) {
        queue.mark_progress(STREAM_ID, processed);
    }
}

fn is_caught_up(watcher: &Watcher, processed: i64) -> bool {
    watcher.mode() == Mode::Live && processed >= watcher.wish.start_revision
}
