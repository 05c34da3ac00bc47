//! Every error a client can see: its gRPC code and its exact text.
//!
//! Clients of etcd recognise errors by their message alone, so the texts are
//! part of the wire format. Source: etcd 3.7 error table, and the two cases
//! in which its server answers `Unknown` where the table says otherwise.
//! Nothing below `service/` names `tonic::Status`; typed errors are turned
//! into one here.

use quoin_raft::ReplaceError;
use tonic::{Code, Status};

use crate::{
    agreement::Divergence,
    cluster::ReconfigurationError,
    mvcc,
    proposal::{ApplyError, Outcome, ProposalError, ReadError},
};

macro_rules! statuses {
    ($($(#[$meta:meta])* $name:ident = $code:ident $text:literal;)*) => {
        $($(#[$meta])* pub(crate) fn $name() -> Status { Status::new(Code::$code, $text) })*

        /// Every fixed text with its code, for the table test.
        #[cfg(test)]
        const TABLE: &[(&str, Code)] = &[$(($text, Code::$code)),*];
    };
}

statuses! {
    /// A request names no key.
    empty_key = InvalidArgument "etcdserver: key is not provided";
    /// An `ignore_*` put on a key that does not exist, or an operation without kind.
    key_not_found = InvalidArgument "etcdserver: key not found";
    /// `ignore_value` together with a value.
    value_provided = InvalidArgument "etcdserver: value is provided";
    /// `ignore_lease` together with a lease.
    lease_provided = InvalidArgument "etcdserver: lease is provided";
    /// More operations than `--max-txn-ops`.
    too_many_operations = InvalidArgument "etcdserver: too many operations in txn request";
    /// The same key is changed twice in one transaction.
    duplicate_key = InvalidArgument "etcdserver: duplicate key given in txn request";
    /// An unknown sort order or target.
    invalid_sort_option = InvalidArgument "etcdserver: invalid sort option";
    /// The client-api-version header is not UTF-8.
    invalid_client_api_version = InvalidArgument "etcdserver: invalid client api version";
    /// The revision asked for was compacted.
    compacted = OutOfRange "etcdserver: mvcc: required revision has been compacted";
    /// The revision asked for does not exist yet.
    future_revision = OutOfRange "etcdserver: mvcc: required revision is a future revision";
    /// The quota is used up.
    no_space = ResourceExhausted "etcdserver: mvcc: database space exceeded";
    /// The CORRUPT alarm is active.
    corrupt = DataLoss "etcdserver: corrupt cluster";
    /// No lease of this id.
    lease_not_found = NotFound "etcdserver: requested lease not found";
    /// A lease of this id exists.
    lease_exists = FailedPrecondition "etcdserver: lease already exists";
    /// The time to live is above the maximum.
    lease_ttl_too_large = OutOfRange "etcdserver: too large lease TTL";
    /// The encoded request is larger than `--max-request-bytes`.
    request_too_large = InvalidArgument "etcdserver: request is too large";
    /// The proposal queue is full. etcd answers `Unknown` here.
    too_many_requests = Unknown "etcdserver: too many requests";
    /// No leader is known, and the request insists on one.
    no_leader = Unavailable "etcdserver: no leader";
    /// The leader changed while a read waited.
    leader_changed = Unavailable "etcdserver: leader changed";
    /// The member is shutting down.
    stopped = Unavailable "etcdserver: server stopped";
    /// The request was not answered in time.
    timed_out = Unavailable "etcdserver: request timed out";
    /// Not answered in time, and a new leader was elected meanwhile.
    timed_out_leader_failure =
        Unavailable "etcdserver: request timed out, possibly due to previous leader failure";
    /// The deadline passed before the proposal reached a leader.
    deadline_exceeded = DeadlineExceeded "context deadline exceeded";
    /// The watch stream was cancelled.
    watch_canceled = Cancelled "etcdserver: watch canceled";
    /// Leadership can be moved by the leader only.
    not_leader = FailedPrecondition "etcdserver: not leader";
    /// The member named cannot lead.
    bad_leader_transferee = FailedPrecondition "etcdserver: bad leader transferee";
    /// Leadership did not move in time.
    leader_transfer_timed_out =
        Unknown "etcdserver: request timed out, leader transfer took too long";
    /// Too few voters have started. etcd answers `Unknown` here.
    not_enough_started =
        Unknown "etcdserver: re-configuration failed due to not enough started members";
    /// Too few voters answer for a change of the membership.
    unhealthy_cluster = Unavailable "etcdserver: unhealthy cluster";
    /// Another member uses one of the peer URLs.
    peer_url_exists = FailedPrecondition "etcdserver: Peer URLs already exists";
    /// Another member has this id.
    member_exists = FailedPrecondition "etcdserver: member ID already exist";
    /// There is no such member.
    member_not_found = NotFound "etcdserver: member not found";
    /// `--max-learners` is reached.
    too_many_learners = FailedPrecondition "etcdserver: too many learner members in cluster";
    /// The member to be promoted is a voter.
    member_not_learner = FailedPrecondition "etcdserver: can only promote a learner member";
    /// The learner to be promoted is too far behind.
    learner_not_ready = FailedPrecondition
        "etcdserver: can only promote a learner member which is in sync with leader";
    /// Peer URLs that are none.
    member_urls_invalid = InvalidArgument "etcdserver: given member URLs are invalid";
    /// What to go back to is not "X.Y" or "X.Y.Z".
    downgrade_version_malformed =
        InvalidArgument "etcdserver: wrong downgrade target version format";
    /// What to go back to is not one minor release below.
    downgrade_version_invalid = InvalidArgument "etcdserver: invalid downgrade target version";
    /// The members have not agreed on a feature level yet.
    cluster_version_unknown =
        FailedPrecondition "etcdserver: cluster version not found during downgrade";
    /// An action that is none of the three. etcd answers `Unknown` here.
    downgrade_action_unknown = Unknown "etcdserver: unknown method";
    /// A learner serves few calls.
    not_supported_for_learner = FailedPrecondition "etcdserver: rpc not supported for learner";
    /// RangeStream answers in key order only.
    range_stream_sort = Unimplemented "RangeStream does not support custom sort orders";
    /// RangeStream takes no revision filters.
    range_stream_filter = Unimplemented "RangeStream does not support revision filters";
    /// A call that ends before its message begins. Source: etcd 3.7.
    message_missing = Unknown "EOF";
    /// A call that ends inside its message. Source: etcd 3.7.
    message_cut_off = Unknown "unexpected EOF";
    /// A message that is not what the method takes. Source: etcd 3.7.
    message_malformed = Internal
        "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data";
    /// The connection or the call was given up by the client.
    client_gone = Cancelled "context canceled";
    /// A snapshot that the client did not take, or that was broken off.
    snapshot_stalled = Aborted "quoin: the snapshot is not complete: \
        nothing of it was taken for too long";
    /// The health service knows the server as a whole only.
    unknown_service = NotFound "unknown service";
}

/// A message larger than the transport takes, in grpc-go's words.
pub(crate) fn message_too_large(found_bytes: usize, max_bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "grpc: received message larger than max ({found_bytes} vs. {max_bytes})"
    ))
}

/// A compressed message, or one with an unknown flag, in grpc-go's words.
pub(crate) fn message_encoding(flag: u8, encoding: Option<&http::HeaderValue>) -> Status {
    let named = encoding.map(|name| String::from_utf8_lossy(name.as_bytes()));
    match (flag, named.as_deref()) {
        (1, None | Some("identity")) => {
            Status::internal("grpc: compressed flag set with identity or empty encoding")
        }
        (1, Some(name)) => Status::unimplemented(format!(
            "grpc: Decompressor is not installed for grpc-encoding {name:?}"
        )),
        _ => Status::internal(format!("grpc: received unexpected payload format {flag}")),
    }
}

/// A request that is not gRPC, in grpc-go's words.
pub(crate) fn content_type(found: &[u8]) -> Status {
    let found = found.escape_ascii();
    Status::invalid_argument(format!("invalid gRPC request content-type \"{found}\""))
}

/// This member's state is wrong, and it knows that.
pub(crate) fn quarantined(divergence: Option<Divergence>) -> Status {
    let since = divergence.map_or(0, |divergence| divergence.differed_index);
    Status::data_loss(format!(
        "quoin: the state of this member differs from that of the other members since log index \
         {since}: ask another member, and run 'quoinctl member repair' for this one"
    ))
}

/// A repair was asked of a member that is not the one meant.
pub(crate) fn other_member(id: u64) -> Status {
    Status::failed_precondition(format!(
        "quoin: this is member {id:x}, not the one to repair"
    ))
}

/// A repair was asked of a member in good order.
pub(crate) fn nothing_to_repair() -> Status {
    Status::failed_precondition(
        "quoin: the state of this member is not known to differ: nothing to repair",
    )
}

/// The state of the leader was not taken over; the old one is still there.
pub(crate) fn not_replaced(error: &ReplaceError) -> Status {
    Status::unavailable(format!("quoin: not repaired: {error}; try again"))
}

/// The state that came from the leader is not its state.
pub(crate) fn repaired_state_differs(index: u64) -> Status {
    Status::data_loss(format!(
        "quoin: the repaired state differs again since log index {index}: replace this member"
    ))
}

/// The state came, and nothing was there to compare it with.
pub(crate) fn repaired_state_not_compared(index: u64) -> Status {
    Status::unavailable(format!(
        "quoin: the new state, of log index {index}, could not be compared with the leader's yet: \
         try again"
    ))
}

/// A method of the API that this server does not offer yet.
pub(crate) fn not_offered(method: &str) -> Status {
    Status::unimplemented(format!("quoin: {method} is not offered by this version"))
}

/// There is no older release that reads what this one keeps.
pub(crate) fn no_release_below(target: &str) -> Status {
    Status::failed_precondition(format!(
        "quoin: no release of Quoin keeps data as {target} does, so there is nothing to go back to; \
         to return to etcd, write its file with `quoinctl export --to-etcd FILE`"
    ))
}

/// This member sends as many snapshots as it may.
pub(crate) fn too_many_snapshots(max: usize) -> Status {
    Status::resource_exhausted(format!(
        "quoin: this member is sending {max} snapshots already; try again later, or ask another one"
    ))
}

/// A failure inside the member that the client can do nothing about.
pub(crate) fn internal(error: &dyn std::error::Error) -> Status {
    Status::internal(format!("quoin: {error}"))
}

/// A command was applied without effect.
pub(crate) fn apply(error: &ApplyError) -> Status {
    match error {
        ApplyError::Compacted => compacted(),
        ApplyError::FutureRevision => future_revision(),
        ApplyError::LeaseNotFound => lease_not_found(),
        ApplyError::LeaseExists => lease_exists(),
        ApplyError::LeaseTtlTooLarge => lease_ttl_too_large(),
        ApplyError::KeyNotFound => key_not_found(),
        ApplyError::NoSpace => no_space(),
        ApplyError::Corrupt => corrupt(),
        ApplyError::Unknown | ApplyError::NotInMemory | ApplyError::Store { .. } => internal(error),
    }
}

/// A proposal has no outcome, or a bad one.
pub(crate) fn proposal(error: &ProposalError) -> Status {
    match error {
        ProposalError::TooLarge { .. } => request_too_large(),
        ProposalError::TooMany => too_many_requests(),
        ProposalError::Apply(error) => apply(error),
        ProposalError::NoLeader => deadline_exceeded(),
        ProposalError::TimedOut {
            leader_changed: true,
        } => timed_out_leader_failure(),
        ProposalError::TimedOut {
            leader_changed: false,
        } => timed_out(),
        ProposalError::Stopped => stopped(),
    }
}

/// The membership was not changed.
pub(crate) fn reconfiguration(error: ReconfigurationError) -> Status {
    match error {
        ReconfigurationError::NotEnoughStarted => not_enough_started(),
        ReconfigurationError::Unhealthy => unhealthy_cluster(),
        ReconfigurationError::UrlInUse => peer_url_exists(),
        ReconfigurationError::NotFound => member_not_found(),
        ReconfigurationError::TooManyLearners => too_many_learners(),
        ReconfigurationError::NotLearner => member_not_learner(),
        ReconfigurationError::LearnerNotReady => learner_not_ready(),
        ReconfigurationError::IdInUse => member_exists(),
    }
}

/// The leader answered another member with bytes that say nothing: a bug, or
/// another version.
pub(crate) fn malformed_answer(reason: String) -> Status {
    Status::internal(format!("quoin: {reason}"))
}

/// A read could not be made linearizable.
pub(crate) fn read(error: ReadError) -> Status {
    match error {
        ReadError::LeaderChanged => leader_changed(),
        ReadError::Stopped => stopped(),
    }
}

/// A read of the store failed.
pub(crate) fn mvcc(error: &mvcc::Error) -> Status {
    match error {
        mvcc::Error::Compacted { .. } => compacted(),
        mvcc::Error::FutureRevision { .. } => future_revision(),
        other => internal(other),
    }
}

/// Apply answered with an outcome of another command: a bug, told as one.
pub(crate) fn unexpected_outcome(outcome: &Outcome) -> Status {
    Status::internal(format!("quoin: outcome of another command: {outcome:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_and_carry_an_error_code() {
        let mut texts: Vec<_> = TABLE.iter().map(|(text, _)| *text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), TABLE.len());
        assert!(TABLE.iter().all(|(_, code)| *code != Code::Ok));
    }
}
