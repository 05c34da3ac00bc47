//! Member and cluster ids, computed as etcd computes them.
//!
//! Ids are a pure function of peer URLs and the cluster token, so that every
//! bootstrap member arrives at the same numbers alone, and so that tools which
//! know etcd's well-known default ids find them here.
//! Source: observed etcd 3.7 (`8e9e05c52164694d` in `cdf818194e3a8c32`).

use sha1::{Digest, Sha1};

/// The id of a member: SHA-1 over its sorted peer URLs, the token and, for a
/// member added later, the unix time in seconds.
pub fn member_id(peer_urls: &[String], cluster_token: &str, added_at_unix_s: Option<u64>) -> u64 {
    let mut sorted: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for url in sorted {
        hash.update(url.as_bytes());
    }
    hash.update(cluster_token.as_bytes());
    if let Some(seconds) = added_at_unix_s {
        hash.update(seconds.to_string().as_bytes());
    }
    first_eight_bytes(&hash.finalize())
}

/// The id of a cluster: SHA-1 over its bootstrap members' ids in ascending
/// order.
pub fn cluster_id(member_ids: &[u64]) -> u64 {
    let mut sorted = member_ids.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for id in sorted {
        hash.update(id.to_be_bytes());
    }
    first_eight_bytes(&hash.finalize())
}

fn first_eight_bytes(digest: &[u8]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{cluster_id, member_id};

    #[test]
    fn the_default_member_has_etcds_well_known_ids() {
        let id = member_id(&["http://localhost:2380".into()], "etcd-cluster", None);
        assert_eq!(format!("{id:x}"), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster_id(&[id])), "cdf818194e3a8c32");
    }

    #[test]
    fn order_of_urls_and_members_does_not_matter() {
        let urls = ["http://a:1".to_owned(), "http://b:1".to_owned()];
        let reversed = [urls[1].clone(), urls[0].clone()];
        assert_eq!(member_id(&urls, "t", None), member_id(&reversed, "t", None));
        assert_eq!(cluster_id(&[1, 2]), cluster_id(&[2, 1]));
    }
}
