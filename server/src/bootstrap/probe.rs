//! What health checks and metrics ask of the member.

use crate::{
    base::{task_set::TaskSet, version},
    ops::{Activity, Alarm, Probe, ProbeFuture, Versions},
    proposal::Registry,
    service::Context,
    watch::Hub,
};
use quoin_proto::etcdserverpb::AlarmType;

/// Answers from the services' context.
#[derive(Debug)]
pub(super) struct ServerProbe {
    pub(super) context: Context,
    pub(super) hub: Hub,
    pub(super) registry: Registry,
    /// Everything that runs on the RPC runtime and has a name.
    pub(super) tasks: Vec<TaskSet>,
}

impl Probe for ServerProbe {
    fn has_leader(&self) -> bool {
        self.context.has_leader()
    }

    fn is_learner(&self) -> bool {
        self.context.node.status().is_learner
    }

    fn alarms(&self) -> Vec<Alarm> {
        let kind = |alarm: i32| match AlarmType::try_from(alarm) {
            Ok(AlarmType::Nospace) => Alarm::NoSpace,
            Ok(AlarmType::Corrupt) => Alarm::Corrupt,
            Ok(AlarmType::None) | Err(_) => Alarm::Unknown,
        };
        // What concerns another member alone says nothing of this one.
        let mut alarms: Vec<_> = self.context.alarms.of_cluster();
        if self.context.quarantine.is_active() {
            alarms.push(AlarmType::Corrupt as i32);
        }
        alarms.into_iter().map(kind).collect()
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

    fn activity(&self) -> Activity {
        let named = self.tasks.iter().flat_map(TaskSet::live_by_name);
        let mut tasks: Vec<_> = named
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        let raft_tasks = self.context.node.tasks_count();
        tasks.push(("on the raft thread".to_owned(), count(raft_tasks)));
        let watch = self.hub.metrics();
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        let waiting = self.registry.pending_count();
        Activity {
            tasks,
            counts: vec![
                ("requests in entries not applied yet", count(waiting)),
                ("watch streams", unsigned(watch.streams_count)),
                ("watchers", unsigned(watch.watchers_count)),
                ("watchers behind", unsigned(watch.slow_watchers_count)),
                ("events to be sent", unsigned(watch.pending_events_count)),
            ],
        }
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
