//! How soon a member on an empty directory answers, and what it holds idle.
//!
//! The clock starts before the process is made and stops when a linearizable
//! read is answered, which needs a leader: so an election, if there is one, is
//! in it. The member is asked every millisecond.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use prost::Message;
use quoin_proto::etcdserverpb::{RangeRequest, RangeResponse};
use quoin_tests::cluster::{Cluster, Options};

use crate::{
    Error, Result,
    connection::{Call, Connection, Failure, Frames},
    usage::Usage,
};

/// When a start counts as failed.
const START_MAX: Duration = Duration::from_secs(60);

/// Rest before idle memory is read: start-up work is over by then.
const IDLE: Duration = Duration::from_secs(2);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// One start of a member.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// From before the process was made to the first answer.
    pub ready: Duration,
    /// Resident memory after a rest without requests.
    pub idle_bytes: u64,
}

/// Starts one member of `binary` on an empty directory.
///
/// # Errors
/// It does not start or does not answer in time.
pub async fn start(binary: &Path) -> Result<Start> {
    let options = Options::new(1).binary(Some(binary.to_owned()));
    let mut cluster = Cluster::prepare(options)?;
    let port = cluster.member(0)?.client_port;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ready = answered(address, || Ok(cluster.start_all()?)).await?;
    tokio::time::sleep(IDLE).await;
    let idle_bytes = Usage::of(cluster.process(0)?.id())?.resident_bytes;
    Ok(Start { ready, idle_bytes })
}

/// How long it takes from before `start` until the member at `address` answers
/// a linearizable read.
///
/// # Errors
/// It does not start or does not answer in time.
pub async fn answered(address: SocketAddr, start: impl FnOnce() -> Result<()>) -> Result<Duration> {
    until(address, start, async || ask(address, false).await.ok()).await
}

/// How long it takes from before `start` until the member at `address` itself
/// holds `revision`: a serializable read says so.
///
/// # Errors
/// It does not start or does not catch up in time.
pub async fn caught_up(
    address: SocketAddr,
    revision: i64,
    start: impl FnOnce() -> Result<()>,
) -> Result<Duration> {
    let holds = async || {
        let held = ask(address, true).await.ok()?;
        (held >= revision).then_some(held)
    };
    until(address, start, holds).await
}

/// The newest revision, by a linearizable read of the member at `address`.
///
/// # Errors
/// It does not answer.
pub async fn revision(address: SocketAddr) -> Result<i64> {
    let asked = ask(address, false).await;
    asked.map_err(|failure| failed(address, failure.to_string()))
}

/// The time from before `start` until `look` sees what it looks for.
async fn until(
    address: SocketAddr,
    start: impl FnOnce() -> Result<()>,
    mut look: impl AsyncFnMut() -> Option<i64>,
) -> Result<Duration> {
    let started = Instant::now();
    start()?;
    let seen = async {
        while look().await.is_none() {
            tokio::time::sleep(LOOK).await;
        }
        started.elapsed()
    };
    // A member that accepts connections and never answers must not hold up the rest.
    let seen = tokio::time::timeout(START_MAX, seen).await;
    seen.map_err(|_elapsed| failed(address, format!("no answer within {START_MAX:?}")))
}

fn failed(address: SocketAddr, problem: String) -> Error {
    Error::Load {
        what: format!("start of the member at {address}"),
        problem,
    }
}

/// The revision that the member at `address` answers with.
async fn ask(address: SocketAddr, serializable: bool) -> std::result::Result<i64, Failure> {
    let request = RangeRequest {
        key: "ready".into(),
        count_only: true,
        serializable,
        ..RangeRequest::default()
    };
    let frame = Frames::default().frame(&request);
    let mut connection = Connection::open(address).await?;
    let reply = connection.unary(Call::Range, frame).await?;
    let reply = RangeResponse::decode(reply);
    let reply = reply.map_err(|error| Failure::Transport(error.to_string()))?;
    Ok(reply.header.map_or(0, |header| header.revision))
}
