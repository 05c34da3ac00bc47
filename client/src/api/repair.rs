//! Repair of a member whose state is wrong. Quoin only: etcd answers
//! `Unimplemented`.

use quoin_proto::quoinrepairpb::repair_client::RepairClient;
use quoin_proto::quoinrepairpb::{RepairRequest, RepairResponse};

use super::call::{calls, send};

calls! { RepairClient:
    /// Replaces the state of the member that is asked by the leader's. The member
    /// named in the request has to be that one.
    IfNotExecuted repair = repair(RepairRequest) -> RepairResponse;
}
