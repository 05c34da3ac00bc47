//! Reads the segments back at open and decides where the log ends.
//!
//! At most one frame is unsynced at any time, so the first invalid frame is the
//! end, and it was never acknowledged. If any valid frame of the log comes
//! after it, synced bytes are damaged: that is corruption, named by file and
//! offset, and never repaired here. Segments chain by sequence and checksum,
//! so a missing or damaged middle cannot pass.
//!
//! What cannot be told apart: damage in the very last frame and a torn write.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Config;
use crate::entry::Position;
use crate::error::Error;
use crate::group::Effect;
use crate::log::{Recovery, TornTail};
use crate::metrics::{Metrics, add};
use crate::record::{FRAME_HEADER_BYTES, Kind, Record, StreamState, decode_record};
use crate::segment::{
    Frame, HEADER_BYTES, Name, Segment, SegmentReader, create_segment, decode_header,
};
use crate::storage::Storage;
use crate::table::{Location, Table};

/// The log as found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) recovery: Recovery,
    pub(crate) table: Table,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    pub(crate) state: StreamState,
    /// Where the next frame goes.
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    /// Checksum of the last frame.
    pub(crate) previous: u32,
    /// Empty segments after `segment`, in order.
    pub(crate) ready: VecDeque<Arc<Segment>>,
    pub(crate) spares: Vec<u64>,
    pub(crate) next_sequence: u64,
}

/// Reads the log in `config.directory`, or creates an empty one.
///
/// # Errors
/// I/O, corruption, or a foreign identity.
pub(crate) fn recover(
    storage: &dyn Storage,
    config: &Config,
    metrics: &Metrics,
) -> Result<Recovered, Error> {
    let directory = &config.directory;
    let files = Files::list(storage, directory)?;
    for number in &files.unfinished {
        let path = directory.join(Name::Unfinished(*number).to_file_name());
        storage
            .remove(&path)
            .map_err(|source| Error::io("remove", &path, source))?;
    }
    let (sequences, gap) = files.contiguous(directory);
    gap.map_or(Ok(()), Err)?;
    let mut segments = Vec::new();
    for sequence in sequences {
        segments.push(Arc::new(open_segment(storage, config, *sequence)?));
    }
    let is_new = segments.is_empty();
    if is_new {
        if !files.spares.is_empty() {
            return Err(Error::corruption(directory, 0, "spare segments but no log"));
        }
        let length = config.first_segment_bytes.max(HEADER_BYTES);
        let segment = create_segment(storage, config, FIRST_SEQUENCE, length, || true)?;
        add(&metrics.segments_created, 1);
        segments.push(Arc::new(segment));
    }
    let mut scan = Scan::default();
    for segment in &segments {
        scan.read_segment(segment)?;
    }
    let recovered = scan.finish(segments, files.spares)?;
    if !is_new && !config.unsafe_no_fsync {
        // A frame that survived a killed process may not be on disk yet.
        let path = &recovered.segment.path;
        let synced = recovered.segment.file.sync_data();
        synced.map_err(|source| Error::io("sync", path, source))?;
        let synced = storage.sync_directory(directory);
        synced.map_err(|source| Error::io("sync directory", directory, source))?;
    }
    Ok(recovered)
}

/// Files of the directory by role, each sorted.
pub(crate) struct Files {
    segments: Vec<u64>,
    spares: Vec<u64>,
    unfinished: Vec<u64>,
}

impl Files {
    pub(crate) fn list(storage: &dyn Storage, directory: &Path) -> Result<Self, Error> {
        let listed = storage.list(directory);
        let mut names = listed.map_err(|source| Error::io("list", directory, source))?;
        names.sort_unstable();
        let mut files = Self {
            segments: Vec::new(),
            spares: Vec::new(),
            unfinished: Vec::new(),
        };
        for name in &names {
            match Name::parse(name) {
                Some(Name::Segment(sequence)) => files.segments.push(sequence),
                Some(Name::Spare(number)) => files.spares.push(number),
                Some(Name::Unfinished(number)) => files.unfinished.push(number),
                None => {}
            }
        }
        Ok(files)
    }

