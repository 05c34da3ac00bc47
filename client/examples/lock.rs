//! Does something that only one process in the cluster may do at a time.
//!
//! Start it twice: the second one waits for the first.
//! `cargo run -p quoin-client --example lock -- 127.0.0.1:2379`

use std::error::Error;
use std::time::Duration;

use quoin_client::recipe::Mutex;
use quoin_client::{Client, Config, Put, Txn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let client = Client::new(Config::new([endpoint]))?;

    // The lease says that we are alive; it is renewed as long as the keeper is.
    let lease = client.grant(Duration::from_secs(10)).await?;
    let mut keeper = client.keep_alive(lease).await?;

    print("waiting for the lock");
    let guard = Mutex::new(&client, "example-lock", lease).lock().await?;
    print(&format!(
        "have the lock: {}",
        String::from_utf8_lossy(guard.key())
    ));

    tokio::select! {
        // Whoever paused for too long has lost the lock without knowing. A
        // write guarded by it is refused then.
        written = client.txn(
            Txn::new().when(guard.is_held()).then(Put::new("example-locked", "mine")),
        ) => print(&format!("wrote under the lock: {}", written?.succeeded)),
        reason = keeper.lost() => print(&format!("lost the lock: {reason}")),
    }

    guard.unlock().await?;
    client.revoke(lease).await?;
    print("released");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn print(line: &str) {
    println!("{line}");
}
