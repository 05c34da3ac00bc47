//! Several members that know each other, in one temporary folder.
//!
//! The same code starts Quoin and the reference server: their flags are the
//! same. Members are addressed by position. When a test panics while it holds
//! a cluster, the end of every member's log is printed and the folder kept.

use std::{
    ffi::OsString,
    fs, mem,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use quoin_proto::etcdserverpb::{
    StatusRequest, StatusResponse, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient, watch_client::WatchClient,
};
use tempfile::TempDir;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{Error, Result, binaries, ports, process::Process, wait, wires::Wires};

/// Where members listen, unless a test says otherwise.
const HOST: &str = "127.0.0.1";

/// Lines of each log shown when a test fails.
const LOG_LINES_SHOWN: usize = 25;

/// Characters of each of these lines.
const LOG_COLUMNS_SHOWN: usize = 240;

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server binary; `None` is Quoin, built first if necessary.
    pub binary: Option<PathBuf>,
    /// Number of members.
    pub members_count: usize,
    /// Further flags, the same for every member.
    pub flags: Vec<String>,
    /// Environment variables added for every member.
    pub environment: Vec<(String, String)>,
    /// Members reach each other through wires that can be cut.
    pub wired: bool,
    /// The domain below which members find each other, if not by a list.
    pub discovery: Option<String>,
}

impl Options {
    /// `members_count` members of Quoin.
    #[must_use]
    pub fn new(members_count: usize) -> Self {
        Self {
            binary: None,
            members_count,
            flags: Vec::new(),
            environment: Vec::new(),
            wired: false,
            discovery: None,
        }
    }

    /// Lets the members find each other by the SRV records of a domain.
    #[must_use]
    pub fn discovery(mut self, domain: &str) -> Self {
        self.discovery = Some(domain.to_owned());
        self
    }

    /// Puts wires between the members: see [`Cluster::wires`].
    #[must_use]
    pub fn wired(mut self) -> Self {
        self.wired = true;
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs another server than Quoin.
    #[must_use]
    pub fn binary(mut self, binary: Option<PathBuf>) -> Self {
        self.binary = binary;
        self
    }

    /// Adds flags.
    #[must_use]
    pub fn flags<S: AsRef<str>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.flags
            .extend(flags.into_iter().map(|flag| flag.as_ref().to_owned()));
        self
    }
}

/// One member: its addresses for good, its process while it runs.
#[derive(Debug)]
pub struct Member {
    /// `m0`, `m1` and so on; also the name it has in the cluster.
    pub name: String,
    /// Address of both listeners.
    pub host: String,
    /// Port of the client listener.
    pub client_port: u16,
    /// Port of the peer listener.
    pub peer_port: u16,
    /// Port that peers dial instead, if there are wires between the members.
    pub wire_port: Option<u16>,
    /// Its data directory.
    pub data: PathBuf,
    /// Its log, appended to over restarts.
    pub log: PathBuf,
    /// The running process.
    pub process: Option<Process>,
    /// Of one that joins a running cluster: its `--initial-cluster`.
    pub joins: Option<String>,
    /// Flags of its own, behind those of all.
    pub flags: Vec<String>,
}

impl Member {
    /// Where its peers dial it.
    #[must_use]
    pub fn peer_url(&self) -> String {
        let port = self.wire_port.unwrap_or(self.peer_port);
        format!("http://{}:{port}", self.host)
    }

    /// Where it serves clients.
    #[must_use]
    pub fn client_url(&self) -> String {
        format!("http://{}:{}", self.host, self.client_port)
    }
}

/// Members started together. Dropping it kills all of them.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    binary: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    wires: Option<Wires>,
    discovery: Option<String>,
    folder: Option<TempDir>,
}

