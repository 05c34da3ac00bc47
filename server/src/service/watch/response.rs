//! What clients are told on a watch stream.

use quoin_proto::raw::WatchResponse;
use tonic::{Code, Status};

use crate::watch::{Body, Refusal, Response};

use super::service::MakeHeader;

/// The message for a response.
pub(super) fn message(response: Response, header: &MakeHeader) -> WatchResponse {
    let mut message = WatchResponse {
        header: Some(header(response.revision)),
        watch_id: response.watch_id,
        ..WatchResponse::default()
    };
    match response.body {
        Body::Created => message.created = true,
        Body::Refused(refusal) => {
            message.created = true;
            message.canceled = true;
            message.cancel_reason = reason(refusal);
        }
        Body::Canceled => message.canceled = true,
        Body::Compacted { compact_revision } => {
            message.canceled = true;
            message.compact_revision = compact_revision;
        }
        Body::Progress => {}
        Body::Events { events, fragment } => {
            message.events = events;
            message.fragment = fragment;
        }
    }
    message
}

/// The reason of a creation that was not permitted: a status in the form in
/// which Go prints one.
pub(super) fn denial(status: &Status) -> Refusal {
    let code = match status.code() {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        other => format!("{other:?}"),
    };
    Refusal::Denied(format!(
        "rpc error: code = {code} desc = {}",
        status.message()
    ))
}

fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::StartCompacted => {
            "etcdserver: mvcc: required revision has been compacted".to_owned()
        }
        Refusal::EmptyRange => "mvcc: watcher range is empty".to_owned(),
        Refusal::DuplicateId => "mvcc: duplicate watch ID provided on the WatchStream".to_owned(),
        Refusal::Denied(reason) => reason,
    }
}
