//! move-leader

use quoin_client::proto::etcdserverpb::{MoveLeaderRequest, StatusRequest};

use super::parse_error;
use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Reply;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let [text] = &texts[..] else {
        return Err(Failure::arguments("move-leader command needs 1 argument"));
    };
    let target_id = u64::from_str_radix(text, 16)
        .map_err(|error| Failure::arguments(parse_error("ParseUint", text, &error)))?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    for endpoint in connect::endpoints(flags)? {
        let member = client.with_endpoints([&endpoint])?;
        let status = member.status(StatusRequest {}).await?;
        let id = status.header.map_or(0, |header| header.member_id);
        if id == status.leader {
            let reply = member.move_leader(MoveLeaderRequest { target_id }).await?;
            return printer.print(&Reply::MoveLeader {
                from: id,
                to: target_id,
                reply,
            });
        }
    }
    let asked: Vec<&str> = client.endpoints().collect();
    Err(Failure::arguments(format!(
        "no leader endpoint given at [{}]",
        asked.join(" ")
    )))
}
