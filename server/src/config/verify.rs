//! What is refused although it parses: absent features and unusable URLs.
//!
//! A flag of an absent feature may be given with its default only; one that
//! tunes what does not exist here is accepted and said to have no effect.
//! Texts about URLs are etcd's.

use super::flags::Values;
use super::go_values::parse_duration;
use super::load::Notice;
use super::resolve::Refusal;
use super::table::{self, Support};
use super::url::Url;

/// Refuses what is absent, says what has no effect.
pub(super) fn check_support(
    values: &Values,
    from_file: bool,
    notices: &mut Vec<Notice>,
) -> Result<(), Refusal> {
    if !from_file && values.text("discovery-fallback") == "proxy" {
        let text =
            "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"";
        return Err(text.to_owned().into());
    }
    if values.is_set("v2-deprecation") {
        notices.push(Notice::warn(
            "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value \
             is enforced, ignoring user input.",
            &[],
        ));
    }
    if values.is_set("max-snapshots") {
        notices.push(Notice::warn(
            "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
            &[],
        ));
    }
    for (name, value) in values.given() {
        let Some(flag) = table::find(name) else {
            continue;
        };
        if value == flag.default || equals_default(flag.kind, value, flag.default) {
            continue;
        }
        match flag.support {
            Support::Absent => {
                return Err(format!("--{name}={value} is not supported by quoin yet").into());
            }
            Support::Ineffective => notices.push(Notice::info(
                "accepted flag has no effect in quoin",
                &[("flag", name), ("value", value)],
            )),
            Support::Honoured | Support::Silent => {}
        }
    }
    Ok(())
}

fn equals_default(kind: table::Kind, value: &str, default: &str) -> bool {
    use super::go_values::{parse_bool, parse_signed};
    match kind {
        table::Kind::Bool => parse_bool(value) == parse_bool(default),
        table::Kind::Duration => parse_duration(value) == parse_duration(default),
        table::Kind::Unsigned | table::Kind::Signed => parse_signed(value) == parse_signed(default),
        _ => false,
    }
}

pub(super) fn check_urls(values: &Values, from_file: bool) -> Result<(), Refusal> {
    if !from_file && values.is_set("listen-client-urls") && !values.is_set("advertise-client-urls")
    {
        return Err(ADVERTISE_CLIENT_URLS_UNSET.to_owned().into());
    }
    let listen = [
        "listen-peer-urls",
        "listen-client-urls",
        "listen-client-http-urls",
        "listen-metrics-urls",
    ];
    for name in listen {
        for url in values.urls(name) {
            url.check_bindable().map_err(|error| error.to_string())?;
        }
    }
    for url in values.urls("initial-advertise-peer-urls") {
        if url.host().is_empty() && url.socket_path().is_none() {
            let list = values.text("initial-advertise-peer-urls");
            return Err(format!(
                "--initial-advertise-peer-urls \"{list}\" must be \"host:port\" (unexpected empty \
                 host ({url}))"
            )
            .into());
        }
    }
    for url in values.urls("advertise-client-urls") {
        if url.host().is_empty() && url.socket_path().is_none() {
            let list = values.text("advertise-client-urls");
            return Err(format!(
                "--advertise-client-urls \"{list}\" must be in the format \"host:port\", \
                 \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host \
                 ({url}))"
            )
            .into());
        }
    }
    for name in listen {
        if let Some(url) = values.urls(name).into_iter().find(Url::is_tls) {
            return Err(format!("--{name}: TLS ({url}) is not supported by quoin yet").into());
        }
    }
    let http_urls = values.urls("listen-client-http-urls");
    if let Some(url) = values
        .urls("listen-client-urls")
        .iter()
        .find(|url| http_urls.contains(url))
    {
        return Err(Refusal::Fatal(format!(
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url \
             {url}"
        )));
    }
    Ok(())
}

/// The refusal that gets a line of its own as well.
pub const ADVERTISE_CLIENT_URLS_UNSET: &str =
    "--advertise-client-urls is required when --listen-client-urls is set explicitly";
