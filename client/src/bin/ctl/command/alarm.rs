//! alarm

use quoin_client::Client;
use quoin_client::proto::etcdserverpb::alarm_request::AlarmAction;
use quoin_client::proto::etcdserverpb::{AlarmRequest, AlarmResponse};

use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Reply;

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    if !flags.arguments().is_empty() {
        return Err(Failure::arguments(format!(
            "alarm {verb} command accepts no arguments"
        )));
    }
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = match verb {
        "disarm" => disarm(&client).await?,
        _ => list(&client).await?,
    };
    printer.print(&Reply::Alarm(reply))
}

async fn list(client: &Client) -> Result<AlarmResponse, Failure> {
    let request = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    Ok(client.alarm(request).await?)
}

/// Lowers every alarm that is raised; the reply has no header of its own.
async fn disarm(client: &Client) -> Result<AlarmResponse, Failure> {
    let mut disarmed = AlarmResponse::default();
    for alarm in list(client).await?.alarms {
        let action = AlarmAction::Deactivate.into();
        let request = AlarmRequest {
            action,
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        disarmed.alarms.extend(client.alarm(request).await?.alarms);
    }
    Ok(disarmed)
}
