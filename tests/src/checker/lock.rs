//! What locks and elections promise. A lock that stands on a lease can be held by
//! two for a while: one that was paused does not know that its time is over. Safe
//! is what carries a fencing token, the revision at which the lock was taken, and
//! is refused once a newer token was seen.

/// One time that somebody held a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub client: u32,
    /// Its token: the create revision of its key.
    pub token: i64,
    /// When it was told that it holds the lock.
    pub acquired: u64,
    /// When it said, or first could have been told, that it does not any more.
    pub released: u64,
}

/// Something done under a lock and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The token that it was done with.
    pub token: i64,
    /// The revision that it got: the order in which the store accepted.
    pub revision: i64,
}

/// Judges tokens: whoever acquires later has a newer one, and what was done with
/// an old one was never accepted after something with a newer one.
///
/// # Errors
/// The promise that was broken.
pub fn check(holds: &[Hold], fenced: &[Fenced]) -> Result<(), String> {
    tokens_grow(holds)?;
    let mut fenced = fenced.to_vec();
    fenced.sort_unstable_by_key(|one| one.revision);
    for pair in fenced.windows(2) {
        if let [before, after] = pair
            && after.token < before.token
        {
            return Err(format!("{after:?} was accepted after {before:?}"));
        }
    }
    Ok(())
}

/// Of two holds of which one was over before the other began, the later one has
/// the newer token; no token is held twice.
fn tokens_grow(holds: &[Hold]) -> Result<(), String> {
    let mut by_token = holds.to_vec();
    by_token.sort_unstable_by_key(|hold| hold.token);
    for pair in by_token.windows(2) {
        if let [one, other] = pair
            && one.token == other.token
        {
            return Err(format!("{one:?} and {other:?} have one token"));
        }
    }
    // From the newest token down: nobody with an older one may have begun after a
    // newer one was over.
    let mut earliest_end: Option<Hold> = None;
    for hold in by_token.iter().rev() {
        if let Some(newer) = earliest_end.filter(|newer| hold.acquired > newer.released) {
            return Err(format!("{hold:?} began after {newer:?} was over"));
        }
        let is_earlier = earliest_end.is_none_or(|newer| hold.released < newer.released);
        earliest_end = if is_earlier {
            Some(*hold)
        } else {
            earliest_end
        };
    }
    Ok(())
}

/// Two holds that overlapped: allowed where a lease ran out unnoticed, wrong where
/// nothing disturbed the clients.
#[must_use]
pub fn overlap(holds: &[Hold]) -> Option<(Hold, Hold)> {
    let mut by_time = holds.to_vec();
    by_time.sort_unstable_by_key(|hold| hold.acquired);
    let mut last: Option<Hold> = None;
    for hold in by_time {
        if let Some(before) = last.filter(|before| hold.acquired < before.released) {
            return Some((before, hold));
        }
        last = Some(hold);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(token: i64, acquired: u64, released: u64) -> Hold {
        Hold {
            client: 0,
            token,
            acquired,
            released,
        }
    }

    #[test]
    fn holds_in_turn_are_accepted() {
        let holds = [hold(2, 0, 10), hold(3, 11, 20), hold(9, 21, 30)];
        assert_eq!(check(&holds, &[]), Ok(()));
        assert_eq!(overlap(&holds), None);
    }

    #[test]
    fn a_paused_holder_overlaps_and_fencing_keeps_it_out() {
        let holds = [hold(2, 0, 30), hold(3, 20, 40)];
        assert_eq!(check(&holds, &[]), Ok(()));
        assert_eq!(overlap(&holds), Some((holds[0], holds[1])));
        let done = |token: i64, revision: i64| Fenced { token, revision };
        let good = [done(2, 5), done(3, 6), done(3, 7)];
        assert_eq!(check(&holds, &good), Ok(()));
        let bad = [done(2, 5), done(3, 6), done(2, 7)];
        assert!(check(&holds, &bad).unwrap_err().contains("accepted after"));
    }

    #[test]
    fn tokens_that_go_back_or_are_shared_are_found() {
        let back = [hold(5, 0, 10), hold(4, 11, 20)];
        assert!(check(&back, &[]).unwrap_err().contains("was over"));
        let shared = [hold(5, 0, 10), hold(5, 11, 20)];
        assert!(check(&shared, &[]).unwrap_err().contains("one token"));
    }
}
