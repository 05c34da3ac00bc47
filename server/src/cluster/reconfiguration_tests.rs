//! Which changes are allowed in clusters of all sizes and states of health.

use super::*;

const STRICT: Rules = Rules {
    is_strict: true,
    learners_count_max: 1,
};
const LAX: Rules = Rules {
    is_strict: false,
    ..STRICT
};

/// Voters 1 to `count`, all started and active.
fn healthy(count: u64) -> View {
    let member = |id: u64| Candidate {
        id,
        peer_urls: vec![format!("http://m{id}")],
        is_learner: false,
        is_started: true,
    };
    View {
        members: (1..=count).map(member).collect(),
        active: (1..=count).collect(),
        removed: [42].into(),
    }
}

fn with_learner(mut view: View) -> View {
    view.members.push(Candidate {
        id: 77,
        peer_urls: vec!["http://learner".to_owned()],
        is_learner: true,
        is_started: true,
    });
    view
}

fn unstarted(mut view: View, id: u64) -> View {
    let member = view.members.iter_mut().find(|member| member.id == id);
    member.unwrap().is_started = false;
    view.active.remove(&id);
    view
}

fn add(is_learner: bool) -> Reconfiguration {
    Reconfiguration::Add {
        id: 99,
        peer_urls: vec!["http://new".to_owned()],
        is_learner,
    }
}

#[test]
fn a_voter_is_added_only_beside_enough_started_ones() {
    assert_eq!(add(false).check(&healthy(1), STRICT), Ok(()));
    let two = unstarted(healthy(2), 2);
    let refused = Err(ReconfigurationError::NotEnoughStarted);
    assert_eq!(add(false).check(&two, STRICT), refused);
    assert_eq!(add(false).check(&two, LAX), Ok(()));
    let four = unstarted(healthy(4), 4);
    assert_eq!(add(false).check(&four, STRICT), Ok(()));
    let four = unstarted(four, 3);
    assert_eq!(add(false).check(&four, STRICT), refused);
}

#[test]
fn adding_takes_a_quorum_of_the_enlarged_cluster_that_answers() {
    for (voters_count, needed) in [(2, 2), (3, 3), (4, 3), (5, 4)] {
        for is_learner in [false, true] {
            let mut view = healthy(voters_count);
            view.active = (1..=needed).collect();
            assert_eq!(add(is_learner).check(&view, STRICT), Ok(()));
            view.active.remove(&needed);
            let refused = Err(ReconfigurationError::Unhealthy);
            assert_eq!(add(is_learner).check(&view, STRICT), refused);
        }
    }
}

#[test]
fn an_id_or_url_in_use_and_learners_above_the_limit_are_refused() {
    let view = with_learner(healthy(3));
    let with = |id, url: &str| Reconfiguration::Add {
        id,
        peer_urls: vec!["http://new".to_owned(), url.to_owned()],
        is_learner: false,
    };
    let checked = |change: &Reconfiguration| change.check(&view, STRICT);
    assert_eq!(checked(&with(99, "http://new2")), Ok(()));
    let (id, url) = (
        ReconfigurationError::IdInUse,
        ReconfigurationError::UrlInUse,
    );
    assert_eq!(checked(&with(2, "http://new2")), Err(id));
    assert_eq!(checked(&with(99, "http://m2")), Err(url));
    let learners = ReconfigurationError::TooManyLearners;
    assert_eq!(checked(&add(true)), Err(learners));
    let two = Rules {
        learners_count_max: 2,
        ..STRICT
    };
    assert_eq!(add(true).check(&view, two), Ok(()));
}

#[test]
fn what_is_left_after_a_removal_must_have_a_quorum() {
    let remove = |id| Reconfiguration::Remove(id);
    let not_started = Err(ReconfigurationError::NotEnoughStarted);
    let unhealthy = Err(ReconfigurationError::Unhealthy);
    assert_eq!(remove(1).check(&healthy(1), STRICT), not_started);
    assert_eq!(remove(1).check(&healthy(1), LAX), Ok(()));
    assert_eq!(remove(2).check(&healthy(2), STRICT), Ok(()));
    assert_eq!(remove(2).check(&healthy(3), STRICT), Ok(()));
    let mut one_down = healthy(3);
    one_down.active.remove(&3);
    assert_eq!(remove(3).check(&one_down, STRICT), Ok(()));
    assert_eq!(remove(2).check(&one_down, STRICT), unhealthy);
    let fresh = unstarted(healthy(2), 2);
    assert_eq!(remove(1).check(&fresh, STRICT), not_started);
    assert_eq!(remove(42).check(&fresh, STRICT), not_started);
    assert_eq!(remove(2).check(&fresh, STRICT), Ok(()));
    let unknown = Err(ReconfigurationError::NotFound);
    assert_eq!(remove(42).check(&healthy(3), STRICT), unknown);
    let learner = with_learner(unstarted(healthy(2), 2));
    assert_eq!(remove(77).check(&learner, STRICT), Ok(()));
}

#[test]
fn only_known_members_are_updated_and_only_learners_promoted() {
    let view = with_learner(healthy(3));
    let update = |id, url: &str| Reconfiguration::Update {
        id,
        peer_urls: vec![url.to_owned()],
    };
    let checked = |change: Reconfiguration| change.check(&view, STRICT);
    let unknown = Err(ReconfigurationError::NotFound);
    assert_eq!(checked(update(2, "http://new")), Ok(()));
    assert_eq!(checked(update(2, "http://m2")), Ok(()));
    let in_use = Err(ReconfigurationError::UrlInUse);
    assert_eq!(checked(update(2, "http://m3")), in_use);
    assert_eq!(checked(update(42, "http://new")), unknown);
    assert_eq!(checked(Reconfiguration::Promote(77)), Ok(()));
    let voter = Err(ReconfigurationError::NotLearner);
    assert_eq!(checked(Reconfiguration::Promote(1)), voter);
    assert_eq!(checked(Reconfiguration::Promote(42)), unknown);
    let thin = with_learner(unstarted(unstarted(healthy(3), 2), 3));
    let refused = Err(ReconfigurationError::NotEnoughStarted);
    assert_eq!(Reconfiguration::Promote(77).check(&thin, STRICT), refused);
}

#[test]
fn a_change_that_shows_already_is_done() {
    let view = with_learner(healthy(3));
    assert!(!add(false).is_done(&view));
    assert!(Reconfiguration::Remove(42).is_done(&view));
    assert!(!Reconfiguration::Remove(2).is_done(&view));
    assert!(!Reconfiguration::Remove(43).is_done(&view), "never was one");
    assert!(Reconfiguration::Promote(2).is_done(&view));
    assert!(!Reconfiguration::Promote(77).is_done(&view));
    let same = Reconfiguration::Add {
        id: 77,
        peer_urls: vec!["http://learner".to_owned()],
        is_learner: true,
    };
    assert!(same.is_done(&view));
}

#[test]
fn numbers_name_their_errors() {
    let known = (1..=8).filter_map(ReconfigurationError::from_number);
    assert!(
        known
            .enumerate()
            .all(|(place, error)| error as usize == place + 1)
    );
    assert_eq!(ReconfigurationError::from_number(0), None);
    assert_eq!(ReconfigurationError::from_number(9), None);
}
