//! The Watch service over [`crate::watch`].
//!
//! `request` reads what clients ask, `response` shapes what they are told,
//! `stream` runs both over one bidirectional call without a task of its own,
//! `leader_loss` tells streams that insist on a leader when there is none.

mod leader_loss;
mod request;
mod response;
mod service;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use leader_loss::LeaderLoss;
pub(crate) use service::WatchService;
