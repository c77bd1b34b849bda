//! Opens what an earlier process left of the outbox. Nothing here is refused: all of it can be
//! derived again.

use super::error::{OutboxError, io_error};
use super::frame::{FrameError, FrameScan, file_path, first_epoch_of, has_header};
use super::state::{FileInfo, State};
use super::writer::OpenOutbox;
use crate::disk::DiskFile;
use crate::model::Epoch;

/// What is kept, and the last file of it.
pub(super) type Kept = (State, Option<Box<dyn DiskFile>>);

/// Removes what is behind the slowest cursor, and what is not whole or not of this log.
pub(super) fn recover(open: &OpenOutbox) -> Result<Kept, OutboxError> {
    let names = open.disk.list(&open.dir).map_err(|source| io_error(&open.dir, source))?;
    let mut firsts = names.iter().filter_map(|name| first_epoch_of(name)).collect::<Vec<_>>();
    if let Some(slowest) = open.slowest {
        let behind = firsts.windows(2).take_while(|pair| pair[1] <= slowest.next()).count();
        for first in firsts.drain(..behind) {
            remove(open, first)?;
        }
    }
    let (mut state, mut file) = keep_whole(open, &firsts)?;
    let slowest = open.slowest.unwrap_or(state.last);
    let serves = state.first() <= slowest.next() && slowest <= state.last;
    if !serves {
        for file in state.files.drain(..) {
            remove(open, file.first)?;
        }
        file = None;
        state.last = slowest;
    }
    Ok((state, file))
}

/// Keeps files up to the first flaw, gap, or epoch that the log does not have.
fn keep_whole(open: &OpenOutbox, firsts: &[Epoch]) -> Result<Kept, OutboxError> {
    let before = firsts.first().map_or(Epoch(0), |first| Epoch(first.0.saturating_sub(1)));
    let mut state = State { files: Vec::new(), last: before, closed: false };
    let mut last_file = None;
    let mut is_whole = true;
    for first in firsts {
        let kept =
            if is_whole && *first == state.last.next() { keep_file(open, *first)? } else { None };
        let Some(scan) = kept else {
            is_whole = false;
            remove(open, *first)?;
            continue;
        };
        let bytes = scan.offset();
        state.files.push(FileInfo { first: *first, bytes });
        state.last = Epoch(scan.next_epoch().0 - 1);
        let path = file_path(&open.dir, *first);
        let file = scan.into_file();
        is_whole = file.bytes().map_err(|source| io_error(&path, source))? == bytes;
        if !is_whole {
            file.truncate(bytes).map_err(|source| io_error(&path, source))?;
        }
        last_file = Some(file);
    }
    Ok((state, last_file))
}

/// Scans to the last whole frame; `None` when there is none.
fn keep_file(open: &OpenOutbox, first: Epoch) -> Result<Option<FrameScan>, OutboxError> {
    let path = file_path(&open.dir, first);
    let fail = |source| io_error(&path, source);
    let file = open.disk.open(&path).map_err(fail)?;
    let end = file.bytes().map_err(fail)?;
    if !has_header(&*file, first).map_err(fail)? {
        return Ok(None);
    }
    let mut scan = FrameScan::new(file, first);
    while scan.next_epoch() <= open.log_last {
        match scan.next_frame(end) {
            Ok(Some(_)) => {}
            Ok(None) | Err(FrameError::Flawed(_)) => break,
            Err(FrameError::Io(source)) => return Err(fail(source)),
        }
    }
    Ok((scan.next_epoch() > first).then_some(scan))
}

fn remove(open: &OpenOutbox, first: Epoch) -> Result<(), OutboxError> {
    let path = file_path(&open.dir, first);
    open.disk.remove(&path).map_err(|source| io_error(&path, source))
}
