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

use quoin_proto::etcdserverpb::RangeRequest;
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
    let started = Instant::now();
    start()?;
    loop {
        match ask(address).await {
            Ok(()) => return Ok(started.elapsed()),
            Err(failure) if started.elapsed() > START_MAX => {
                return Err(Error::Load {
                    what: format!("start of the member at {address}"),
                    problem: failure.to_string(),
                });
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn ask(address: SocketAddr) -> std::result::Result<(), Failure> {
    let request = RangeRequest {
        key: "ready".into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let frame = Frames::default().frame(&request);
    let mut connection = Connection::open(address).await?;
    connection.unary(Call::Range, frame).await.map(|_| ())
}
