//! Puts a member together, in the order in which its parts may be opened, and
//! takes it apart again.
//!
//! Order: sockets (a port conflict must leave no data directory behind), WAL,
//! backend, mvcc, lessor and small stores, Raft, duties, services. The
//! client port is served once the member has published itself, which takes a
//! leader and a quorum.

mod agreement;
mod discovery;
mod forced;
mod founding;
mod identity;
mod join;
mod leadership;
mod metrics;
mod mixed_up;
mod probe;
mod server;
mod start_error;
pub(crate) mod stores;

pub use identity::IdentityError;
pub(crate) use identity::{FORMAT as IDENTITY_FORMAT, Ids};
pub use server::{MemberEnd, Server, start};
pub use start_error::StartError;
