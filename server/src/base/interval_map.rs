//! A map from key ranges to values that finds every range around a key.
//!
//! An AVL tree ordered by (start, end) in which each node also knows the
//! furthest end below it. A lookup leaves out every subtree that ends before
//! the key or starts after it: O(log n + matches). Nodes live in one vector and
//! refer to each other by index, so there is neither unsafe code nor reference
//! counting; removed slots are reused.
//!
//! Equal ranges share one node: the caller keeps a set as the value.

use std::cmp::Ordering;

use bytes::Bytes;

use super::key_range::{KeyRange, RangeEnd};

/// A map from ranges to values.
#[derive(Debug)]
pub struct IntervalMap<V> {
    nodes: Vec<Node<V>>,
    /// Slots of `nodes` without a value, for reuse.
    free: Vec<u32>,
    root: u32,
}

#[derive(Debug)]
struct Node<V> {
    start: Bytes,
    end: RangeEnd,
    /// Furthest end in the subtree of this node.
    end_max: RangeEnd,
    /// Length of the longest way down, 1 for a leaf.
    height: u8,
    left: u32,
    right: u32,
    /// None only while the slot is on the free list.
    value: Option<V>,
}

/// Stands for "no node".
const NIL: u32 = u32::MAX;

impl<V> IntervalMap<V> {
    /// An empty map.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            root: NIL,
        }
    }

    /// Number of distinct ranges.
    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of exactly `range`, created by `V::default` if absent.
    pub fn value_or_default(&mut self, range: &KeyRange) -> &mut V
    where
        V: Default,
    {
        let (start, end) = (range.start_key(), range.end());
        if self.find(start, &end) == NIL {
            self.root = self.insert_below(self.root, start, &end);
        }
        let index = self.find(start, &end);
        self.nodes[index as usize].value.get_or_insert_default()
    }

    /// The value of exactly `range`.
    pub fn value_mut(&mut self, range: &KeyRange) -> Option<&mut V> {
        let index = self.find(range.start(), &range.end());
        if index == NIL {
            None
        } else {
            self.nodes[index as usize].value.as_mut()
        }
    }

    /// Removes exactly `range` and returns its value.
    pub fn remove(&mut self, range: &KeyRange) -> Option<V> {
        let (start, end) = (range.start_key(), range.end());
        let index = self.find(start, &end);
        if index == NIL {
            return None;
        }
        self.root = self.remove_below(self.root, start, &end);
        self.free.push(index);
        if self.root == NIL {
            // Nothing is left: give the memory back.
            let value = self.nodes[index as usize].value.take();
            *self = Self::new();
            return value;
        }
        self.nodes[index as usize].value.take()
    }

    /// Runs `f` on the value of every range that holds `key`, by (start, end).
    pub fn for_each_around(&self, key: &[u8], mut f: impl FnMut(&V)) {
        self.visit_around(self.root, key, &mut f);
    }

    /// Runs `f` on every value, by (start, end).
    pub fn for_each(&self, mut f: impl FnMut(&V)) {
        self.visit(self.root, &mut f);
    }

    fn visit_around(&self, index: u32, key: &[u8], f: &mut impl FnMut(&V)) {
        let Some(node) = self.nodes.get(index as usize) else {
            return;
        };
        if !node.end_max.is_after(key) {
            return;
        }
        self.visit_around(node.left, key, f);
        if node.start.as_ref() > key {
            return;
        }
        if node.end.is_after(key)
            && let Some(value) = &node.value
        {
            f(value);
        }
        self.visit_around(node.right, key, f);
    }

    fn visit(&self, index: u32, f: &mut impl FnMut(&V)) {
        let Some(node) = self.nodes.get(index as usize) else {
            return;
        };
        self.visit(node.left, f);
        if let Some(value) = &node.value {
            f(value);
        }
        self.visit(node.right, f);
    }

    fn find(&self, start: &[u8], end: &RangeEnd) -> u32 {
        let mut index = self.root;
        while let Some(node) = self.nodes.get(index as usize) {
            index = match node.compare(start, end) {
                Ordering::Equal => return index,
                Ordering::Less => node.left,
                Ordering::Greater => node.right,
            };
        }
        NIL
    }

    /// Adds a node below `index`; returns the new root of that subtree.
    fn insert_below(&mut self, index: u32, start: &Bytes, end: &RangeEnd) -> u32 {
        if index == NIL {
            return self.new_node(start, end);
        }
        let node = &self.nodes[index as usize];
        match node.compare(start, end) {
            Ordering::Less => {
                let left = self.insert_below(node.left, start, end);
                self.nodes[index as usize].left = left;
            }
            Ordering::Greater => {
                let right = self.insert_below(node.right, start, end);
                self.nodes[index as usize].right = right;
            }
            Ordering::Equal => {}
        }
        self.balance(index)
    }

    /// Unlinks a node below `index`; returns the new root of that subtree.
    fn remove_below(&mut self, index: u32, start: &[u8], end: &RangeEnd) -> u32 {
        let Some(node) = self.nodes.get(index as usize) else {
            return NIL;
        };
        let (left, right) = (node.left, node.right);
        match node.compare(start, end) {
            Ordering::Less => {
                let left = self.remove_below(left, start, end);
                self.nodes[index as usize].left = left;
            }
            Ordering::Greater => {
                let right = self.remove_below(right, start, end);
                self.nodes[index as usize].right = right;
            }
            Ordering::Equal if left == NIL => return right,
            Ordering::Equal if right == NIL => return left,
            Ordering::Equal => {
                let (rest, first) = self.take_first(right);
                self.nodes[first as usize].left = left;
                self.nodes[first as usize].right = rest;
                return self.balance(first);
            }
        }
        self.balance(index)
    }

    /// Unlinks the leftmost node below `index`: (what is left, that node).
    fn take_first(&mut self, index: u32) -> (u32, u32) {
        let node = &self.nodes[index as usize];
        if node.left == NIL {
            return (node.right, index);
        }
        let (rest, first) = self.take_first(node.left);
        self.nodes[index as usize].left = rest;
        (self.balance(index), first)
    }

    fn new_node(&mut self, start: &Bytes, end: &RangeEnd) -> u32 {
        let node = Node {
            start: start.clone(),
            end: end.clone(),
            end_max: end.clone(),
            height: 1,
            left: NIL,
            right: NIL,
            value: None,
        };
        if let Some(index) = self.free.pop() {
            self.nodes[index as usize] = node;
            return index;
        }
        let index = u32::try_from(self.nodes.len()).expect("ranges fit in memory, ids in 32 bits");
        self.nodes.push(node);
        index
    }

    /// Restores the AVL rule at `index`, whose subtrees obey it.
    fn balance(&mut self, index: u32) -> u32 {
        let (left, right) = (
            self.nodes[index as usize].left,
            self.nodes[index as usize].right,
        );
        if self.height(left) > self.height(right) + 1 {
            let inner = &self.nodes[left as usize];
            if self.height(inner.left) < self.height(inner.right) {
                self.nodes[index as usize].left = self.rotate_left(left);
            }
            return self.rotate_right(index);
        }
        if self.height(right) > self.height(left) + 1 {
            let inner = &self.nodes[right as usize];
            if self.height(inner.right) < self.height(inner.left) {
                self.nodes[index as usize].right = self.rotate_right(right);
            }
            return self.rotate_left(index);
        }
        self.refresh(index);
        index
    }

    fn rotate_left(&mut self, index: u32) -> u32 {
        let top = self.nodes[index as usize].right;
        self.nodes[index as usize].right = self.nodes[top as usize].left;
        self.nodes[top as usize].left = index;
        self.refresh(index);
        self.refresh(top);
        top
    }

    fn rotate_right(&mut self, index: u32) -> u32 {
        let top = self.nodes[index as usize].left;
        self.nodes[index as usize].left = self.nodes[top as usize].right;
        self.nodes[top as usize].right = index;
        self.refresh(index);
        self.refresh(top);
        top
    }

    /// Recomputes height and furthest end of one node from its children.
    fn refresh(&mut self, index: u32) {
        let node = &self.nodes[index as usize];
        let height = 1 + self.height(node.left).max(self.height(node.right));
        let mut end_max = &node.end;
        for child in [node.left, node.right] {
            if let Some(child) = self.nodes.get(child as usize) {
                end_max = end_max.max(&child.end_max);
            }
        }
        let end_max = end_max.clone();
        let node = &mut self.nodes[index as usize];
        node.height = height;
        node.end_max = end_max;
    }

    fn height(&self, index: u32) -> u8 {
        self.nodes.get(index as usize).map_or(0, |node| node.height)
    }
}

