//! The shapes of answers, and the query part of a request.

use http::header::{ALLOW, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::http::{HttpResponse, full_body};

/// An answer of plain text.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> HttpResponse {
    typed(status, TEXT_TYPE, body.into())
}

/// An answer of plain text that browsers must not guess about.
pub(super) fn text_as_is(status: StatusCode, body: impl Into<String>) -> HttpResponse {
    let mut response = text(status, body);
    set(
        &mut response,
        X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// An answer of JSON.
pub(super) fn json(body: String) -> HttpResponse {
    typed(StatusCode::OK, "application/json", body)
}

/// An answer of the given type.
pub(super) fn typed(status: StatusCode, content_type: &'static str, body: String) -> HttpResponse {
    let mut response = HttpResponse::new(full_body(body));
    *response.status_mut() = status;
    set(
        &mut response,
        CONTENT_TYPE,
        HeaderValue::from_static(content_type),
    );
    response
}

/// Nothing is here.
pub(super) fn not_found() -> HttpResponse {
    text_as_is(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// Only GET is answered here.
pub(super) fn get_only() -> HttpResponse {
    let mut response = text_as_is(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    set(&mut response, ALLOW, HeaderValue::from_static("GET"));
    response
}

/// Replaces one header.
pub(super) fn set(response: &mut HttpResponse, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

/// The pairs of a query; a name without a value has an empty one.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Percent and plus decoding; what is malformed stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| {
            after
                .get(at)
                .and_then(|&byte| char::from(byte).to_digit(16))
        };
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, ..) => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const TEXT_TYPE: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::query_pairs;

    #[test]
    fn a_query_is_split_and_decoded() {
        let pairs = query_pairs("verbose&exclude=a%2Bb&x=%zz+1&&");
        let expected = [("verbose", ""), ("exclude", "a+b"), ("x", "%zz 1")];
        let expected: Vec<_> = expected
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(pairs, expected);
    }
}
