//! A new cluster from what is left of an old one.

use std::path::PathBuf;

use super::{
    directory::NewDirectory, error::OfflineError, founder::Founder, plan::Plan, progress::Progress,
    survivor::Report, verdict::Verdict,
};
use crate::{backend::Applied, bootstrap::Ids};

/// What was made of a lost cluster.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The directory that the state is from.
    pub source: Report,
    /// Id of the new cluster.
    pub cluster_id: u64,
    /// Id of the member in it.
    pub member_id: u64,
    /// Revision that it begins with.
    pub revision: i64,
    /// Its keys.
    pub keys_count: usize,
    /// An earlier run had made it already; nothing was done.
    pub was_there: bool,
}

impl Plan {
    /// The cluster token that tells the new cluster from the old one, the same in
    /// every run on the same directories; `None` if there is nothing to use.
    pub fn default_token(&self) -> Option<String> {
        let report = self.chosen()?;
        let end = report.last;
        let cluster_id = report.cluster_id;
        Some(format!(
            "recovered-{cluster_id:x}-{}-{}",
            end.term, end.index
        ))
    }

    /// Makes the directory of a first member of a new cluster from the freshest
    /// usable state, with everything that is readable in its log. The sources
    /// stay as they are. Run again after a crash, it begins anew; run again after
    /// it was done with the default token, it finds that.
    ///
    /// # Errors
    /// Something acknowledged may be missing and `accept_missing_writes` is not
    /// set, the freshest log has entries that no state leads up to, the new cluster
    /// would be the old one, or the place is taken.
    pub fn apply(
        self,
        founder: Founder,
        accept_missing_writes: bool,
        told: &mut dyn FnMut(&Progress),
    ) -> Result<Recovery, OfflineError> {
        if let Some(text) = self.unreached() {
            return Err(OfflineError::Sources(text.to_owned()));
        }
        if let verdict @ Verdict::Unproven { .. } = self.verdict()
            && !accept_missing_writes
        {
            let argument = format!("{} ({})", verdict.summary(), verdict.argument());
            return Err(OfflineError::Unproven { argument });
        }
        let was_there = self.was_made(&founder)?;
        let (source, state) = self.into_state()?;
        if source.cluster_id == founder.cluster_id() {
            let text = "--initial-cluster-token and --initial-cluster are those of the lost \
                        cluster; choose another token, so that no old member joins by mistake";
            return Err(OfflineError::Flags(text.to_owned()));
        }
        let recovery = Recovery {
            cluster_id: founder.cluster_id(),
            member_id: founder.member_id(),
            revision: state.store.revision(),
            keys_count: state.store.keys_count(),
            source,
            was_there,
        };
        if !was_there {
            let path = founder.data_directory.clone();
            let mut directory = NewDirectory::create(founder)?;
            let snapshot = state.backend.snapshot();
            let step = format!("writing {}", path.display());
            let mut progress = Progress::new(step, snapshot.total_bytes(), "bytes");
            directory.write_all(snapshot, &mut |bytes| {
                progress.done = bytes;
                told(&progress);
            })?;
            directory.finish(Applied {
                term: state.last.term,
                index: state.last.index,
            })?;
        }
        Ok(recovery)
    }

    /// Whether an earlier run made exactly this. The default token names the
    /// source, so that the ids do.
    fn was_made(&self, founder: &Founder) -> Result<bool, OfflineError> {
        let member: PathBuf = founder.data_directory.join("member");
        let found = Ids::read(&member)?;
        Ok(found == Some(founder.ids) && self.default_token().as_deref() == Some(&founder.token))
    }
}
