//! Buckets and rows as they come, turned into trees.

use super::error::WriteError;
use super::page::BUCKET_HEADER_BYTES;
use super::tree::{Leaf, Tree};
use super::writer::Pages;

/// Takes the content of a file: buckets in name order, the rows of each in key
/// order.
pub struct Builder<'a> {
    pages: Pages<'a>,
    /// The tree of buckets.
    top: Tree,
    open: Option<(Vec<u8>, Tree)>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(pages: Pages<'a>) -> Self {
        Self {
            pages,
            top: Tree::default(),
            open: None,
        }
    }

    /// Begins a bucket; the rows that follow are in it.
    ///
    /// # Errors
    /// The name is not above that of the bucket before.
    pub fn bucket(&mut self, name: &[u8]) -> Result<(), WriteError> {
        self.end_bucket()?;
        self.open = Some((name.to_vec(), Tree::default()));
        Ok(())
    }

    /// Adds a row to the bucket begun last.
    ///
    /// # Errors
    /// The key is not above the one before, or the row is too large.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        let (_, tree) = self.open.as_mut().ok_or(WriteError::NoBucket)?;
        tree.push(false, key, value, &mut self.pages)
    }

    fn end_bucket(&mut self) -> Result<(), WriteError> {
        let Some((name, tree)) = self.open.take() else {
            return Ok(());
        };
        let mut value = Vec::new();
        match tree.inline() {
            Some(leaf) => {
                value.resize(BUCKET_HEADER_BYTES, 0);
                put_inline(leaf, &mut value);
            }
            None => {
                let root = tree.finish(&mut self.pages)?;
                value.extend_from_slice(&root.to_le_bytes());
                value.resize(BUCKET_HEADER_BYTES, 0);
            }
        }
        self.top.push(true, &name, &value, &mut self.pages)
    }

    /// Ends the content; returns the root of the tree of buckets, and the number
    /// of the next page.
    pub(super) fn finish(mut self) -> Result<(u64, u64), WriteError> {
        self.end_bucket()?;
        let root = self.top.finish(&mut self.pages)?;
        Ok((root, self.pages.next_id()))
    }
}

/// A page inside the value of its bucket.
fn put_inline(leaf: &Leaf, value: &mut Vec<u8>) {
    leaf.encode_inline(value);
    // The first pass keeps no data; only the length counts then.
    value.resize(BUCKET_HEADER_BYTES + leaf.bytes(), 0);
}

impl std::fmt::Debug for Builder<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Builder").finish_non_exhaustive()
    }
}
