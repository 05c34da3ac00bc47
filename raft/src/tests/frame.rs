//! Frames out and in again, damaged frames, arbitrary bytes.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::log_store::entry_pool::EntryPool;
use crate::metrics::Metrics;
use crate::transport::frame::{ALL_KINDS, Frame, FrameError, FrameReader, Kind, OutFrame};
use crate::transport::vectored::FrameWriter;

fn pool() -> EntryPool {
    EntryPool::new(Metrics::shared())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn bytes_of(frames: &[OutFrame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    run(FrameWriter::new(&mut bytes, Metrics::shared()).write(frames)).unwrap();
    bytes
}

fn frames_of(bytes: &[u8]) -> (Vec<Frame>, FrameError) {
    run(async {
        let mut reader = FrameReader::new(bytes, pool());
        reader.trust();
        let mut frames = Vec::new();
        loop {
            match reader.next().await {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, error),
            }
        }
    })
}

#[test]
fn the_header_of_a_frame_is_fixed() {
    let frame = OutFrame::new(Kind::Vote, 0x0102, Bytes::from_static(b"abc"));
    let bytes = bytes_of(&[frame]);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let crc_of_abc = crc32fast::hash(b"abc").to_le_bytes();
    assert!(hex.starts_with("0300000014000000"), "{hex}");
    assert_eq!(bytes[8..16], 0x0102_u64.to_le_bytes());
    assert_eq!(bytes[16..20], crc_of_abc);
    assert_eq!(bytes[20..24], crc32fast::hash(&bytes[..20]).to_le_bytes());
    assert_eq!(&bytes[24..], b"abc");
}

#[test]
fn a_length_above_the_limit_is_refused_before_anything_is_allocated() {
    let bytes = bytes_of(&[OutFrame::new(Kind::Hello, 0, vec![0; 5000])]);
    let error = run(async { FrameReader::new(bytes.as_slice(), pool()).next().await });
    assert!(matches!(
        error,
        Err(FrameError::TooLong { length: 5000, .. })
    ));
}

#[test]
fn received_buffers_go_home_to_the_pool() {
    let metrics = Metrics::shared();
    let pool = EntryPool::new(Arc::clone(&metrics));
    let bytes = bytes_of(&vec![OutFrame::new(Kind::Append, 1, vec![1; 500]); 50]);
    run(async {
        let mut reader = FrameReader::new(bytes.as_slice(), pool.clone());
        reader.trust();
        while let Ok(frame) = reader.next().await {
            drop(frame);
        }
    });
    assert_eq!(metrics.pool_outstanding.value(), 0);
    assert_eq!(metrics.pool_misses.value(), 1);
}

fn any_frame() -> impl Strategy<Value = OutFrame> {
    let part = || prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let body = prop::collection::vec(part(), 0..4);
    (0..ALL_KINDS.len(), any::<u64>(), part(), body).prop_map(|(kind, id, head, body)| OutFrame {
        kind: ALL_KINDS[kind],
        id,
        head,
        body,
    })
}

proptest! {
    #[test]
    fn frames_arrive_as_they_were_sent(frames in prop::collection::vec(any_frame(), 0..20)) {
        let (received, end) = frames_of(&bytes_of(&frames));
        prop_assert!(matches!(end, FrameError::Closed));
        prop_assert_eq!(received.len(), frames.len());
        for (received, sent) in received.iter().zip(&frames) {
            let payload: Vec<u8> =
                sent.head.iter().chain(sent.body.iter().flatten()).copied().collect();
            prop_assert_eq!((received.kind, received.id), (sent.kind, sent.id));
            prop_assert_eq!(&received.payload[..], &payload[..]);
        }
    }

    #[test]
    fn one_damaged_bit_is_always_noticed(
        frame in any_frame(),
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let mut bytes = bytes_of(&[frame]);
        let place = at.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        let (received, end) = frames_of(&bytes);
        prop_assert!(received.is_empty());
        prop_assert!(!matches!(end, FrameError::Closed), "{:?}", end);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = frames_of(&bytes);
    }
}
