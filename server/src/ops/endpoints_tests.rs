//! The endpoints over a real socket, against a made-up server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Endpoints;
use crate::config::{Url, load};
use crate::listener::{Bound, Options, Serving, Traffic};
use crate::ops::{Activity, Alarm, Probe, ProbeFuture, Versions};
use crate::telemetry::metrics::Metrics;

#[derive(Default)]
struct FakeServer {
    leader: bool,
    learner: bool,
    alarms: Vec<Alarm>,
    read_error: Option<String>,
}

impl Probe for FakeServer {
    fn has_leader(&self) -> bool {
        self.leader
    }

    fn is_learner(&self) -> bool {
        self.learner
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.alarms.clone()
    }

    fn linearizable_read(&self) -> ProbeFuture<'_> {
        Box::pin(async { self.read_error.clone().map_or(Ok(()), Err) })
    }

    fn serializable_read(&self) -> ProbeFuture<'_> {
        Box::pin(async { Ok(()) })
    }

    fn versions(&self) -> Versions {
        Versions {
            server: "3.7.1".into(),
            cluster: Some("3.7.0".into()),
            storage: None,
        }
    }

    fn activity(&self) -> Activity {
        Activity {
            tasks: vec![("client connection".to_owned(), 3)],
            counts: vec![("watchers", 7)],
        }
    }
}

/// Serves `server` on a port with these flags; the address and its keeper.
fn serve(server: FakeServer, flags: &[&str], metrics_port: bool) -> (SocketAddr, Serving) {
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let config = load(&flags, &[]).unwrap().config;
    let (probe, metrics) = (Arc::new(server), Arc::new(Metrics::new(false).unwrap()));
    let endpoints = if metrics_port {
        Endpoints::metrics_port(probe, metrics)
    } else {
        Endpoints::client_port(&config, probe, metrics, None)
    };
    let bound = Bound::bind(&Url::parse("http://127.0.0.1:0").unwrap(), Traffic::Http).unwrap();
    let address = bound.address().parse().unwrap();
    let serving = Serving::new(Options::from_config(&config));
    serving.serve_http(bound, Arc::new(endpoints)).unwrap();
    (address, serving)
}

/// Status line code, headers in lower case, body.
async fn ask(address: SocketAddr, head: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let host = if head.contains("Host:") {
        ""
    } else {
        "Host: localhost\r\n"
    };
    let request = format!("{head}\r\n{host}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = ask(address, &format!("GET {path} HTTP/1.1")).await;
    (status, body)
}

#[tokio::test]
async fn a_healthy_member_answers_as_etcd_does() {
    let server = FakeServer {
        leader: true,
        ..FakeServer::default()
    };
    let (address, serving) = serve(server, &[], false);
    for (path, status, body) in [
        ("/health", 200, "{\"health\":\"true\",\"reason\":\"\"}"),
        ("/livez", 200, "ok\n"),
        ("/livez?verbose", 200, "[+]serializable_read ok\nok\n"),
        (
            "/readyz?verbose&exclude=linearizable_read&exclude=foo",
            200,
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n",
        ),
        (
            "/readyz/data_corruption?verbose",
            200,
            "[+]data_corruption ok\nok\n",
        ),
        ("/readyz/foo", 404, "404 page not found\n"),
        ("/livez/", 404, "404 page not found\n"),
        ("/livez/non_learner", 404, "404 page not found\n"),
        (
            "/version",
            200,
            "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"unknown\"}",
        ),
        ("/", 404, "404 page not found\n"),
        ("/livezz", 404, "404 page not found\n"),
    ] {
        assert_eq!(
            get(address, path).await,
            (status, body.to_owned()),
            "{path}"
        );
    }
    for path in ["/version", "/health", "/livez"] {
        let (status, head, body) = ask(address, &format!("POST {path} HTTP/1.1")).await;
        assert_eq!(
            (status, body.as_str()),
            (405, "Method Not Allowed\n"),
            "{path}"
        );
        assert!(head.contains("\r\nallow: get"), "{head}");
    }
    let (_, body) = get(address, "/metrics").await;
    assert!(body.contains("\netcd_server_health_success 1\n"));
    let (_, body) = get(address, "/debug/vars").await;
    assert!(body.contains("\"file_descriptor_limit\""));
    assert_eq!(serving.shutdown(Duration::from_secs(10)).await, 0);
}

#[tokio::test]
async fn a_sick_member_says_why() {
    let alarms = vec![Alarm::NoSpace];
    let server = FakeServer {
        alarms,
        learner: true,
        ..FakeServer::default()
    };
    let (address, _serving) = serve(server, &[], false);
    for (path, status, body) in [
        (
            "/health",
            503,
            "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n",
        ),
        (
            "/health?exclude=NOSPACE",
            503,
            "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n",
        ),
        (
            "/health?exclude=NOSPACE&serializable=true",
            200,
            "{\"health\":\"true\",\"reason\":\"\"}",
        ),
        (
            "/readyz",
            503,
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n\
             [-]non_learner failed: not supported for learner\n\n",
        ),
    ] {
        assert_eq!(
            get(address, path).await,
            (status, body.to_owned()),
            "{path}"
        );
    }
    let server = FakeServer {
        leader: true,
        alarms: vec![Alarm::Corrupt],
        read_error: Some("etcdserver: request timed out".into()),
        ..FakeServer::default()
    };
    let (address, _serving) = serve(server, &[], false);
    let reason = "RANGE ERROR:etcdserver: request timed out";
    assert_eq!(
        get(address, "/health?exclude=CORRUPT").await,
        (
            503,
            format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}\n")
        )
    );
    assert_eq!(
        get(address, "/readyz/data_corruption").await,
        (
            503,
            "[-]data_corruption failed: alarm activated: CORRUPT\n\n".to_owned()
        )
    );
}

