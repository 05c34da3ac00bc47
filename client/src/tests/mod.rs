//! The client against members that fail at chosen points.
//!
//! [`fake`] is a member in this process: the real wire protocol over loopback,
//! a store just large enough, and switches for what goes wrong next.

mod calls;
mod fake;
mod lease;
mod watch;
