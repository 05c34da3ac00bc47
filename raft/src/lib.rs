//! Replication around openraft.
