//! An image that is being changed.

/// An RGB image, `[height, width, 3]`, with room for a second one, so that a chain of operations
/// needs no memory of its own.
#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    height: usize,
    width: usize,
    rgb: Vec<u8>,
    spare: Vec<u8>,
}

impl Canvas {
    /// The pixels of an image in rows of `width`.
    pub(crate) fn new(width: usize, rgb: Vec<u8>) -> Self {
        Self {
            height: rgb.len() / (3 * width),
            width,
            rgb,
            spare: Vec::new(),
        }
    }

    /// `[height, width]`.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// The bytes, `[height, width, 3]`.
    pub(crate) fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixel with this index, counted row after row.
    pub(crate) fn pixel(&self, index: usize) -> [u8; 3] {
        let pixel = &self.rgb[index * 3..index * 3 + 3];
        [pixel[0], pixel[1], pixel[2]]
    }

    /// All pixels, row after row.
    pub(crate) fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        let pixels = self.rgb.chunks_exact(3);
        pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]])
    }

    /// Changes every pixel by itself.
    pub(crate) fn map(&mut self, change: impl Fn([u8; 3]) -> [u8; 3]) {
        for pixel in self.rgb.chunks_exact_mut(3) {
            let changed = change([pixel[0], pixel[1], pixel[2]]);
            pixel.copy_from_slice(&changed);
        }
    }

    /// Replaces the image by what `draw` makes of it: the first slice is the image, the second,
    /// of the same size, is to be filled and holds anything at first.
    pub(crate) fn redraw(&mut self, draw: impl FnOnce(&[u8], &mut [u8])) {
        self.spare.resize(self.rgb.len(), 0);
        draw(&self.rgb, &mut self.spare);
        std::mem::swap(&mut self.rgb, &mut self.spare);
    }
}
