//! member

use quoin_client::proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
};
use quoin_client::proto::quoinrepairpb::RepairRequest;

use super::{get, member_id};
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_ERROR};
use crate::flags::Flags;
use crate::output::{Format, Reply, quote};

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    match verb {
        "add" => add(flags).await,
        "list" => list(flags).await,
        "repair" => repair(flags).await,
        _ => change(verb, flags).await,
    }
}

async fn list(flags: Flags<'_>) -> Result<(), Failure> {
    let linearizable = !get::serializable(flags.text("consistency"))?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = client
        .member_list(MemberListRequest { linearizable })
        .await?;
    printer.print(&Reply::MemberList(reply))
}

async fn add(flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let name = match &texts[..] {
        [] => return Err(Failure::arguments("member name not provided")),
        [name] => name,
        many => {
            let urls = many
                .iter()
                .filter(|text| text.to_lowercase().starts_with("http"));
            let hints: String = urls
                .map(|url| format!(", did you mean --peer-urls={url}"))
                .collect();
            return Err(Failure::arguments(format!("too many arguments{hints}")));
        }
    };
    let peer_urls = peer_urls(flags)?;
    let is_learner = flags.switch("learner")?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = client
        .member_add(MemberAddRequest {
            peer_urls,
            is_learner,
        })
        .await?;
    printer.print(&Reply::MemberAdd(reply.clone()))?;
    match printer.format {
        Format::Simple => print_start_settings(name, flags.text("peer-urls"), &reply),
        _ => Ok(()),
    }
}

/// What the new member has to be started with.
fn print_start_settings(
    name: &str,
    peer_urls: &str,
    reply: &MemberAddResponse,
) -> Result<(), Failure> {
    let id = reply.member.as_ref().map(|member| member.id);
    let mut cluster = Vec::new();
    for member in &reply.members {
        let name = if Some(member.id) == id {
            name
        } else {
            &member.name
        };
        cluster.extend(member.peer_urls.iter().map(|url| format!("{name}={url}")));
    }
    let text = format!(
        "\nETCD_NAME={}\nETCD_INITIAL_CLUSTER={}\nETCD_INITIAL_ADVERTISE_PEER_URLS={}\n\
         ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
        quote(name.as_bytes()),
        quote(cluster.join(",").as_bytes()),
        quote(peer_urls.as_bytes()),
    );
    crate::output::write(text.as_bytes())
}

/// Asks that very member: only it can replace its own state.
async fn repair(flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let [text] = &texts[..] else {
        return Err(Failure::arguments("member ID is not provided"));
    };
    let member_id = member_id(text)?;
    let printer = connect::printer(flags)?;
    // As long as its state takes to travel.
    let client = connect::client(flags, Patience::Endless)?;
    // A member that is to be repaired answers this one too.
    let linearizable = false;
    let list = client
        .member_list(MemberListRequest { linearizable })
        .await?;
    let member = list.members.iter().find(|member| member.id == member_id);
    let member = member
        .ok_or_else(|| Failure::new(STATUS_ERROR, format!("member {member_id:x} is not found")))?;
    if member.client_urls.is_empty() {
        let text = format!("member {member_id:x} has published no client URLs");
        return Err(Failure::new(STATUS_ERROR, text));
    }
    let client = client.with_endpoints(member.client_urls.iter().cloned())?;
    let reply = client.repair(RepairRequest { member_id }).await?;
    let text = format!(
        "Member {member_id:x} repaired: its state had differed since log index {}, and is equal to \
         the leader's at {}",
        reply.differed_index, reply.verified_index
    );
    let header = reply.header;
    printer.print(&Reply::Done { text, header })
}

/// remove, update, promote: their replies are the same but for their names.
async fn change(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let [text] = &texts[..] else {
        return Err(Failure::arguments("member ID is not provided"));
    };
    let id = member_id(text)?;
    let peer_urls = if verb == "update" {
        peer_urls(flags)?
    } else {
        Vec::new()
    };
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let (change, header, members) = match verb {
        "remove" => {
            let reply = client.member_remove(MemberRemoveRequest { id }).await?;
            ("removed from", reply.header, reply.members)
        }
        "update" => {
            let reply = client
                .member_update(MemberUpdateRequest { id, peer_urls })
                .await?;
            ("updated in", reply.header, reply.members)
        }
        _ => {
            let reply = client.member_promote(MemberPromoteRequest { id }).await?;
            ("promoted in", reply.header, reply.members)
        }
    };
    let reply = MemberListResponse { header, members };
    printer.print(&Reply::MemberChange { id, change, reply })
}

fn peer_urls(flags: Flags<'_>) -> Result<Vec<String>, Failure> {
    match flags.text("peer-urls") {
        "" => Err(Failure::arguments("member peer urls not provided")),
        text => Ok(text.split(',').map(str::to_owned).collect()),
    }
}