impl Cluster {
    /// Starts all members and waits until each of them serves.
    ///
    /// # Errors
    /// A member does not start or does not serve in time.
    pub async fn start(options: Options) -> Result<Self> {
        let mut cluster = Self::prepare(options)?;
        cluster.start_all()?;
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// Chooses addresses and folders, starts nothing.
    ///
    /// # Errors
    /// No port or no folder can be had, or the binary does not build.
    pub fn prepare(options: Options) -> Result<Self> {
        let binary = options.binary.map_or_else(binaries::quoin, Ok)?;
        let folder = tempfile::Builder::new().prefix("quoin-").tempdir();
        let folder = folder.map_err(Error::io("temporary folder"))?;
        let (flags, environment) = (options.flags, options.environment);
        let mut cluster = Self {
            members: Vec::new(),
            binary,
            flags,
            environment,
            wires: options.wired.then(Wires::default),
            discovery: options.discovery,
            folder: Some(folder),
        };
        for _ in 0..options.members_count {
            cluster.prepare_member()?;
        }
        Ok(cluster)
    }

    /// Chooses addresses and a folder for one more member; returns its position.
    ///
    /// # Errors
    /// No port can be had.
    pub(crate) fn prepare_member(&mut self) -> Result<usize> {
        let position = self.members.len();
        let name = format!("m{position}");
        let folder = self.folder.as_ref().map_or(Path::new(""), TempDir::path);
        let peer_port = ports::free()?;
        let wires = self.wires.as_ref();
        let wire_port = wires.map(|wires| wires.lay(position, peer_port));
        self.members.push(Member {
            host: HOST.to_owned(),
            client_port: ports::free()?,
            peer_port,
            wire_port: wire_port.transpose()?,
            data: folder.join(&name),
            log: folder.join(format!("{name}.log")),
            process: None,
            joins: None,
            flags: Vec::new(),
            name,
        });
        Ok(position)
    }

    /// The flags that a tool needs to make the data of a member that has not run,
    /// each `--name=value`: they describe it as a first member of this cluster.
    ///
    /// # Errors
    /// There is no such member.
    pub fn founding_flags(&self, position: usize) -> Result<Vec<String>> {
        let member = self.member(position)?;
        let all = self.members.iter();
        let all = all.map(|member| format!("{}={}", member.name, member.peer_url()));
        Ok(vec![
            format!("--name={}", member.name),
            format!("--data-dir={}", member.data.display()),
            format!("--initial-advertise-peer-urls={}", member.peer_url()),
            format!("--initial-cluster={}", all.collect::<Vec<_>>().join(",")),
        ])
    }

    /// Starts every member that does not run.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.members.len()).try_for_each(|position| self.start_member(position))
    }

