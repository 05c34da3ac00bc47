//! Paths to answers, for a client port or a metrics port.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::access::{self, Access};
use super::http::{HttpHandler, HttpRequest, HttpResponse, full_body};
use super::probe::Probe;
use super::{checks, debug, health, metrics, pprof, respond, version};
use crate::config::ServerConfig;
use crate::telemetry::metrics::Metrics;

/// The endpoints of client ports without a JSON gateway.
pub fn endpoints(
    probe: Arc<dyn Probe>,
    metrics: Arc<Metrics>,
    config: &ServerConfig,
) -> Arc<dyn HttpHandler> {
    Arc::new(Endpoints::client_port(config, probe, metrics, None))
}

/// The plain endpoints of one port.
pub struct Endpoints {
    probe: Arc<dyn Probe>,
    metrics: Arc<Metrics>,
    /// Present on client ports, absent on metrics ports.
    client_port: Option<ClientPort>,
}

struct ClientPort {
    access: Access,
    /// `/debug/pprof/` is there.
    has_profiles: bool,
    gateway: Option<Arc<dyn HttpHandler>>,
}

impl Endpoints {
    /// The endpoints of client ports. `gateway` answers what is below `/v3/`.
    pub fn client_port(
        config: &ServerConfig,
        probe: Arc<dyn Probe>,
        metrics: Arc<Metrics>,
        gateway: Option<Arc<dyn HttpHandler>>,
    ) -> Self {
        let access = Access::from_config(config);
        Self {
            probe,
            metrics,
            client_port: Some(ClientPort {
                access,
                has_profiles: config.enable_pprof,
                gateway,
            }),
        }
    }

    /// The endpoints of metrics ports: metrics and health only.
    pub fn metrics_port(probe: Arc<dyn Probe>, metrics: Arc<Metrics>) -> Self {
        Self {
            probe,
            metrics,
            client_port: None,
        }
    }

    async fn answer(&self, request: HttpRequest) -> HttpResponse {
        let Some(port) = &self.client_port else {
            return self.answer_plain(&request.into_parts().0).await;
        };
        if let Some(refusal) = port.access.refuse_host(request.headers()) {
            return refusal;
        }
        let origin = access::origin(request.headers());
        let mut response = if request.method() == Method::OPTIONS {
            HttpResponse::new(full_body(""))
        } else {
            match &port.gateway {
                Some(gateway) if is_gateway_path(request.uri().path()) => {
                    gateway.handle(request).await
                }
                _ => self.answer_plain(&request.into_parts().0).await,
            }
        };
        port.access.allow_origin(origin.as_ref(), &mut response);
        response
    }

    /// Answers from the head of a request alone.
    async fn answer_plain(&self, head: &Parts) -> HttpResponse {
        let (probe, metrics) = (&*self.probe, &*self.metrics);
        let path = head.uri.path();
        let query = respond::query_pairs(head.uri.query().unwrap_or_default());
        let on_client_port = self.client_port.is_some();
        let has_profiles = self.client_port.as_ref().map(|port| port.has_profiles);
        let profile = path.strip_prefix("/debug/pprof/");
        if let (Some(true), Some(name)) = (has_profiles, profile) {
            return pprof::answer(name, &query, probe).await;
        }
        let get = head.method == Method::GET;
        match path {
            "/metrics" => metrics::answer(metrics),
            "/debug/vars" if on_client_port => debug::answer(),
            "/version" if on_client_port && get => version::answer(probe),
            "/health" if get => health::answer(probe, metrics, &query).await,
            "/version" if on_client_port => respond::get_only(),
            "/health" => {
                tracing::warn!("status-code" = 405_u64, "/health error");
                respond::get_only()
            }
            _ => match check_path(path) {
                Some(_) if !get => respond::get_only(),
                Some((endpoint, sub_path)) => {
                    checks::answer(endpoint, sub_path, probe, metrics, &query).await
                }
                None => respond::not_found(),
            },
        }
    }
}

impl HttpHandler for Endpoints {
    fn handle(
        &self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = HttpResponse> + Send + '_>> {
        Box::pin(self.answer(request))
    }
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

fn is_gateway_path(path: &str) -> bool {
    path.starts_with("/v3/") || path.starts_with("/v3beta/")
}

fn check_path(path: &str) -> Option<(checks::Endpoint, Option<&str>)> {
    let endpoints = [
        ("/livez", checks::Endpoint::Livez),
        ("/readyz", checks::Endpoint::Readyz),
    ];
    endpoints
        .into_iter()
        .find_map(|(prefix, endpoint)| match path.strip_prefix(prefix)? {
            "" => Some((endpoint, None)),
            rest => Some((endpoint, Some(rest.strip_prefix('/')?))),
        })
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
