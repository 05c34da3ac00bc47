//! A group: what one write and one sync will carry.
//!
//! Callers encode into the newest group while the writer syncs an older one.
//! Beside the bytes a group holds what becomes true once they are durable
//! (effects, in stream order) and whom to tell.

use bytes::Bytes;

use crate::buffer_pool::PooledBuffer;
use crate::entry::Position;
use crate::log::Completion;
use crate::record::{FRAME_HEADER_BYTES, StreamState};

/// What a record changes once it is durable.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Entry whose record starts at `offset` of the frame.
    Entry {
        index: u64,
        term: u64,
        offset: u32,
        length: u32,
    },
    /// Entries from `end` on are gone; `None`: all.
    Truncate {
        end: Option<u64>,
    },
    /// Entries up to the position are gone.
    Purge(Position),
    Vote(Bytes),
    Committed(Bytes),
}

/// One frame in the making.
pub(crate) struct Group {
    /// The frame: room for its header, then records.
    pub(crate) buffer: PooledBuffer,
    pub(crate) effects: Vec<Effect>,
    pub(crate) completions: Vec<Completion>,
    /// Once durable, entries below this index are; 0 if it holds none.
    pub(crate) durable_end: u64,
}

/// The empty vectors of a finished group, for the next one.
#[derive(Default)]
pub(crate) struct Shell {
    effects: Vec<Effect>,
    completions: Vec<Completion>,
}

impl Group {
    /// An empty group.
    pub(crate) fn new(mut buffer: PooledBuffer, shell: Shell) -> Self {
        let Shell {
            effects,
            completions,
        } = shell;
        buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        Self {
            buffer,
            effects,
            completions,
            durable_end: 0,
        }
    }

    /// Gives the buffer back and keeps the vectors, emptied.
    pub(crate) fn into_shell(self) -> Shell {
        let Self {
            mut effects,
            mut completions,
            ..
        } = self;
        effects.clear();
        completions.clear();
        Shell {
            effects,
            completions,
        }
    }

    /// Whether it carries records. Without any it is only a place in the order.
    pub(crate) fn has_records(&self) -> bool {
        self.buffer.len() > FRAME_HEADER_BYTES
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Group")
            .field("bytes", &self.buffer.len())
            .field("effects", &self.effects.len())
            .field("completions", &self.completions.len())
            .finish_non_exhaustive()
    }
}

impl Shell {
    /// Records it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.effects.capacity()
    }
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shell")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl StreamState {
    /// Takes over what a record changed.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Entry { index, .. } => {
                self.first = if self.next.is_some() {
                    self.first
                } else {
                    *index
                };
                self.next = Some(index.saturating_add(1));
            }
            Effect::Truncate { end } => {
                self.next = end.and_then(|end| self.next.map(|next| next.min(end)));
                self.first = self.next.map_or(0, |next| self.first.min(next));
            }
            Effect::Purge(position) => {
                let end = position.index.saturating_add(1);
                self.purged = Some(*position);
                self.first = self.next.map_or(end, |_| self.first.max(end));
                self.next = Some(self.next.map_or(end, |next| next.max(end)));
            }
            Effect::Vote(vote) => self.vote = Some(vote.clone()),
            Effect::Committed(committed) => self.committed = Some(committed.clone()),
        }
    }
}
