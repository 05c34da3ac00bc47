//! A snapshot stream made from records and rows that come from elsewhere.
//!
//! The same bytes as of [`super::Snapshot`], so that data of another format goes
//! through the one receiver there is, with all its checks. Records come first, in
//! revision order, then rows, table by table.

use bytes::{BufMut, Bytes, BytesMut};

use super::export::{CHUNK_BYTES, FRAME_BYTES, FrameKind, Totals, encode_manifest, put_frame};
use super::handle::Recovered;
use super::page::encode_page;
use super::record::RecordInfo;
use super::table::Table;

/// Makes a snapshot stream.
#[derive(Debug)]
pub struct StreamWriter {
    /// Frames that were not taken yet.
    out: BytesMut,
    records: BytesMut,
    rows: Vec<(Bytes, Bytes)>,
    rows_bytes: usize,
    table: Option<Table>,
    totals: Totals,
}

impl StreamWriter {
    /// Begins a stream whose receiver is at `position` afterwards.
    #[must_use]
    pub fn new(position: &Recovered) -> Self {
        let mut out = BytesMut::new();
        put_frame(&mut out, FrameKind::Manifest, &[&encode_manifest(position)]);
        Self {
            out,
            records: BytesMut::new(),
            rows: Vec::new(),
            rows_bytes: 0,
            table: None,
            totals: Totals::default(),
        }
    }

    /// Adds a record, an encoded `mvccpb.KeyValue`, and what the index needs of it.
    pub fn record(&mut self, record: &[u8], info: &RecordInfo) {
        debug_assert!(self.table.is_none());
        self.records.put_i64_le(info.revision.main);
        self.records.put_i64_le(info.revision.sub);
        self.records.put_u32_le(record.len() as u32);
        self.records.put_u32_le(info.encoded_len() as u32);
        self.records.extend_from_slice(record);
        info.encode(&mut self.records);
        self.totals.records_count += 1;
        if self.records.len() >= FRAME_BYTES {
            self.end_records();
        }
    }

    /// Adds a row of a small table; those of one table together, in key order.
    pub fn row(&mut self, table: Table, key: Bytes, value: Bytes) {
        self.end_records();
        if self.table != Some(table) || self.rows_bytes >= FRAME_BYTES {
            self.end_rows();
        }
        self.table = Some(table);
        self.rows_bytes += key.len() + value.len();
        self.rows.push((key, value));
        self.totals.rows_count += 1;
    }

    /// The bytes so far, once it is worth while to hand them on.
    pub fn take(&mut self) -> Option<Bytes> {
        (self.out.len() >= CHUNK_BYTES).then(|| self.out.split().freeze())
    }

    /// The rest of the bytes, with the end of the stream.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.end_records();
        self.end_rows();
        put_frame(&mut self.out, FrameKind::End, &[&self.totals.encode()]);
        self.out.freeze()
    }

    fn end_records(&mut self) {
        if !self.records.is_empty() {
            put_frame(&mut self.out, FrameKind::Records, &[&self.records]);
            self.records.clear();
        }
    }

    fn end_rows(&mut self) {
        if let Some(table) = self.table
            && !self.rows.is_empty()
        {
            put_frame(
                &mut self.out,
                FrameKind::Rows,
                &[&encode_page(table, &self.rows)],
            );
            self.rows.clear();
            self.rows_bytes = 0;
        }
    }
}
