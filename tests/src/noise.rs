//! What a bad network does to what one member is sent: it is slow, it breaks, it
//! flips bits. Part of [`crate::wires`]; the member's answers pass as they are.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::watch;

/// A piece in which a bit is flipped is at least so long: not a heartbeat.
const FLIPPED_BYTES_MIN: usize = 16 << 10;

/// Faults on the way to one member.
#[derive(Debug)]
pub struct Noise {
    delay_micros: AtomicU64,
    flips_next: AtomicBool,
    /// How often everything broke.
    breaks: watch::Sender<u64>,
    passed_bytes: AtomicU64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            delay_micros: AtomicU64::new(0),
            flips_next: AtomicBool::new(false),
            breaks: watch::channel(0).0,
            passed_bytes: AtomicU64::new(0),
        }
    }
}

impl Noise {
    /// Holds each piece of 64 KiB back by this time.
    pub fn delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.delay_micros.store(micros, Ordering::Relaxed);
    }

    /// Breaks every open connection.
    pub fn break_connections(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Flips a bit in the next large piece.
    pub fn flip_next(&self) {
        self.flips_next.store(true, Ordering::Relaxed);
    }

    /// Whether the flip that was ordered has happened.
    #[must_use]
    pub fn has_flipped(&self) -> bool {
        !self.flips_next.load(Ordering::Relaxed)
    }

    /// Bytes that went to the member.
    #[must_use]
    pub fn passed_bytes(&self) -> u64 {
        self.passed_bytes.load(Ordering::Relaxed)
    }

    /// Does to a piece what is ordered.
    pub(crate) async fn disturb(&self, piece: &mut [u8]) {
        let delay = self.delay_micros.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_micros(delay)).await;
        }
        let is_large = piece.len() >= FLIPPED_BYTES_MIN;
        if is_large && self.flips_next.swap(false, Ordering::Relaxed) {
            let middle = piece.len() / 2;
            piece
                .iter_mut()
                .skip(middle)
                .take(1)
                .for_each(|byte| *byte ^= 1);
        }
        let length = u64::try_from(piece.len()).unwrap_or(0);
        self.passed_bytes.fetch_add(length, Ordering::Relaxed);
    }

    /// Resolves at the next break. Begins to look when it is called.
    pub(crate) fn broken(&self) -> impl Future<Output = ()> + use<> {
        let mut breaks = self.breaks.subscribe();
        async move {
            // An error means that the test is over.
            let _ = breaks.changed().await;
        }
    }
}
