//! The quoin server.
