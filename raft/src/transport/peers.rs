//! All dialled connections of a member, by peer and class.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Class, Identity, Link, Roster, Transport};
use crate::log_store::entry_pool::EntryPool;
use crate::metrics::Metrics;

/// When a silent connection is asked and when it is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Limit of connecting and greeting.
    pub(crate) connect_timeout: Duration,
    /// How often silence is looked at.
    pub(crate) ping_interval: Duration,
    /// Silence, while answers are due, after which the connection is dropped.
    pub(crate) dead_after: Duration,
    /// Silence after which an idle connection is pinged.
    pub(crate) keepalive: Duration,
}

impl Timing {
    /// Derives the limits from the timing of the cluster.
    pub(crate) fn new(election_timeout: Duration) -> Self {
        // Twice: a member that applies something large is silent for a
        // while, and whoever waits for it gains nothing by asking anew.
        let dead_after = election_timeout * 2;
        Self {
            connect_timeout: election_timeout,
            // Each look wakes the thread, also of a cluster that does nothing.
            ping_interval: dead_after / LOOKS_UNTIL_DEAD,
            dead_after,
            keepalive: election_timeout * 4,
        }
    }
}

/// How often silence is looked at before a connection is dropped.
const LOOKS_UNTIL_DEAD: u32 = 5;

/// The links of one member; clones share them.
#[derive(Clone)]
pub(crate) struct Peers {
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    links: HashMap<(u64, Class), Link>,
    /// Addresses by the newest membership; they win over those a caller knows,
    /// which may be from before a change.
    urls: BTreeMap<u64, Arc<[String]>>,
}

impl Peers {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            state: Arc::default(),
        }
    }

    /// The link to a peer; it connects on first use. `urls` are for a peer of
    /// which no membership has told yet.
    pub(crate) fn link(&self, peer: u64, class: Class, urls: &[String]) -> Link {
        let mut state = self.state.lock();
        if let Some(link) = state.links.get(&(peer, class)) {
            return link.clone();
        }
        let known = state.urls.get(&peer).map_or(urls, |urls| &urls[..]);
        let link = Link::spawn(Arc::clone(&self.shared), peer, class, known.to_vec());
        state.links.insert((peer, class), link.clone());
        link
    }

    /// A new membership: closes the links to members that are not in it, and
    /// gives the others their addresses.
    pub(crate) fn follow(&self, members: BTreeMap<u64, Arc<[String]>>) {
        let mut state = self.state.lock();
        state
            .links
            .retain(|(peer, _), _| members.contains_key(peer));
        for ((peer, _), link) in &state.links {
            link.set_urls(members.get(peer).map_or(&[], |urls| &urls[..]));
        }
        state.urls = members;
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers of {:x}", self.shared.own.member_id)
    }
}

/// What every connection of a member needs.
pub(crate) struct Shared {
    pub(crate) own: Identity,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) timing: Timing,
    pub(crate) pool: EntryPool,
    pub(crate) metrics: Arc<Metrics>,
    /// Called when a peer says that this member was removed.
    pub(crate) on_removed: Box<dyn Fn() + Send + Sync>,
    /// Tells whether a peer is known to be removed.
    pub(crate) is_removed: Box<dyn Fn(u64) -> bool + Send + Sync>,
    /// Tells who the members are.
    pub(crate) roster: Box<dyn Fn() -> Roster + Send + Sync>,
}