    /// The sequences before the first gap, and what is wrong there.
    pub(crate) fn contiguous(&self, directory: &Path) -> (&[u64], Option<Error>) {
        let follows = |pair: &[u64]| matches!(pair, [before, after] if before + 1 == *after);
        let gap = self.segments.windows(2).position(|pair| !follows(pair));
        let Some(last) = gap else {
            return (&self.segments, None);
        };
        let (whole, _) = self.segments.split_at(last + 1);
        let next = whole.last().map_or(0, |last| last + 1);
        let missing = directory.join(Name::Segment(next).to_file_name());
        let error = Error::corruption(&missing, 0, "segment is missing");
        (whole, Some(error))
    }
}

fn open_segment(storage: &dyn Storage, config: &Config, sequence: u64) -> Result<Segment, Error> {
    let (segment, page) = open_file(storage, &config.directory, sequence)?;
    decode_header(&segment.path, &page, config.log_id, sequence)?;
    Ok(segment)
}

/// A segment file and its header page, which is not looked at yet.
pub(crate) fn open_file(
    storage: &dyn Storage,
    directory: &Path,
    sequence: u64,
) -> Result<(Segment, Vec<u8>), Error> {
    let path = directory.join(Name::Segment(sequence).to_file_name());
    let file = storage
        .open(&path)
        .map_err(|source| Error::io("open", &path, source))?;
    let length = file
        .length()
        .map_err(|source| Error::io("size", &path, source))?;
    let mut page = vec![0; HEADER_BYTES as usize];
    let count = file
        .read_at(0, &mut page)
        .map_err(|source| Error::io("read", &path, source))?;
    if count < page.len() {
        return Err(Error::corruption(
            &path,
            count as u64,
            "segment ends within its header",
        ));
    }
    Ok((Segment::new(sequence, path, file, length), page))
}

/// Progress of the replay.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) table: Table,
    pub(crate) state: StreamState,
    /// Last segment with frames, the end of its frames, its last checksum.
    pub(crate) tail: Option<(Arc<Segment>, u64, u32)>,
    /// First segment without frames.
    empty: Option<PathBuf>,
}

impl Scan {
    pub(crate) fn read_segment(&mut self, segment: &Arc<Segment>) -> Result<(), Error> {
        let mut reader = SegmentReader::open(segment)?;
        let Some(first) = reader.frame(HEADER_BYTES)? else {
            if reader.find_frame_after(HEADER_BYTES)?.is_some() {
                let what = "first frame is invalid and valid frames follow";
                return Err(Error::corruption(&segment.path, HEADER_BYTES, what));
            }
            self.empty.get_or_insert_with(|| segment.path.clone());
            return Ok(());
        };
        if let Some(empty) = &self.empty {
            let what = "frames are missing and a later segment has some";
            return Err(Error::corruption(empty, HEADER_BYTES, what));
        }
        if let Some((tail, end, checksum)) = &self.tail
            && *checksum != first.previous
        {
            let what = "invalid frame and a later segment has valid ones";
            return Err(Error::corruption(&tail.path, *end, what));
        }
        let mut checksum = first.previous;
        let mut end = HEADER_BYTES;
        while let Some(frame) = reader
            .frame(end)?
            .filter(|frame| frame.previous == checksum)
        {
            self.replay_frame(segment, &frame)?;
            checksum = frame.checksum;
            end += frame.length;
        }
        self.tail = Some((Arc::clone(segment), end, checksum));
        Ok(())
    }

    fn replay_frame(&mut self, segment: &Segment, frame: &Frame<'_>) -> Result<(), Error> {
        let body_start = frame.offset + FRAME_HEADER_BYTES as u64;
        let mut offset = 0;
        while offset < frame.body.len() {
            let at = body_start + offset as u64;
            let corrupt = |what| Error::corruption(&segment.path, at, what);
            let record = decode_record(frame.body, offset)
                .ok_or_else(|| corrupt("record is not whole or of unknown kind"))?;
            let is_first = frame.offset == HEADER_BYTES && offset == 0;
            if is_first != (record.header.kind == Kind::State) {
                return Err(corrupt("state record is not the first of its segment"));
            }
            if is_first {
                self.replay_state(&record).map_err(corrupt)?;
            } else {
                self.replay_record(segment, at, &record).map_err(corrupt)?;
            }
            offset += crate::record::record_bytes(record.payload.len());
        }
        Ok(())
    }

