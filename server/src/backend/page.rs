//! Small tables on disk: pages of rows in key order.
//!
//! All rows are in memory; a checkpoint rewrites the pages whose key range holds
//! a changed row. Pages of a table cover its key space without overlap: a page
//! begins at its first row and ends before the next page's. A rewritten page gets
//! a new id. Bytes: the table "page" of docs/formats/backend.md.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use super::block::{open, seal};
use super::cold::{delete_blob, put_blob};
use super::engine::{Change, EngineTable};
use super::read_view::Tables;
use super::table::Table;

/// The pages that are on disk; owned by whoever writes checkpoints.
#[derive(Debug, Default)]
pub(super) struct PageMap {
    /// By table and first key.
    pages: BTreeMap<(Table, Bytes), Page>,
}

/// Rows of one table in key order.
type Rows = Vec<(Bytes, Bytes)>;

#[derive(Debug, Clone, Copy)]
struct Page {
    id: u64,
    bytes: u32,
}

impl PageMap {
    /// Adds a page found on disk and its rows to `tables`.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, in words.
    pub(super) fn recover(
        &mut self,
        id: u64,
        bytes: &Bytes,
        tables: &mut Tables,
    ) -> Result<(), &'static str> {
        let (table, rows) = decode_page(bytes)?;
        let first = rows.first().ok_or("page has no row")?.0.clone();
        let page = Page {
            id,
            bytes: bytes.len() as u32,
        };
        if self.pages.insert((table, first), page).is_some() {
            return Err("two pages begin with the same row");
        }
        for (key, value) in rows {
            if tables.table_mut(table).insert(key, value).is_some() {
                return Err("a row is in two pages");
            }
        }
        Ok(())
    }

    /// Bytes of all pages.
    pub(super) fn bytes(&self) -> u64 {
        self.pages.values().map(|page| u64::from(page.bytes)).sum()
    }

    /// Rewrites the pages that hold `changed_rows`, as `tables` has them now.
    pub(super) fn write(
        &mut self,
        changed_rows: &BTreeSet<(Table, Bytes)>,
        tables: &Tables,
        next_id: &mut u64,
        out: &mut Vec<Change>,
    ) {
        let mut done_to: Option<(Table, Option<Bytes>)> = None;
        for (table, key) in changed_rows {
            let is_done = match &done_to {
                Some((done, end)) if done == table => end.as_ref().is_none_or(|end| key < end),
                _ => false,
            };
            if !is_done {
                done_to = Some((*table, self.rewrite(*table, key, tables, next_id, out)));
            }
        }
    }

    /// Rewrites the page around `key`, and following ones while it is small.
    /// Returns the key where the next page begins, `None` at the end of the table.
    fn rewrite(
        &mut self,
        table: Table,
        key: &Bytes,
        tables: &Tables,
        next_id: &mut u64,
        out: &mut Vec<Change>,
    ) -> Option<Bytes> {
        let here = self
            .pages
            .range((table, Bytes::new())..=(table, key.clone()))
            .next_back();
        let is_first = here.is_none();
        let mut start = here.map(|((_, first), _)| first.clone());
        if is_first {
            // Below all pages: the first page grows downwards.
            start = self.first_after(table, &Bound::Unbounded);
        }
        let is_lowest = is_first || start == self.first_after(table, &Bound::Unbounded);
        let from = if is_lowest {
            Bytes::new()
        } else {
            start.clone().unwrap_or_default()
        };
        let mut replaced: Vec<Bytes> = start.into_iter().collect();
        let mut end = match replaced.last() {
            Some(first) => self.first_after(table, &Bound::Excluded(first.clone())),
            None => None,
        };
        let mut rows = rows_between(tables, table, &from, end.as_ref());
        while let Some(next) = end.clone() {
            if rows.iter().map(row_len).sum::<usize>() >= PAGE_BYTES_MIN {
                break;
            }
            end = self.first_after(table, &Bound::Excluded(next.clone()));
            rows = rows_between(tables, table, &from, end.as_ref());
            replaced.push(next);
        }
        for first in replaced {
            if let Some(page) = self.pages.remove(&(table, first)) {
                delete_blob(EngineTable::Page, page.id, page.bytes, out);
            }
        }
        self.put_pages(table, &rows, next_id, out);
        end
    }

    fn put_pages(
        &mut self,
        table: Table,
        rows: &[(Bytes, Bytes)],
        next_id: &mut u64,
        out: &mut Vec<Change>,
    ) {
        let mut rest = rows;
        while let Some((first, _)) = rest.first() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|row| {
                bytes += row_len(row);
                bytes <= PAGE_BYTES_MAX
            });
            let (page_rows, others) = rest.split_at(fits.count().max(1));
            let blob = encode_page(table, page_rows);
            let page = Page {
                id: *next_id,
                bytes: blob.len() as u32,
            };
            *next_id += 1;
            put_blob(EngineTable::Page, page.id, &blob, out);
            self.pages.insert((table, first.clone()), page);
            rest = others;
        }
    }

    fn first_after(&self, table: Table, after: &Bound<Bytes>) -> Option<Bytes> {
        let from = match after {
            Bound::Excluded(key) => Bound::Excluded((table, key.clone())),
            _ => Bound::Included((table, Bytes::new())),
        };
        let ((found, first), _) = self.pages.range((from, Bound::Unbounded)).next()?;
        (*found == table).then(|| first.clone())
    }
}

