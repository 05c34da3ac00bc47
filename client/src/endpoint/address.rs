//! Endpoints as users write them.
//!
//! `host:port` and `http://host:port` are accepted; spaces around are dropped.
//! Anything that would need TLS or a unix socket is refused by name, so that
//! nobody believes to be encrypted who is not.

use http::Uri;

use crate::error::EndpointError;

/// The address to dial for `endpoint`.
///
/// # Errors
/// Not an address, or a scheme other than http.
pub(crate) fn parse(endpoint: &str) -> Result<Uri, EndpointError> {
    let endpoint = endpoint.trim();
    let malformed = |reason: String| EndpointError::Malformed {
        endpoint: endpoint.to_owned(),
        reason,
    };
    let unsupported = |scheme: &str| EndpointError::SchemeUnsupported {
        endpoint: endpoint.to_owned(),
        scheme: scheme.to_owned(),
    };
    for scheme in ["unix", "unixs"] {
        if endpoint
            .strip_prefix(scheme)
            .is_some_and(|rest| rest.starts_with(':'))
        {
            return Err(unsupported(scheme));
        }
    }
    let text = match endpoint.split_once("://") {
        Some(("http", _)) => endpoint.to_owned(),
        Some((scheme, _)) => return Err(unsupported(scheme)),
        None if endpoint.is_empty() => return Err(malformed("it is empty".to_owned())),
        None => format!("http://{endpoint}"),
    };
    let uri: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| malformed(error.to_string()))?;
    let authority = uri
        .authority()
        .ok_or_else(|| malformed("no host".to_owned()))?;
    if authority.host().is_empty() {
        return Err(malformed("no host".to_owned()));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_http() {
        assert_eq!(
            parse(" 127.0.0.1:2379 ").unwrap().to_string(),
            "http://127.0.0.1:2379/"
        );
        assert_eq!(parse("http://[::1]:1").unwrap().host(), Some("[::1]"));
    }

    #[test]
    fn tls_and_sockets_are_refused_by_name() {
        for (endpoint, scheme) in [
            ("https://a:1", "https"),
            ("unix:/a", "unix"),
            ("unixs://a", "unixs"),
        ] {
            let error = parse(endpoint).unwrap_err();
            assert_eq!(
                error,
                EndpointError::SchemeUnsupported {
                    endpoint: endpoint.to_owned(),
                    scheme: scheme.to_owned(),
                }
            );
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for endpoint in ["", "   ", "a b", "http://"] {
            let error = parse(endpoint).unwrap_err();
            assert!(
                matches!(error, EndpointError::Malformed { .. }),
                "{endpoint:?}: {error:?}"
            );
        }
    }
}
