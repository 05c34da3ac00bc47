//! Finds members and endpoints by DNS SRV (RFC 2782), as etcd and etcdctl do.
//!
//! One query to one name at a time: over UDP, again over TCP where the answer was
//! cut, to each server of `/etc/resolv.conf` in turn. Calls block. Names of targets
//! are not resolved here: whoever dials does that.
//!
//! Absences: no cache, no search list (names are complete), no DNSSEC.

mod exchange;
mod resolver;

pub use resolver::{LookupError, Resolver, SERVER_VARIABLE, Service};

/// The name below which the instances of a service are listed: `_service._tcp.domain`.
pub fn service_name(service: &str, suffix: &str, domain: &str) -> String {
    format!("_{}._tcp.{domain}", with_suffix(service, suffix))
}

/// The service with the suffix of `--discovery-srv-name`, if there is one.
pub fn with_suffix(service: &str, suffix: &str) -> String {
    if suffix.is_empty() {
        return service.to_owned();
    }
    format!("{service}-{suffix}")
}
