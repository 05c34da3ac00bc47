//! Who may ask: allowed origins (CORS) and allowed host names.
//!
//! The host check stops web pages that resolve their own name to this server's
//! address; it is off unless hosts are listed.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST,
    ORIGIN,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::http::HttpResponse;
use super::respond::{set, text_as_is};
use crate::config::{CorsOrigins, ServerConfig};

/// The rules of one client port.
#[derive(Clone, Debug)]
pub(super) struct Access {
    origins: CorsOrigins,
    hosts: Vec<String>,
}

impl Access {
    pub(super) fn from_config(config: &ServerConfig) -> Self {
        Self {
            origins: config.cors.clone(),
            hosts: config.host_whitelist.clone(),
        }
    }

    /// The refusal for a host that is not listed.
    pub(super) fn refuse_host(&self, headers: &HeaderMap) -> Option<HttpResponse> {
        if self.hosts.is_empty() {
            return None;
        }
        let given = headers
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let host = host_name(given);
        if self.hosts.iter().any(|allowed| allowed == host) {
            return None;
        }
        tracing::warn!(
            host,
            "rejecting HTTP request to prevent DNS rebinding attacks"
        );
        let text = format!(
            "The Host header {host:?} is not in the list of accepted hosts.\n\
             Add it with --host-whitelist to be answered under this name.\n"
        );
        Some(text_as_is(StatusCode::MISDIRECTED_REQUEST, text))
    }

    /// Adds the headers that let a browser use the answer.
    pub(super) fn allow_origin(&self, origin: Option<&HeaderValue>, response: &mut HttpResponse) {
        let allowed = match (&self.origins, origin) {
            (CorsOrigins::All, _) => HeaderValue::from_static("*"),
            (CorsOrigins::Listed(list), Some(origin))
                if list
                    .iter()
                    .any(|listed| listed.as_bytes() == origin.as_bytes()) =>
            {
                origin.clone()
            }
            _ => return,
        };
        set(response, ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let methods = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
        set(response, ACCESS_CONTROL_ALLOW_METHODS, methods);
        let headers = HeaderValue::from_static("accept, content-type, authorization");
        set(response, ACCESS_CONTROL_ALLOW_HEADERS, headers);
    }
}

/// The origin a request names.
pub(super) fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ORIGIN).cloned()
}

/// A Host header without its port.
fn host_name(given: &str) -> &str {
    if let Some(bracketed) = given.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or(bracketed);
    }
    given.split(':').next().unwrap_or(given)
}