impl<V> Default for IntervalMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Node<V> {
    /// Order of (start, end) relative to this node.
    fn compare(&self, start: &[u8], end: &RangeEnd) -> Ordering {
        start
            .cmp(self.start.as_ref())
            .then_with(|| end.cmp(&self.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl<V> IntervalMap<V> {
        /// Height, furthest end and balance of every node below `index`.
        fn check(&self, index: u32) -> (u8, Option<RangeEnd>) {
            let Some(node) = self.nodes.get(index as usize) else {
                return (0, None);
            };
            let (left, left_end) = self.check(node.left);
            let (right, right_end) = self.check(node.right);
            assert!(left.abs_diff(right) <= 1);
            assert_eq!(node.height, 1 + left.max(right));
            let end = [left_end, right_end, Some(node.end.clone())]
                .into_iter()
                .max()
                .flatten();
            assert_eq!(Some(&node.end_max), end.as_ref());
            (node.height, end)
        }
    }

    fn any_range() -> impl Strategy<Value = KeyRange> {
        let key = prop::collection::vec(0u8..6, 1..3);
        let end = prop::collection::vec(0u8..6, 0..3);
        (key, end).prop_map(|(key, end)| KeyRange::new(key.into(), end.into()))
    }

    #[test]
    fn a_thousand_nested_ranges_stay_shallow() {
        let mut map: IntervalMap<usize> = IntervalMap::new();
        for index in 0..1000usize {
            let range = KeyRange::From(Bytes::from(format!("{index:04}")));
            *map.value_or_default(&range) = index;
        }
        let (height, _) = map.check(map.root);
        assert!(height <= 14, "{height}");
        let mut found = Vec::new();
        map.for_each_around(b"0002", |index| found.push(*index));
        assert_eq!(found, vec![0, 1, 2]);
    }

    proptest! {
        #[test]
        fn it_answers_as_a_naive_list_does(
            steps in prop::collection::vec((any_range(), any::<bool>()), 1..120),
            probes in prop::collection::vec(prop::collection::vec(0u8..6, 1..4), 1..8),
        ) {
            let mut map: IntervalMap<u32> = IntervalMap::new();
            let mut list: Vec<(KeyRange, u32)> = Vec::new();
            for (range, add) in steps {
                let same = |other: &KeyRange| {
                    other.start() == range.start() && other.end() == range.end()
                };
                let at = list.iter().position(|(other, _)| same(other));
                match (add, at) {
                    (true, Some(at)) => {
                        list[at].1 += 1;
                        *map.value_or_default(&range) += 1;
                    }
                    (true, None) => {
                        *map.value_or_default(&range) += 1;
                        list.push((range, 1));
                    }
                    (false, Some(at)) => {
                        let value = map.value_mut(&range).copied();
                        prop_assert_eq!(map.remove(&range), value);
                        prop_assert_eq!(value, Some(list.swap_remove(at).1));
                    }
                    (false, None) => prop_assert_eq!(map.remove(&range), None),
                }
                map.check(map.root);
                prop_assert_eq!(map.len(), list.len());
            }
            for key in probes {
                let mut found = Vec::new();
                map.for_each_around(&key, |value| found.push(*value));
                let mut expected: Vec<(&KeyRange, u32)> = list
                    .iter()
                    .filter(|(range, _)| range.contains(&key))
                    .map(|(range, value)| (range, *value))
                    .collect();
                expected.sort_by_key(|(range, _)| (range.start_key().clone(), range.end()));
                let expected: Vec<u32> = expected.into_iter().map(|(_, value)| value).collect();
                prop_assert_eq!(found, expected);
            }
            let mut all = 0;
            map.for_each(|value| all += *value);
            prop_assert_eq!(all, list.iter().map(|(_, value)| *value).sum::<u32>());
        }
    }
}
