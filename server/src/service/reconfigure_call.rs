//! A change of the membership on its way to the leader, and its answer.
//!
//! Call: one byte for the kind of change, one that is 1 if the call was made
//! before and its answer lost, then an `etcdserverpb.Member` that holds what the
//! kind needs. Answer: 0 and an `etcdserverpb.MemberListResponse` without header,
//! or the number of a [`ReconfigurationError`].

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use quoin_proto::etcdserverpb::{Member, MemberListResponse};

use crate::cluster::{Reconfiguration, ReconfigurationError};

const ADD: u8 = 1;
const REMOVE: u8 = 2;
const UPDATE: u8 = 3;
const PROMOTE: u8 = 4;

/// The members after a change, or why it was not made.
pub(crate) type Reconfigured = Result<Vec<Member>, ReconfigurationError>;

/// A change that some member asks the leader for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReconfigureCall {
    /// What is asked for.
    pub(crate) change: Reconfiguration,
    /// An earlier call may have succeeded: what is done already is a success.
    pub(crate) is_repeated: bool,
}

impl ReconfigureCall {
    /// Appends the bytes of the call.
    pub(super) fn encode(&self, buffer: &mut BytesMut) {
        let (kind, member) = match self.change.clone() {
            Reconfiguration::Add {
                id,
                peer_urls,
                is_learner,
            } => {
                let member = Member {
                    id,
                    peer_urls,
                    is_learner,
                    ..Member::default()
                };
                (ADD, member)
            }
            Reconfiguration::Remove(id) => (REMOVE, of(id)),
            Reconfiguration::Update { id, peer_urls } => {
                let member = Member {
                    peer_urls,
                    ..of(id)
                };
                (UPDATE, member)
            }
            Reconfiguration::Promote(id) => (PROMOTE, of(id)),
        };
        buffer.put_u8(kind);
        buffer.put_u8(u8::from(self.is_repeated));
        member.encode_raw(buffer);
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn decode(mut payload: Bytes) -> Result<Self, String> {
        let short = |_error| "change of the membership ends too early".to_owned();
        let kind = payload.try_get_u8().map_err(short)?;
        let is_repeated = payload.try_get_u8().map_err(short)? != 0;
        let member = Member::decode(payload).map_err(|error| error.to_string())?;
        let Member {
            id,
            peer_urls,
            is_learner,
            ..
        } = member;
        let change = match kind {
            ADD => Reconfiguration::Add {
                id,
                peer_urls,
                is_learner,
            },
            REMOVE => Reconfiguration::Remove(id),
            UPDATE => Reconfiguration::Update { id, peer_urls },
            PROMOTE => Reconfiguration::Promote(id),
            other => return Err(format!("change of the membership is of kind {other}")),
        };
        Ok(Self {
            change,
            is_repeated,
        })
    }
}

fn of(id: u64) -> Member {
    Member {
        id,
        ..Member::default()
    }
}

/// The bytes of an answer.
pub(super) fn encode_answer(answer: Reconfigured) -> Bytes {
    let mut buffer = BytesMut::new();
    match answer {
        Ok(members) => {
            buffer.put_u8(0);
            let list = MemberListResponse {
                header: None,
                members,
            };
            list.encode_raw(&mut buffer);
        }
        Err(refused) => buffer.put_u8(refused as u8),
    }
    buffer.freeze()
}

/// # Errors
/// What is wrong with the bytes.
pub(super) fn decode_answer(mut payload: Bytes) -> Result<Reconfigured, String> {
    let number = payload.try_get_u8();
    let number = number.map_err(|_error| "answer of the leader is empty".to_owned())?;
    if number == 0 {
        let list = MemberListResponse::decode(payload).map_err(|error| error.to_string())?;
        return Ok(Ok(list.members));
    }
    ReconfigurationError::from_number(number)
        .map(Err)
        .ok_or_else(|| format!("answer of the leader has the unknown number {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_answers_read_back_as_written() {
        let peer_urls = vec!["http://a:1".to_owned(), "http://b:2".to_owned()];
        let changes = [
            Reconfiguration::Add {
                id: 7,
                peer_urls: peer_urls.clone(),
                is_learner: true,
            },
            Reconfiguration::Remove(u64::MAX),
            Reconfiguration::Update { id: 7, peer_urls },
            Reconfiguration::Promote(0),
        ];
        for (change, is_repeated) in changes.into_iter().zip([false, true, false, true]) {
            let call = ReconfigureCall {
                change,
                is_repeated,
            };
            let mut buffer = BytesMut::new();
            call.encode(&mut buffer);
            assert_eq!(ReconfigureCall::decode(buffer.freeze()), Ok(call));
        }
        for answer in [
            Ok(vec![of(3), of(9)]),
            Err(ReconfigurationError::NotLearner),
        ] {
            let decoded = decode_answer(encode_answer(answer.clone()));
            assert_eq!(decoded, Ok(answer));
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [&b""[..], b"\x01", b"\x09\x00", b"\x01\x00\xff"] {
            assert!(ReconfigureCall::decode(Bytes::from_static(bytes)).is_err());
        }
        assert!(decode_answer(Bytes::new()).is_err());
        assert!(decode_answer(Bytes::from_static(b"\xff")).is_err());
    }
}
