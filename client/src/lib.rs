//! Client for the etcd v3 API.
