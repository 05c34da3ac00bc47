//! The peer port of a member that does not run yet.
//!
//! A member asks others for the roster before it runs, and they may be about to
//! do the same: if nobody answered meanwhile, members that start together would
//! wait for each other. The answer is a roster without members. Everything else
//! is turned away; whoever dials comes again.

use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::type_config::TypeConfigExt;

use super::frame::{FrameReader, Kind, OutFrame};
use super::handshake::Identity;
use super::roster::{Roster, check_question};
use super::vectored::FrameWriter;
use super::{Connection, TcpTransport, Transport};
use crate::log_store::entry_pool::EntryPool;
use crate::metrics::Metrics;
use crate::types::TypeConfig;

/// Answers questions for the roster on `listeners` until `work` is done. The
/// listeners stay as they are: the member accepts on them when it runs, also who
/// came too late for an answer here.
pub async fn answer_during<T>(
    listeners: &[TcpListener],
    cluster_id: u64,
    member_id: u64,
    work: impl Future<Output = T>,
) -> T {
    let own = Identity {
        cluster_id,
        member_id,
    };
    let copies = listeners.iter().map(TcpListener::try_clone).collect();
    let copies: Vec<_> = match copies {
        Ok(copies) => copies,
        Err(error) => {
            tracing::warn!(%error, "peers that start now have to wait for this member");
            Vec::new()
        }
    };
    let transport = TcpTransport::new(copies);
    match select(pin!(work), pin!(answer_all(&transport, own))).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    }
}

async fn answer_all(transport: &TcpTransport, own: Identity) -> std::convert::Infallible {
    loop {
        match transport.accept().await {
            Ok(connection) => {
                // In vain if it is none of ours, or gone.
                let _ = TypeConfig::timeout(ANSWER_MAX, answer(connection, own)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer connection");
                TypeConfig::sleep(ANSWER_MAX).await;
            }
        }
    }
}

async fn answer(connection: Connection, own: Identity) -> Option<()> {
    let metrics = Metrics::shared();
    let pool = EntryPool::new(Arc::clone(&metrics));
    let frame = FrameReader::new(connection.reader, pool)
        .next()
        .await
        .ok()?;
    if frame.kind == Kind::AskRoster && check_question(frame.payload).is_ok() {
        let nothing = Roster::new(own, Vec::new(), Vec::new());
        let answer = OutFrame::new(Kind::Roster, 0, nothing.encode());
        let mut writer = FrameWriter::new(connection.writer, metrics);
        writer.write(&[answer]).await.ok()?;
    }
    Some(())
}

/// One at a time, so nobody may take long.
const ANSWER_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask_roster;

    #[tokio::test]
    async fn members_that_start_together_do_not_wait_for_each_other() {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (vec![bind()], vec![bind()]);
        let url =
            |listeners: &[TcpListener]| format!("http://{}", listeners[0].local_addr().unwrap());
        let limit = Duration::from_secs(60);
        let (of_one, of_other) = (url(&one), url(&other));
        // Who is answered first goes on to run, and answers as a member.
        let both = tokio::sync::Barrier::new(2);
        let asks = async |url| {
            let answer = ask_roster(url, limit).await;
            both.wait().await;
            answer
        };
        let (from_other, from_one) =
            tokio::join!(answer_during(&one, 7, 1, asks(&of_other)), async {
                // Turned away, like everything that is no question.
                drop(tokio::net::TcpStream::connect(&of_one["http://".len()..]).await);
                answer_during(&other, 7, 2, asks(&of_one)).await
            },);
        for (answer, member_id) in [(from_one, 1), (from_other, 2)] {
            let answer = answer.unwrap();
            assert_eq!((answer.cluster_id, answer.member_id), (7, member_id));
            assert!(answer.members.is_empty());
        }
    }
}
