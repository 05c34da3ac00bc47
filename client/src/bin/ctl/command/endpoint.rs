//! endpoint

use std::time::Instant;

use quoin_client::proto::etcdserverpb::alarm_request::AlarmAction;
use quoin_client::proto::etcdserverpb::{
    AlarmRequest, AlarmType, HashKvRequest, MemberListRequest, StatusRequest,
};
use quoin_client::{Client, Config, Get, ServerErrorKind};

use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_ERROR, describe};
use crate::flags::Flags;
use crate::output::{Format, Health, Reply, duration};

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    match verb {
        "health" => health(flags).await,
        "status" => status(flags).await,
        _ => hash_kv(flags).await,
    }
}

/// The endpoints to ask one by one: those given, or those of all members.
pub(super) async fn endpoints(flags: Flags<'_>) -> Result<Vec<String>, Failure> {
    if !flags.switch("cluster")? {
        return connect::endpoints(flags);
    }
    let client = connect::client(flags, Patience::Short)?;
    let reply = client
        .member_list(MemberListRequest { linearizable: true })
        .await;
    let reply = reply.map_err(|error| {
        let words = describe(&error);
        let text = format!("failed to fetch endpoints from etcd cluster member list: {words}");
        Failure::new(STATUS_ERROR, text)
    })?;
    Ok(reply
        .members
        .into_iter()
        .flat_map(|member| member.client_urls)
        .collect())
}

async fn health(flags: Flags<'_>) -> Result<(), Failure> {
    let printer = connect::printer(flags)?;
    let config = connect::config(flags, Patience::Short)?;
    let asked = endpoints(flags)
        .await?
        .into_iter()
        .map(|endpoint| check(&config, endpoint));
    let list = futures_util::future::join_all(asked).await;
    let unhealthy = list.iter().any(|health| !health.error.is_empty());
    if printer.format == Format::Simple {
        for health in list.iter().filter(|health| !health.error.is_empty()) {
            crate::complain(&format!(
                "{} is unhealthy: failed to commit proposal: {}",
                health.endpoint, health.error
            ));
        }
    }
    printer.print(&Reply::EndpointHealth(list))?;
    match unhealthy {
        true => Err(Failure::new(STATUS_ERROR, "unhealthy cluster")),
        false => Ok(()),
    }
}

/// Healthy is who reads through the leader and has no alarm.
async fn check(config: &Config, endpoint: String) -> Health {
    let config = Config {
        endpoints: vec![endpoint.clone()],
        ..config.clone()
    };
    let client = match Client::new(config) {
        Ok(client) => client,
        Err(error) => {
            let error = error.to_string();
            return Health {
                endpoint,
                healthy: false,
                took: String::new(),
                error,
            };
        }
    };
    let started_at = Instant::now();
    let read = client.get(Get::key("health")).await;
    let took = duration(started_at.elapsed());
    let error = match read {
        Ok(_) => alarms(&client).await,
        Err(error) if error.server_kind() == Some(ServerErrorKind::PermissionDenied) => {
            alarms(&client).await
        }
        Err(error) => describe(&error),
    };
    Health {
        endpoint,
        healthy: error.is_empty(),
        took,
        error,
    }
}

/// What the alarms say against a member; empty if there are none.
async fn alarms(client: &Client) -> String {
    let request = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    match client.alarm(request).await {
        Ok(reply) if reply.alarms.is_empty() => String::new(),
        Ok(reply) => {
            let names = reply.alarms.iter().map(|alarm| match alarm.alarm() {
                AlarmType::Nospace => "NOSPACE ",
                AlarmType::Corrupt => "CORRUPT ",
                AlarmType::None => "UNKNOWN ",
            });
            format!("Active Alarm(s): {}", names.collect::<String>())
        }
        Err(_) => "Unable to fetch the alarm list".to_owned(),
    }
}

async fn status(flags: Flags<'_>) -> Result<(), Failure> {
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let mut list = Vec::new();
    let mut failed = false;
    for endpoint in endpoints(flags).await? {
        match client
            .with_endpoints([&endpoint])?
            .status(StatusRequest {})
            .await
        {
            Ok(reply) => list.push((endpoint, reply)),
            Err(error) => {
                failed = true;
                let words = describe(&error);
                let text = format!("Failed to get the status of endpoint {endpoint} ({words})");
                crate::complain(&text);
            }
        }
    }
    printer.print(&Reply::EndpointStatus(list))?;
    match failed {
        true => Err(Failure::new(STATUS_ERROR, "")),
        false => Ok(()),
    }
}

async fn hash_kv(flags: Flags<'_>) -> Result<(), Failure> {
    let revision = flags.integer("rev")?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let mut list = Vec::new();
    let mut failure = None;
    for endpoint in endpoints(flags).await? {
        match client
            .with_endpoints([&endpoint])?
            .hash_kv(HashKvRequest { revision })
            .await
        {
            Ok(reply) => list.push((endpoint, reply)),
            Err(error) => {
                let words = describe(&error);
                let text = format!("Failed to get the hash of endpoint {endpoint} ({words})");
                crate::complain(&text);
                failure = Some(Failure::from(error));
            }
        }
    }
    printer.print(&Reply::EndpointHashKv(list))?;
    failure.map_or(Ok(()), Err)
}
