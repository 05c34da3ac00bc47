//! One tree, built from the left: a level is written as soon as a page is full.
//!
//! Every level keeps what goes into its next page, no more; a page that is
//! written becomes an element of the level above. The order of pages in the file
//! is free, so nothing has to wait for the end but what is not full yet. Every
//! branch has at least two children, as bbolt wants it.

use super::error::WriteError;
use super::page::{
    ELEMENT_BYTES, HEADER_BYTES, Header, KEY_BYTES_MAX, Kind, PAGE_BYTES, VALUE_BYTES_MAX,
};
use super::writer::Pages;

/// A tree that is being built.
#[derive(Debug, Default)]
pub(super) struct Tree {
    leaf: Leaf,
    last_key: Option<Vec<u8>>,
    /// Branches, the lowest level first.
    levels: Vec<Level>,
}

impl Tree {
    /// Adds an element behind all others.
    pub(super) fn push(
        &mut self,
        is_bucket: bool,
        key: &[u8],
        value: &[u8],
        pages: &mut Pages<'_>,
    ) -> Result<(), WriteError> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            return Err(WriteError::OutOfOrder);
        }
        if key.is_empty() || key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            let (key_bytes, value_bytes) = (key.len(), value.len());
            return Err(WriteError::TooLarge {
                key_bytes,
                value_bytes,
            });
        }
        if !self.leaf.has_room(key.len() + value.len()) {
            self.end_leaf(pages)?;
        }
        self.leaf.push(is_bucket, key, value, pages.are_written());
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }

    /// The only page of the tree, if it is small enough to stand in the value of
    /// its bucket. Source: bbolt, a quarter of a page.
    pub(super) fn inline(&self) -> Option<&Leaf> {
        (self.levels.is_empty() && self.leaf.bytes() <= PAGE_BYTES / 4).then_some(&self.leaf)
    }

    /// Writes what is left; returns the root.
    pub(super) fn finish(mut self, pages: &mut Pages<'_>) -> Result<u64, WriteError> {
        if self.levels.is_empty() {
            return self.leaf.write(pages);
        }
        // Not empty: the last push left something in it.
        self.end_leaf(pages)?;
        let mut at = 0;
        loop {
            let level = self
                .levels
                .get_mut(at)
                .map(std::mem::take)
                .unwrap_or_default();
            let is_top = at + 1 == self.levels.len();
            let (first, second) = level.split_last();
            let root = write_branch(&first, pages)?;
            if is_top && second.is_empty() {
                return Ok(root);
            }
            self.lift(at + 1, first, root, pages)?;
            if !second.is_empty() {
                let id = write_branch(&second, pages)?;
                self.lift(at + 1, second, id, pages)?;
            }
            at += 1;
        }
    }

    fn end_leaf(&mut self, pages: &mut Pages<'_>) -> Result<(), WriteError> {
        let id = self.leaf.write(pages)?;
        let first_key = std::mem::take(&mut self.leaf.first_key);
        self.leaf.clear();
        self.add(0, Child { first_key, id }, pages)
    }

    /// Adds a child to a level, and writes the page that it may have filled.
    fn add(&mut self, at: usize, child: Child, pages: &mut Pages<'_>) -> Result<(), WriteError> {
        if self.levels.len() == at {
            self.levels.push(Level::default());
        }
        let full = self.levels.get_mut(at).and_then(|level| level.push(child));
        match full {
            Some(full) => {
                let id = write_branch(&full, pages)?;
                self.lift(at + 1, full, id, pages)
            }
            None => Ok(()),
        }
    }

    /// Adds a written branch to the level above it.
    fn lift(
        &mut self,
        at: usize,
        branch: Vec<Child>,
        id: u64,
        pages: &mut Pages<'_>,
    ) -> Result<(), WriteError> {
        let first = branch.into_iter().next();
        let first_key = first.map(|child| child.first_key).unwrap_or_default();
        self.add(at, Child { first_key, id }, pages)
    }
}

/// A page of rows that is not full yet.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    elements: Vec<LeafElement>,
    /// Keys and values, as they will lie behind the elements.
    data: Vec<u8>,
    /// Length of them, also where they are not kept.
    data_bytes: usize,
    first_key: Vec<u8>,
}

#[derive(Debug)]
struct LeafElement {
    is_bucket: bool,
    key_bytes: usize,
    value_bytes: usize,
}

