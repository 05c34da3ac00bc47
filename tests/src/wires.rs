//! Wires between members that can be cut, as a network partition does it.
//!
//! Peers dial a member's wire, and what they send passes through the test. The
//! member that dials is found by its socket: Linux lists the sockets of each
//! process below `/proc`. While a wire between two members is cut, bytes wait
//! and connections are made but say nothing, like packets that are lost and sent
//! again; nobody is told. No rights are needed for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{Error, Result, noise::Noise, ports};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Looks for a socket in the system's table.
const TRIES: usize = 5;

/// Two members, the lower position first.
type Pair = (usize, usize);

/// The wires of a cluster. Clones are the same wires.
#[derive(Clone, Debug)]
pub struct Wires {
    cut: watch::Sender<BTreeSet<Pair>>,
    /// Processes by the member's position, the last one counts.
    processes: Arc<Mutex<Vec<(usize, u32)>>>,
    /// By the position of the member that hears it.
    noises: Arc<Mutex<BTreeMap<usize, Arc<Noise>>>>,
}

impl Default for Wires {
    fn default() -> Self {
        Self {
            cut: watch::channel(BTreeSet::new()).0,
            processes: Arc::default(),
            noises: Arc::default(),
        }
    }
}

impl Wires {
    /// Cuts the wire between two members, both ways.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut.send_modify(|cut| {
            cut.insert(pair(one, other));
        });
    }

    /// Cuts the wires between one member and `others`.
    pub fn isolate(&self, one: usize, others: impl IntoIterator<Item = usize>) {
        let others = others.into_iter().filter(|other| *other != one);
        others.for_each(|other| self.cut(one, other));
    }

    /// Mends all wires.
    pub fn mend(&self) {
        self.cut.send_replace(BTreeSet::new());
    }

    /// What else may happen on the way to a member.
    #[must_use]
    pub fn noise(&self, position: usize) -> Arc<Noise> {
        let mut noises = self.noises.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(noises.entry(position).or_default())
    }

    /// Lays the wire to the member at `position`, which listens on `peer_port`;
    /// returns the port to dial.
    pub(crate) fn lay(&self, position: usize, peer_port: u16) -> Result<u16> {
        let port = ports::free()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port));
        let listener = listener.map_err(Error::io("a wire"))?;
        let nonblocking = listener.set_nonblocking(true);
        nonblocking.map_err(Error::io("a wire"))?;
        let listener = TcpListener::from_std(listener).map_err(Error::io("a wire"))?;
        let wires = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(wires.clone().join(stream, from, position, peer_port));
            }
        });
        Ok(port)
    }

    /// The member at `position` runs as this process.
    pub(crate) fn started(&self, position: usize, process: u32) {
        let mut processes = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        processes.retain(|(other, _)| *other != position);
        processes.push((position, process));
    }

    /// One connection, until either side closes it.
    async fn join(self, stream: TcpStream, from: SocketAddr, to: usize, peer_port: u16) {
        // Whoever is not found dials again.
        let Some(dialling) = self.dialled_by(from) else {
            return;
        };
        let wire = pair(dialling, to);
        let mut cut = self.cut.subscribe();
        if !mended(&mut cut, wire).await {
            return;
        }
        let Ok(onward) = TcpStream::connect(("127.0.0.1", peer_port)).await else {
            return;
        };
        // A small frame must not wait for the next one.
        let (_, _) = (stream.set_nodelay(true), onward.set_nodelay(true));
        let (near_in, near_out) = stream.into_split();
        let (far_in, far_out) = onward.into_split();
        let noise = self.noise(to);
        let broken = noise.broken();
        tokio::select! {
            () = carry(near_in, far_out, cut.clone(), wire, Some(&*noise)) => {}
            () = carry(far_in, near_out, cut, wire, None) => {}
            () = broken => {}
        }
    }

    /// The member whose process has the socket bound to `address`.
    fn dialled_by(&self, address: SocketAddr) -> Option<usize> {
        // The table is read while it changes: rows can be missed.
        let inode = (0..TRIES).find_map(|_| socket_inode(address))?;
        let processes = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let owner = |(_, process): &&(usize, u32)| has_socket(*process, &inode);
        processes.iter().find(owner).map(|(position, _)| *position)
    }
}

fn pair(one: usize, other: usize) -> Pair {
    (one.min(other), one.max(other))
}

/// Waits until the wire is whole; false when the test is over.
async fn mended(cut: &mut watch::Receiver<BTreeSet<Pair>>, wire: Pair) -> bool {
    cut.wait_for(|cut| !cut.contains(&wire)).await.is_ok()
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut cut: watch::Receiver<BTreeSet<Pair>>,
    wire: Pair,
    noise: Option<&Noise>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let bytes = chunk.get_mut(..count).unwrap_or_default();
        if let Some(noise) = noise {
            noise.disturb(bytes).await;
        }
        if !mended(&mut cut, wire).await || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// The inode of the IPv4 socket with this local address.
fn socket_inode(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let wanted = format!("{ip:08X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let mut rows = table.lines().map(|row| row.split_whitespace());
    rows.find_map(|mut row| (row.nth(1)? == wanted).then(|| row.nth(7).map(str::to_owned))?)
}

fn has_socket(process: u32, inode: &str) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    let mut targets = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.to_string_lossy() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_wire_holds_bytes_until_it_is_mended() {
        let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wires = Wires::default();
        // Both ends are of this process: a wire from 0 to 1.
        wires.started(0, std::process::id());
        let port = wires.lay(1, behind.local_addr().unwrap().port()).unwrap();
        let mut near = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut far, _) = behind.accept().await.unwrap();
        near.write_all(b"one").await.unwrap();
        let mut bytes = [0; 3];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"one");
        wires.isolate(0, 0..2);
        near.write_all(b"two").await.unwrap();
        far.write_all(b"six").await.unwrap();
        tokio::task::yield_now().await;
        assert!(far.try_read(&mut bytes).is_err(), "{bytes:?}");
        wires.mend();
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"two");
        near.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"six");
    }
}
