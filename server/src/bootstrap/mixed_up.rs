//! Whether a member was started on the directory of another one of its cluster.
//!
//! The ids in the directory decide who a member is, not the flags, as with etcd; name
//! and URLs may differ from those of an earlier start. But flags that are, name and
//! URLs, those of another member of the same cluster are no change: somebody has
//! mixed up directories, or copied one. Then there may be two processes with one id.

use quoin_raft::{Member, Quorums};

use super::{identity::Identity, start_error::StartError, stores::Stores};
use crate::config::ServerConfig;

/// Refuses the directory of another member.
pub(super) fn check(
    config: &ServerConfig,
    identity: &Identity,
    stores: &Stores,
) -> Result<(), StartError> {
    let flags_urls = sorted(config.advertise_peer_urls.iter().map(|url| url.as_str()));
    let is_flags = |member: &&Member| {
        member.name == config.name
            && sorted(member.peer_urls.iter().map(String::as_str)) == flags_urls
    };
    let members = members(identity, stores);
    let flags = members
        .iter()
        .find(is_flags)
        .filter(|member| member.id != identity.member_id);
    let own = members
        .iter()
        .find(|member| member.id == identity.member_id);
    match (flags, own) {
        (Some(flags), Some(own)) => Err(StartError::OthersData {
            path: config.data_directory.display().to_string(),
            owner: format!("{} ({:x})", own.name, own.id),
            started: format!("{} ({:x})", flags.name, flags.id),
        }),
        _ => Ok(()),
    }
}

/// The members as the checkpoint has them, with published names; before the first
/// checkpoint, those of the initial cluster.
fn members(identity: &Identity, stores: &Stores) -> Vec<Member> {
    let membership = stores.backend.recovered().membership;
    let known = membership.and_then(|encoded| Quorums::decode(&encoded).ok());
    let Some(known) = known else {
        return identity.members.clone();
    };
    let named = known.members.into_iter().map(|member| Member {
        name: stores.cluster.published_name(member.id).unwrap_or_default(),
        ..member
    });
    named.collect()
}

fn sorted<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut urls: Vec<&str> = urls.collect();
    urls.sort_unstable();
    urls
}
