//! Answers of name servers, good and bad, over real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

use simple_dns::ResourceRecord;
use simple_dns::rdata::SRV;

use super::*;

const NAME: &str = "_etcd-server._tcp.example.org";

fn answer(query: &[u8], targets: &[(u16, &'static str, u16)], rcode: RCODE) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    *reply.rcode_mut() = rcode;
    reply.questions.push(query.questions[0].clone());
    for (priority, target, port) in targets {
        let record = SRV {
            priority: *priority,
            weight: 0,
            port: *port,
            target: Name::new(target).unwrap(),
        };
        let name = query.questions[0].qname.clone();
        let record = ResourceRecord::new(name, CLASS::IN, 60, RData::SRV(record));
        reply.answers.push(record);
    }
    reply.build_bytes_vec_compressed().unwrap()
}

/// A server that gives one datagram for each query; `None` says nothing.
fn server(reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(reply) = reply(&buffer[..length]) {
                socket.send_to(&reply, from).unwrap();
            }
        }
    });
    address
}

fn quick(servers: Vec<SocketAddr>) -> Resolver {
    Resolver {
        timeout: Duration::from_millis(300),
        ..Resolver::new(servers)
    }
}

fn service(priority: u16, target: &str, port: u16) -> Service {
    Service {
        priority,
        target: target.to_owned(),
        port,
    }
}

#[test]
fn services_come_in_the_order_of_their_priority() {
    let targets = [
        (2, "b.example.org", 1),
        (1, "c.example.org", 2),
        (2, "a.example.org", 3),
    ];
    let at = server(move |query| Some(answer(query, &targets, RCODE::NoError)));
    let found = quick(vec![at]).services(NAME).unwrap();
    let expected = [
        service(1, "c.example.org", 2),
        service(2, "a.example.org", 3),
        service(2, "b.example.org", 1),
    ];
    assert_eq!(found, expected);
}

#[test]
fn refusals_have_the_texts_of_gos_resolver() {
    let unknown = server(|query| Some(answer(query, &[], RCODE::NameError)));
    let empty = server(|query| Some(answer(query, &[], RCODE::NoError)));
    let broken = server(|query| Some(answer(query, &[], RCODE::ServerFailure)));
    let silent = server(|_| None);
    for (at, reason) in [
        (unknown, "no such host"),
        (empty, "no such host"),
        (broken, "server misbehaving"),
        (silent, "i/o timeout"),
    ] {
        let error = quick(vec![at]).services(NAME).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("lookup {NAME} on {at}: {reason}")
        );
    }
}

#[test]
fn a_server_that_does_not_answer_is_passed_over() {
    let silent = server(|_| None);
    let good = server(|query| Some(answer(query, &[(1, "a", 1)], RCODE::NoError)));
    assert_eq!(quick(vec![silent, good]).services(NAME).unwrap().len(), 1);
}

#[test]
fn datagrams_that_answer_something_else_are_passed_over() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let good = answer(&buffer[..length], &[(1, "a", 1)], RCODE::NoError);
        let mut other = good.clone();
        other[0] ^= 1;
        for datagram in [&b"noise"[..], &buffer[..length], &other, &good] {
            socket.send_to(datagram, from).unwrap();
        }
    });
    assert_eq!(quick(vec![at]).services(NAME).unwrap().len(), 1);
}

#[test]
fn an_answer_that_was_cut_is_asked_for_again_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(at).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let mut cut = answer(&buffer[..length], &[], RCODE::NoError);
        cut[2] |= 0b10;
        socket.send_to(&cut, from).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).unwrap();
        let whole = answer(&query, &[(1, "a", 1), (1, "b", 2)], RCODE::NoError);
        let length = u16::try_from(whole.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &whole].concat()).unwrap();
    });
    assert_eq!(quick(vec![at]).services(NAME).unwrap().len(), 2);
}

#[test]
fn every_cut_of_an_answer_is_refused_or_read_and_never_panics() {
    let query = query(7, NAME).unwrap();
    let whole = answer(&query, &[(1, "a.example.org", 1)], RCODE::NoError);
    for length in 0..whole.len() {
        let _ = read(&whole[..length]);
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[length] ^= 1 << bit;
            let _ = read(&flipped);
        }
    }
    assert_eq!(read(&whole).unwrap(), [service(1, "a.example.org", 1)]);
}
