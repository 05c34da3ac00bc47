//! What a lease promises: its keys live while it is renewed, and are gone some
//! time after it is not. All times are nanoseconds of the one clock of the history.

/// What a client did with one lease, and what was seen of its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseHistory {
    /// Its id.
    pub id: i64,
    /// Time to live that the store granted.
    pub ttl: u64,
    /// The grant, and each renewal that was sent, in order.
    pub renewals: Vec<Renewal>,
    /// When its revocation was sent, if it was.
    pub revoked: Option<u64>,
    /// When reads that saw its key were called.
    pub seen: Vec<u64>,
    /// When its key was first seen to be gone: when the read was answered, or the
    /// event arrived.
    pub gone: Option<u64>,
}

/// A grant or a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// When it was sent.
    pub called: u64,
    /// When it was confirmed; `None` if that stayed open. Whoever was told that the
    /// lease is gone was not confirmed, and sends no more.
    pub confirmed: Option<u64>,
    /// When the client gave up waiting: it had no effect after that, plus the time
    /// that a message may be under way.
    pub ended: u64,
}

/// Judges one lease. `late_max` is how long after its time it may still be seen:
/// what an election extends it by, and what expiry takes.
///
/// # Errors
/// The promise that was broken.
pub fn check(lease: &LeaseHistory, late_max: u64) -> Result<(), String> {
    not_early(lease)?;
    not_late(lease, late_max)
}

/// It was alive for its time to live after each confirmed renewal. The store
/// counted from some moment after the call.
fn not_early(lease: &LeaseHistory) -> Result<(), String> {
    let Some(gone) = lease.gone else {
        return Ok(());
    };
    if lease.revoked.is_some_and(|revoked| revoked <= gone) {
        return Ok(());
    }
    let confirmed = lease
        .renewals
        .iter()
        .filter(|renewal| renewal.confirmed.is_some());
    let promised = confirmed.map(|renewal| renewal.called + lease.ttl).max();
    match promised {
        Some(promised) if gone < promised => Err(format!(
            "lease {}: its key was gone {} ns before its time",
            lease.id,
            promised - gone
        )),
        _ => Ok(()),
    }
}

/// It was not seen after its last renewal could have kept it.
fn not_late(lease: &LeaseHistory, late_max: u64) -> Result<(), String> {
    let ends = lease
        .renewals
        .iter()
        .map(|renewal| renewal.confirmed.unwrap_or(renewal.ended));
    let Some(last) = ends.max() else {
        return Ok(());
    };
    let latest = last + lease.ttl + late_max;
    match lease.seen.iter().copied().find(|seen| *seen > latest) {
        Some(seen) => Err(format!(
            "lease {}: its key was there {} ns after the latest time",
            lease.id,
            seen - latest
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> LeaseHistory {
        let renewal = |called: u64| Renewal {
            called,
            confirmed: Some(called + 5),
            ended: called + 5,
        };
        LeaseHistory {
            id: 7,
            ttl: 100,
            renewals: vec![renewal(0), renewal(50)],
            seen: vec![10, 149],
            gone: Some(160),
            ..LeaseHistory::default()
        }
    }

    #[test]
    fn a_lease_that_lives_its_time_is_accepted() {
        assert_eq!(check(&lease(), 20), Ok(()));
        let mut alive = lease();
        alive.gone = None;
        assert_eq!(check(&alive, 20), Ok(()));
    }

    #[test]
    fn one_that_dies_early_is_found_unless_it_was_revoked() {
        let mut early = lease();
        early.gone = Some(149);
        assert!(check(&early, 20).unwrap_err().contains("before its time"));
        early.revoked = Some(120);
        assert_eq!(check(&early, 20), Ok(()));
        early.revoked = Some(150);
        assert!(check(&early, 20).is_err(), "revoked later");
        // A renewal of unknown outcome promises nothing.
        let mut open = lease();
        open.renewals[1].confirmed = None;
        open.gone = Some(120);
        assert_eq!(check(&open, 20), Ok(()));
    }

    #[test]
    fn one_that_outlives_its_time_is_found() {
        let mut late = lease();
        late.seen.push(176);
        late.gone = None;
        assert!(check(&late, 20).unwrap_err().contains("after the latest"));
        assert_eq!(check(&late, 30), Ok(()));
        // It may have been renewed until the client gave up.
        late.renewals[1].confirmed = None;
        late.renewals[1].ended = 80;
        assert_eq!(check(&late, 20), Ok(()));
    }
}