    /// Starts one member, unless it runs, on the data it has.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start_member(&mut self, position: usize) -> Result<()> {
        let arguments = self.arguments(position);
        let binary = self.binary.clone();
        let environment = self.environment.clone();
        let member = self.member_mut(position)?;
        if member.process.is_some() {
            return Ok(());
        }
        let log = member.log.clone();
        let process = Process::spawn(&member.name, &binary, &arguments, &environment, &log)?;
        let id = process.id();
        member.process = Some(process);
        if let Some(wires) = &self.wires {
            wires.started(position, id);
        }
        Ok(())
    }

    /// Kills one member with SIGKILL.
    ///
    /// # Errors
    /// There is no such member or it cannot be waited for.
    pub fn kill(&mut self, position: usize) -> Result<()> {
        match self.member_mut(position)?.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Kills every member with SIGKILL.
    ///
    /// # Errors
    /// A member cannot be waited for.
    pub fn kill_all(&mut self) -> Result<()> {
        (0..self.members.len()).try_for_each(|position| self.kill(position))
    }

    /// Ends one member with SIGTERM and waits for it; returns its log.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn terminate(&mut self, position: usize) -> Result<String> {
        let Some(mut process) = self.member_mut(position)?.process.take() else {
            return Ok(String::new());
        };
        process.terminate()?;
        process.wait_ended(wait::DEADLINE).await?;
        Ok(process.output())
    }

    /// The running process of a member.
    ///
    /// # Errors
    /// It does not run.
    pub fn process(&mut self, position: usize) -> Result<&mut Process> {
        let process = self.member_mut(position)?.process.as_mut();
        process.ok_or_else(|| Error::malformed("cluster", format!("m{position} does not run")))
    }

    /// A member.
    ///
    /// # Errors
    /// There is no such member.
    pub fn member(&self, position: usize) -> Result<&Member> {
        self.members
            .get(position)
            .ok_or_else(|| Error::malformed("cluster", "no such member"))
    }

    /// Number of members, running or not.
    #[must_use]
    pub fn members_count(&self) -> usize {
        self.members.len()
    }

    /// The client URL of a member.
    #[must_use]
    pub fn url(&self, position: usize) -> String {
        let member = self.members.get(position);
        member.map_or_else(String::new, Member::client_url)
    }

    /// All client URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|position| self.url(position))
            .collect()
    }

    /// What the members reach each other through, with [`Options::wired`].
    ///
    /// # Errors
    /// There are no wires.
    pub fn wires(&self) -> Result<&Wires> {
        let wires = self.wires.as_ref();
        wires.ok_or_else(|| Error::malformed("cluster", "there are no wires to cut"))
    }

    /// Gives one member flags of its own, from its next start on.
    ///
    /// # Errors
    /// There is no such member.
    pub fn set_flags(&mut self, position: usize, flags: &[&str]) -> Result<()> {
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        self.member_mut(position)?.flags = flags.collect();
        Ok(())
    }

    /// Runs another binary from the next start of a member on.
    pub fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Positions of the members that run.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        let running = self.members.iter().enumerate();
        running
            .filter(|(_, member)| member.process.is_some())
            .map(|(position, _)| position)
            .collect()
    }

    /// A connection to one member, made at the first call on it.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn channel(&self, position: usize) -> Result<Channel> {
        channel(&self.url(position))
    }

    /// KV calls to one member.
    ///
    /// # Errors
    /// As [`Self::channel`].
    pub fn kv(&self, position: usize) -> Result<KvClient<Channel>> {
        Ok(KvClient::new(self.channel(position)?).max_decoding_message_size(usize::MAX))
    }

    /// Watch calls to one member.
    ///
    /// # Errors
    /// As [`Self::channel`].
    pub fn watch(&self, position: usize) -> Result<WatchClient<Channel>> {
        Ok(WatchClient::new(self.channel(position)?).max_decoding_message_size(usize::MAX))
    }

    /// Lease calls to one member.
    ///
    /// # Errors
    /// As [`Self::channel`].
    pub fn lease(&self, position: usize) -> Result<LeaseClient<Channel>> {
        Ok(LeaseClient::new(self.channel(position)?))
    }

    /// One member's view of itself and the cluster.
    ///
    /// # Errors
    /// The call fails.
    pub async fn status(&self, position: usize) -> Result<StatusResponse> {
        let mut client = MaintenanceClient::new(self.channel(position)?);
        let reply = client.status(StatusRequest {}).await;
        reply
            .map(tonic::Response::into_inner)
            .map_err(refused("status"))
    }

    fn arguments(&self, position: usize) -> Vec<OsString> {
        let Some(member) = self.members.get(position) else {
            return Vec::new();
        };
        let client = member.client_url();
        let peer = member.peer_url();
        let listen = format!("http://{}:{}", member.host, member.peer_port);
        let first = self.members.iter().filter(|other| other.joins.is_none());
        let first = first.map(|other| format!("{}={}", other.name, other.peer_url()));
        let peers = match &member.joins {
            Some(peers) => peers.clone(),
            None => first.collect::<Vec<_>>().join(","),
        };
        let state = member.joins.as_ref().map_or("new", |_| "existing");
        let mut arguments: Vec<OsString> = vec![
            format!("--name={}", member.name).into(),
            format!("--data-dir={}", member.data.display()).into(),
            format!("--listen-client-urls={client}").into(),
            format!("--advertise-client-urls={client}").into(),
            format!("--listen-peer-urls={listen}").into(),
            format!("--initial-advertise-peer-urls={peer}").into(),
            match &self.discovery {
                Some(domain) if member.joins.is_none() => format!("--discovery-srv={domain}"),
                _ => format!("--initial-cluster={peers}"),
            }
            .into(),
            format!("--initial-cluster-state={state}").into(),
        ];
        let own = member.flags.iter();
        arguments.extend(self.flags.iter().chain(own).map(OsString::from));
        arguments
    }

    pub(crate) fn member_mut(&mut self, position: usize) -> Result<&mut Member> {
        let member = self.members.get_mut(position);
        member.ok_or_else(|| Error::malformed("cluster", "no such member"))
    }

    /// Prints the end of every log.
    #[expect(clippy::print_stderr, reason = "the report of a failed test")]
    fn report(&self) {
        for member in &self.members {
            let log = fs::read_to_string(&member.log).unwrap_or_default();
            let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- {} ({})", member.name, member.log.display());
            for line in log.lines().skip(skipped) {
                eprintln!(
                    "{}",
                    line.chars().take(LOG_COLUMNS_SHOWN).collect::<String>()
                );
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.members
            .iter_mut()
            .for_each(|member| drop(member.process.take()));
        if thread::panicking() {
            self.report();
            mem::forget(self.folder.take().map(TempDir::keep));
        }
    }
}

/// A connection to `url`, made at the first call on it.
///
/// # Errors
/// The URL is not one.
pub fn channel(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned());
    let endpoint = endpoint.map_err(|error| Error::malformed(url, error.to_string()))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .connect_lazy())
}

/// Turns a status into an error that names the call.
pub fn refused(what: &str) -> impl FnOnce(Status) -> Error {
    let what = what.to_owned();
    move |status| Error::Refused {
        what,
        code: status.code(),
        message: status.message().to_owned(),
    }
}

/// Copies nothing, names only: a member's write-ahead log folder and backend
/// folder lie under its data directory.
#[must_use]
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
