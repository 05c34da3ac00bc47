//! lease

use quoin_client::Error;
use quoin_client::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
};

use super::{lease_id, parse_error};
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_CONNECTION};
use crate::flags::Flags;
use crate::output::{Format, Reply};

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    match verb {
        "grant" => grant(flags).await,
        "revoke" => revoke(flags).await,
        "timetolive" => time_to_live(flags).await,
        "list" => list(flags).await,
        _ => keep_alive(flags).await,
    }
}

async fn grant(flags: Flags<'_>) -> Result<(), Failure> {
    let text = one(flags, "lease grant command needs TTL argument")?;
    let ttl: i64 = text.parse().map_err(|error| {
        Failure::arguments(format!(
            "bad TTL ({})",
            parse_error("ParseInt", &text, &error)
        ))
    })?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = client.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await;
    let reply = reply.map_err(|error| Failure::within("failed to grant lease", &error))?;
    printer.print(&Reply::LeaseGrant(reply))
}

async fn revoke(flags: Flags<'_>) -> Result<(), Failure> {
    let id = id(&one(flags, "lease revoke command needs 1 argument")?)?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = client.lease_revoke(LeaseRevokeRequest { id }).await;
    let reply = reply.map_err(|error| Failure::within("failed to revoke lease", &error))?;
    printer.print(&Reply::Done {
        text: format!("lease {id:016x} revoked"),
        header: reply.header,
    })
}

async fn time_to_live(flags: Flags<'_>) -> Result<(), Failure> {
    let id = id(&one(
        flags,
        "lease timetolive command needs lease ID as argument",
    )?)?;
    let keys = flags.switch("keys")?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let reply = client
        .lease_time_to_live(LeaseTimeToLiveRequest { id, keys })
        .await;
    printer.print(&Reply::LeaseTimeToLive(reply.map_err(connection)?, keys))
}

async fn list(flags: Flags<'_>) -> Result<(), Failure> {
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let reply = client
        .leases(LeaseLeasesRequest {})
        .await
        .map_err(connection)?;
    printer.print(&Reply::Leases(reply))
}

async fn keep_alive(flags: Flags<'_>) -> Result<(), Failure> {
    let id = id(&one(
        flags,
        "lease keep-alive command needs lease ID as argument",
    )?)?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    if flags.switch("once")? {
        let reply = client.keep_alive_once(id).await.map_err(connection)?;
        return printer.print(&Reply::LeaseKeepAlive(reply));
    }
    match client.keep_alive(id).await {
        Ok(mut keeper) => {
            while let Some(reply) = keeper.renewed().await {
                printer.print(&Reply::LeaseKeepAlive(reply))?;
            }
        }
        Err(Error::LeaseExpired { .. }) => {}
        Err(error) => return Err(connection(error)),
    }
    match printer.format {
        Format::Simple => {
            crate::output::write(format!("lease {id:016x} expired or revoked.\n").as_bytes())
        }
        _ => Ok(()),
    }
}

fn one(flags: Flags<'_>, complaint: &str) -> Result<String, Failure> {
    match <[String; 1]>::try_from(flags.texts()) {
        Ok([text]) => Ok(text),
        Err(_) => Err(Failure::arguments(complaint)),
    }
}

fn id(text: &str) -> Result<i64, Failure> {
    lease_id(text).map_err(|reason| {
        Failure::arguments(format!("bad lease ID arg ({reason}), expecting ID in Hex"))
    })
}

fn connection(error: Error) -> Failure {
    Failure::from(error).with_status(STATUS_CONNECTION)
}
