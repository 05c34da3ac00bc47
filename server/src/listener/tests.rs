//! Both protocols on one port, and the end of both.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{Bound, Options, Serving, Traffic};
use crate::config::Url;
use crate::ops::{HttpHandler, HttpRequest, HttpResponse, full_body};

/// Answers HTTP/2 requests with their path; `/wait` never.
async fn echo_grpc(request: http::Request<Incoming>) -> HttpResponse {
    if request.uri().path() == "/wait" {
        return std::future::pending().await;
    }
    let body = format!("grpc {}", request.uri().path());
    HttpResponse::new(full_body(body))
}

struct EchoHttp;

impl HttpHandler for EchoHttp {
    fn handle(
        &self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = HttpResponse> + Send + '_>> {
        let answer: Ready<HttpResponse> = ready(HttpResponse::new(full_body(format!(
            "http {}",
            request.uri().path()
        ))));
        Box::pin(answer)
    }
}

fn options(connections_max: usize) -> Options {
    Options {
        concurrent_streams_max: 100,
        keepalive_interval: Duration::ZERO,
        keepalive_timeout: Duration::ZERO,
        connections_max,
    }
}

fn serve(traffic: Traffic, connections_max: usize) -> (SocketAddr, Serving) {
    let bound = Bound::bind(&Url::parse("http://127.0.0.1:0").unwrap(), traffic).unwrap();
    let address = bound.address().parse().unwrap();
    let serving = Serving::new(options(connections_max));
    serving.serve(bound, echo_grpc, Arc::new(EchoHttp)).unwrap();
    (address, serving)
}

async fn http1(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A refused connection ends or is reset, by what was still unread.
    let _ = stream.read_to_string(&mut answer).await;
    answer
        .split_once("\r\n\r\n")
        .map_or(answer.clone(), |(_, body)| body.to_owned())
}

type Http2 = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

async fn http2(address: SocketAddr) -> Http2 {
    let stream = TcpStream::connect(address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn call(sender: &mut Http2, path: &str) -> Result<String, hyper::Error> {
    let uri = format!("http://a{path}");
    let request = http::Request::post(uri).body(Empty::new()).unwrap();
    let body = sender
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn both_protocols_share_a_port() {
    let (address, serving) = serve(Traffic::GrpcAndHttp, 10);
    assert_eq!(http1(address, "/health").await, "http /health");
    let mut sender = http2(address).await;
    assert_eq!(
        call(&mut sender, "/etcdserverpb.KV/Put").await.unwrap(),
        "grpc /etcdserverpb.KV/Put"
    );
    assert_eq!(call(&mut sender, "/a").await.unwrap(), "grpc /a");
    assert_eq!(serving.shutdown(Duration::from_secs(10)).await, 0);
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_grpc_only_port_closes_on_http1() {
    let (address, _serving) = serve(Traffic::Grpc, 10);
    assert_eq!(http1(address, "/health").await, "");
    assert_eq!(
        call(&mut http2(address).await, "/a").await.unwrap(),
        "grpc /a"
    );
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_at_the_deadline() {
    let (address, serving) = serve(Traffic::GrpcAndHttp, 10);
    let mut sender = http2(address).await;
    assert_eq!(call(&mut sender, "/a").await.unwrap(), "grpc /a");
    let waiting = tokio::spawn(async move { call(&mut sender, "/wait").await });
    let cut_off_count = serving.shutdown(Duration::from_millis(50)).await;
    assert!(cut_off_count <= 1, "{cut_off_count}");
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn past_the_limit_a_connection_waits_for_another_to_end() {
    let (address, _serving) = serve(Traffic::GrpcAndHttp, 1);
    let mut first = http2(address).await;
    assert_eq!(call(&mut first, "/a").await.unwrap(), "grpc /a");
    let second = tokio::spawn(http1(address, "/health"));
    drop(first);
    assert_eq!(second.await.unwrap(), "http /health");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.sock");
    let url = Url::parse(&format!("unix://{}", path.display())).unwrap();
    let bound = Bound::bind(&url, Traffic::GrpcAndHttp).unwrap();
    let serving = Serving::new(options(10));
    serving.serve(bound, echo_grpc, Arc::new(EchoHttp)).unwrap();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("http /x"), "{answer}");
    assert_eq!(serving.shutdown(Duration::from_secs(10)).await, 0);
    assert!(!path.exists());
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}")).unwrap();
    let error = Bound::bind(&url, Traffic::Http).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("listen tcp {address}: bind: address already in use")
    );
}
