//! Watch: changes of keys as they happen, and as they happened.
//!
//! Apply publishes the events of each revision to the [`Hub`]. A watcher is
//! either live, and gets each revision as it is handed out, or it lags, and
//! reads what it lacks by revision: from a ring of recent revisions, or from
//! the store. Whatever does not fit a bounded queue turns live watchers into
//! lagging ones, never into lost events; so memory is bounded by [`Config`] and
//! every watcher sees each matching event once, in order, revisions unbroken.
//!
//! In reading order: what a client wishes (`watcher`), what is shared between
//! watchers (`event`, `event_ring`), who wants a key (`group`), what waits for a
//! client (`queue`), who moves it all (`worker`, `catch_up`), the two ends
//! (`hub`, `stream`). Nothing here knows gRPC.

mod config;
mod history;
mod response;
mod watcher;

mod event;
mod event_ring;
mod fragment;
mod group;
mod queue;

mod catch_up;
mod inbox;
mod progress;
mod worker;

mod hub;
mod metrics;
mod stream;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use history::{Changes, ChangesLimits, History, HistoryError};
pub use hub::Hub;
pub use metrics::MetricsSnapshot;
pub use response::{Body, Refusal, Response};
pub use stream::{HistoryUnreadable, WatchStream};
pub use watcher::Create;
