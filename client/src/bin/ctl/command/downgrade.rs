//! downgrade

use quoin_client::proto::etcdserverpb::DowngradeRequest;
use quoin_client::proto::etcdserverpb::downgrade_request::DowngradeAction;

use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Reply;

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    let (name, action) = match verb {
        "validate" => ("validate", DowngradeAction::Validate),
        "enable" => ("enable", DowngradeAction::Enable),
        _ => ("cancel", DowngradeAction::Cancel),
    };
    let version = match flags.texts().into_iter().next() {
        _ if action == DowngradeAction::Cancel => String::new(),
        Some(version) => version,
        None => return Err(Failure::arguments("TARGET_VERSION not provided")),
    };
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = client
        .downgrade(DowngradeRequest {
            action: action.into(),
            version,
        })
        .await?;
    printer.print(&Reply::Downgrade(name, reply))
}
