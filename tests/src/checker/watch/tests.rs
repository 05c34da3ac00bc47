//! Watches that keep their promises, and one for each promise that does not.

use super::*;

fn log() -> Log {
    let changes = [
        (2, (1, Some(10))),
        (3, (2, Some(20))),
        (4, (1, Some(11))),
        (4, (2, None)),
        (5, (9, Some(90))),
        (6, (1, None)),
    ];
    Log::new(changes).unwrap()
}

fn event(revision: i64, key: Key) -> Event {
    let log = log();
    Event {
        revision,
        key,
        pair: log.at(key, revision),
        previous: Some(log.at(key, revision - 1)),
    }
}

fn response(revision: i64, events: Vec<Event>) -> Response {
    Response {
        revision,
        events,
        is_fragment: false,
    }
}

/// A watch of keys 1 to 2 that has seen everything.
fn whole() -> Delivered {
    Delivered {
        keys: 1..=2,
        from: 2,
        no_put: false,
        no_delete: false,
        responses: vec![
            response(3, vec![event(2, 1), event(3, 2)]),
            response(4, vec![event(4, 1), event(4, 2)]),
            response(5, Vec::new()),
            response(6, vec![event(6, 1)]),
        ],
    }
}

fn problem(change: impl FnOnce(&mut Delivered)) -> String {
    let mut delivered = whole();
    change(&mut delivered);
    check(&delivered, &log()).err().unwrap_or_default()
}

#[test]
fn a_watch_that_tells_everything_is_accepted() {
    assert_eq!(problem(|_| {}), "");
    assert_eq!(problem(|watch| watch.responses.truncate(2)), "", "so far");
    let filtered = |watch: &mut Delivered| {
        watch.no_delete = true;
        let events = watch
            .responses
            .iter_mut()
            .map(|response| &mut response.events);
        events.for_each(|events| events.retain(|event| event.pair.is_some()));
        watch.responses.truncate(3);
    };
    assert_eq!(problem(filtered), "");
}

#[test]
fn a_lost_event_is_found() {
    assert!(problem(|watch| watch.responses[0].events.truncate(1)).contains("should come"));
    assert!(
        problem(|watch| {
            watch.responses.remove(1);
        })
        .contains("should come")
    );
    let at_the_end = |watch: &mut Delivered| {
        watch.responses.pop();
        watch.responses.push(response(6, Vec::new()));
    };
    assert!(problem(at_the_end).contains("left out"));
}

#[test]
fn an_event_that_comes_twice_or_late_is_found() {
    let twice = |watch: &mut Delivered| watch.responses.push(response(6, vec![event(6, 1)]));
    assert!(problem(twice).contains("comes after"));
    let late = |watch: &mut Delivered| watch.responses.swap(1, 2);
    assert!(problem(late).contains("the mark 5"));
}

#[test]
fn a_revision_that_is_split_is_found() {
    let split = |watch: &mut Delivered| {
        let last = watch.responses[1].events.pop().unwrap();
        watch.responses.insert(2, response(4, vec![last]));
    };
    assert!(problem(split).contains("the mark 4"));
    let fragmented = |watch: &mut Delivered| {
        split(watch);
        watch.responses[1].is_fragment = true;
    };
    assert_eq!(problem(fragmented), "");
}

#[test]
fn untrue_pairs_are_found() {
    let pair = |watch: &mut Delivered| watch.responses[0].events[0].pair = event(4, 1).pair;
    assert!(problem(pair).contains("in truth"));
    let previous = |watch: &mut Delivered| watch.responses[1].events[0].previous = Some(None);
    assert!(problem(previous).contains("before in truth"));
    let invented = |watch: &mut Delivered| watch.responses[3].events.push(event(6, 2));
    assert!(problem(invented).contains("never happened"));
    let other = |watch: &mut Delivered| watch.responses[2].events.push(event(5, 9));
    assert!(!problem(other).is_empty(), "a key that is not watched");
}

#[test]
fn an_event_ahead_of_its_header_is_found() {
    assert!(problem(|watch| watch.responses[0].revision = 2).contains("ahead"));
}
