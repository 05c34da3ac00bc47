//! Logs of members that do not run.

use super::harness::{Cluster, Net};
use crate::transport::memory::MemoryNetwork;
use crate::{Applied, LogExamination, LogId};

#[tokio::test]
async fn a_log_that_a_snapshot_overruled_gives_no_entries() {
    let net = Net::Memory(MemoryNetwork::new());
    let mut cluster = Cluster::start(&net, 1, |_| {}).await;
    for number in 0..5 {
        cluster.propose(0, &format!("k{number}=v")).await;
    }
    cluster.members[0].stop().await;
    let log = LogExamination::open(&cluster.members[0].config.wal.directory).unwrap();
    let last = log.last().unwrap();
    let after = |term, index| {
        let log_id = Some(LogId { term, index });
        let applied = Applied {
            log_id,
            ..Applied::default()
        };
        let count = log.entries_after(&applied).unwrap().count() as u64;
        (log.contradicts(&applied), count)
    };
    let index = last.index - 3;
    assert_eq!(after(last.term, index), (false, 3));
    assert_eq!(after(last.term + 1, index), (true, 0));
    // Cut already, or never so long.
    assert_eq!(after(last.term + 1, last.index + 9), (false, 0));
}
