//! What health checks and metrics ask of the member.

use crate::{
    base::version,
    ops::{Alarm, Probe, ProbeFuture, Versions},
    service::Context,
};
use quoin_proto::etcdserverpb::AlarmType;

/// Answers from the services' context.
#[derive(Debug)]
pub(super) struct ServerProbe {
    context: Context,
}

impl ServerProbe {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Probe for ServerProbe {
    fn has_leader(&self) -> bool {
        self.context.has_leader()
    }

    fn is_learner(&self) -> bool {
        self.context.node.status().is_learner
    }

    fn alarms(&self) -> Vec<Alarm> {
        let active = self.context.alarms.list(AlarmType::None as i32);
        let kind = |alarm: i32| match AlarmType::try_from(alarm) {
            Ok(AlarmType::Nospace) => Alarm::NoSpace,
            Ok(AlarmType::Corrupt) => Alarm::Corrupt,
            Ok(AlarmType::None) | Err(_) => Alarm::Unknown,
        };
        active.iter().map(|alarm| kind(alarm.alarm)).collect()
    }

    fn linearizable_read(&self) -> ProbeFuture<'_> {
        Box::pin(async {
            self.context
                .linearize()
                .await
                .map_err(|status| status.message().to_owned())
        })
    }

    fn serializable_read(&self) -> ProbeFuture<'_> {
        let read = self.context.store.read();
        Box::pin(async move {
            read.key_value(b"\0", 0)
                .map(|_pair| ())
                .map_err(|error| error.to_string())
        })
    }

    fn versions(&self) -> Versions {
        Versions {
            server: version::ETCD.to_owned(),
            cluster: self.context.cluster.version(),
            storage: Some(version::STORAGE.to_owned()),
        }
    }
}
