//! Members and endpoints found by DNS.

use std::process::{Command, Output};

use quoin_tests::{
    binaries,
    cluster::{Cluster, Options},
    dns::NameServer,
    wait,
};

use crate::support::{assert_members_agree, get, put};

const DOMAIN: &str = "example.org";

/// Three members that look below [`DOMAIN`], not started, and their peer ports.
fn prepare(names: &NameServer) -> (Cluster, Vec<u16>) {
    let options = Options::new(3)
        .discovery(DOMAIN)
        .variable("QUOIN_DNS_SERVER", names.address());
    let cluster = Cluster::prepare(options).unwrap();
    let ports = (0..3).map(|member| cluster.member(member).unwrap().peer_port);
    let ports = ports.collect();
    (cluster, ports)
}

fn quoinctl(names: &NameServer, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::quoinctl().unwrap());
    command.env("QUOIN_DNS_SERVER", names.address());
    command.args(arguments).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_clients_find_the_cluster_by_dns() {
    let names = NameServer::start().unwrap();
    let (mut cluster, ports) = prepare(&names);
    names.list("_etcd-server._tcp.example.org", &ports);
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    put(&cluster, 0, "k", "v").await;
    assert_members_agree(&cluster).await;
    let members = cluster.members(0).await.unwrap();
    let mut named: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["m0", "m1", "m2"]);

    let client_ports = (0..3).map(|member| cluster.member(member).unwrap().client_port);
    let client_ports: Vec<_> = client_ports.collect();
    names.list("_etcd-client._tcp.example.org", &client_ports);
    names.list("_etcd-client-blue._tcp.example.org", &client_ports[1..2]);
    let found = quoinctl(&names, &["--discovery-srv=example.org", "get", "k"]);
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "k\nv\n",
        "{found:?}"
    );
    let one = quoinctl(
        &names,
        &[
            "-d",
            DOMAIN,
            "--discovery-srv-name=blue",
            "endpoint",
            "health",
        ],
    );
    // Told on standard error, as etcdctl does.
    let told = [one.stdout, one.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let healthy: Vec<_> = told
        .lines()
        .filter(|line| line.contains("is healthy"))
        .collect();
    assert_eq!(healthy.len(), 1, "{told}");
    assert!(healthy[0].contains(&client_ports[1].to_string()), "{told}");
    let unknown = quoinctl(&names, &["--discovery-srv=elsewhere.org", "get", "k"]);
    let at = names.address();
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&unknown.stderr),
        format!(
            "Error: dns lookup errors: lookup _etcd-client-ssl._tcp.elsewhere.org on {at}: no \
             such host and lookup _etcd-client._tcp.elsewhere.org on {at}: no such host\n"
        )
    );

    // Only a first boot asks.
    drop(names);
    cluster.kill_all().unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_eq!(get(&cluster, 1, "k").await.as_deref(), Some("v"));
}

/// Starts a member that must refuse to; what its last line says.
async fn refusal(cluster: &mut Cluster) -> String {
    cluster.start_member(0).unwrap();
    let process = cluster.process(0).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    let output = process.output();
    assert_eq!(status.code(), Some(1), "{output}");
    cluster.kill(0).unwrap();
    let last = output.lines().last().unwrap();
    let fields: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(fields["msg"], "discovery failed", "{last}");
    fields["error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dns_does_not_list_is_refused_in_etcds_words() {
    let names = NameServer::start().unwrap();
    let (mut cluster, ports) = prepare(&names);
    let at = names.address();
    let setting_up = "error setting up initial cluster: ";
    assert_eq!(
        refusal(&mut cluster).await,
        format!(
            "{setting_up}error querying DNS SRV records for _etcd-server-ssl lookup \
             _etcd-server-ssl._tcp.example.org on {at}: no such host\nerror querying DNS SRV \
             records for _etcd-server lookup _etcd-server._tcp.example.org on {at}: no such host"
        )
    );
    names.list("_etcd-server._tcp.example.org", &ports[1..]);
    assert_eq!(
        refusal(&mut cluster).await,
        format!("{setting_up}cannot find local etcd member \"m0\" in SRV records")
    );
    names.list("_etcd-server-ssl._tcp.example.org", &ports);
    let text = refusal(&mut cluster).await;
    assert!(
        text.contains("TLS, which is not supported by quoin yet"),
        "{text}"
    );
}
