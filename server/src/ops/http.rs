//! The HTTP/1.1 side of a client port as one boxed handler.
//!
//! The listener hands every request that is not gRPC to an [`HttpHandler`];
//! handlers nest (the JSON gateway wraps these endpoints). Boxing is deliberate:
//! this is the slow door.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// An error of a body in flight.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A response body, whole or streamed.
pub type HttpBody = UnsyncBoxBody<Bytes, BoxError>;
/// A request as it comes from the connection.
pub type HttpRequest = http::Request<hyper::body::Incoming>;
/// The answer.
pub type HttpResponse = http::Response<HttpBody>;

/// Something that answers plain HTTP requests.
pub trait HttpHandler: Send + Sync + 'static {
    /// Answers one request. Never fails: every failure has a status.
    fn handle(
        &self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = HttpResponse> + Send + '_>>;
}

/// A body that is already whole.
pub fn full_body(bytes: impl Into<Bytes>) -> HttpBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
