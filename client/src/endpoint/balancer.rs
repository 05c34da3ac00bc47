//! One connection per endpoint, and which to use next.
//!
//! The balancer stays with one endpoint while it works, so that a client's own
//! calls see each other's effects in order even when reading stale data, and
//! moves on when it fails. Connections are opened on first use and reopened by
//! the transport; an endpoint never asked costs nothing.

use std::sync::Mutex;
use std::time::Instant;

use tonic::transport::Channel;

use super::health::Health;

/// One member's address and connection.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// As the user wrote it.
    pub(crate) name: String,
    /// Connection to it, opened on first use.
    pub(crate) channel: Channel,
}

/// All endpoints, and the one in use.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// Fixed after construction; never empty.
    endpoints: Vec<Endpoint>,
    /// Held for the few instructions of a pick or a report, never over an
    /// await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Index of the endpoint in use.
    current: usize,
    /// Parallel to `endpoints`.
    health: Vec<Health>,
}

impl Balancer {
    /// `first` is the index asked first; callers pass a random one, so that
    /// clients spread over the members.
    pub(crate) fn new(endpoints: Vec<Endpoint>, first: usize) -> Self {
        assert!(
            !endpoints.is_empty(),
            "checked when the configuration is read"
        );
        let state = State {
            current: first % endpoints.len(),
            health: vec![Health::default(); endpoints.len()],
        };
        Self {
            endpoints,
            state: Mutex::new(state),
        }
    }

    /// The endpoint to ask now, and the time to wait until if all of them are
    /// pausing after failures (then it is the one whose pause ends first).
    pub(crate) fn pick(&self, now: Instant) -> (usize, &Endpoint, Option<Instant>) {
        let mut state = self.lock();
        let count = self.endpoints.len();
        let usable = (0..count)
            .map(|step| (state.current + step) % count)
            .find(|&index| state.health[index].is_usable(now));
        let (index, wait) = match usable {
            Some(index) => (index, None),
            None => {
                let index = (0..count)
                    .min_by_key(|&index| state.health[index].paused_until())
                    .unwrap_or(state.current);
                (index, state.health[index].paused_until())
            }
        };
        state.current = index;
        (index, &self.endpoints[index], wait)
    }

    /// The endpoint answered.
    pub(crate) fn succeeded(&self, index: usize) {
        self.lock().health[index].succeeded();
    }

    /// The endpoint failed: others are asked first for a while.
    pub(crate) fn failed(&self, index: usize, now: Instant) {
        let mut state = self.lock();
        state.health[index].failed(now);
        if state.current == index {
            state.current = (index + 1) % self.endpoints.len();
        }
    }

    /// All endpoints, in the order of the configuration.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is valid after any panic: each update is one assignment.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn balancer(count: usize) -> Balancer {
        let endpoints = (0..count)
            .map(|index| Endpoint {
                name: index.to_string(),
                channel: Channel::from_static("http://127.0.0.1:1").connect_lazy(),
            })
            .collect();
        Balancer::new(endpoints, 0)
    }

    #[tokio::test]
    async fn the_endpoint_in_use_is_kept_until_it_fails() {
        let balancer = balancer(3);
        let now = Instant::now();
        assert_eq!(balancer.pick(now).0, 0);
        assert_eq!(balancer.pick(now).0, 0);
        balancer.failed(0, now);
        assert_eq!(balancer.pick(now).0, 1);
        balancer.failed(1, now);
        balancer.succeeded(2);
        // The first is usable again later, but the one that works is kept.
        let later = now + Duration::from_secs(10);
        assert_eq!(balancer.pick(later).0, 2);
    }

    #[tokio::test]
    async fn when_all_fail_the_one_that_may_be_asked_first_is_picked_with_its_time() {
        let balancer = balancer(2);
        let now = Instant::now();
        balancer.failed(0, now);
        balancer.failed(1, now + Duration::from_millis(1));
        let (index, _, wait) = balancer.pick(now);
        assert_eq!(index, 0);
        assert!(wait.is_some_and(|until| until > now));
    }
}
