//! One call, sent until it is answered or must not be sent again.
//!
//! A read may be repeated after any failure of a member or connection. A write
//! is repeated only where no member can have executed it: the connection was
//! never opened, or the refusal came before anything was proposed. Everything
//! else is reported, because only the caller knows whether executing twice
//! matters.
//!
//! Bounds: [`ATTEMPTS_MAX`] attempts, the request timeout of the configuration
//! and the pauses of [`crate::endpoint`].

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::channel;
use crate::config::Config;
use crate::endpoint::Balancer;
use crate::error::{EndpointError, Error, ServerErrorKind};
use crate::token::TokenSource;

/// What every handle of one client shares.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) balancer: Balancer,
    token: TokenSource,
}

/// Whether a call may be sent again after a failure that may have followed its
/// execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or nothing more the second time.
    Always,
    /// Only where it certainly was not executed.
    IfNotExecuted,
}

impl Core {
    pub(crate) fn new(config: Config) -> Result<Arc<Self>, EndpointError> {
        let endpoints = channel::connect(&config)?;
        let first = rand::random_range(0..endpoints.len());
        let token = TokenSource::new(config.credentials.clone());
        Ok(Arc::new(Self {
            balancer: Balancer::new(endpoints, first),
            config,
            token,
        }))
    }

    /// Sends `message` until it is answered, within the request timeout.
    pub(crate) async fn unary<M, R, F, S>(
        &self,
        repeat: Repeat,
        message: M,
        send: S,
    ) -> Result<R, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
        S: Fn(Channel, Request<M>) -> F,
    {
        let mut last = None;
        let attempts = self.attempts(repeat, &message, &send, &mut last);
        let Some(limit) = self.config.request_timeout else {
            return attempts.await.map(|answer| answer.reply);
        };
        match tokio::time::timeout(limit, attempts).await {
            Ok(result) => result.map(|answer| answer.reply),
            Err(_) => Err(Error::Timeout {
                limit,
                source: last.map(Box::new),
            }),
        }
    }

    /// Opens a stream. The request timeout covers the opening only.
    pub(crate) async fn open<M, R, F, S>(&self, message: M, send: S) -> Result<Answer<R>, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
        S: Fn(Channel, Request<M>) -> F,
    {
        let mut last = None;
        self.attempts(Repeat::Always, &message, &send, &mut last)
            .await
    }

    /// Asks one endpoint after the other.
    async fn attempts<M, R, F, S>(
        &self,
        repeat: Repeat,
        message: &M,
        send: &S,
        last: &mut Option<Error>,
    ) -> Result<Answer<R>, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
        S: Fn(Channel, Request<M>) -> F,
    {
        let mut token_renewed = false;
        for attempt in 1..=ATTEMPTS_MAX {
            let (index, endpoint, wait) = self.balancer.pick(Instant::now());
            if let Some(until) = wait {
                tokio::time::sleep_until((until + jitter()).into()).await;
            }
            let request = match self.token.request(self, endpoint, message.clone()).await {
                Ok(request) => request,
                Err(error) if error.is_transient() => {
                    self.balancer.failed(index, Instant::now());
                    *last = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let error = match send(endpoint.channel.clone(), request).await {
                Ok(response) => {
                    self.balancer.succeeded(index);
                    let endpoint = endpoint.name.clone();
                    return Ok(Answer {
                        reply: response.into_inner(),
                        index,
                        endpoint,
                    });
                }
                Err(status) => Error::from_status(&endpoint.name, status),
            };
            let again = match error.server_kind() {
                Some(ServerErrorKind::InvalidAuthToken) => {
                    self.token.forget().await;
                    !std::mem::replace(&mut token_renewed, true) && self.token.can_renew()
                }
                Some(ServerErrorKind::NotSupportedForLearner) => {
                    self.balancer.failed(index, Instant::now());
                    self.balancer.endpoints().len() > 1
                }
                // Each member is asked once for its leader.
                Some(ServerErrorKind::NoLeader) if self.config.require_leader => {
                    self.balancer.failed(index, Instant::now());
                    attempt < self.balancer.endpoints().len()
                }
                _ if error.is_transient() => {
                    self.balancer.failed(index, Instant::now());
                    repeat == Repeat::Always || error.certainly_not_executed()
                }
                _ => false,
            };
            if !again {
                return Err(error);
            }
            tracing::debug!(endpoint = endpoint.name, %error, "call failed, asking again");
            *last = Some(error);
        }
        Err(last.take().unwrap_or(Error::Closed))
    }

    /// `message` with the metadata that every call carries.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(
            "client-api-version",
            MetadataValue::from_static(API_VERSION),
        );
        if self.config.require_leader {
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
        request
    }
}

/// A reply and who gave it.
#[derive(Debug)]
pub(crate) struct Answer<R> {
    pub(crate) reply: R,
    /// Index of the endpoint in the balancer.
    pub(crate) index: usize,
    /// Its name.
    pub(crate) endpoint: String,
}

/// Spreads clients that lost the same member at the same time.
pub(crate) fn jitter() -> Duration {
    Duration::from_millis(rand::random_range(0..25))
}

/// Attempts of one call where no timeout ends it earlier: with the longest
/// pause of 5 s these are several minutes.
const ATTEMPTS_MAX: usize = 100;

/// The release of the API that this client was written for.
const API_VERSION: &str = "3.7";
