//! Follows all keys with a prefix: first as they are, then every change, with
//! nothing missed between the two.
//!
//! `cargo run -p quoin-client --example watch_prefix -- 127.0.0.1:2379 config/`

use std::error::Error;

use quoin_client::{Client, Config, Error as ClientError, Get, Watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let prefix = arguments.next().unwrap_or_default();
    let client = Client::new(Config::new([endpoint]))?;
    // Ends only if compaction overtakes it: then the state is read anew.
    while follow(&client, &prefix).await? {}
    Ok(())
}

/// Returns whether to start again.
async fn follow(client: &Client, prefix: &str) -> Result<bool, ClientError> {
    let state = client.get(Get::prefix(prefix.to_owned())).await?;
    for pair in &state.kvs {
        show("is", &pair.key, &pair.value);
    }
    let revision = state.header.map_or(0, |header| header.revision);
    let watch = Watch::prefix(prefix.to_owned()).start_revision(revision + 1);
    let mut watcher = client.watch(watch).await?;
    while let Some(response) = watcher.next().await {
        let response = match response {
            Err(ClientError::Compacted { .. }) => return Ok(true),
            other => other?,
        };
        for event in response.events {
            let kind = event.r#type().as_str_name();
            let pair = event.kv.unwrap_or_default();
            show(kind, &pair.key, &pair.value);
        }
    }
    Ok(false)
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn show(what: &str, key: &[u8], value: &[u8]) {
    println!(
        "{what} {} = {}",
        String::from_utf8_lossy(key),
        String::from_utf8_lossy(value)
    );
}
