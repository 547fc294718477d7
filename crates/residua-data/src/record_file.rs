//! Images of one size that lie in memory.

use std::path::{Path, PathBuf};

use crate::pixels::Pixels;

/// How many bytes a pixel has, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// One byte of brightness.
    Grey,
    /// Red, green and blue.
    Rgb,
}

impl Colour {
    /// Bytes of a pixel.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Images of one size that were read into memory, with the file they come from.
///
/// Grey images are kept with one byte a pixel and become RGB, by repetition, when they are looked
/// at: a network of one channel turns them back without loss, and they need a third of the memory.
pub struct RecordFile {
    path: PathBuf,
    height: usize,
    width: usize,
    colour: Colour,
    /// `[records, height, width, channels]`.
    bytes: Vec<u8>,
}

impl RecordFile {
    /// `bytes` is `[records, height, width, channels]`; no side is 0.
    pub(crate) fn new(
        path: PathBuf,
        [height, width]: [usize; 2],
        colour: Colour,
        bytes: Vec<u8>,
    ) -> Self {
        debug_assert_eq!(bytes.len() % (height * width * colour.channels()), 0);
        Self {
            path,
            height,
            width,
            colour,
            bytes,
        }
    }

    /// The file the records were read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image with this number, from 0.
    pub(crate) fn pixels(&self, record: usize) -> Option<Pixels<'_>> {
        let bytes = self.bytes.chunks_exact(self.record_bytes()).nth(record)?;
        match self.colour {
            Colour::Rgb => Pixels::new(self.height, self.width, bytes),
            Colour::Grey => {
                let rgb: Vec<u8> = bytes.iter().flat_map(|&grey| [grey; 3]).collect();
                Pixels::new(self.height, self.width, rgb)
            }
        }
    }

    fn record_bytes(&self) -> usize {
        self.height * self.width * self.colour.channels()
    }
}

#[cfg(test)]
mod tests {
    use residua_core::preprocessing::{Normalisation, Preprocessing, ResizeRule};
    use residua_core::seed::SeedStream;

    use super::*;
    use crate::transform::Transform;

    #[test]
    fn grey_is_repeated_and_one_channel_turns_it_back() {
        let grey: Vec<u8> = (0..=255).collect();
        let file = RecordFile::new("x".into(), [8, 16], Colour::Grey, grey.clone());
        assert!(file.pixels(2).is_none());
        let preprocessing = Preprocessing {
            height: 8,
            width: 16,
            shorter_side: None,
            resize: ResizeRule::Stretch,
            normalisation: Normalisation::new(vec![0.0], vec![1.0 / 255.0]).unwrap(),
        };
        let transform = Transform::evaluation(&preprocessing).unwrap();
        for record in 0..2 {
            let pixels = file.pixels(record).unwrap();
            let expected = &grey[record * 128..][..128];
            assert!(
                { pixels.rgb().chunks_exact(3).zip(expected) }
                    .all(|(pixel, &grey)| pixel == [grey; 3])
            );
            let values = transform.apply(&pixels, SeedStream::new(0)).unwrap();
            let back: Vec<u8> = values.iter().map(|value| value.round() as u8).collect();
            assert_eq!(back, expected);
        }
    }
}
