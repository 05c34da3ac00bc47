//! Requests and answers out and in again, and arbitrary bytes.

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::impls::leader_id_std::LeaderId;
use openraft::raft::{
    StreamAppendError, TransferLeaderError, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use proptest::prelude::*;

use crate::rpc::{
    AppendRequest, Forwarded, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply,
    decode_append, decode_append_result, decode_text, decode_transfer, decode_transfer_response,
    decode_vote_request, decode_vote_response, encode_append, encode_append_result,
    encode_transfer, encode_transfer_response, encode_vote_request, encode_vote_response,
};
use crate::types::{Entry, EntryBody, SnapshotMeta, Tag, Vote, log_id};

fn vote() -> Vote {
    Vote {
        leader_id: LeaderId {
            term: 7,
            voted_for: 3,
        },
        committed: true,
    }
}

fn joined(head: &Bytes, body: &[Bytes]) -> Bytes {
    [std::slice::from_ref(head), body].concat().concat().into()
}

#[test]
fn an_append_request_arrives_whole() {
    let body = |length: usize| EntryBody::new(Tag::Normal, vec![5; length].into());
    let blank = EntryBody::new(Tag::Blank, Bytes::new());
    for prev in [None, Some(log_id(6, 41))] {
        let first = prev.map_or(0, |id| id.index + 1);
        let entries = vec![
            Entry::new(log_id(7, first), body(10)),
            Entry::new(log_id(7, first + 1), blank.clone()),
            Entry::new(log_id(7, first + 2), body(3000)),
        ];
        let request = AppendRequest {
            vote: vote(),
            prev_log_id: prev,
            entries: entries.clone(),
            leader_commit: Some(log_id(6, 40)),
        };
        let (head, body) = encode_append(&request);
        assert_eq!(body.len(), 2, "payloads are parts of their own");
        let decoded = decode_append(joined(&head, &body)).unwrap();
        assert_eq!((decoded.vote, decoded.prev_log_id), (request.vote, prev));
        assert_eq!(
            (decoded.entries, decoded.leader_commit),
            (entries, request.leader_commit)
        );
    }
}

#[test]
fn answers_arrive_whole() {
    let results = [
        Ok(None),
        Ok(Some(log_id(1, 2))),
        Err(StreamAppendError::Conflict(log_id(3, 4))),
        Err(StreamAppendError::HigherVote(vote())),
    ];
    for result in results {
        assert_eq!(
            decode_append_result(encode_append_result(&result)),
            Ok(result)
        );
    }
    let forwarded = [
        Forwarded::Done(Bytes::from_static(b"x")),
        Forwarded::Refused("no".into()),
        Forwarded::Failed("oh".into()),
    ];
    for answer in forwarded {
        assert_eq!(Forwarded::decode(answer.encode()), Ok(answer));
    }
    let replies = [
        SnapshotReply::Accepted(0),
        SnapshotReply::Accepted(7),
        SnapshotReply::Written(9),
        SnapshotReply::Done(vote()),
        SnapshotReply::Rejected("full".into()),
    ];
    for reply in replies {
        assert_eq!(SnapshotReply::decode(reply.encode()), Ok(reply));
    }
    let responses = [
        Ok(()),
        Err(TransferLeaderError::VoteChanged {
            expected: vote(),
            actual: vote(),
        }),
        Err(TransferLeaderError::LogNotFlushed {
            expected: None,
            actual: Some(log_id(1, 1)),
        }),
    ];
    for response in responses {
        assert_eq!(
            decode_transfer_response(encode_transfer_response(&response)),
            Ok(response)
        );
    }
}

#[test]
fn votes_and_transfers_arrive_whole() {
    let mut request = VoteRequest::new(vote(), Some(log_id(1, 5)));
    request.leadership_transfer = true;
    assert_eq!(
        decode_vote_request(encode_vote_request(&request)),
        Ok(request)
    );
    let response = VoteResponse::new(vote(), None, true);
    assert_eq!(
        decode_vote_response(encode_vote_response(&response)),
        Ok(response)
    );
    let transfer = TransferLeaderRequest::new(vote(), 8, Some(log_id(2, 2)));
    assert_eq!(decode_transfer(encode_transfer(&transfer)), Ok(transfer));
    let begin = SnapshotBegin {
        vote: vote(),
        id: 17,
        meta: SnapshotMeta::default(),
    };
    assert_eq!(SnapshotBegin::decode(begin.encode()), Ok(begin));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let _ = decode_append(bytes.clone());
        let _ = decode_append_result(bytes.clone());
        let _ = decode_vote_request(bytes.clone());
        let _ = decode_vote_response(bytes.clone());
        let _ = decode_transfer(bytes.clone());
        let _ = decode_transfer_response(bytes.clone());
        let _ = Forwarded::decode(bytes.clone());
        let _ = SnapshotBegin::decode(bytes.clone());
        let _ = SnapshotChunk::decode(bytes.clone());
        let _ = SnapshotEnd::decode(bytes.clone());
        let _ = SnapshotReply::decode(bytes.clone());
        let _ = decode_text(bytes);
    }
}
