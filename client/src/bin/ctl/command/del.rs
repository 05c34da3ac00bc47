//! del

use std::time::Duration;

use quoin_client::Delete;
use quoin_client::proto::etcdserverpb::DeleteRangeRequest;

use super::{get, range};
use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::{Reply, quote};

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let request = request(flags)?;
    let arguments = flags.arguments();
    if let [start, end] = &arguments[..]
        && !flags.switch("range")?
    {
        warn(start, end).await;
    }
    let printer = connect::printer(flags)?;
    let reply = connect::client(flags, Patience::Short)?
        .delete(Delete::from(request))
        .await?;
    printer.print(&Reply::Delete(reply))
}

/// Time for second thoughts before a whole range goes.
async fn warn(start: &[u8], end: &[u8]) {
    crate::complain(&format!(
        "Warning: Keys between {} and {} will be deleted. Please interrupt the command within next \
         2 seconds to cancel. You can provide `--range` flag to avoid the delay.",
        quote(start),
        quote(end)
    ));
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// The request that arguments and flags describe; also an operation of txn.
pub(super) fn request(flags: Flags<'_>) -> Result<DeleteRangeRequest, Failure> {
    let arguments = flags.arguments();
    let (key, end) = match &arguments[..] {
        [key] => (key.clone(), None),
        [key, end] => (key.clone(), Some(end.clone())),
        _ => {
            let text =
                "del command needs one argument as key and an optional argument as range_end";
            return Err(Failure::arguments(text));
        }
    };
    let (prefix, from_key) = (flags.switch("prefix")?, flags.switch("from-key")?);
    get::exclusive(prefix && from_key, "prefix", "from-key")?;
    if end.is_some() && (prefix || from_key) {
        let text =
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
        return Err(Failure::arguments(text));
    }
    let (key, range_end) = range(key, end, prefix, from_key);
    Ok(DeleteRangeRequest {
        key,
        range_end,
        prev_kv: flags.switch("prev-kv")?,
    })
}
