//! A whole new file, in two passes over its rows and in constant memory.
//!
//! The first pages say where the root of the tree of buckets is and how many
//! pages there are, and both are known only once every row has been seen. So the
//! rows are asked for twice: [`measure`] numbers the pages, [`write`] emits them
//! in the same order. Nothing is written aside, and who sends a file over the
//! network can tell its size in advance.

use std::ops::ControlFlow;

use super::builder::Builder;
use super::error::WriteError;
use super::page::{Header, Kind, Meta, PAGE_BYTES};

/// Two meta pages come first.
const META_PAGES: u64 = 2;
/// Transaction of the meta page that counts; its number modulo 2 is its page.
const TRANSACTION: u64 = 2;

/// Takes bytes until it breaks.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// Where everything goes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    root: u64,
    freelist: u64,
}

impl Layout {
    /// Length of the file.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.pages_count() * PAGE_BYTES as u64
    }

    /// The freelist is the last page.
    fn pages_count(&self) -> u64 {
        self.freelist + 1
    }

    fn encode_metas(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(META_PAGES as usize * PAGE_BYTES);
        for id in 0..META_PAGES {
            let meta = Meta {
                page_bytes: PAGE_BYTES as u32,
                root: self.root,
                freelist: self.freelist,
                pages_count: self.pages_count(),
                transaction: TRANSACTION - id,
            };
            meta.encode(id, &mut out);
            out.resize((id as usize + 1) * PAGE_BYTES, 0);
        }
        out
    }

    /// A page of free pages, without any.
    fn encode_freelist(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE_BYTES);
        let header = Header {
            id: self.freelist,
            kind: Kind::Freelist,
            count: 0,
            overflow: 0,
        };
        header.encode(&mut out);
        out.resize(PAGE_BYTES, 0);
        out
    }
}

/// First pass: finds out where everything goes in a file with these rows.
///
/// # Errors
/// The rows are out of order or too large, or `fill` failed.
pub fn measure<E: From<WriteError>>(
    fill: impl FnOnce(&mut Builder<'_>) -> Result<(), E>,
) -> Result<Layout, E> {
    build(None, fill)
}

/// Second pass: hands the file to `sink`, which gets at least one page at a time.
///
/// # Errors
/// As [`measure`]; the rows are not the same as then; the sink broke off. The
/// bytes handed out are not a file then.
pub fn write<E: From<WriteError>>(
    layout: &Layout,
    fill: impl FnOnce(&mut Builder<'_>) -> Result<(), E>,
    sink: &mut Sink<'_>,
) -> Result<(), E> {
    emit(sink, &layout.encode_metas())?;
    let found = build(Some(&mut *sink), fill)?;
    if found != *layout {
        return Err(WriteError::Changed.into());
    }
    emit(sink, &layout.encode_freelist())?;
    Ok(())
}

fn build<'a, E: From<WriteError>>(
    sink: Option<&'a mut Sink<'a>>,
    fill: impl FnOnce(&mut Builder<'a>) -> Result<(), E>,
) -> Result<Layout, E> {
    let pages = Pages {
        next_id: META_PAGES,
        sink,
        buffer: Vec::new(),
    };
    let mut builder = Builder::new(pages);
    fill(&mut builder)?;
    let (root, freelist) = builder.finish()?;
    Ok(Layout { root, freelist })
}

/// Numbers pages and, in the second pass, emits them.
pub(super) struct Pages<'a> {
    next_id: u64,
    sink: Option<&'a mut Sink<'a>>,
    /// Reused from page to page.
    buffer: Vec<u8>,
}

impl Pages<'_> {
    /// The number of the next page.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Whether bytes are wanted: the first pass needs lengths alone.
    pub(super) fn are_written(&self) -> bool {
        self.sink.is_some()
    }

    /// The next page, of `bytes` bytes with its header, whose elements and data
    /// `encode` appends; returns its number.
    pub(super) fn put(
        &mut self,
        kind: Kind,
        count: usize,
        bytes: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, WriteError> {
        let id = self.next_id;
        let pages_count = bytes.div_ceil(PAGE_BYTES).max(1);
        self.next_id += pages_count as u64;
        let Some(sink) = &mut self.sink else {
            return Ok(id);
        };
        self.buffer.clear();
        let overflow = (pages_count - 1) as u32;
        Header {
            id,
            kind,
            count: count as u16,
            overflow,
        }
        .encode(&mut self.buffer);
        encode(&mut self.buffer);
        debug_assert_eq!(self.buffer.len(), bytes);
        self.buffer.resize(pages_count * PAGE_BYTES, 0);
        emit(sink, &self.buffer)?;
        // One huge value does not stay in memory for the rest of the file.
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        Ok(id)
    }
}

fn emit(sink: &mut Sink<'_>, bytes: &[u8]) -> Result<(), WriteError> {
    match sink(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(WriteError::Stopped),
    }
}

const BUFFER_BYTES_KEPT: usize = 1 << 20;
