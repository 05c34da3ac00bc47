//! put

use std::io::Read;

use quoin_client::Put;
use quoin_client::proto::etcdserverpb::PutRequest;

use super::lease_id;
use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Reply;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let request = request(flags)?;
    let printer = connect::printer(flags)?;
    let reply = connect::client(flags, Patience::Short)?
        .put(Put::from(request))
        .await?;
    printer.print(&Reply::Put(reply))
}

/// The request that arguments, flags and standard input describe; also an
/// operation of txn.
pub(super) fn request(flags: Flags<'_>) -> Result<PutRequest, Failure> {
    let mut arguments = flags.arguments().into_iter();
    let Some(key) = arguments.next() else {
        return Err(Failure::arguments(NO_VALUE));
    };
    let given = arguments.next();
    let ignore_value = flags.switch("ignore-value")?;
    if ignore_value && given.is_some() {
        let text = "put command needs only 1 argument when 'ignore-value' is set";
        return Err(Failure::arguments(text));
    }
    let value = match (ignore_value, given) {
        (true, _) => Vec::new(),
        (false, Some(value)) => value,
        (false, None) => value_from_stdin()?,
    };
    let lease = lease_id(flags.text("lease")).map_err(|reason| {
        Failure::arguments(format!("bad lease ID ({reason}), expecting ID in Hex"))
    })?;
    Ok(PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        prev_kv: flags.switch("prev-kv")?,
        ignore_value,
        ignore_lease: flags.switch("ignore-lease")?,
    })
}

fn value_from_stdin() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut value);
    match read.is_ok() && !value.is_empty() {
        true => Ok(value),
        false => Err(Failure::arguments(NO_VALUE)),
    }
}

const NO_VALUE: &str = "put command needs 1 argument and input from stdin or 2 arguments";
