//! Writes a few keys, reads them back, and changes one only if it is still as
//! read.
//!
//! `cargo run -p quoin-client --example put_get -- 127.0.0.1:2379`

use std::error::Error;

use quoin_client::proto::etcdserverpb::compare::CompareResult;
use quoin_client::{Client, Compare, Config, Delete, Get, Put, Txn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let client = Client::new(Config::new([endpoint]))?;

    for (name, age) in [("ada", "36"), ("alan", "41"), ("grace", "85")] {
        client.put(Put::new(format!("example/{name}"), age)).await?;
    }
    let reply = client.get(Get::prefix("example/")).await?;
    for pair in &reply.kvs {
        show(&pair.key, &pair.value);
    }

    let key = "example/alan";
    let read = client.get(Get::key(key)).await?;
    let revision = read.kvs.first().map_or(0, |pair| pair.mod_revision);
    let change = Txn::new()
        .when(Compare::mod_revision(key, CompareResult::Equal, revision))
        .then(Put::new(key, "42"))
        .otherwise(Get::key(key));
    let changed = client.txn(change).await?.succeeded;
    print(&format!("changed {key}: {changed}"));

    let deleted = client.delete(Delete::prefix("example/")).await?.deleted;
    print(&format!("deleted {deleted} keys"));
    Ok(())
}

fn show(key: &[u8], value: &[u8]) {
    print(&format!(
        "{} = {}",
        String::from_utf8_lossy(key),
        String::from_utf8_lossy(value)
    ));
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn print(line: &str) {
    println!("{line}");
}
