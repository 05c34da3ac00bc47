//! Every format against the recorded output of etcdctl.
//!
//! `testdata/ctl/formats.jsonl` has replies as etcdctl 3.7.3 received them,
//! with all its renderings of each. Replies to writes cannot be printed twice
//! unchanged and are spelled out here, with output taken from
//! `testdata/ctl/etcdctl-3.7.3.jsonl`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::Value;

use quoin_client::proto::etcdserverpb as pb;
use quoin_client::proto::etcdserverpb::response_op::Response;
use quoin_client::proto::mvccpb::event::EventType;
use quoin_client::proto::mvccpb::{Event, KeyValue};

use super::*;

fn reply(kind: &str, name: &str, bytes: &[u8]) -> Reply {
    let name = name.to_owned();
    match kind {
        "get" => Reply::Get(pb::RangeResponse::decode(bytes).unwrap()),
        "member_list" => Reply::MemberList(pb::MemberListResponse::decode(bytes).unwrap()),
        "role_get" => Reply::RoleGet(name, pb::AuthRoleGetResponse::decode(bytes).unwrap()),
        "role_list" => Reply::RoleList(pb::AuthRoleListResponse::decode(bytes).unwrap()),
        "user_get" => Reply::UserGet(name, pb::AuthUserGetResponse::decode(bytes).unwrap()),
        "user_list" => Reply::UserList(pb::AuthUserListResponse::decode(bytes).unwrap()),
        "auth_status" => Reply::AuthStatus(pb::AuthStatusResponse::decode(bytes).unwrap()),
        "alarm" => Reply::Alarm(pb::AlarmResponse::decode(bytes).unwrap()),
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn recorded_replies_are_printed_as_by_etcdctl() {
    let recorded = include_str!("../../../../testdata/ctl/formats.jsonl");
    let mut checked_count = 0;
    for line in recorded.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| record[name].as_str();
        let bytes = |name: &str| text(name).map(|text| STANDARD.decode(text).unwrap());
        let encoded = bytes("protobuf").unwrap();
        let reply = reply(text("kind").unwrap(), text("name").unwrap(), &encoded);
        for (name, format) in [
            ("simple", Format::Simple),
            ("json", Format::Json),
            ("fields", Format::Fields),
            ("table", Format::Table),
        ] {
            for hex in [false, true] {
                let name = if hex {
                    format!("{name}_hex")
                } else {
                    name.to_owned()
                };
                let printed = Printer {
                    format,
                    hex,
                    value_only: false,
                }
                .render(&reply)
                .ok();
                let lossy = |bytes: Option<Vec<u8>>| {
                    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                };
                assert_eq!(
                    lossy(printed),
                    lossy(bytes(&name)),
                    "{name} of {}",
                    record["args"]
                );
                checked_count += 1;
            }
        }
        let printer = Printer {
            format: Format::Protobuf,
            hex: false,
            value_only: false,
        };
        assert_eq!(printer.render(&reply).unwrap(), encoded);
    }
    assert!(checked_count > 100, "{checked_count}");
}

fn header() -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader {
        cluster_id: 17,
        member_id: 18,
        revision: 9,
        raft_term: 2,
    })
}

fn pair() -> KeyValue {
    KeyValue {
        key: "foo".into(),
        create_revision: 2,
        mod_revision: 9,
        version: 3,
        value: "bar".into(),
        lease: 0,
    }
}

#[track_caller]
fn check(format: Format, reply: &Reply, expected: &str) {
    let printed = Printer {
        format,
        hex: false,
        value_only: false,
    }
    .render(reply)
    .unwrap();
    assert_eq!(String::from_utf8_lossy(&printed), expected);
}

const HEADER: &str = r#"{"cluster_id":17,"member_id":18,"revision":9,"raft_term":2}"#;
const PAIR: &str =
    r#"{"key":"Zm9v","create_revision":2,"mod_revision":9,"version":3,"value":"YmFy"}"#;

#[test]
fn put_and_delete() {
    let put = Reply::Put(pb::PutResponse {
        header: header(),
        prev_kv: Some(pair()),
    });
    check(Format::Simple, &put, "OK\nfoo\nbar\n");
    check(
        Format::Json,
        &put,
        &format!("{{\"header\":{HEADER},\"prev_kv\":{PAIR}}}\n"),
    );
    let delete = pb::DeleteRangeResponse {
        header: header(),
        deleted: 1,
        prev_kvs: vec![pair()],
    };
    let delete = Reply::Delete(delete);
    check(Format::Simple, &delete, "1\nfoo\nbar\n");
    check(
        Format::Json,
        &delete,
        &format!("{{\"header\":{HEADER},\"deleted\":1,\"prev_kvs\":[{PAIR}]}}\n"),
    );
    check(
        Format::Fields,
        &delete,
        "\"ClusterID\" : 17\n\"MemberID\" : 18\n\"Revision\" : 9\n\"RaftTerm\" : 2\n\
         \"Deleted\" : 1\n\"PrevKey\" : \"foo\"\n\"PrevCreateRevision\" : 2\n\
         \"PrevModRevision\" : 9\n\"PrevVersion\" : 3\n\"PrevValue\" : \"bar\"\n\
         \"PrevLease\" : 0\n",
    );
}

