//! The first exchange on a connection: both sides prove they belong together.
//!
//! The dialling side says who it is and whom it wants; the other side accepts
//! or refuses with a reason, then closes. Members of another cluster, a
//! member id that is not ours and members known to be removed are refused.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Class;
use super::frame::{Frame, FrameReader, Kind, OutFrame};
use super::roster::{Roster, check_question};
use super::vectored::FrameWriter;
use crate::log_store::entry_codec::{CodecError, Reader, put_text};

/// Who a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
}

/// What the dialling side says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) class: Class,
    pub(crate) from: Identity,
    pub(crate) to: u64,
}

/// Why a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// The kinds of refusal a program may act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    Protocol = 1,
    Cluster = 2,
    Member = 3,
    Removed = 4,
}

/// A handshake that did not succeed.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    Refused(Refusal),
    Broken(String),
    /// No member: it asked for the roster and was answered.
    Asked,
}

impl Hello {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(40);
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u8(self.class as u8);
        out.put_u64_le(self.from.cluster_id);
        out.put_u64_le(self.from.member_id);
        out.put_u64_le(self.to);
        out.freeze()
    }

    fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        if reader.slice(MAGIC.len())? != MAGIC.as_slice() {
            return Err(CodecError::Unknown {
                what: "magic",
                value: 0,
            });
        }
        match reader.short()? {
            VERSION => {}
            other => {
                return Err(CodecError::Unknown {
                    what: "peer protocol",
                    value: other.into(),
                });
            }
        }
        let class = reader.byte()?;
        let class = Class::from_byte(class).ok_or(CodecError::Unknown {
            what: "connection class",
            value: class.into(),
        })?;
        let from = Identity {
            cluster_id: reader.long()?,
            member_id: reader.long()?,
        };
        let hello = Self {
            class,
            from,
            to: reader.long()?,
        };
        reader.finish()?;
        Ok(hello)
    }
}

impl Refusal {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(self.reason as u8);
        put_text(&mut out, &self.text);
        out.freeze()
    }

    fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        let reason = match reader.byte()? {
            2 => Reason::Cluster,
            3 => Reason::Member,
            4 => Reason::Removed,
            _ => Reason::Protocol,
        };
        Ok(Self {
            reason,
            text: reader.text("refusal")?,
        })
    }
}

/// The dialling side.
pub(crate) async fn greet<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    hello: &Hello,
) -> Result<(), HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let broken = |error: String| HandshakeError::Broken(error);
    let frame = OutFrame::new(Kind::Hello, 0, hello.encode());
    writer
        .write(&[frame])
        .await
        .map_err(|error| broken(error.to_string()))?;
    let Frame { kind, payload, .. } = reader
        .next()
        .await
        .map_err(|error| broken(error.to_string()))?;
    match kind {
        Kind::Welcome => {
            reader.trust();
            Ok(())
        }
        Kind::Refused => match Refusal::decode(payload) {
            Ok(refusal) => Err(HandshakeError::Refused(refusal)),
            Err(error) => Err(broken(error.to_string())),
        },
        other => Err(broken(format!("unexpected {other:?} in the handshake"))),
    }
}

/// The accepting side. `removed` tells whether a member is known to be gone,
/// `roster` who the members are.
pub(crate) async fn welcome<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    own: Identity,
    removed: impl Fn(u64) -> bool,
    roster: impl Fn() -> Roster,
) -> Result<Hello, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let broken = |error: String| HandshakeError::Broken(error);
    let frame = reader
        .next()
        .await
        .map_err(|error| broken(error.to_string()))?;
    let verdict = match frame.kind {
        Kind::Hello => judge(frame.payload, own, removed),
        Kind::AskRoster => match check_question(frame.payload) {
            Ok(()) => {
                let answer = OutFrame::new(Kind::Roster, 0, roster().encode());
                let written = writer.write(&[answer]).await;
                written.map_err(|error| broken(error.to_string()))?;
                return Err(HandshakeError::Asked);
            }
            Err(error) => Err(Refusal {
                reason: Reason::Protocol,
                text: format!("question for the members: {error}"),
            }),
        },
        other => Err(Refusal {
            reason: Reason::Protocol,
            text: format!("expected a hello, got {other:?}"),
        }),
    };
    let answer = match &verdict {
        Ok(_) => OutFrame::new(Kind::Welcome, 0, Bytes::new()),
        Err(refusal) => OutFrame::new(Kind::Refused, 0, refusal.encode()),
    };
    writer
        .write(&[answer])
        .await
        .map_err(|error| broken(error.to_string()))?;
    let hello = verdict.map_err(HandshakeError::Refused)?;
    reader.trust();
    Ok(hello)
}

fn judge(payload: Bytes, own: Identity, removed: impl Fn(u64) -> bool) -> Result<Hello, Refusal> {
    let refuse = |reason, text| Err(Refusal { reason, text });
    let hello = match Hello::decode(payload) {
        Ok(hello) => hello,
        Err(error) => return refuse(Reason::Protocol, format!("hello: {error}")),
    };
    if hello.from.cluster_id != own.cluster_id {
        let text = format!(
            "cluster id mismatch: local {:x}, remote {:x}",
            own.cluster_id, hello.from.cluster_id
        );
        return refuse(Reason::Cluster, text);
    }
    if hello.to != own.member_id {
        let text = format!(
            "member id mismatch: local {:x}, wanted {:x}",
            own.member_id, hello.to
        );
        return refuse(Reason::Member, text);
    }
    if removed(hello.from.member_id) {
        let text = format!(
            "member {:x} was removed from the cluster",
            hello.from.member_id
        );
        return refuse(Reason::Removed, text);
    }
    Ok(hello)
}

/// First bytes of every hello.
pub(super) const MAGIC: [u8; 8] = *b"QUOINPR\x01";
/// Version of the peer protocol.
pub(super) const VERSION: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_of_a_later_protocol_is_refused_by_number() {
        let own = Identity {
            cluster_id: 1,
            member_id: 2,
        };
        let hello = Hello {
            class: Class::Control,
            from: Identity {
                cluster_id: 1,
                member_id: 3,
            },
            to: 2,
        };
        assert!(judge(hello.encode(), own, |_| false).is_ok());
        let mut later = hello.encode().to_vec();
        later[MAGIC.len()..MAGIC.len() + 2].copy_from_slice(&99_u16.to_le_bytes());
        let refusal = judge(later.into(), own, |_| false).unwrap_err();
        assert_eq!(refusal.reason, Reason::Protocol);
        assert_eq!(
            refusal.text,
            "hello: peer protocol has the unknown value 99"
        );
    }
}
