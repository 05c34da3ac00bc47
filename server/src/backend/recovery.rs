//! Reading a state directory at start, and after a snapshot was received.
//!
//! Key rows give the directory and the shapes of the blocks, pages give the small
//! tables; block contents are not read. What the meta row lists as graves is left
//! out. Every check that can be made without reading values is made here, so that
//! a damaged state is refused at start and not at some later read.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::block::{BlockEntry, KeyRow, Shape};
use super::cold::ColdStore;
use super::dead_marks;
use super::engine::EngineTable;
use super::error::Error;
use super::meta::{self, Meta, MetaError};
use super::page::PageMap;
use super::read_view::Tables;
use super::table::Table;
use crate::base::revision::Revision;

/// Everything that is in memory of a state on disk.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) meta: Meta,
    /// In revision order.
    pub(super) blocks: Vec<(BlockEntry, Shape)>,
    pub(super) tables: Tables,
    /// What the dead marks among the tables name.
    pub(super) dead: Vec<Revision>,
    pub(super) pages: PageMap,
}

/// Reads the state that `cold` holds.
///
/// # Errors
///
/// The engine failed, or what it holds is not a complete state.
pub(super) fn load(cold: &Arc<ColdStore>) -> Result<Loaded, Error> {
    let corrupt_meta = |reason: &str| Error::Corrupt {
        path: cold.path().clone(),
        table: "meta",
        key: "meta".to_owned(),
        reason: reason.to_owned(),
    };
    let bytes = cold
        .engine()?
        .meta()?
        .ok_or_else(|| corrupt_meta("there is none"))?;
    let meta = Meta::decode(&bytes).map_err(|error| match error {
        MetaError::Damaged(reason) => corrupt_meta(reason),
        MetaError::Version(found) => Error::UnsupportedFormat {
            path: cold.path().clone(),
            found,
            supported: meta::VERSION,
        },
    })?;
    if meta.is_partial {
        return Err(corrupt_meta("the state is an unfinished snapshot"));
    }
    let blocks = load_blocks(cold, &meta)?;
    let mut tables = Tables::default();
    let mut pages = PageMap::default();
    cold.for_each_blob(EngineTable::Page, &mut |id, bytes| {
        pages
            .recover(id, &bytes, &mut tables)
            .map_err(|reason| cold.corrupt(EngineTable::Page, id, reason))
    })?;
    let mut dead = Vec::new();
    for (_, marks) in tables.table(Table::Dead).rows() {
        let revisions = dead_marks::decode(&marks)
            .map_err(|reason| cold.corrupt(EngineTable::Page, 0, reason))?;
        dead.extend(revisions);
    }
    Ok(Loaded {
        dead,
        meta,
        blocks,
        tables,
        pages,
    })
}

fn load_blocks(cold: &Arc<ColdStore>, meta: &Meta) -> Result<Vec<(BlockEntry, Shape)>, Error> {
    let graves: BTreeSet<u64> = meta.graves.iter().map(|grave| grave.id).collect();
    let mut blocks = Vec::new();
    cold.for_each_blob(EngineTable::KeyRow, &mut |id, bytes| {
        if graves.contains(&id) {
            return Ok(());
        }
        let row = KeyRow::parse(id, bytes)
            .map_err(|reason| cold.corrupt(EngineTable::KeyRow, id, reason))?;
        if id >= meta.next_id || row.entry.last > meta.checkpointed {
            return Err(cold.corrupt(EngineTable::KeyRow, id, "newer than the meta row"));
        }
        blocks.push((row.entry, row.shape));
        Ok(())
    })?;
    blocks.sort_by_key(|(entry, _)| entry.first);
    for pair in blocks.windows(2) {
        if let [(before, _), (after, _)] = pair
            && before.last >= after.first
        {
            return Err(cold.corrupt(EngineTable::KeyRow, after.id, "overlaps another block"));
        }
    }
    Ok(blocks)
}