#[test]
fn txn() {
    let inner = Some(pb::ResponseHeader {
        revision: 9,
        ..Default::default()
    });
    let put = Response::ResponsePut(pb::PutResponse {
        header: inner,
        prev_kv: None,
    });
    let range = pb::RangeResponse {
        header: inner,
        kvs: vec![pair()],
        more: false,
        count: 1,
    };
    let responses = [put, Response::ResponseRange(range)].map(|response| pb::ResponseOp {
        response: Some(response),
    });
    let txn = pb::TxnResponse {
        header: header(),
        succeeded: true,
        responses: responses.into(),
    };
    let txn = Reply::Txn(txn);
    check(Format::Simple, &txn, "SUCCESS\n\nOK\n\nfoo\nbar\n");
    let put = r#"{"Response":{"response_put":{"header":{"revision":9}}}}"#;
    let range = format!(
        "{{\"Response\":{{\"response_range\":{{\"header\":{{\"revision\":9}},\
         \"kvs\":[{PAIR}],\"count\":1}}}}}}"
    );
    let expected =
        format!("{{\"header\":{HEADER},\"succeeded\":true,\"responses\":[{put},{range}]}}\n");
    check(Format::Json, &txn, &expected);
}

#[test]
fn watch() {
    let event = Event {
        r#type: EventType::Delete.into(),
        kv: Some(KeyValue {
            key: "foo".into(),
            mod_revision: 9,
            ..Default::default()
        }),
        prev_kv: Some(pair()),
    };
    let reply = WatchReply {
        header: header(),
        events: vec![event],
        ..Default::default()
    };
    let deleted = Reply::Watch(reply);
    check(Format::Simple, &deleted, "DELETE\nfoo\nbar\nfoo\n\n");
    let tail = r#""CompactRevision":0,"Canceled":false,"Created":false,"CancelReason":"""#;
    let event = format!(r#"{{"type":1,"kv":{{"key":"Zm9v","mod_revision":9}},"prev_kv":{PAIR}}}"#);
    let expected = format!("{{\"Header\":{HEADER},\"Events\":[{event}],{tail}}}\n");
    check(Format::Json, &deleted, &expected);
    let progress = Reply::Watch(WatchReply {
        header: header(),
        ..Default::default()
    });
    check(
        Format::Json,
        &progress,
        &format!("{{\"Header\":{HEADER},\"Events\":null,{tail}}}\n"),
    );
}

#[test]
fn leases() {
    let id = 0x0b73_a1fb_774a_735b;
    let grant = pb::LeaseGrantResponse {
        header: header(),
        id,
        ttl: 100,
        ..Default::default()
    };
    let grant = Reply::LeaseGrant(grant);
    check(
        Format::Simple,
        &grant,
        "lease 0b73a1fb774a735b granted with TTL(100s)\n",
    );
    let inline = HEADER.trim_end_matches('}');
    check(
        Format::Json,
        &grant,
        &format!("{inline},\"ID\":{id},\"TTL\":100,\"Error\":\"\"}}\n"),
    );
    let left = pb::LeaseTimeToLiveResponse {
        header: header(),
        id,
        ttl: 99,
        granted_ttl: 100,
        keys: vec!["a".into(), "b".into()],
    };
    let left = Reply::LeaseTimeToLive(left, true);
    check(
        Format::Simple,
        &left,
        "lease 0b73a1fb774a735b granted with TTL(100s), remaining(99s), attached keys([a b])\n",
    );
    let expected = format!(
        "{inline},\"id\":{id},\"ttl\":99,\"granted-ttl\":100,\"keys\":[\"YQ==\",\"Yg==\"]}}\n"
    );
    check(Format::Json, &left, &expected);
    let gone = pb::LeaseTimeToLiveResponse {
        ttl: -1,
        id,
        ..Default::default()
    };
    let gone = Reply::LeaseTimeToLive(gone, false);
    check(
        Format::Simple,
        &gone,
        "lease 0b73a1fb774a735b already expired\n",
    );
}

#[test]
fn endpoints_and_members() {
    let health = |error: &str| Health {
        endpoint: "a:1".to_owned(),
        healthy: error.is_empty(),
        took: "1.5ms".to_owned(),
        error: error.to_owned(),
    };
    let list = Reply::EndpointHealth(vec![health(""), health("down")]);
    check(
        Format::Simple,
        &list,
        "a:1 is healthy: successfully committed proposal: took = 1.5ms\n",
    );
    check(
        Format::Json,
        &list,
        "[{\"endpoint\":\"a:1\",\"health\":true,\"took\":\"1.5ms\"},\
         {\"endpoint\":\"a:1\",\"health\":false,\"took\":\"1.5ms\",\"error\":\"down\"}]\n",
    );
    let member = pb::Member {
        id: 0xab,
        is_learner: true,
        ..Default::default()
    };
    let added = pb::MemberAddResponse {
        header: header(),
        member: Some(member),
        ..Default::default()
    };
    check(
        Format::Simple,
        &Reply::MemberAdd(added),
        "Member               ab added as learner to cluster               11\n",
    );
}

#[test]
fn formats_that_do_not_fit_are_refused_by_name() {
    let reply = Reply::MoveLeader {
        from: 1,
        to: 2,
        reply: Default::default(),
    };
    for (format, name) in [(Format::Fields, "fields"), (Format::Table, "table")] {
        let failure = Printer {
            format,
            hex: false,
            value_only: false,
        }
        .render(&reply)
        .unwrap_err();
        assert_eq!(
            failure.text,
            format!("{name} not supported as output format")
        );
        assert_eq!(failure.status, STATUS_FEATURE);
    }
}
