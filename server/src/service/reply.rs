//! The body of a gRPC reply: whole, or streamed by tonic.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

/// What a reply consists of behind its headers.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// One framed message, then the trailers that say it succeeded.
    Whole {
        /// Behind its prefix; `None` once it is sent.
        message: Option<Bytes>,
        /// `None` once they are sent.
        trailers: Option<HeaderMap>,
    },
    /// Whatever a generated service answers.
    Streamed(tonic::body::Body),
}

impl ReplyBody {
    /// A reply of headers alone.
    pub(crate) const fn empty() -> Self {
        Self::Whole {
            message: None,
            trailers: None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            Self::Whole { message, trailers } => {
                let data = message.take().map(Frame::data);
                let frame = data.or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Self::Streamed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { message, trailers } => message.is_none() && trailers.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    /// Inexact for a whole reply on purpose: gRPC sends no content-length.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { .. } => SizeHint::default(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
