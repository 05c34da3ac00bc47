//! What is answered to who wants to go back to an older release.
//!
//! Members of etcd agree to behave like the release before theirs, so that its
//! binary can take over their files. No older release reads what Quoin keeps, so
//! there is nothing to agree to: what etcd would start is refused, with the way
//! that does lead back; what etcd refuses is refused in its words.

use quoin_proto::etcdserverpb::{DowngradeRequest, downgrade_request::DowngradeAction};
use tonic::Status;

use super::status;

/// The feature level "major.minor" that the cluster has, for the reply.
///
/// # Errors
/// A version that is none or not the one below, an unknown action, a cluster that
/// has not agreed on its level yet; and, for now always, no release to go back to.
pub(super) fn answer(request: &DowngradeRequest, agreed: Option<String>) -> Result<String, Status> {
    let Ok(action) = DowngradeAction::try_from(request.action) else {
        return Err(status::downgrade_action_unknown());
    };
    let agreed = agreed.as_deref().and_then(level);
    if action == DowngradeAction::Cancel {
        // Source: etcd 3.7: nothing to cancel is no error.
        return Ok(agreed.map(text).unwrap_or_default());
    }
    let target = level(&request.version).ok_or_else(status::downgrade_version_malformed)?;
    let agreed = agreed.ok_or_else(status::cluster_version_unknown)?;
    if Some(target) != agreed.1.checked_sub(1).map(|minor| (agreed.0, minor)) {
        return Err(status::downgrade_version_invalid());
    }
    Err(status::no_release_below(&text(target)))
}

/// Major and minor of "X.Y" or "X.Y.Z".
fn level(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(number);
    let level = (parts.next()??, parts.next()??);
    match (parts.next(), parts.next()) {
        (None | Some(Some(_)), None) => Some(level),
        _ => None,
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn text((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn ask(action: DowngradeAction, version: &str) -> Result<String, Status> {
        let request = DowngradeRequest {
            action: action.into(),
            version: version.to_owned(),
        };
        answer(&request, Some("3.7.0".to_owned()))
    }

    #[test]
    fn what_is_no_version_and_what_is_the_wrong_one_differ() {
        for malformed in ["", "3", "3.6.", "3.6.0.0", "a.b", "+3.6", "3.99999999999"] {
            let refused = ask(DowngradeAction::Validate, malformed).unwrap_err();
            assert!(refused.message().contains("wrong downgrade"), "{malformed}");
        }
        for wrong in ["3.7", "3.8.0", "3.5", "2.6"] {
            let refused = ask(DowngradeAction::Enable, wrong).unwrap_err();
            assert!(refused.message().contains("invalid downgrade"), "{wrong}");
        }
    }

    #[test]
    fn a_downgrade_is_never_begun_and_can_always_be_cancelled() {
        for right in ["3.6", "3.6.0", "3.6.17"] {
            let refused = ask(DowngradeAction::Enable, right).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert!(refused.message().contains("--to-etcd"), "says what to do");
        }
        assert_eq!(ask(DowngradeAction::Cancel, "").unwrap(), "3.7");
    }

    #[test]
    fn a_cluster_without_a_level_and_an_action_without_meaning() {
        let mut request = DowngradeRequest {
            version: "3.6".to_owned(),
            ..Default::default()
        };
        let refused = answer(&request, None).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        request.action = 9;
        assert_eq!(answer(&request, None).unwrap_err().code(), Code::Unknown);
    }
}
