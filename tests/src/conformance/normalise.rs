//! Makes replies of two servers comparable.
//!
//! Only what must differ between any two runs is replaced: ids of members and
//! of the cluster, terms, log indexes, addresses, sizes on disk, the version,
//! the seconds a lease has left. Zero stays absent, so presence is compared.
//! Long lists and long values are cut to a digest, to keep traces readable.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};

use super::expand::Saved;

/// Lists longer than this show their ends and a digest.
const LIST_ITEMS_MAX: usize = 16;

/// Strings longer than this show a digest.
const TEXT_LENGTH_MAX: usize = 200;

/// Normalises a reply of the message type `kind` (its short name).
#[must_use]
pub fn normalise(kind: &str, mut reply: Value, saved: &Saved) -> Value {
    if kind == "LeaseTimeToLiveResponse" {
        time_to_live(&mut reply);
    }
    let mut reply = replace(kind, reply, saved);
    match kind {
        // Nothing may be in use yet, and zero is absent.
        "StatusResponse" => reply["dbSizeInUse"] = Value::from("#size"),
        "LeaseLeasesResponse" => sort(&mut reply, "leases"),
        "LeaseTimeToLiveResponse" => sort(&mut reply, "keys"),
        _ => {}
    }
    shorten(reply)
}

/// The placeholder for a field that differs between servers, if it is one.
fn placeholder(kind: &str, name: &str) -> Option<&'static str> {
    Some(match (kind, name) {
        (_, "cluster_id" | "member_id" | "memberID" | "leader") => "#id",
        (_, "raft_term" | "raftTerm") => "#term",
        (_, "raftIndex" | "raftAppliedIndex") => "#index",
        (_, "dbSize" | "dbSizeInUse") => "#size",
        ("StatusResponse", "version") => "#version",
        ("HashResponse", "hash") => "#hash",
        ("member" | "members", "ID") => "#id",
        ("member" | "members", "peer_urls" | "client_urls") => "#url",
        _ => return None,
    })
}

/// `kind` is the message's name at the top and the field's name below.
fn replace(kind: &str, value: Value, saved: &Saved) -> Value {
    match value {
        Value::Object(object) => {
            let fields = object.into_iter().map(|(name, value)| {
                let value = match placeholder(kind, &name) {
                    Some(text) if !value.is_object() => Value::from(text),
                    _ => replace(&name, saved_name(&name, value, saved), saved),
                };
                (name, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| replace(kind, item, saved))
            .collect(),
        other => other,
    }
}

fn saved_name(field: &str, value: Value, saved: &Saved) -> Value {
    let number = value.as_i64().filter(|_| matches!(field, "ID" | "lease"));
    let name = number.and_then(|number| saved.iter().find(|(_, saved)| **saved == number));
    name.map_or(value, |(name, _)| Value::from(format!("${name}")))
}

/// A remaining time is compared as right or wrong: at most what was granted,
/// and not more than a few seconds less.
fn time_to_live(reply: &mut Value) {
    let granted = reply.get("grantedTTL").and_then(Value::as_i64).unwrap_or(0);
    let left = reply.get("TTL").and_then(Value::as_i64).unwrap_or(0);
    if left > 0
        && (granted - 5..=granted).contains(&left)
        && let Some(field) = reply.get_mut("TTL")
    {
        *field = Value::from("#granted or little less");
    }
}

fn sort(reply: &mut Value, field: &str) {
    if let Some(Value::Array(items)) = reply.get_mut(field) {
        items.sort_by_key(ToString::to_string);
    }
}

fn shorten(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_LENGTH_MAX => Value::from(format!(
            "#{} characters, digest {:016x}",
            text.len(),
            digest(&text)
        )),
        Value::Array(items) if items.len() > LIST_ITEMS_MAX => {
            let digest = digest(&Value::Array(items.clone()).to_string());
            let text = format!("#{} items, digest {digest:016x}", items.len());
            let (first, last) = (items.first().cloned(), items.last().cloned());
            let shown = [first, Some(Value::from(text)), last].into_iter().flatten();
            shown.map(shorten).collect()
        }
        Value::Array(items) => items.into_iter().map(shorten).collect(),
        Value::Object(object) => Value::Object(
            object
                .into_iter()
                .map(|(name, value)| (name, shorten(value)))
                .collect(),
        ),
        other => other,
    }
}

/// Stable over runs: the default hasher with its fixed keys.
fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_must_differ_is_replaced() {
        let saved = Saved::from([("l".to_owned(), 77)]);
        let reply = json!({
            "header": {"cluster_id": 5, "member_id": 6, "revision": 3, "raft_term": 2},
            "kvs": [{"key": "a", "lease": 77, "version": 1}],
        });
        let expected = json!({
            "header": {
                "cluster_id": "#id", "member_id": "#id", "revision": 3, "raft_term": "#term",
            },
            "kvs": [{"key": "a", "lease": "$l", "version": 1}],
        });
        assert_eq!(normalise("RangeResponse", reply, &saved), expected);
        let lease = json!({"ID": 1, "TTL": 99, "grantedTTL": 100, "keys": ["b", "a"]});
        let lease = normalise("LeaseTimeToLiveResponse", lease, &saved);
        assert_eq!(lease["keys"], json!(["a", "b"]));
        assert_ne!(lease["TTL"], json!(99));
    }
}
