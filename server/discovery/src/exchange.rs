//! One question to one server and its answer: RFC 1035, sections 4.2.1 and 4.2.2.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Sends `query` and returns the first datagram that `is_answer`, or the answer over
/// TCP if that one was cut.
pub(crate) fn exchange(
    server: SocketAddr,
    query: &[u8],
    timeout: Duration,
    is_answer: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, String> {
    let answer = over_udp(server, query, timeout, &is_answer).map_err(reason)?;
    if !is_cut(&answer) {
        return Ok(answer);
    }
    let answer = over_tcp(server, query, timeout).map_err(reason)?;
    if is_answer(&answer) {
        return Ok(answer);
    }
    Err("cannot unmarshal DNS message".to_owned())
}

fn reason(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

fn over_udp(
    server: SocketAddr,
    query: &[u8],
    timeout: Duration,
    is_answer: &impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    // Datagrams of others do not arrive on a connected socket.
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + timeout;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        let answer = buffer.get(..length).unwrap_or_default();
        if is_answer(answer) {
            return Ok(answer.to_vec());
        }
    }
}

fn over_tcp(server: SocketAddr, query: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The flag TC of the header.
fn is_cut(answer: &[u8]) -> bool {
    answer.get(FLAGS_AT).is_some_and(|flags| flags & TC != 0)
}

/// Largest datagram that is read whole: without EDNS servers send 512 bytes.
const DATAGRAM_BYTES_MAX: usize = 4096;
const FLAGS_AT: usize = 2;
const TC: u8 = 0b10;
