//! Stored bytes stay readable: golden encodings, and arbitrary bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::impls::leader_id_std::LeaderId;
use proptest::prelude::*;

use crate::log_store::entry_codec::{
    CodecError, checked_body, decode_committed, decode_membership, decode_stored_membership,
    decode_vote, encode_committed, encode_membership, encode_stored_membership, encode_vote,
};
use crate::types::{Membership, PeerNode, StoredMembership, Vote, log_id};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn membership() -> Membership {
    let node = |name: &str, is_learner| PeerNode {
        name: name.into(),
        peer_urls: [format!("http://{name}:2380")].into(),
        is_learner,
    };
    let nodes = BTreeMap::from([(1, node("a", false)), (2, node("b", true))]);
    Membership::new(vec![BTreeSet::from([1])], nodes).unwrap()
}

#[test]
fn the_encoding_of_a_membership_is_fixed() {
    let golden = "01010001000100000000000000020001000000000000000001006101000d00687474703a2f2f613a\
                  3233383002000000000000000101006201000d00687474703a2f2f623a32333830";
    let encoded = encode_membership(&membership());
    assert_eq!(hex(&encoded), golden);
    assert_eq!(decode_membership(&encoded), Ok(membership()));
}

#[test]
fn the_encoding_of_hard_state_is_fixed() {
    let vote = Vote {
        leader_id: LeaderId {
            term: 5,
            voted_for: 0x0102,
        },
        committed: true,
    };
    let encoded = encode_vote(&vote);
    assert_eq!(hex(&encoded), "010105000000000000000201000000000000");
    assert_eq!(decode_vote(&encoded), Ok(vote));

    let encoded = encode_committed(Some(&log_id(5, 9)));
    assert_eq!(hex(&encoded), "010105000000000000000900000000000000");
    assert_eq!(decode_committed(&encoded), Ok(Some(log_id(5, 9))));
    assert_eq!(decode_committed(&encode_committed(None)), Ok(None));
}

#[test]
fn a_stored_membership_keeps_its_log_id() {
    for stored in [
        StoredMembership::new(Some(log_id(1, 0)), membership()),
        StoredMembership::default(),
    ] {
        let encoded = encode_stored_membership(&stored);
        assert_eq!(decode_stored_membership(&encoded), Ok(stored));
    }
}

#[test]
fn unknown_versions_tags_and_trailing_bytes_are_refused() {
    let mut encoded = encode_membership(&membership()).to_vec();
    encoded.push(0);
    assert_eq!(
        decode_membership(&encoded.clone().into()),
        Err(CodecError::Trailing(1))
    );
    encoded.pop();
    encoded[0] = 9;
    assert!(matches!(
        decode_membership(&encoded.into()),
        Err(CodecError::Unknown { .. })
    ));
    assert!(checked_body(7, Bytes::new()).is_err());
    assert!(checked_body(2, Bytes::from_static(b"junk")).is_err());
    assert!(checked_body(1, Bytes::from_static(b"junk")).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = decode_membership(&bytes);
        let _ = decode_stored_membership(&bytes);
        let _ = decode_vote(&bytes);
        let _ = decode_committed(&bytes);
    }

    #[test]
    fn every_truncation_of_a_membership_is_refused(length in 0_usize..72) {
        let encoded = encode_membership(&membership());
        prop_assume!(length < encoded.len());
        prop_assert!(decode_membership(&encoded.slice(..length)).is_err());
    }
}
