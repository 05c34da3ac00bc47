//! What the original etcd is filled with.

use quoin_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest, lease_client::LeaseClient, request_op::Request as Operation,
};
use tonic::Code;

use super::{facts::Access, tools::Tools};
use crate::{
    Error, Result,
    cluster::{Cluster, refused},
};

/// Password of root.
pub(super) const ROOT_PASSWORD: &str = "rootpw";
const READER_PASSWORD: &str = "readerpw";
/// Revisions that [`more`] makes.
pub(super) const MORE_REVISIONS: i64 = 200;

/// Transactions of the first round, and puts in each.
const ROUNDS: usize = 110;
const PUTS: usize = 1000;
/// Changes after that, one revision each.
const CHANGES: usize = 6000;
const LEASES: i64 = 20;

fn put(key: String, value: Vec<u8>, lease: i64) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..PutRequest::default()
    }
}

fn delete(key: String, range_end: String) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        prev_kv: false,
    }
}

fn operation(request: Operation) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

async fn transaction(access: &Access, operations: Vec<Operation>) -> Result<()> {
    let request = TxnRequest {
        success: operations.into_iter().map(operation).collect(),
        ..TxnRequest::default()
    };
    let reply = access.kv().txn(access.request(request)).await;
    reply.map(drop).map_err(refused("txn"))
}

/// Puts, overwrites, deletes of keys and ranges, transactions with many changes, a
/// compaction in the middle, leases with and without keys, values from empty to
/// larger than many pages.
pub(super) async fn history(access: &Access) -> Result<()> {
    let mut leases = LeaseClient::new(access.channel.clone());
    for id in 1..=LEASES {
        let request = LeaseGrantRequest {
            id: id * 7919,
            ttl: 3600 + id,
        };
        leases
            .lease_grant(request)
            .await
            .map_err(refused("lease grant"))?;
    }
    for round in 0..ROUNDS {
        let puts = (0..PUTS).map(|at| {
            let key = format!("bulk/{:06}", round * PUTS + at);
            let lease = if at % 500 == 0 {
                (round as i64 % 9 + 1) * 7919
            } else {
                0
            };
            Operation::RequestPut(put(key, vec![at as u8; at % 60], lease))
        });
        transaction(access, puts.collect()).await?;
    }
    for change in 0..CHANGES {
        one_change(access, change).await?;
        if change == CHANGES / 2 {
            compact(access).await?;
        }
    }
    for bytes in [0, 4096, 100_000, 1_000_000] {
        let request = put(format!("large/{bytes}"), vec![b'x'; bytes], 0);
        access.kv().put(request).await.map_err(refused("put"))?;
    }
    Ok(())
}

async fn one_change(access: &Access, change: usize) -> Result<()> {
    let bulk = |at: usize| format!("bulk/{:06}", at * 7 % (ROUNDS * PUTS));
    match change % 6 {
        0 | 1 => {
            let request = put(bulk(change), format!("again {change}").into(), 0);
            access.kv().put(request).await.map_err(refused("put"))?;
        }
        2 => {
            // From one lease to another, and to none.
            let lease = (change as i64 % 4) * 7919;
            let request = put(format!("leased/{}", change % 40), vec![1], lease);
            access.kv().put(request).await.map_err(refused("put"))?;
        }
        3 => {
            let request = delete(bulk(change), String::new());
            access
                .kv()
                .delete_range(request)
                .await
                .map_err(refused("delete"))?;
        }
        4 => {
            let first = bulk(change);
            let request = delete(first.clone(), format!("{first}~"));
            let put = put(format!("txn/{}", change % 100), vec![2; 30], 0);
            let other = self::put(format!("txn/once/{change}"), vec![3; 10], 0);
            let operations = vec![
                Operation::RequestPut(put),
                Operation::RequestDeleteRange(request),
                Operation::RequestPut(other),
            ];
            transaction(access, operations).await?;
        }
        _ => {
            // A life that ends and begins again.
            let key = format!("reborn/{}", change % 12);
            let request = delete(key.clone(), String::new());
            access
                .kv()
                .delete_range(request)
                .await
                .map_err(refused("delete"))?;
            access
                .kv()
                .put(put(key, vec![4], 0))
                .await
                .map_err(refused("put"))?;
        }
    }
    Ok(())
}

async fn compact(access: &Access) -> Result<()> {
    let reply = access
        .kv()
        .range(RangeRequest {
            key: "x".into(),
            ..Default::default()
        })
        .await;
    let header = reply.map_err(refused("range"))?.into_inner().header;
    let request = CompactionRequest {
        revision: header.map_or(0, |header| header.revision) - 1000,
        physical: true,
    };
    access
        .kv()
        .compact(request)
        .await
        .map(drop)
        .map_err(refused("compact"))
}

/// Further changes, in the imported store.
pub(super) async fn more(access: &Access) -> Result<()> {
    for change in 0..MORE_REVISIONS {
        let request = put(format!("more/{}", change % 30), vec![5; 200], 7919);
        access.kv().put(request).await.map_err(refused("put"))?;
    }
    Ok(())
}

/// Users, roles and permissions; then authentication is on.
pub(super) fn users(tools: &Tools, endpoints: &[String]) -> Result<()> {
    let root = format!("root:{ROOT_PASSWORD}");
    let reader = format!("reader:{READER_PASSWORD}");
    let lines: [&[&str]; 11] = [
        &["user", "add", &root],
        &["role", "add", "root"],
        &["user", "grant-role", "root", "root"],
        &["user", "add", &reader],
        &["user", "add", "nobody", "--no-password"],
        &["role", "add", "txn-reader"],
        &[
            "role",
            "grant-permission",
            "txn-reader",
            "read",
            "txn/",
            "--prefix",
        ],
        &[
            "role",
            "grant-permission",
            "txn-reader",
            "readwrite",
            "large/0",
        ],
        &["role", "add", "empty"],
        &["user", "grant-role", "reader", "txn-reader"],
        &["user", "grant-role", "reader", "empty"],
    ];
    for line in lines {
        tools.ctl(endpoints, line)?;
    }
    tools.ctl(endpoints, &["auth", "enable"]).map(drop)
}

/// Whether a server enforces what [`users`] set up.
pub(super) async fn check_auth(cluster: &Cluster) -> Result<()> {
    let reader = Access::open(cluster, 0)?
        .sign_in("reader", READER_PASSWORD)
        .await?;
    let nobody = Access::open(cluster, 0)?;
    let cases = [
        (&reader, "txn/4", Code::Ok),
        (&reader, "bulk/000001", Code::PermissionDenied),
        (&nobody, "txn/4", Code::InvalidArgument),
    ];
    for (access, key, expected) in cases {
        let request = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        let reply = access.kv().range(access.request(request)).await;
        let found = reply.map_or_else(|status| status.code(), |_| Code::Ok);
        if found != expected {
            return Err(Error::malformed(
                key,
                format!("{found:?} instead of {expected:?}"),
            ));
        }
    }
    Ok(())
}
