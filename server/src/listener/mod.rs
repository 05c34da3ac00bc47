//! Sockets: bound early, served later, closed in order.
//!
//! Binding happens before anything is opened on disk, so that a taken port is
//! reported by itself; serving starts when the member is ready. One client port
//! carries gRPC (HTTP/2 with prior knowledge) and HTTP/1.1, told apart by the
//! first bytes of a connection.

mod bind;
mod connection;
mod cork;
mod rewind;
mod serving;
mod streams;
mod turn;

pub use bind::{BindError, Bound, BoundListeners, Traffic, bind_all};
pub use serving::{Options, Serving};

#[cfg(test)]
mod tests;
