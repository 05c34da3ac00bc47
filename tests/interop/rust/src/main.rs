//! Runs the crate etcd-client against the endpoints in ENDPOINTS.

use std::{env, error::Error, time::Duration};

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, EventType, GetOptions, LockOptions, PutOptions,
    SortOrder, SortTarget, Txn, TxnOp, WatchOptions,
};
use tokio::time::timeout;
use tokio_stream::StreamExt;

type Outcome = Result<(), Box<dyn Error>>;

async fn kv(one: &mut Client, other: &mut Client) -> Outcome {
    one.put("rs/a", "1", None).await?;
    one.put("rs/b", "2", None).await?;
    let reply = other.get("rs/a", None).await?;
    assert_eq!(reply.kvs()[0].value_str()?, "1");
    let sorted = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Key, SortOrder::Descend)
        .with_limit(1);
    let reply = other.get("rs/", Some(sorted)).await?;
    assert_eq!((reply.kvs()[0].key_str()?, reply.more(), reply.count()), ("rs/b", true, 2));
    let previous = PutOptions::new().with_prev_key();
    let reply = one.put("rs/a", "3", Some(previous)).await?;
    assert_eq!(reply.prev_key().ok_or("no previous pair")?.value_str()?, "1");
    let all = DeleteOptions::new().with_prefix().with_prev_key();
    let reply = one.delete("rs/", Some(all)).await?;
    assert_eq!((reply.deleted(), reply.prev_kvs().len()), (2, 2));
    Ok(())
}

async fn txn(one: &mut Client, other: &mut Client) -> Outcome {
    let create = Txn::new()
        .when([Compare::create_revision("rs/txn", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("rs/txn", "new", None)])
        .or_else([TxnOp::get("rs/txn", None)]);
    assert!(one.txn(create.clone()).await?.succeeded());
    let reply = other.txn(create).await?;
    assert!(!reply.succeeded());
    assert_eq!(reply.op_responses().len(), 1);
    let nested = Txn::new().and_then([
        TxnOp::txn(Txn::new().and_then([TxnOp::put("rs/nested", "1", None)])),
        TxnOp::put("rs/txn", "newer", None),
    ]);
    assert!(one.txn(nested).await?.succeeded());
    assert_eq!(other.get("rs/nested", None).await?.kvs().len(), 1);
    let twice = [TxnOp::put("rs/txn", "1", None), TxnOp::put("rs/txn", "2", None)];
    let refused = one.txn(Txn::new().and_then(twice)).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("duplicate key")));
    Ok(())
}

async fn watch(one: &mut Client, other: &mut Client) -> Outcome {
    let options = WatchOptions::new().with_prefix().with_prev_key();
    let mut stream = one.watch("rs/watch/", Some(options)).await?;
    other.put("rs/watch/1", "a", None).await?;
    other.put("rs/watch/1", "b", None).await?;
    other.delete("rs/watch/1", None).await?;
    let (mut seen, mut id) = (Vec::new(), 0);
    while seen.len() < 3 {
        let message = stream.next().await.ok_or("the stream ended")??;
        id = message.watch_id();
        for event in message.events() {
            let pair = event.kv().ok_or("no pair")?;
            seen.push((event.event_type(), pair.value_str()?.to_owned()));
        }
    }
    let expected = [(EventType::Put, "a"), (EventType::Put, "b"), (EventType::Delete, "")];
    assert_eq!(seen, expected.map(|(kind, value)| (kind, value.to_owned())));
    stream.cancel(id).await?;
    let from = WatchOptions::new().with_start_revision(1);
    let mut stream = other.watch("rs/txn", Some(from)).await?;
    let message = loop {
        let message = stream.next().await.ok_or("the stream ended")??;
        if !message.events().is_empty() {
            break message;
        }
    };
    assert_eq!(message.events()[0].kv().ok_or("no pair")?.value_str()?, "new");
    Ok(())
}

async fn lease(one: &mut Client, other: &mut Client) -> Outcome {
    let id = one.lease_grant(60, None).await?.id();
    other.put("rs/lease", "kept", Some(PutOptions::new().with_lease(id))).await?;
    let (mut keeper, mut replies) = one.lease_keep_alive(id).await?;
    keeper.keep_alive().await?;
    assert_eq!(replies.next().await.ok_or("no renewal")??.ttl(), 60);
    let left = other.lease_time_to_live(id, None).await?;
    assert!(left.ttl() > 50 && left.granted_ttl() == 60);
    one.lease_revoke(id).await?;
    assert!(other.get("rs/lease", None).await?.kvs().is_empty());
    assert_eq!(other.lease_time_to_live(id, None).await?.ttl(), -1);
    let id = one.lease_grant(2, None).await?.id();
    let mut stream = other.watch("rs/short", None).await?;
    one.put("rs/short", "1", Some(PutOptions::new().with_lease(id))).await?;
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let next = timeout(Duration::from_secs(15), stream.next()).await?;
        let message = next.ok_or("the stream ended")??;
        kinds.extend(message.events().iter().map(|event| event.event_type()));
    }
    assert_eq!(kinds, [EventType::Put, EventType::Delete]);
    Ok(())
}

/// The server-side lock service; only with LOCK=1, as it is optional.
async fn lock(one: &mut Client, other: &mut Client) -> Outcome {
    let id = one.lease_grant(10, None).await?.id();
    let held = one.lock("rs/lock", Some(LockOptions::new().with_lease(id))).await?;
    let second = timeout(Duration::from_millis(300), other.lock("rs/lock", None)).await;
    assert!(second.is_err(), "two hold the same lock");
    one.unlock(held.key()).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let urls = env::var("ENDPOINTS")?;
    let urls: Vec<_> = urls.split(',').collect();
    let mut one = Client::connect(&urls, None).await?;
    let mut other = Client::connect(&urls[urls.len() - 1..], None).await?;
    kv(&mut one, &mut other).await?;
    println!("ok kv");
    txn(&mut one, &mut other).await?;
    println!("ok txn");
    watch(&mut one, &mut other).await?;
    println!("ok watch");
    lease(&mut one, &mut other).await?;
    println!("ok lease");
    if env::var_os("LOCK").is_some() {
        lock(&mut one, &mut other).await?;
        println!("ok lock");
    }
    Ok(())
}
