//! One small table: an ordered map whose versions share what did not change.
//!
//! A tree of nodes of up to 32 rows behind reference counts. Changing a row
//! copies only the nodes on the way to it that another version still uses, so
//! that every view can have its own version even of a table of a million leases.
//! Nodes are split when full and removed when empty, never merged: rows here
//! come and go in key order or at random, and both keep nodes well filled.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

/// An ordered map from row key to row value; cloning is O(1).
#[derive(Debug, Clone, Default)]
pub(super) struct RowTable {
    root: Option<Arc<Node>>,
    rows_count: usize,
}

#[derive(Debug, Clone)]
enum Node {
    /// Rows in key order.
    Leaf(Vec<(Bytes, Bytes)>),
    /// Children with the smallest key each was ever given, in key order. The
    /// first child also takes keys below its own.
    Branch(Vec<(Bytes, Arc<Self>)>),
}

/// A node that was split off to the right, with its smallest key.
type Split = Option<(Bytes, Arc<Node>)>;

impl RowTable {
    /// Sets the row and returns its former value.
    pub(super) fn insert(&mut self, key: Bytes, value: Bytes) -> Option<Bytes> {
        let root = self
            .root
            .get_or_insert_with(|| Arc::new(Node::Leaf(Vec::new())));
        let (old, split) = Node::insert(root, key, value);
        if let Some(right) = split {
            let left = (Bytes::new(), Arc::clone(root));
            *root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.rows_count += usize::from(old.is_none());
        old
    }

    /// Removes the row and returns its former value.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Bytes> {
        self.row(key)?;
        let root = self.root.as_mut()?;
        let old = Node::remove(root, key);
        while let Node::Branch(children) = root.as_ref() {
            let [(_, only)] = children.as_slice() else {
                break;
            };
            *root = Arc::clone(only);
        }
        if root.is_empty() {
            self.root = None;
        }
        self.rows_count -= usize::from(old.is_some());
        old
    }

    /// The value of a row.
    pub(super) fn row(&self, key: &[u8]) -> Option<Bytes> {
        let mut node = self.root.as_ref()?;
        loop {
            match node.as_ref() {
                Node::Leaf(rows) => {
                    let at = rows
                        .binary_search_by(|(row, _)| row.as_ref().cmp(key))
                        .ok()?;
                    return rows.get(at).map(|(_, value)| value.clone());
                }
                Node::Branch(children) => node = &children.get(child_of(children, key))?.1,
            }
        }
    }

    /// Number of rows.
    pub(super) fn rows_count(&self) -> usize {
        self.rows_count
    }

    /// Calls `f` for every row whose key is `from` or greater, in key order.
    pub(super) fn for_each_from(
        &self,
        from: &[u8],
        f: &mut dyn FnMut(&Bytes, &Bytes) -> ControlFlow<()>,
    ) {
        if let Some(root) = &self.root {
            let _ = root.for_each_from(from, f);
        }
    }

    /// All rows in key order.
    pub(super) fn rows(&self) -> Vec<(Bytes, Bytes)> {
        let mut rows = Vec::with_capacity(self.rows_count);
        self.for_each_from(&[], &mut |key, value| {
            rows.push((key.clone(), value.clone()));
            ControlFlow::Continue(())
        });
        rows
    }
}

impl Node {
    fn insert(this: &mut Arc<Self>, key: Bytes, value: Bytes) -> (Option<Bytes>, Split) {
        match Arc::make_mut(this) {
            Self::Leaf(rows) => match rows.binary_search_by(|(row, _)| row.cmp(&key)) {
                Ok(at) => (Some(std::mem::replace(&mut rows[at].1, value)), None),
                Err(at) => {
                    rows.insert(at, (key, value));
                    let right = split_off(rows);
                    (
                        None,
                        right.map(|(low, right)| (low, Arc::new(Self::Leaf(right)))),
                    )
                }
            },
            Self::Branch(children) => {
                let at = child_of(children, &key);
                let (old, split) = Self::insert(&mut children[at].1, key, value);
                if let Some(right) = split {
                    children.insert(at + 1, right);
                }
                let right = split_off(children);
                (
                    old,
                    right.map(|(low, right)| (low, Arc::new(Self::Branch(right)))),
                )
            }
        }
    }

    fn remove(this: &mut Arc<Self>, key: &[u8]) -> Option<Bytes> {
        match Arc::make_mut(this) {
            Self::Leaf(rows) => {
                let at = rows
                    .binary_search_by(|(row, _)| row.as_ref().cmp(key))
                    .ok()?;
                Some(rows.remove(at).1)
            }
            Self::Branch(children) => {
                let at = child_of(children, key);
                let old = Self::remove(&mut children[at].1, key);
                if children[at].1.is_empty() {
                    children.remove(at);
                }
                old
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(rows) => rows.is_empty(),
            Self::Branch(children) => children.is_empty(),
        }
    }

    fn for_each_from(
        &self,
        from: &[u8],
        f: &mut dyn FnMut(&Bytes, &Bytes) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Self::Leaf(rows) => {
                let at = rows.partition_point(|(row, _)| row.as_ref() < from);
                rows.iter()
                    .skip(at)
                    .try_for_each(|(key, value)| f(key, value))
            }
            Self::Branch(children) => {
                let at = child_of(children, from);
                children
                    .iter()
                    .skip(at)
                    .try_for_each(|(_, child)| child.for_each_from(from, f))
            }
        }
    }
}

/// Index of the child that holds `key`.
fn child_of(children: &[(Bytes, Arc<Node>)], key: &[u8]) -> usize {
    children
        .partition_point(|(low, _)| low.as_ref() <= key)
        .saturating_sub(1)
}

/// Takes the upper half of an overfull list, with its smallest key.
fn split_off<T: Clone>(list: &mut Vec<(Bytes, T)>) -> Option<(Bytes, Vec<(Bytes, T)>)> {
    if list.len() <= NODE_ROWS_MAX {
        return None;
    }
    let right = list.split_off(list.len() / 2);
    let low = right.first()?.0.clone();
    Some((low, right))
}

/// Rows or children per node: a copy of a path stays near 100 references.
const NODE_ROWS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_table_behaves_as_an_ordered_map_and_old_versions_stay(
            operations in prop::collection::vec((any::<bool>(), 0u16..400, any::<u8>()), 0..1500)
        ) {
            let mut table = RowTable::default();
            let mut model = BTreeMap::new();
            let mut kept = None;
            for (at, (is_insert, key, value)) in operations.iter().enumerate() {
                if at == operations.len() / 2 {
                    kept = Some((table.clone(), model.clone()));
                }
                let key = Bytes::copy_from_slice(&key.to_be_bytes());
                let value = Bytes::copy_from_slice(&[*value]);
                if *is_insert {
                    prop_assert_eq!(
                        table.insert(key.clone(), value.clone()),
                        model.insert(key, value)
                    );
                } else {
                    prop_assert_eq!(table.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(table.rows_count(), model.len());
            }
            for (table, model) in [Some((table, model)), kept].into_iter().flatten() {
                let expected: Vec<_> = model.clone().into_iter().collect();
                prop_assert_eq!(table.rows(), expected);
                let mut from = Vec::new();
                table.for_each_from(&200u16.to_be_bytes(), &mut |key, _| {
                    from.push(key.clone());
                    ControlFlow::Continue(())
                });
                let from_model: Vec<_> = model
                    .range(Bytes::copy_from_slice(&200u16.to_be_bytes())..)
                    .map(|(key, _)| key.clone())
                    .collect();
                prop_assert_eq!(from, from_model);
            }
        }
    }
}
