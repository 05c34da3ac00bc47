//! A name server that knows the SRV records it was told.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use simple_dns::{
    CLASS, Name, Packet, RCODE, ResourceRecord,
    rdata::{RData, SRV},
};

use crate::{Error, Result};

/// Largest query.
const QUERY_BYTES_MAX: usize = 512;

/// How soon a dropped server stops answering.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

type Records = BTreeMap<String, Vec<(String, u16)>>;

/// Answers on a port of 127.0.0.1 until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    /// Gone when the server is.
    records: Arc<Mutex<Records>>,
}

impl NameServer {
    /// Starts one that knows nothing yet.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start() -> Result<Self> {
        let failed = || Error::io("a name server");
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed())?;
        let address = socket.local_addr().map_err(failed())?;
        let timeout = socket.set_read_timeout(Some(LOOK_INTERVAL));
        timeout.map_err(failed())?;
        let records = Arc::new(Mutex::new(Records::new()));
        let known = Arc::downgrade(&records);
        thread::spawn(move || {
            let mut buffer = [0; QUERY_BYTES_MAX];
            while let Some(records) = known.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let query = buffer.get(..length).unwrap_or_default();
                let records = records.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(reply) = answer(query, &records) {
                    // The asker may be gone.
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Ok(Self { address, records })
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Lists a service at these ports of 127.0.0.1.
    pub fn list(&self, service: &str, ports: &[u16]) {
        let at = |port: &u16| ("127.0.0.1".to_owned(), *port);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(service.to_owned(), ports.iter().map(at).collect());
    }
}

fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
    let query = Packet::parse(query).ok()?;
    let question = query.questions.first()?;
    let mut reply = Packet::new_reply(query.id());
    reply.questions.push(question.clone());
    let found = records.get(&question.qname.to_string());
    if found.is_none() {
        *reply.rcode_mut() = RCODE::NameError;
    }
    for (target, port) in found.into_iter().flatten() {
        let record = SRV {
            priority: 0,
            weight: 0,
            port: *port,
            target: Name::new(target).ok()?,
        };
        let name = question.qname.clone();
        let record = ResourceRecord::new(name, CLASS::IN, 60, RData::SRV(record));
        reply.answers.push(record);
    }
    reply.build_bytes_vec().ok()
}
