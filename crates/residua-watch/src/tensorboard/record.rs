//! The frame around each message of an event file, which is that of a TFRecord
//! (`tensorflow/core/lib/io/record_writer.h`):
//!
//! ```text
//! u64  length                     all little-endian
//! u32  masked CRC-32C of the eight bytes of the length
//! [u8] message
//! u32  masked CRC-32C of the message
//! ```

use std::io::{self, Write};

/// Added to the rotated checksum, so that the checksum of data that contain checksums is not
/// degenerate (`tensorflow/core/lib/hash/crc32c.h`).
const MASK_DELTA: u32 = 0xa282_ead8;

pub(super) fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(MASK_DELTA)
}

/// Writes one message in its frame.
pub(super) fn write(writer: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = (message.len() as u64).to_le_bytes();
    writer.write_all(&length)?;
    writer.write_all(&masked_checksum(&length).to_le_bytes())?;
    writer.write_all(message)?;
    writer.write_all(&masked_checksum(message).to_le_bytes())
}
