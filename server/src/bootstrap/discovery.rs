//! The initial cluster as DNS lists it: `--discovery-srv`.
//!
//! Two services are asked for and their answers put together: members that speak
//! TLS, and those that do not. Whoever has one of this member's own addresses is this
//! member; the others have numbers for names, which nobody else sees. Rules and
//! texts are etcd's. Source: etcd 3.7.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, ToSocketAddrs},
};

use quoin_discovery::{LookupError, Resolver, Service, service_name, with_suffix};

use crate::config::{InitialMember, ServerConfig, Url};

/// Why DNS does not tell the initial cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// Neither service is known.
    #[error("{}", .0.join("\n"))]
    NotFound(Vec<String>),
    /// No record has one of this member's addresses.
    #[error("cannot find local etcd member \"{name}\" in SRV records")]
    NotListed {
        /// `--name`.
        name: String,
    },
    /// A record does not make a URL.
    #[error("SRV record {target}:{port}: {reason}")]
    Target {
        /// Host name.
        target: String,
        /// TCP port.
        port: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// Members that speak TLS.
    #[error(
        "{service} lists members that speak TLS, which is not supported by quoin yet: list them \
         below {instead}"
    )]
    Tls {
        /// The service found.
        service: String,
        /// The one without TLS.
        instead: String,
    },
    /// The lookup itself broke off.
    #[error("the lookup did not end: {0}")]
    Aborted(String),
}

/// The configuration with the initial cluster that DNS lists.
///
/// # Errors
/// See [`DiscoveryError`].
pub(super) async fn discover(config: &ServerConfig) -> Result<ServerConfig, DiscoveryError> {
    let config = config.clone();
    let lookup = move || discover_with(&Resolver::system(), config);
    let joined = tokio::task::spawn_blocking(lookup).await;
    joined.map_err(|error| DiscoveryError::Aborted(error.to_string()))?
}

fn discover_with(
    resolver: &Resolver,
    mut config: ServerConfig,
) -> Result<ServerConfig, DiscoveryError> {
    let (domain, suffix) = (&config.discovery_srv, &config.discovery_srv_name);
    let secure = ask(resolver, SECURE, suffix, domain);
    let plain = ask(resolver, PLAIN, suffix, domain);
    if secure.is_ok() {
        return Err(DiscoveryError::Tls {
            service: service_name(SECURE, suffix, domain),
            instead: service_name(PLAIN, suffix, domain),
        });
    }
    let services = match (secure, plain) {
        (_, Ok(services)) => services,
        (Err(one), Err(other)) => return Err(DiscoveryError::NotFound(vec![one, other])),
        (Ok(_), Err(other)) => return Err(DiscoveryError::NotFound(vec![other])),
    };
    config.initial_cluster = members(&config, &services)?;
    tracing::info!(
        discovery_srv = %config.discovery_srv,
        initial_cluster = %config.initial_cluster_text(),
        "got the initial cluster from DNS"
    );
    Ok(config)
}

fn ask(
    resolver: &Resolver,
    service: &str,
    suffix: &str,
    domain: &str,
) -> Result<Vec<Service>, String> {
    let name = service_name(service, suffix, domain);
    resolver.services(&name).map_err(|error: LookupError| {
        let service = with_suffix(service, suffix);
        format!("error querying DNS SRV records for _{service} {error}")
    })
}

/// One member per record, this one under its own name.
fn members(
    config: &ServerConfig,
    services: &[Service],
) -> Result<Vec<InitialMember>, DiscoveryError> {
    let advertised = config.advertise_peer_urls.iter();
    let own: BTreeSet<SocketAddr> = advertised
        .flat_map(|url| addresses(url.host(), url.port()))
        .collect();
    let mut own_urls = Vec::new();
    let mut members = Vec::new();
    for service in services {
        let (target, port) = (service.target.as_str(), service.port);
        let url = Url::parse(&format!("http://{target}:{port}"));
        let url = url.map_err(|error| DiscoveryError::Target {
            target: target.to_owned(),
            port,
            reason: error.to_string(),
        })?;
        // A name that is not known yet may be that of a member that is not up yet.
        if addresses(target, port).any(|address| own.contains(&address)) {
            own_urls.push(url);
        } else {
            members.push(InitialMember {
                name: members.len().to_string(),
                peer_urls: vec![url],
            });
        }
    }
    if own_urls.is_empty() {
        return Err(DiscoveryError::NotListed {
            name: config.name.clone(),
        });
    }
    if let Some(other) = members.iter_mut().find(|other| other.name == config.name) {
        // A member that is called like the number of another one.
        other.name = format!("{}.", other.name);
    }
    members.push(InitialMember {
        name: config.name.clone(),
        peer_urls: own_urls,
    });
    members.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(members)
}

fn addresses(host: &str, port: u16) -> impl Iterator<Item = SocketAddr> {
    (host, port).to_socket_addrs().into_iter().flatten()
}

/// The service of members that speak TLS.
const SECURE: &str = "etcd-server-ssl";
/// The service of those that do not.
const PLAIN: &str = "etcd-server";

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
