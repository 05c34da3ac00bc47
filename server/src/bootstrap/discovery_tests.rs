//! Who is who among the records. Lookups are tested with real processes.

use super::*;
use crate::config::load;

fn config(name: &str) -> ServerConfig {
    let arguments = [
        "--discovery-srv=example.org".to_owned(),
        format!("--name={name}"),
        "--initial-advertise-peer-urls=http://127.0.0.1:7001".to_owned(),
        "--data-dir=unused".to_owned(),
    ];
    load(&arguments, &[]).unwrap().config
}

fn services(targets: &[(&str, u16)]) -> Vec<Service> {
    let service = |(target, port): &(&str, u16)| Service {
        priority: 0,
        target: (*target).to_owned(),
        port: *port,
    };
    targets.iter().map(service).collect()
}

fn text(name: &str, targets: &[(&str, u16)]) -> Result<String, String> {
    let mut config = config(name);
    assert!(config.initial_cluster.is_empty());
    let members = members(&config, &services(targets));
    config.initial_cluster = members.map_err(|error| error.to_string())?;
    Ok(config.initial_cluster_text())
}

#[test]
fn whoever_has_an_own_address_is_this_member_and_the_others_are_numbered() {
    let three = [("127.0.0.1", 7000), ("127.0.0.1", 7001), ("10.0.0.9", 7001)];
    assert_eq!(
        text("a", &three).unwrap(),
        "0=http://127.0.0.1:7000,1=http://10.0.0.9:7001,a=http://127.0.0.1:7001"
    );
    // The name of a host counts by what it stands for.
    assert_eq!(
        text("a", &[("localhost", 7001)]).unwrap(),
        "a=http://localhost:7001"
    );
    // One that is called like a number keeps its name, and all members count.
    assert_eq!(
        text("0", &three).unwrap(),
        "0=http://127.0.0.1:7001,0.=http://127.0.0.1:7000,1=http://10.0.0.9:7001"
    );
}

#[test]
fn a_member_that_is_not_listed_is_refused_and_a_host_that_is_not_known_is_none() {
    let refused = "cannot find local etcd member \"a\" in SRV records";
    assert_eq!(text("a", &[("127.0.0.1", 7000)]).unwrap_err(), refused);
    assert_eq!(
        text("a", &[("no-such-host.invalid", 7001), ("127.0.0.1", 7001)]).unwrap(),
        "0=http://no-such-host.invalid:7001,a=http://127.0.0.1:7001"
    );
}