#[tokio::test]
async fn a_metrics_port_answers_metrics_and_health_only() {
    let server = FakeServer {
        leader: true,
        ..FakeServer::default()
    };
    let (address, _serving) = serve(server, &[], true);
    for (path, status) in [
        ("/metrics", 200),
        ("/health", 200),
        ("/readyz", 200),
        ("/version", 404),
        ("/debug/vars", 404),
    ] {
        assert_eq!(get(address, path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn profiles_are_served_only_where_they_are_asked_for() {
    let (address, _none) = serve(FakeServer::default(), &[], false);
    for path in ["/debug/pprof/", "/debug/pprof/heap?debug=1"] {
        let answer = (404, "404 page not found\n".to_owned());
        assert_eq!(get(address, path).await, answer, "{path}");
    }
    let (address, _debug) = serve(FakeServer::default(), &["--log-level=debug"], false);
    assert_eq!(get(address, "/debug/pprof/").await.0, 200);
    let flags = ["--enable-pprof"];
    let (address, _metrics) = serve(FakeServer::default(), &flags, true);
    assert_eq!(get(address, "/debug/pprof/").await.0, 404);

    let (address, _serving) = serve(FakeServer::default(), &flags, false);
    let (_, index) = get(address, "/debug/pprof/").await;
    assert!(index.contains("<a href=\"heap?debug=1\">"), "{index}");
    let (status, tasks) = get(address, "/debug/pprof/goroutine?debug=1").await;
    assert_eq!(status, 200);
    for line in ["3 client connection\n", "7 watchers\n", "\nworkers "] {
        assert!(tasks.contains(line), "{line:?} in {tasks}");
    }
    let (_, heap) = get(address, "/debug/pprof/heap?debug=1").await;
    assert!(heap.contains("\nVmRSS "), "{heap}");
    for (path, status, text) in [
        ("/debug/pprof/heap", 501, "add ?debug=1"),
        ("/debug/pprof/goroutine?debug=0", 501, "add ?debug=1"),
        ("/debug/pprof/mutex", 501, "waits are not recorded"),
        ("/debug/pprof/foo", 404, "Unknown profile"),
    ] {
        let (given, body) = get(address, path).await;
        assert_eq!(given, status, "{path}");
        assert!(body.contains(text), "{path}: {body}");
    }
}

#[tokio::test]
async fn origins_and_hosts_are_checked() {
    let server = || FakeServer {
        leader: true,
        ..FakeServer::default()
    };
    let (address, _any) = serve(server(), &[], false);
    let (status, head, body) = ask(address, "OPTIONS /nope HTTP/1.1").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("access-control-allow-origin: *"), "{head}");

    let flags = ["--cors=http://a.com:80", "--host-whitelist=localhost"];
    let (address, _listed) = serve(server(), &flags, false);
    let (_, head, _) = ask(address, "GET /health HTTP/1.1\r\nOrigin: http://a.com:80").await;
    assert!(
        head.contains("access-control-allow-origin: http://a.com:80"),
        "{head}"
    );
    let (_, head, _) = ask(address, "GET /health HTTP/1.1\r\nOrigin: http://b.com:80").await;
    assert!(!head.contains("access-control"), "{head}");
    let (status, _, body) = ask(address, "GET /health HTTP/1.1\r\nHost: evil:80").await;
    assert_eq!(status, 421);
    assert!(body.contains("--host-whitelist"), "{body}");
}