/// The rows from `from` on and before `end`.
fn rows_between(
    tables: &Tables,
    table: Table,
    from: &Bytes,
    end: Option<&Bytes>,
) -> Vec<(Bytes, Bytes)> {
    let mut rows = Vec::new();
    tables.table(table).for_each_from(from, &mut |key, value| {
        if end.is_some_and(|end| key >= end) {
            return ControlFlow::Break(());
        }
        rows.push((key.clone(), value.clone()));
        ControlFlow::Continue(())
    });
    rows
}

/// The byte form of a page.
pub(super) fn encode_page(table: Table, rows: &[(Bytes, Bytes)]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32_le(0);
    out.put_u32_le(super::block::VERSION);
    out.put_u8(table.number());
    out.put_u32_le(rows.len() as u32);
    for (key, value) in rows {
        encode_varint(key.len() as u64, &mut out);
        encode_varint(value.len() as u64, &mut out);
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    seal(out)
}

/// Reads the byte form of a page. Rows are copied out of `bytes`.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub(super) fn decode_page(bytes: &[u8]) -> Result<(Table, Rows), &'static str> {
    let mut rest = open(bytes, HEADER_BYTES)?;
    let table = Table::from_number(rest.get_u8()).ok_or("unknown table")?;
    let rows_count = rest.get_u32_le();
    let mut rows: Vec<(Bytes, Bytes)> = Vec::new();
    for _ in 0..rows_count {
        let key_len = decode_varint(&mut rest).map_err(|_| "bad row length")? as usize;
        let value_len = decode_varint(&mut rest).map_err(|_| "bad row length")? as usize;
        if rest.len() < key_len || rest.len() - key_len < value_len {
            return Err("truncated row");
        }
        let key = rest.copy_to_bytes(key_len);
        if rows.last().is_some_and(|(before, _)| *before >= key) {
            return Err("rows out of order");
        }
        rows.push((key, rest.copy_to_bytes(value_len)));
    }
    if rest.has_remaining() {
        return Err("bytes behind the last row");
    }
    Ok((table, rows))
}

fn row_len((key, value): &(Bytes, Bytes)) -> usize {
    let lengths = encoded_len_varint(key.len() as u64) + encoded_len_varint(value.len() as u64);
    lengths + key.len() + value.len()
}

/// Checksum, version, table, rows count.
const HEADER_BYTES: usize = 13;
/// As blocks: fits the pages of all engines.
const PAGE_BYTES_MAX: usize = super::block::BLOCK_BYTES_MAX - HEADER_BYTES;
/// A page with less takes its neighbour in when it is rewritten.
const PAGE_BYTES_MIN: usize = PAGE_BYTES_MAX / 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::engine::RowKey;

    proptest! {
        #[test]
        fn pages_on_disk_always_give_back_the_tables(
            rounds in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 0u16..300, 0usize..3000), 0..60),
                1..12,
            )
        ) {
            let mut tables = Tables::default();
            let mut map = PageMap::default();
            let mut next_id = 0;
            let mut disk = BTreeMap::new();
            for round in rounds {
                let mut changed = BTreeSet::new();
                for (is_put, key, value_len) in round {
                    let table = if key % 2 == 0 { Table::Lease } else { Table::Meta };
                    let key = Bytes::copy_from_slice(&key.to_be_bytes());
                    changed.insert((table, key.clone()));
                    if is_put {
                        tables.table_mut(table).insert(key, vec![7; value_len].into());
                    } else {
                        tables.table_mut(table).remove(&key);
                    }
                }
                let mut changes = Vec::new();
                map.write(&changed, &tables, &mut next_id, &mut changes);
                for change in changes {
                    match change {
                        Change::Put(_, key, value) => { disk.insert(key, value); }
                        Change::Delete(_, key) => { prop_assert!(disk.remove(&key).is_some()); }
                    }
                }
                let mut recovered = (PageMap::default(), Tables::default());
                for (RowKey { id, .. }, value) in &disk {
                    recovered.0.recover(*id, value, &mut recovered.1).unwrap();
                }
                for table in Table::ALL {
                    prop_assert_eq!(recovered.1.table(table).rows(), tables.table(table).rows());
                }
            }
        }
    }
}