    fn replay_state(&mut self, record: &Record<'_>) -> Result<(), &'static str> {
        let state = StreamState::decode(record.payload).ok_or("state record is malformed")?;
        if self.tail.is_some() {
            let same = state == self.state;
            return same
                .then_some(())
                .ok_or("state record contradicts the log before it");
        }
        self.table = Table::starting_at(state.next);
        self.state = state;
        Ok(())
    }

    fn replay_record(
        &mut self,
        segment: &Segment,
        at: u64,
        record: &Record<'_>,
    ) -> Result<(), &'static str> {
        let header = record.header;
        let offset = u32::try_from(at).map_err(|_| "record lies too far in its segment")?;
        let length = u32::try_from(record.payload.len()).map_err(|_| "record is too long")?;
        let (index, term) = (header.index, header.term);
        let effect = match header.kind {
            Kind::Entry => {
                let location = Location {
                    sequence: segment.sequence,
                    offset,
                    length,
                    term,
                };
                if !self.table.push(index, location) {
                    return Err("entry is out of order");
                }
                Effect::Entry {
                    index,
                    term,
                    offset,
                    length,
                }
            }
            Kind::Truncate => {
                let end = (header.tag == 0).then_some(index);
                self.table.truncate(end);
                Effect::Truncate { end }
            }
            Kind::Purge => {
                self.table.purge(Position { index, term });
                Effect::Purge(Position { index, term })
            }
            Kind::Vote => Effect::Vote(Bytes::copy_from_slice(record.payload)),
            Kind::Committed => Effect::Committed(Bytes::copy_from_slice(record.payload)),
            Kind::State => return Err("second state record"),
        };
        self.state.apply(&effect);
        Ok(())
    }

    /// What follows the last frame: nothing, an unfinished write, or damage.
    pub(crate) fn torn_tail(&self) -> Result<Option<TornTail>, Error> {
        let Some((segment, end, _)) = &self.tail else {
            return Ok(None);
        };
        let mut reader = SegmentReader::open(segment)?;
        if reader.find_frame_after(*end)?.is_some() {
            let what = "invalid frame and valid ones follow";
            return Err(Error::corruption(&segment.path, *end, what));
        }
        let is_begun = reader.is_frame_begun(*end)?;
        Ok(is_begun.then(|| TornTail {
            path: segment.path.clone(),
            offset: *end,
        }))
    }

    /// Nothing may be missing before the oldest entry.
    pub(crate) fn check_first(&self, oldest: &Path) -> Result<(), Error> {
        let first = self.table.first();
        if first.is_some_and(|first| first > self.state.first) {
            let what = "entries before this segment are neither here nor purged";
            return Err(Error::corruption(oldest, HEADER_BYTES, what));
        }
        Ok(())
    }

    /// What was found, for who opened the log.
    pub(crate) fn recovery(&self, torn_tail: Option<TornTail>) -> Recovery {
        Recovery {
            first_index: self.table.first().filter(|_| !self.table.is_empty()),
            last: self.table.last(),
            purged: self.state.purged,
            vote: self.state.vote.clone(),
            committed: self.state.committed.clone(),
            torn_tail,
        }
    }

    fn finish(self, segments: Vec<Arc<Segment>>, spares: Vec<u64>) -> Result<Recovered, Error> {
        let Some(oldest) = segments.first().map(Arc::clone) else {
            return Err(Error::Closed);
        };
        let newest_sequence = segments
            .last()
            .map_or(FIRST_SEQUENCE, |segment| segment.sequence);
        let torn_tail = self.torn_tail()?;
        let (segment, offset, previous) = match &self.tail {
            Some((segment, end, checksum)) => (Arc::clone(segment), *end, *checksum),
            None if oldest.sequence == FIRST_SEQUENCE && segments.len() == 1 => {
                (Arc::clone(&oldest), HEADER_BYTES, 0)
            }
            None => {
                let what = "no segment holds a valid frame";
                return Err(Error::corruption(&oldest.path, HEADER_BYTES, what));
            }
        };
        self.check_first(&oldest.path)?;
        let recovery = self.recovery(torn_tail);
        let (ready, live): (Vec<_>, Vec<_>) = segments
            .into_iter()
            .partition(|other| other.sequence > segment.sequence);
        Ok(Recovered {
            recovery,
            table: self.table,
            segments: live
                .into_iter()
                .map(|segment| (segment.sequence, segment))
                .collect(),
            state: self.state,
            segment,
            offset,
            previous,
            ready: ready.into(),
            spares,
            next_sequence: newest_sequence.saturating_add(1),
        })
    }
}

/// Sequence of the first segment of a log.
const FIRST_SEQUENCE: u64 = 1;
