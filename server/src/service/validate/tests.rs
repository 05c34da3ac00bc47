//! What requests are refused for, rule by rule.

use quoin_proto::etcdserverpb::{Compare, RequestOp};

use super::*;

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn put_op(key: &'static str) -> RequestOp {
    op(Request::RequestPut(PutRequest {
        key: key.into(),
        ..Default::default()
    }))
}

fn delete_op(key: &'static str, range_end: &'static str) -> RequestOp {
    let delete = DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        ..Default::default()
    };
    op(Request::RequestDeleteRange(delete))
}

fn txn_op(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(TxnRequest {
        compare: Vec::new(),
        success,
        failure,
    }))
}

fn check(success: Vec<RequestOp>) -> Result<(), String> {
    let request = TxnRequest {
        success,
        ..Default::default()
    };
    txn(&request, 128).map_err(|status| status.message().to_owned())
}

fn duplicate() -> Result<(), String> {
    Err("etcdserver: duplicate key given in txn request".to_owned())
}

#[test]
fn a_key_put_twice_is_a_duplicate() {
    assert_eq!(check(vec![put_op("a"), put_op("b")]), Ok(()));
    assert_eq!(check(vec![put_op("a"), put_op("a")]), duplicate());
    assert_eq!(
        check(vec![put_op("a"), txn_op(vec![put_op("a")], vec![])]),
        duplicate()
    );
    assert_eq!(
        check(vec![txn_op(vec![put_op("a")], vec![]), put_op("a")]),
        duplicate()
    );
}

#[test]
fn both_branches_of_one_nested_transaction_may_put_a_key() {
    assert_eq!(
        check(vec![txn_op(vec![put_op("a")], vec![put_op("a")])]),
        Ok(())
    );
    let twice = vec![
        txn_op(vec![put_op("a")], vec![]),
        txn_op(vec![], vec![put_op("a")]),
    ];
    assert_eq!(check(twice), duplicate());
}

#[test]
fn a_put_inside_a_deleted_range_is_a_duplicate() {
    assert_eq!(check(vec![delete_op("a", "c"), put_op("b")]), duplicate());
    assert_eq!(check(vec![put_op("b"), delete_op("a", "c")]), duplicate());
    assert_eq!(check(vec![delete_op("a", "c"), put_op("c")]), Ok(()));
    assert_eq!(check(vec![delete_op("a", ""), put_op("b")]), Ok(()));
    assert_eq!(
        check(vec![delete_op("a", "c"), delete_op("b", "d")]),
        Ok(())
    );
}

#[test]
fn a_deletion_without_end_is_compared_to_the_letter() {
    assert_eq!(check(vec![delete_op("a", "\0"), put_op("b")]), Ok(()));
}

#[test]
fn a_deletion_in_a_later_nested_transaction_escapes() {
    let put_then_delete = vec![
        txn_op(vec![put_op("a")], vec![]),
        txn_op(vec![delete_op("a", "")], vec![]),
    ];
    assert_eq!(check(put_then_delete), Ok(()));
    let delete_then_put = vec![
        txn_op(vec![delete_op("a", "")], vec![]),
        txn_op(vec![put_op("a")], vec![]),
    ];
    assert_eq!(check(delete_then_put), duplicate());
}

#[test]
fn a_nested_transaction_gets_what_its_parent_left() {
    let keys: Vec<&'static str> = (0..100).map(|i| &*format!("n{i}").leak()).collect();
    let child = |count: usize| txn_op(keys[..count].iter().map(|k| put_op(k)).collect(), vec![]);
    let mut parent: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|p| (0..7).map(move |i| format!("{p}{i}")))
        .collect();
    let parent: Vec<_> = parent.drain(..).map(|key| put_op(key.leak())).collect();
    let with = |count| [parent.clone(), vec![child(count)]].concat();
    assert_eq!(with(1).len(), 29);
    assert_eq!(check(with(99)), Ok(()));
    let error = check(with(100)).unwrap_err();
    assert_eq!(error, "etcdserver: too many operations in txn request");
}

#[test]
fn parts_are_checked_like_requests_of_their_own() {
    let empty = TxnRequest {
        compare: vec![Compare::default()],
        ..Default::default()
    };
    assert_eq!(
        txn(&empty, 128).unwrap_err().message(),
        "etcdserver: key is not provided"
    );
    assert_eq!(
        check(vec![RequestOp { request: None }]).unwrap_err(),
        "etcdserver: key not found"
    );
    let range = RangeRequest {
        key: "a".into(),
        sort_order: 9,
        ..Default::default()
    };
    assert_eq!(
        check(vec![op(Request::RequestRange(range))]).unwrap_err(),
        "etcdserver: invalid sort option"
    );
}

#[test]
fn a_transaction_without_operations_is_serializable() {
    assert!(is_read_only(&TxnRequest::default()));
    assert!(is_serializable(&TxnRequest::default()));
    let nested = TxnRequest {
        success: vec![txn_op(vec![], vec![])],
        ..Default::default()
    };
    assert!(!is_read_only(&nested));
}

#[test]
fn peer_urls_are_sorted_and_bounded() {
    let urls = |ports: std::ops::Range<u32>| -> Vec<String> {
        ports.map(|port| format!("http://a:{port}")).collect()
    };
    let mut two = urls(1..3);
    two.reverse();
    assert_eq!(peer_urls(&two).unwrap(), urls(1..3));
    assert!(peer_urls(&urls(100..164)).is_ok());
    let long = vec![format!("http://{}:1", "a".repeat(16 << 10))];
    for refused in [Vec::new(), vec!["a:1".to_owned()], urls(100..165), long] {
        let status = peer_urls(&refused).unwrap_err();
        assert_eq!(
            status.message(),
            "etcdserver: given member URLs are invalid"
        );
    }
}
