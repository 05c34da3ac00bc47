//! Does to a cluster what the plan says, and puts it right again.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use quoin_proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, MoveLeaderRequest, kv_client::KvClient,
    maintenance_client::MaintenanceClient,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    addresses::Addresses,
    fault::{Fault, Planned},
    recorder::Recorder,
    told::Told,
};
use crate::{
    Error, Result,
    cluster::{Cluster, Member},
};

/// How long a call about the cluster may take.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// A fault as it happened.
#[derive(Clone, Debug)]
pub struct Span {
    /// What was done.
    pub fault: Fault,
    /// To whom, in words.
    pub whom: String,
    /// When it began, in nanoseconds of the recorder's clock.
    pub from: u64,
    /// When it was over.
    pub to: u64,
}

/// What puts a fault right.
#[derive(Clone, Debug)]
enum Remedy {
    Nothing,
    Start(Vec<usize>),
    Resume(usize),
    Mend,
}

/// A cluster and what is wrong with it.
#[derive(Debug)]
pub struct Nemesis {
    /// The cluster.
    pub cluster: Cluster,
    recorder: Arc<Recorder>,
    told: Told,
    addresses: Addresses,
    /// Members that are gone for good.
    removed: BTreeSet<usize>,
    /// By position in the plan.
    open: Vec<Option<(Span, Remedy)>>,
    /// Everything that was done.
    pub spans: Vec<Span>,
}

