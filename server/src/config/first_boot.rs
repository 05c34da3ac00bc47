//! What must hold before a member is made from the initial cluster.
//!
//! Called by the bootstrap when no log exists; on a restart these flags are
//! ignored, whatever they say. Texts are etcd's.

use std::collections::BTreeSet;

use super::identity::{cluster_id, member_id};
use super::resolved::{ClusterState, ServerConfig};
use super::url::Url;

/// A member of the initial cluster with its computed id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapMember {
    /// The computed id.
    pub id: u64,
    /// The configured name.
    pub name: String,
    /// Peer URLs, sorted.
    pub peer_urls: Vec<String>,
}

impl ServerConfig {
    /// The initial members with their ids, and the cluster's id.
    pub fn bootstrap_members(&self) -> (Vec<BootstrapMember>, u64) {
        let members: Vec<BootstrapMember> = self
            .initial_cluster
            .iter()
            .map(|member| {
                let peer_urls = member.peer_url_texts();
                let id = member_id(&peer_urls, &self.initial_cluster_token, None);
                BootstrapMember {
                    id,
                    name: member.name.clone(),
                    peer_urls,
                }
            })
            .collect();
        let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        (members, cluster_id(&ids))
    }

    /// Checks the initial cluster for a first boot.
    ///
    /// # Errors
    /// The text of the refusal.
    pub fn check_first_boot(&self) -> Result<(), String> {
        let Some(own) = self
            .initial_cluster
            .iter()
            .find(|member| member.name == self.name)
        else {
            return Err(format!(
                "couldn't find local name \"{}\" in the initial cluster configuration",
                self.name
            ));
        };
        if self.initial_cluster_state == ClusterState::New {
            self.check_advertised(&own.peer_urls)?;
        }
        let mut seen = BTreeSet::new();
        let mut urls = self
            .initial_cluster
            .iter()
            .flat_map(|member| &member.peer_urls);
        if urls.any(|url| !seen.insert(url.as_str())) {
            let cluster = self.initial_cluster_text();
            return Err(format!("initial cluster {cluster} has duplicate url"));
        }
        Ok(())
    }

    /// `name=url,...` as the initial cluster is shown.
    pub fn initial_cluster_text(&self) -> String {
        let pairs = self.initial_cluster.iter().flat_map(|member| {
            member
                .peer_urls
                .iter()
                .map(move |url| format!("{}={url}", member.name))
        });
        pairs.collect::<Vec<_>>().join(",")
    }

    fn check_advertised(&self, configured: &[Url]) -> Result<(), String> {
        if sorted(&self.advertise_peer_urls) == sorted(configured) {
            return Ok(());
        }
        let advertised_resolved = resolved(&self.advertise_peer_urls);
        let configured_resolved = resolved(configured);
        let missing = |from: &[Url], other: &[String], resolved: &[String]| {
            from.iter()
                .zip(resolved)
                .find(|(_, text)| !other.contains(text))
                .map(|(url, _)| url.clone())
        };
        let advertised_list = joined(&self.advertise_peer_urls);
        let name = &self.name;
        if let Some(url) = missing(configured, &advertised_resolved, &configured_resolved) {
            let (a, b) = (advertised_resolved.join(","), configured_resolved.join(","));
            return Err(format!(
                "--initial-cluster has {name}={url} but missing from \
                 --initial-advertise-peer-urls={advertised_list} (resolved urls: \"{a}\" != \
                 \"{b}\")"
            ));
        }
        if let Some(url) = missing(
            &self.advertise_peer_urls,
            &configured_resolved,
            &advertised_resolved,
        ) {
            let (a, b) = (advertised_resolved.join(","), configured_resolved.join(","));
            return Err(format!(
                "--initial-advertise-peer-urls has {url} but missing from \
                 --initial-cluster={name}={} (resolved urls: \"{a}\" != \"{b}\")",
                joined(configured)
            ));
        }
        Ok(())
    }
}

fn sorted(urls: &[Url]) -> Vec<&str> {
    let mut texts: Vec<&str> = urls.iter().map(Url::as_str).collect();
    texts.sort_unstable();
    texts
}

fn joined(urls: &[Url]) -> String {
    urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",")
}

/// URLs with their hosts resolved; a host that does not resolve stays a name.
fn resolved(urls: &[Url]) -> Vec<String> {
    let resolve = |url: &Url| match url.socket_address() {
        Ok(address) if url.host() != "localhost" && url.socket_path().is_none() => url
            .as_str()
            .replacen(url.address(), &address.to_string(), 1),
        _ => url.as_str().to_owned(),
    };
    urls.iter().map(resolve).collect()
}
