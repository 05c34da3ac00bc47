//! Why a call has no reply.

use http::{HeaderMap, HeaderValue};

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The connection failed.
    #[error("transport: {0}")]
    Transport(String),
    /// The server refused.
    #[error("status {code}: {message}")]
    Refused {
        /// The gRPC code.
        code: String,
        /// The gRPC message.
        message: String,
    },
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

/// Judges headers or trailers by their `grpc-status`, if they have one.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("grpc-status") {
        Some(code) if code.as_bytes() != b"0" => {
            let text = |value: Option<&HeaderValue>| {
                let bytes = value.map_or(&b""[..], HeaderValue::as_bytes);
                String::from_utf8_lossy(bytes).into_owned()
            };
            Err(Failure::Refused {
                code: text(Some(code)),
                message: text(headers.get("grpc-message")),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_other_than_zero_is_a_refusal() {
        let mut headers = HeaderMap::new();
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        headers.insert("grpc-message", HeaderValue::from_static("no leader"));
        let text = check(&headers).unwrap_err().to_string();
        assert_eq!(text, "status 14: no leader");
    }
}
