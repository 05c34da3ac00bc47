//! Limits of the watch hub.
//!
//! Every queue of this module is bounded by a value here. None of the bounds
//! loses events: what does not fit is read again from the store by revision.

/// Limits of a [`super::Hub`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Responses waiting on one stream before its watchers leave the live
    /// group. etcd's value.
    pub stream_responses_max: usize,
    /// Event bytes waiting on one stream before its watchers leave the live
    /// group. One response larger than this still passes, alone.
    pub stream_bytes_max: usize,
    /// Distinct revisions in one response of a watcher that catches up.
    pub catch_up_revisions_max: usize,
    /// Event bytes read for one step of catching up; a single revision larger
    /// than this still passes.
    pub catch_up_bytes_max: usize,
    /// Watchers served by one read of the store.
    pub catch_up_watchers_max: usize,
    /// Record bytes of recent revisions kept for watchers slightly behind.
    pub ring_bytes_max: usize,
    /// Recent revisions kept for watchers slightly behind.
    pub ring_revisions_max: usize,
    /// Record bytes handed over by apply and not yet taken by the hub. Beyond
    /// it they are dropped and every watcher reads them from the store.
    pub inbox_bytes_max: usize,
    /// Revisions handed over by apply and not yet taken by the hub.
    pub inbox_revisions_max: usize,
    /// Encoded size from which a response is split for watchers that asked for
    /// fragments.
    pub fragment_bytes: usize,
}

/// What etcd adds to `max-request-bytes` for the largest gRPC message.
const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

impl Config {
    /// The defaults for a server that accepts requests of `request_bytes_max`.
    #[must_use]
    pub fn new(request_bytes_max: usize) -> Self {
        Self {
            stream_responses_max: 128,
            stream_bytes_max: 4 << 20,
            catch_up_revisions_max: 1000,
            catch_up_bytes_max: 2 << 20,
            catch_up_watchers_max: 512,
            ring_bytes_max: 16 << 20,
            ring_revisions_max: 16 << 10,
            inbox_bytes_max: 64 << 20,
            inbox_revisions_max: 64 << 10,
            fragment_bytes: request_bytes_max + GRPC_OVERHEAD_BYTES,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(3 << 19)
    }
}
