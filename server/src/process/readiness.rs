//! Telling a service manager that the server is ready.
//!
//! One datagram `READY=1` to the socket in `NOTIFY_SOCKET`, nothing else ever:
//! the same as etcd says.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends the notice; `socket` is the variable's value, empty when unset.
pub fn notify_ready(socket: &str) {
    if socket.is_empty() {
        return;
    }
    tracing::info!("notifying init daemon");
    match send(socket) {
        Ok(()) => tracing::info!("successfully notified init daemon"),
        Err(error) => tracing::error!(%error, "failed to notify systemd for readiness"),
    }
}

fn send(socket: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::send;

    #[test]
    fn the_notice_is_one_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        send(path.to_str().unwrap()).unwrap();
        let mut bytes = [0; 64];
        let count = receiver.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"READY=1");
        assert!(send("/no/such/socket").is_err());
    }
}
