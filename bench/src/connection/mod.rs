//! gRPC over HTTP/2 with as little as possible in between.
//!
//! A call is one HEADERS and one DATA frame out, and the answer's frames in;
//! the message was framed by the caller ([`frames`]). A general client stack
//! costs about as much CPU per call as the server under test, which on a shared
//! machine would measure the client. Large replies are counted as they come
//! ([`rows`]) and never put together. There is no reconnecting and no retrying:
//! a lost connection is a result. Must run inside a `LocalSet`, which drives
//! the connection.

mod call;
mod channel;
mod failure;
mod frames;
mod rows;
mod stream;

pub use call::Call;
pub use channel::Connection;
pub use failure::Failure;
pub use frames::Frames;
pub use rows::Rows;
pub use stream::Stream;
