//! Which servers are asked, in which order, and what their answers mean.

use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use crate::exchange::exchange;

/// Environment variable with the address of a name server, `host:port`, that is
/// asked instead of those of `/etc/resolv.conf`.
pub const SERVER_VARIABLE: &str = "QUOIN_DNS_SERVER";

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Lower ones come first.
    pub priority: u16,
    /// Host name without the dot at its end.
    pub target: String,
    /// TCP port.
    pub port: u16,
}

/// A name that was not found. Texts: those of Go's resolver, which etcd passes on.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("lookup {name} on {server}: {reason}")]
pub struct LookupError {
    /// What was looked for.
    pub name: String,
    /// The server that was asked last; the file that names none.
    pub server: String,
    /// What it said.
    pub reason: String,
}

/// Asks name servers.
#[derive(Clone, Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    attempts_count: u32,
}

impl Resolver {
    /// Asks these servers only.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            timeout: TIMEOUT,
            attempts_count: ATTEMPTS_COUNT,
        }
    }

    /// Asks the server of [`SERVER_VARIABLE`], or those of `/etc/resolv.conf`.
    pub fn system() -> Self {
        let chosen = env::var(SERVER_VARIABLE).ok();
        if let Some(server) = chosen.and_then(|text| text.parse().ok()) {
            return Self::new(vec![server]);
        }
        let text = fs::read(RESOLV_CONF).unwrap_or_default();
        let config = Config::parse(&text).unwrap_or_default();
        let address = |server: &ScopedIp| SocketAddr::new(IpAddr::from(server), DNS_PORT);
        let mut servers: Vec<_> = config.nameservers.iter().map(address).collect();
        if servers.is_empty() {
            // What resolv.conf(5) says of a file without servers.
            servers.push(SocketAddr::from(([127, 0, 0, 1], DNS_PORT)));
        }
        Self {
            servers,
            timeout: Duration::from_secs(u64::from(config.timeout.clamp(1, TIMEOUT_SECONDS_MAX))),
            attempts_count: config.attempts.clamp(1, ATTEMPTS_COUNT_MAX),
        }
    }

    /// The SRV records of `name`, in order of priority, then of target and port.
    /// Blocks for as long as the servers take, within their timeouts.
    ///
    /// # Errors
    /// No server knows the name, or none answers.
    pub fn services(&self, name: &str) -> Result<Vec<Service>, LookupError> {
        let mut failure = self.failure(name, RESOLV_CONF.to_owned(), "no name server");
        for _ in 0..self.attempts_count {
            for server in &self.servers {
                match self.ask(name, *server) {
                    Ok(services) => return Ok(services),
                    // It was answered: others would say the same.
                    Err(reason) if reason == NO_SUCH_HOST => {
                        return Err(self.failure(name, server.to_string(), &reason));
                    }
                    Err(reason) => failure = self.failure(name, server.to_string(), &reason),
                }
            }
        }
        Err(failure)
    }

    #[expect(clippy::unused_self, reason = "reads as a part of the resolver")]
    fn failure(&self, name: &str, server: String, reason: &str) -> LookupError {
        LookupError {
            name: name.to_owned(),
            server,
            reason: reason.to_owned(),
        }
    }

    fn ask(&self, name: &str, server: SocketAddr) -> Result<Vec<Service>, String> {
        let id = rand::random();
        let query = query(id, name)?;
        let answer = exchange(server, &query, self.timeout, |answer| {
            Packet::parse(answer)
                .is_ok_and(|packet| packet.id() == id && packet.has_flags(PacketFlag::RESPONSE))
        })?;
        read(&answer)
    }
}

fn query(id: u16, name: &str) -> Result<Vec<u8>, String> {
    let malformed = |error: simple_dns::SimpleDnsError| format!("{error}");
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(malformed)?;
    let question = Question::new(name, TYPE::SRV.into(), CLASS::IN.into(), false);
    packet.questions.push(question);
    packet.build_bytes_vec().map_err(malformed)
}

fn read(answer: &[u8]) -> Result<Vec<Service>, String> {
    let packet = Packet::parse(answer).map_err(|_| "cannot unmarshal DNS message".to_owned())?;
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Err(NO_SUCH_HOST.to_owned()),
        _ => return Err("server misbehaving".to_owned()),
    }
    let mut services = Vec::new();
    for record in &packet.answers {
        let RData::SRV(record) = &record.rdata else {
            continue;
        };
        let target = record.target.to_string();
        services.push(Service {
            priority: record.priority,
            target: target.trim_end_matches('.').to_owned(),
            port: record.port,
        });
    }
    // A target "." says that there is no such service: RFC 2782.
    services.retain(|service| !service.target.is_empty());
    services.sort();
    services.dedup();
    if services.is_empty() {
        return Err(NO_SUCH_HOST.to_owned());
    }
    if services.len() > SERVICES_COUNT_MAX {
        return Err(format!("more than {SERVICES_COUNT_MAX} records"));
    }
    Ok(services)
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
const NO_SUCH_HOST: &str = "no such host";
/// Wait for one server, unless resolv.conf says otherwise. Source: resolv.conf(5).
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that file can ask for.
const TIMEOUT_SECONDS_MAX: u32 = 30;
/// Rounds over all servers, unless resolv.conf says otherwise. Source: resolv.conf(5).
const ATTEMPTS_COUNT: u32 = 2;
/// The most that file can ask for.
const ATTEMPTS_COUNT_MAX: u32 = 5;
/// More members than a cluster can have.
const SERVICES_COUNT_MAX: usize = 128;

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