impl Leaf {
    /// Length with its header.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.elements.len() * ELEMENT_BYTES + self.data_bytes
    }

    /// Whether an element fits into the page. The first one always does: the
    /// page grows with it.
    fn has_room(&self, data_bytes: usize) -> bool {
        self.elements.is_empty() || self.bytes() + ELEMENT_BYTES + data_bytes <= PAGE_BYTES
    }

    fn push(&mut self, is_bucket: bool, key: &[u8], value: &[u8], keeps_data: bool) {
        if self.elements.is_empty() {
            self.first_key.extend_from_slice(key);
        }
        let (key_bytes, value_bytes) = (key.len(), value.len());
        self.elements.push(LeafElement {
            is_bucket,
            key_bytes,
            value_bytes,
        });
        self.data_bytes += key_bytes + value_bytes;
        if keeps_data {
            self.data.extend_from_slice(key);
            self.data.extend_from_slice(value);
        }
    }

    fn clear(&mut self) {
        self.elements.clear();
        self.data.clear();
        self.data.shrink_to(PAGE_BYTES);
        self.data_bytes = 0;
    }

    fn write(&self, pages: &mut Pages<'_>) -> Result<u64, WriteError> {
        let count = self.elements.len();
        pages.put(Kind::Leaf, count, self.bytes(), |out| self.encode_body(out))
    }

    /// The page as it stands inside the value of its bucket.
    pub(super) fn encode_inline(&self, out: &mut Vec<u8>) {
        let count = self.elements.len() as u16;
        Header {
            id: 0,
            kind: Kind::Leaf,
            count,
            overflow: 0,
        }
        .encode(out);
        self.encode_body(out);
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        let mut place = self.elements.len() * ELEMENT_BYTES;
        for element in &self.elements {
            let (key_bytes, value_bytes) = (element.key_bytes, element.value_bytes);
            for number in [
                usize::from(element.is_bucket),
                place,
                key_bytes,
                value_bytes,
            ] {
                out.extend_from_slice(&(number as u32).to_le_bytes());
            }
            // Counted from where the next element begins.
            place = place + key_bytes + value_bytes - ELEMENT_BYTES;
        }
        out.extend_from_slice(&self.data);
    }
}

/// A page that has been written.
#[derive(Debug)]
struct Child {
    first_key: Vec<u8>,
    id: u64,
}

impl Child {
    fn bytes(&self) -> usize {
        ELEMENT_BYTES + self.first_key.len()
    }
}

/// Children that are not in a branch yet: at most as many as fit, and one.
#[derive(Debug, Default)]
struct Level {
    children: Vec<Child>,
}

impl Level {
    /// Adds a child; returns the children of a full page.
    fn push(&mut self, child: Child) -> Option<Vec<Child>> {
        self.children.push(child);
        let fitting = self.fitting();
        // Two stay back, so that the last branch has them.
        (self.children.len() >= fitting + CHILDREN_MIN).then(|| {
            let rest = self.children.split_off(fitting);
            std::mem::replace(&mut self.children, rest)
        })
    }

    /// The last one or two pages of the level.
    fn split_last(mut self) -> (Vec<Child>, Vec<Child>) {
        let (count, fitting) = (self.children.len(), self.fitting());
        let first = match count {
            _ if fitting == count => count,
            // Rather one page that overflows than a branch with one child.
            _ if count < 2 * CHILDREN_MIN => count,
            _ => fitting.min(count - CHILDREN_MIN),
        };
        let second = self.children.split_off(first);
        (self.children, second)
    }

    /// How many children go into one page; at least two.
    fn fitting(&self) -> usize {
        let mut bytes = HEADER_BYTES;
        let fit = self.children.iter().take_while(|child| {
            bytes += child.bytes();
            bytes <= PAGE_BYTES
        });
        fit.count().max(CHILDREN_MIN).min(self.children.len())
    }
}

fn write_branch(children: &[Child], pages: &mut Pages<'_>) -> Result<u64, WriteError> {
    let bytes = children.iter().map(Child::bytes).sum::<usize>();
    pages.put(Kind::Branch, children.len(), HEADER_BYTES + bytes, |out| {
        let mut place = children.len() * ELEMENT_BYTES;
        for child in children {
            for number in [place, child.first_key.len()] {
                out.extend_from_slice(&(number as u32).to_le_bytes());
            }
            out.extend_from_slice(&child.id.to_le_bytes());
            place = place + child.first_key.len() - ELEMENT_BYTES;
        }
        for child in children {
            out.extend_from_slice(&child.first_key);
        }
    })
}

/// Children of a branch, at least.
const CHILDREN_MIN: usize = 2;
