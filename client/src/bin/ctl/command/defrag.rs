//! defrag

use std::time::Instant;

use quoin_client::proto::etcdserverpb::DefragmentRequest;

use super::endpoint;
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_ERROR, describe};
use crate::flags::Flags;
use crate::output::duration;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let client = connect::client(flags, Patience::Short)?;
    let mut failed = false;
    for endpoint in endpoint::endpoints(flags).await? {
        let started_at = Instant::now();
        let result = client
            .with_endpoints([&endpoint])?
            .defragment(DefragmentRequest {})
            .await;
        let took = duration(started_at.elapsed());
        match result {
            Ok(_) => {
                let text = format!("Finished defragmenting etcd member[{endpoint}]. took {took}\n");
                crate::output::write(text.as_bytes())?;
            }
            Err(error) => {
                failed = true;
                let words = describe(&error);
                crate::complain(&format!(
                    "Failed to defragment etcd member[{endpoint}]. took {took}. ({words})"
                ));
            }
        }
    }
    match failed {
        true => Err(Failure::new(STATUS_ERROR, "")),
        false => Ok(()),
    }
}
