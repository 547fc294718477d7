//! Where a zip archive has its directory, if all readers agree about that.
//!
//! An archive is read from its end, and readers differ in how they look for it: behind a comment,
//! after bytes that were put before the archive, or by a second record for 64-bit archives which some
//! follow always and some only where the first asks for it. A file could so have one directory for
//! this reader and another for PyTorch's. `torch.save` writes nothing of the kind.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of the record at the end of an archive, of the one before it in 64-bit archives, and of the
/// locator between the two (APPNOTE.TXT 4.3.16, 4.3.14 and 4.3.15).
const END: usize = 22;
const END_64: usize = 56;
const LOCATOR_64: usize = 20;

/// The directory of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directory {
    /// How many entries the archive says that it has.
    pub(crate) entries: u64,
    /// Its first byte, from the beginning of the file.
    pub(crate) start: u64,
    bytes: u64,
}

/// The directory of an archive; nothing where readers could find different ones.
pub(crate) fn directory(file: &mut (impl Read + Seek)) -> io::Result<Option<Directory>> {
    let length = file.seek(SeekFrom::End(0))?;
    let begin = length.saturating_sub((END_64 + LOCATOR_64 + END) as u64);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(of_end(&bytes, begin))
}

/// The same of the last bytes of a file, which begin at a position.
fn of_end(bytes: &[u8], position: u64) -> Option<Directory> {
    let (before, end) = bytes.split_at_checked(bytes.len().checked_sub(END)?)?;
    let has_comment = number(end, 20, 2) != 0;
    // Of this part of the archive, and of all.
    let has_parts = number(end, 8, 2) != number(end, 10, 2);
    if !end.starts_with(b"PK\x05\x06") || has_comment || has_parts {
        return None;
    }
    let small = Directory {
        entries: number(end, 10, 2),
        bytes: number(end, 12, 4),
        start: number(end, 16, 4),
    };
    let (before_locator, locator) = before.split_at(before.len().saturating_sub(LOCATOR_64));
    let (found, length) = if locator.starts_with(b"PK\x06\x07") {
        let length = before_locator.len().checked_sub(END_64)?;
        let end = &before_locator[length..];
        let is_located = number(locator, 8, 8) == position + length as u64;
        if !end.starts_with(b"PK\x06\x06") || !is_located {
            return None;
        }
        let large = Directory {
            entries: number(end, 32, 8),
            bytes: number(end, 40, 8),
            start: number(end, 48, 8),
        };
        (large, length)
    } else {
        (small, before.len())
    };
    let ends = found.start.checked_add(found.bytes)? == position + length as u64;
    (ends && small == found.in_small_record()).then_some(found)
}

/// The little-endian number of as many bytes at a place of a record.
fn number(record: &[u8], place: usize, bytes: usize) -> u64 {
    let bytes = record.iter().skip(place).take(bytes).rev();
    bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl Directory {
    /// What the last record says of it, where numbers that are too large become the largest.
    fn in_small_record(self) -> Self {
        Self {
            entries: self.entries.min(u16::MAX.into()),
            bytes: self.bytes.min(u32::MAX.into()),
            start: self.start.min(u32::MAX.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The end of an archive whose directory of 100 bytes begins at byte 1000, as `torch.save` writes
    /// it: with the record of 64-bit archives, whose first byte is 1100.
    fn end() -> Vec<u8> {
        let mut bytes = vec![0; 1100];
        let mut put = |number: u128, count: usize| bytes.extend(&number.to_le_bytes()[..count]);
        put(0x0606_4b50, 4);
        put(44, 8);
        put(0, 12);
        put(2, 8);
        put(2, 8);
        put(100, 8);
        put(1000, 8);
        put(0x0706_4b50, 4);
        put(0, 4);
        put(1100, 8);
        put(1, 4);
        put(0x0605_4b50, 4);
        put(0, 4);
        put(2, 2);
        put(2, 2);
        put(100, 4);
        put(1000, 4);
        put(0, 2);
        bytes
    }

    fn found(bytes: &[u8]) -> Option<Directory> {
        directory(&mut Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn what_torch_writes_is_found() {
        let directory = found(&end()).unwrap();
        assert_eq!((directory.entries, directory.start), (2, 1000));
        // Without the record of 64-bit archives.
        let mut small = end();
        small.drain(1100..1176);
        assert_eq!(found(&small), Some(directory));
        // Numbers that are too large for the last record are the largest there.
        let mut large = end();
        large[1100 + 32..1100 + 40].copy_from_slice(&70_000_u64.to_le_bytes());
        assert_eq!(found(&large), None);
        large[1176 + 8..1176 + 12].fill(0xff);
        assert_eq!(found(&large).unwrap().entries, 70_000);
    }

    #[test]
    fn every_change_is_noticed() {
        let original = end();
        // The other bytes are versions, and numbers of parts.
        let (record, locator, last) = (1100, 1156, 1176);
        let places = [
            record..record + 4,
            record + 32..record + 56,
            locator + 8..locator + 16,
            last..last + 4,
            last + 8..last + 22,
        ];
        for place in places.into_iter().flatten() {
            let mut changed = original.clone();
            changed[place] ^= 1;
            assert_eq!(found(&changed), None, "byte {place}");
        }
        for length in 0..original.len() {
            assert_eq!(found(&original[..length]), None);
        }
        assert_eq!(found(&[b"prepended", &original[..]].concat()), None);
        assert_eq!(found(&[&original[..], b"appended"].concat()), None);
    }
}
