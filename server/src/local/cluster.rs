//! All members: started together, waited for, stopped together.

use std::time::{Duration, Instant};

use futures_util::future::select_all;

use super::LocalError;
use super::demonstration::{Clients, answers};
use super::member::Member;
use super::paint::Paint;
use super::settings::Plan;

/// The running members.
#[derive(Debug)]
pub(crate) struct Cluster {
    plan: Plan,
    members: Vec<Member>,
}

impl Cluster {
    /// Starts every member; those started before a failure end with this value.
    pub(crate) fn start(plan: Plan) -> Result<Self, LocalError> {
        let initial_cluster = plan.initial_cluster();
        let members = plan
            .members
            .iter()
            .map(|member| Member::start(member, &initial_cluster));
        Ok(Self {
            members: members.collect::<Result<_, _>>()?,
            plan,
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Waits until every member answers a linearizable read.
    pub(crate) async fn wait_ready(
        &mut self,
        say: &mut dyn FnMut(&str),
        paint: Paint,
    ) -> Result<(), LocalError> {
        let began = Instant::now();
        let plan = self.plan.clone();
        let all_answer = async {
            for member in &plan.members {
                let clients = Clients::to(&member.client_url)?;
                while !answers(&clients).await {
                    tokio::time::sleep(POLL_PAUSE).await;
                }
            }
            Ok(())
        };
        tokio::select! {
            result = tokio::time::timeout(READY_PATIENCE, all_answer) => match result {
                Ok(result) => result?,
                Err(_) => return Err(LocalError(format!(
                    "the members did not become ready within {READY_PATIENCE:?}; see their logs"
                ))),
            },
            error = self.wait_for_a_death() => return error,
        }
        let took = began.elapsed().as_millis();
        say(&format!("\n  {} in {took} ms\n", paint.green("ready")));
        Ok(())
    }

    /// Resolves, with an error, when any member ends by itself.
    pub(crate) async fn wait_for_a_death(&mut self) -> Result<(), LocalError> {
        let ends = self
            .members
            .iter_mut()
            .map(|member| Box::pin(member.ended()));
        let (error, ..) = select_all(ends).await;
        Err(error)
    }

    /// Stops all members, in parallel.
    pub(crate) async fn stop(self) {
        for member in &self.members {
            member.ask_to_stop();
        }
        for member in self.members {
            member.stop().await;
        }
    }
}

/// Pause between two looks at a member that does not answer yet.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// A cluster on one machine is up long before this.
const READY_PATIENCE: Duration = Duration::from_secs(60);
