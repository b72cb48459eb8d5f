//! Where the members of a zip archive lie, for archives that store them uncompressed.
//!
//! The format is PKWARE's APPNOTE 6.3.10: the directory at the end, with the fields of ZIP64 where the old ones are full.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::source::Blob;
use crate::{Error, Result};

const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const ENTRY: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
/// Bytes of the end record without its comment, and the longest comment.
const END_LEN: u64 = 22;
const MAX_COMMENT: u64 = 0xffff;
/// The largest directory that is read: that of a checkpoint with a million tensors.
const MAX_DIRECTORY: u64 = 128 << 20;

/// Each member's bytes within the file.
pub(super) fn members(blob: &dyn Blob) -> Result<BTreeMap<String, Range<u64>>> {
    let invalid = |reason: String| Error::invalid_file(blob.label(), reason);
    let (start, len) = directory(blob)?;
    if len > MAX_DIRECTORY {
        return Err(invalid(format!("its zip directory claims {len} bytes")));
    }
    let bytes = blob.read(start, usize::try_from(len).unwrap_or(usize::MAX))?;
    let mut members = BTreeMap::new();
    let mut rest = bytes.as_ref();
    while !rest.is_empty() {
        let short = || invalid("its zip directory ends within an entry".to_owned());
        let entry = Fields(rest.get(..46).ok_or_else(short)?);
        if entry.u32(0) != ENTRY {
            return Err(invalid("its zip directory is damaged".to_owned()));
        }
        let (name_len, extra_len) = (entry.u16(28) as usize, entry.u16(30) as usize);
        let name = rest.get(46..46 + name_len).ok_or_else(short)?;
        let extra = rest.get(46 + name_len..46 + name_len + extra_len).ok_or_else(short)?;
        let name = std::str::from_utf8(name)
            .map_err(|_| invalid("a name in its zip directory is not UTF-8".to_owned()))?;
        // ZIP64's own field holds, in this order, those of the three that are full.
        let mut long = long_fields(extra);
        let mut field = |value: u32| match value {
            u32::MAX => long.next().ok_or_else(|| invalid(format!("{name} lacks its ZIP64 field"))),
            value => Ok(u64::from(value)),
        };
        let (stored, packed) = (field(entry.u32(24))?, field(entry.u32(20))?);
        let header = field(entry.u32(42))?;
        if entry.u16(10) != 0 || stored != packed || entry.u16(8) & 1 != 0 {
            return Err(invalid(format!(
                "{name} is compressed or encrypted; checkpoints store their members as they are"
            )));
        }
        let local = blob.read(header, 30)?;
        let local = Fields(&local);
        if local.u32(0) != LOCAL {
            return Err(invalid(format!("the header of {name} is not at byte {header}")));
        }
        // The header was read, so that this is near the file's length at most.
        let begin = header + 30 + u64::from(local.u16(26)) + u64::from(local.u16(28));
        let end = begin.checked_add(stored).filter(|end| *end <= blob.len());
        let end = end.ok_or_else(|| {
            invalid(format!(
                "{name} needs bytes {begin}..+{stored}, but it has {} (truncated?)",
                blob.len()
            ))
        })?;
        if members.insert(name.to_owned(), begin..end).is_some() {
            return Err(invalid(format!("{name} is in its zip directory twice")));
        }
        let comment = entry.u16(32) as usize;
        rest = rest.get(46 + name_len + extra_len + comment..).ok_or_else(short)?;
    }
    Ok(members)
}

/// Where the directory lies.
fn directory(blob: &dyn Blob) -> Result<(u64, u64)> {
    let invalid = |reason: &str| Error::invalid_file(blob.label(), reason);
    let tail_len = blob.len().min(END_LEN + MAX_COMMENT);
    let tail_start = blob.len() - tail_len;
    let tail = blob.read(tail_start, tail_len as usize)?;
    let at = (0..=tail.len().saturating_sub(END_LEN as usize)).rev().find(|at| {
        tail.get(*at..*at + END_LEN as usize).is_some_and(|bytes| Fields(bytes).u32(0) == END)
    });
    let at = at.ok_or_else(|| {
        invalid("it has no zip directory (truncated, or saved by a PyTorch older than 1.6)")
    })?;
    let end = Fields(tail.get(at..).unwrap_or_default());
    let (len, start) = (end.u32(12), end.u32(16));
    if len != u32::MAX && start != u32::MAX {
        return Ok((start.into(), len.into()));
    }
    let lost = || invalid("its ZIP64 directory is damaged");
    let locator = (tail_start + at as u64).checked_sub(20).ok_or_else(lost)?;
    let locator = blob.read(locator, 20)?;
    let locator = Fields(&locator);
    if locator.u32(0) != LOCATOR_64 {
        return Err(lost());
    }
    let end = blob.read(locator.u64(8), 56)?;
    let end = Fields(&end);
    if end.u32(0) != END_64 {
        return Err(lost());
    }
    Ok((end.u64(48), end.u64(40)))
}

/// The 64-bit numbers of an entry's ZIP64 field.
fn long_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let head = Fields(head);
        let Some((body, rest)) = rest.split_at_checked(head.u16(2) as usize) else { break };
        if head.u16(0) == 1 {
            found = body;
            break;
        }
        extra = rest;
    }
    found.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Little-endian numbers at fixed places; 0 past the end, where callers never look.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn at<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.at(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.at(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.at(at))
    }
}
