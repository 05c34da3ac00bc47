//! Going through a tree from the left.
//!
//! A cycle would visit pages again, and so would run out of the pages that the
//! file has; a chain of branches is cut by the limit on levels.

use super::error::ReadError;
use super::page::{BranchElement, Header, Kind, LeafElement};
use super::reader::{Database, Source};

/// One walk over one tree.
pub(super) struct Walk<'a, S> {
    database: &'a Database<S>,
    /// Pages that may still be visited.
    pages_left: u64,
    last_key: Option<Vec<u8>>,
}

/// Takes an element of a leaf: its page, whether it is a bucket, key, value.
type Visit<'a, E> = dyn FnMut(u64, bool, &[u8], &[u8]) -> Result<(), E> + 'a;

impl<'a, S: Source> Walk<'a, S> {
    pub(super) fn new(database: &'a Database<S>) -> Self {
        Self {
            database,
            pages_left: database.pages_count(),
            last_key: None,
        }
    }

    /// Visits every element below `root`, in key order.
    pub(super) fn tree<E: From<ReadError>>(
        &mut self,
        root: u64,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        // Pages to visit, the next one last, with their distance from the root.
        let mut open = vec![(root, 1)];
        while let Some((id, depth)) = open.pop() {
            let (header, page) = self.page(id, depth)?;
            match header.kind {
                Kind::Leaf => self.leaf(header, &page, id, visit)?,
                _ => {
                    let children = self.children(header, &page, id)?;
                    open.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
                }
            }
        }
        Ok(())
    }

    /// Visits every element of a leaf that is inside the page `id`.
    pub(super) fn inline<E: From<ReadError>>(
        &mut self,
        leaf: &[u8],
        id: u64,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        let header = inline_header(self.database, leaf, id)?;
        self.leaf(header, leaf, id, visit)
    }

    /// The key of the last element below `root`.
    pub(super) fn last_key(&mut self, root: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let mut id = root;
        for depth in 1.. {
            let (header, page) = self.page(id, depth)?;
            if header.kind == Kind::Leaf {
                return last_element(self.database, header, &page, id);
            }
            let children = self.children(header, &page, id)?;
            let Some(last) = children.last() else { break };
            id = *last;
        }
        Ok(None)
    }

    fn page(&mut self, id: u64, depth: usize) -> Result<(Header, Vec<u8>), ReadError> {
        if depth > DEPTH_MAX {
            return Err(self.damaged(id, "the tree has too many levels"));
        }
        let (header, page) = self.database.page(id)?;
        let count = u64::from(header.overflow) + 1;
        let left = self.pages_left.checked_sub(count);
        self.pages_left = left.ok_or_else(|| self.damaged(id, "it is visited a second time"))?;
        if !matches!(header.kind, Kind::Leaf | Kind::Branch) {
            return Err(self.damaged(id, "neither a branch nor a leaf"));
        }
        Ok((header, page))
    }

    fn leaf<E: From<ReadError>>(
        &mut self,
        header: Header,
        page: &[u8],
        id: u64,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        let mut room = page.len();
        for at in 0..usize::from(header.count) {
            let element = LeafElement::decode(page, at);
            let element = element.map_err(|reason| self.damaged(id, reason))?;
            // Elements that share bytes make much out of a small file.
            let left = room.checked_sub(element.key.len() + element.value.len());
            room = left.ok_or_else(|| self.damaged(id, "its elements overlap"))?;
            let key = page.get(element.key).unwrap_or_default();
            let value = page.get(element.value).unwrap_or_default();
            if self.last_key.as_deref().is_some_and(|last| last >= key) {
                return Err(self.damaged(id, "keys are not in order").into());
            }
            let last = self.last_key.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
            visit(id, element.is_bucket, key, value)?;
        }
        Ok(())
    }

    fn children(&self, header: Header, page: &[u8], id: u64) -> Result<Vec<u64>, ReadError> {
        if header.count == 0 {
            return Err(self.damaged(id, "a branch without children"));
        }
        let mut children = Vec::with_capacity(usize::from(header.count));
        let mut last: Option<&[u8]> = None;
        for at in 0..usize::from(header.count) {
            let element = BranchElement::decode(page, at);
            let element = element.map_err(|reason| self.damaged(id, reason))?;
            let key = page.get(element.key).unwrap_or_default();
            if last.is_some_and(|last| last >= key) {
                return Err(self.damaged(id, "keys are not in order"));
            }
            last = Some(key);
            children.push(element.child);
        }
        Ok(children)
    }

    fn damaged(&self, page: u64, reason: &'static str) -> ReadError {
        self.database.damaged(page, reason)
    }
}

/// The key of the last element of a leaf that is inside the page `id`.
pub(super) fn last_key_of<S: Source>(
    database: &Database<S>,
    leaf: &[u8],
    id: u64,
) -> Result<Option<Vec<u8>>, ReadError> {
    let header = inline_header(database, leaf, id)?;
    last_element(database, header, leaf, id)
}

fn inline_header<S: Source>(
    database: &Database<S>,
    leaf: &[u8],
    id: u64,
) -> Result<Header, ReadError> {
    let header = Header::decode(leaf).map_err(|reason| database.damaged(id, reason))?;
    if header.kind != Kind::Leaf {
        return Err(database.damaged(id, "a bucket in it has no leaf"));
    }
    Ok(header)
}

fn last_element<S: Source>(
    database: &Database<S>,
    header: Header,
    page: &[u8],
    id: u64,
) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(at) = usize::from(header.count).checked_sub(1) else {
        return Ok(None);
    };
    let element = LeafElement::decode(page, at);
    let element = element.map_err(|reason| database.damaged(id, reason))?;
    Ok(page.get(element.key).map(<[u8]>::to_vec))
}

/// Levels of a tree: with two children each, more pages than a file can have.
const DEPTH_MAX: usize = 64;