impl Nemesis {
    /// One for `cluster`.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        recorder: Arc<Recorder>,
        told: Told,
        addresses: Addresses,
    ) -> Self {
        Self {
            cluster,
            recorder,
            told,
            addresses,
            removed: BTreeSet::new(),
            open: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Carries a plan out and puts everything right at its end.
    ///
    /// # Errors
    /// A process cannot be started or reached.
    pub async fn run(&mut self, plan: &[Planned]) -> Result<()> {
        let started = Instant::now();
        let mut moments: Vec<(Duration, bool, usize)> = Vec::new();
        for (position, planned) in plan.iter().enumerate() {
            moments.push((planned.from, true, position));
            moments.push((planned.to, false, position));
        }
        moments.sort_unstable();
        self.open = plan.iter().map(|_| None).collect();
        for (at, begins, position) in moments {
            sleep_until(started + at).await;
            match plan.get(position) {
                Some(planned) if begins => self.begin(position, planned).await?,
                _ => self.end(position).await?,
            }
        }
        Ok(())
    }

    async fn begin(&mut self, position: usize, planned: &Planned) -> Result<()> {
        let from = self.recorder.now();
        let (whom, remedy) = self.inject(planned).await?;
        let span = Span {
            fault: planned.fault,
            whom,
            from,
            to: from,
        };
        if let Some(slot) = self.open.get_mut(position) {
            *slot = Some((span, remedy));
        }
        Ok(())
    }

    async fn end(&mut self, position: usize) -> Result<()> {
        let Some((mut span, remedy)) = self.open.get_mut(position).and_then(Option::take) else {
            return Ok(());
        };
        match remedy {
            Remedy::Nothing => {}
            Remedy::Start(members) => {
                for member in members {
                    if !self.removed.contains(&member) {
                        self.cluster.start_member(member)?;
                    }
                }
            }
            Remedy::Resume(member) => {
                // It may have been killed meanwhile.
                if let Ok(process) = self.cluster.process(member) {
                    process.resume()?;
                }
            }
            Remedy::Mend => {
                if let Ok(wires) = self.cluster.wires() {
                    wires.mend();
                }
            }
        }
        span.to = self.recorder.now();
        self.spans.push(span);
        Ok(())
    }

    /// Does it; returns to whom, and how it is put right.
    async fn inject(&mut self, planned: &Planned) -> Result<(String, Remedy)> {
        let running = self.cluster.running();
        let one = running.get(planned.choice % running.len().max(1)).copied();
        let Some(one) = one else {
            return Ok(("nobody".to_owned(), Remedy::Nothing));
        };
        let target = match planned.fault {
            Fault::KillLeader | Fault::PauseLeader | Fault::IsolateLeader => {
                self.leader().await.unwrap_or(one)
            }
            _ => one,
        };
        let whom = format!("m{target}");
        let remedy = match planned.fault {
            Fault::Kill | Fault::KillLeader => {
                self.cluster.kill(target)?;
                Remedy::Start(vec![target])
            }
            Fault::KillAll => {
                self.cluster.kill_all()?;
                return Ok(("all".to_owned(), Remedy::Start(running)));
            }
            Fault::Terminate => {
                // One that is paused would never end.
                self.cluster.process(target)?.resume()?;
                self.cluster.terminate(target).await?;
                Remedy::Start(vec![target])
            }
            Fault::Pause | Fault::PauseLeader => {
                self.cluster.process(target)?.pause()?;
                Remedy::Resume(target)
            }
            Fault::Isolate | Fault::IsolateLeader => {
                if let Ok(wires) = self.cluster.wires() {
                    wires.isolate(target, running.iter().copied());
                }
                Remedy::Mend
            }
            Fault::Bridge => {
                let other = running.iter().copied().find(|other| *other != target);
                if let (Ok(wires), Some(other)) = (self.cluster.wires(), other) {
                    wires.cut(target, other);
                }
                Remedy::Mend
            }
            Fault::MoveLeader => return Ok((self.move_leader(target).await, Remedy::Nothing)),
            Fault::Compact => return Ok((self.compact(target).await, Remedy::Nothing)),
            Fault::Defragment => return Ok((self.defragment(&running).await, Remedy::Nothing)),
            Fault::Replace => return Ok((self.replace(target).await, Remedy::Nothing)),
        };
        Ok((whom, remedy))
    }

    /// Waits until every member that is not gone serves.
    ///
    /// # Errors
    /// One has ended, or does not serve in time.
    pub async fn recovered(&mut self, within: Duration) -> Result<()> {
        let members: Vec<usize> = self.cluster.running();
        let members = members
            .into_iter()
            .filter(|member| !self.removed.contains(member));
        for member in members.collect::<Vec<_>>() {
            let ready = timeout(within, self.cluster.wait_member_ready(member));
            let late = |_elapsed| Error::Timeout {
                what: format!("m{member} to serve after the faults"),
                waited: within,
                seen: "no answer".to_owned(),
            };
            ready.await.map_err(late)??;
        }
        Ok(())
    }

    /// Names and logs of all members.
    #[must_use]
    pub fn logs(&self) -> Vec<(String, String)> {
        let members = 0..self.cluster.members_count();
        let members = members.filter_map(|member| self.cluster.member(member).ok());
        let log = |member: &Member| {
            let log = fs::read(&member.log).unwrap_or_default();
            (
                member.name.clone(),
                String::from_utf8_lossy(&log).into_owned(),
            )
        };
        members.map(log).collect()
    }

    /// Client URLs of all members that are not gone.
    fn serving(&self) -> Vec<String> {
        let members = 0..self.cluster.members_count();
        let members = members.filter(|member| !self.removed.contains(member));
        members.map(|member| self.cluster.url(member)).collect()
    }

    /// The leader, as somebody who answers names it.
    async fn leader(&self) -> Option<usize> {
        let mut ids = Vec::new();
        let mut leader = 0;
        for position in self.cluster.running() {
            let status = timeout(Duration::from_millis(300), self.cluster.status(position));
            if let Ok(Ok(status)) = status.await {
                ids.push((position, status.header.map_or(0, |header| header.member_id)));
                leader = if status.leader == 0 {
                    leader
                } else {
                    status.leader
                };
            }
        }
        let found = ids.into_iter().find(|(_, id)| *id == leader && leader != 0);
        found.map(|(position, _)| position)
    }

    async fn move_leader(&self, to: usize) -> String {
        let Some(leader) = self.leader().await else {
            return "no leader".to_owned();
        };
        let call = async {
            let target_id = self.cluster.status(to).await?.header;
            let target_id = target_id.map_or(0, |header| header.member_id);
            let mut client = MaintenanceClient::new(self.cluster.channel(leader)?);
            let moved = client.move_leader(MoveLeaderRequest { target_id }).await;
            moved.map_err(crate::cluster::refused("move-leader"))
        };
        match timeout(CALL_DEADLINE, call).await {
            Ok(Ok(_)) => format!("m{leader} to m{to}"),
            _ => format!("m{leader} to m{to}, refused"),
        }
    }

    async fn compact(&self, through: usize) -> String {
        let revision = self.told.by_all();
        let call = async {
            let mut client = KvClient::new(self.cluster.channel(through)?);
            let request = CompactionRequest {
                revision,
                physical: false,
            };
            client
                .compact(request)
                .await
                .map_err(crate::cluster::refused("compact"))
        };
        match timeout(CALL_DEADLINE, call).await {
            Ok(Ok(_)) => format!("at {revision}"),
            _ => format!("at {revision}, refused"),
        }
    }

    async fn defragment(&self, members: &[usize]) -> String {
        let mut done_count = 0;
        for member in members {
            let call = async {
                let mut client = MaintenanceClient::new(self.cluster.channel(*member)?);
                let done = client.defragment(DefragmentRequest {}).await;
                done.map_err(crate::cluster::refused("defragment"))
            };
            let done = timeout(CALL_DEADLINE, call).await;
            done_count += usize::from(matches!(done, Ok(Ok(_))));
        }
        format!("{done_count} of {}", members.len())
    }

    /// Removes a member and adds one. Whatever is refused is left as it is: a
    /// cluster that is not healthy refuses, and must.
    async fn replace(&mut self, gone: usize) -> String {
        let running = self.cluster.running();
        let Some(through) = running.into_iter().find(|other| *other != gone) else {
            return "nobody".to_owned();
        };
        let removed = timeout(CALL_DEADLINE, self.cluster.remove_member(through, gone)).await;
        if !matches!(removed, Ok(Ok(_))) {
            return format!("m{gone}, refused");
        }
        let _ended = self.cluster.kill(gone);
        self.removed.insert(gone);
        match timeout(CALL_DEADLINE, self.cluster.add_member(through, false)).await {
            Ok(Ok(added)) => match self.cluster.start_member(added) {
                Ok(()) => {
                    self.addresses.set(self.serving());
                    format!("m{gone} by m{added}")
                }
                Err(error) => format!("m{gone} by m{added}: {error}"),
            },
            _ => format!("m{gone} by nobody"),
        }
    }
}
