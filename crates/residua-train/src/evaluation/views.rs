//! Test-time augmentation: the same image seen several times.

use residua_data::HostBatch;

/// The views of an image whose logits are averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Views {
    /// The image as it is.
    #[default]
    Single,
    /// The image and its mirror image (Krizhevsky et al. 2012, section 4.1, without their crops).
    Mirrored,
    /// Crops of the image's size that lie a thirty-second of it (a pixel of CIFAR's) up and left, down
    /// and right, and in the middle, each with its mirror image; the border is continued outwards
    /// (after Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.5).
    MirroredCrops,
}

/// One view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    mirrored: bool,
    /// Direction in which the crop lies, in steps: rows and columns alike.
    direction: isize,
}

impl Views {
    pub(super) fn list(self) -> Vec<View> {
        let directions: &[isize] = match self {
            Self::Single | Self::Mirrored => &[0],
            Self::MirroredCrops => &[0, -1, 1],
        };
        let mirrors: &[bool] = match self {
            Self::Single => &[false],
            Self::Mirrored | Self::MirroredCrops => &[false, true],
        };
        let of = |&direction| {
            mirrors.iter().map(move |&mirrored| View {
                mirrored,
                direction,
            })
        };
        directions.iter().flat_map(of).collect()
    }
}

impl View {
    const AS_IT_IS: Self = Self {
        mirrored: false,
        direction: 0,
    };

    /// The batch as this view shows it.
    pub(super) fn of(self, batch: &HostBatch) -> HostBatch {
        if self == Self::AS_IT_IS {
            return batch.clone();
        }
        let [_, height, width, channels] = batch.shape;
        let step = |size: usize| self.direction * (size / 32).max(1) as isize;
        let inside = |place: isize, size: usize| place.clamp(0, size as isize - 1) as usize;
        let mut images = Vec::with_capacity(batch.images.len());
        for image in batch.images.chunks(height * width * channels) {
            for row in 0..height {
                let row = inside(row as isize + step(height), height);
                for column in 0..width {
                    let column = if self.mirrored {
                        width - 1 - column
                    } else {
                        column
                    };
                    let column = inside(column as isize + step(width), width);
                    let pixel = (row * width + column) * channels;
                    images.extend_from_slice(&image[pixel..pixel + channels]);
                }
            }
        }
        HostBatch {
            images,
            ..batch.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> HostBatch {
        HostBatch {
            epoch: 0,
            index: 0,
            shape: [1, 2, 3, 1],
            images: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            labels: vec![0].into(),
            mixture: None,
            samples: vec![0],
        }
    }

    #[test]
    fn views_show_the_image_mirrored_and_moved() {
        let shown = |views: Views| -> Vec<Vec<f32>> {
            let views = views.list().into_iter();
            views.map(|view| view.of(&batch()).images).collect()
        };
        assert_eq!(shown(Views::Single), [batch().images]);
        let mirror = vec![2.0, 1.0, 0.0, 5.0, 4.0, 3.0];
        assert_eq!(shown(Views::Mirrored), [batch().images, mirror]);
        let crops = shown(Views::MirroredCrops);
        assert_eq!(crops.len(), 6);
        // Up and left: the first row and column are continued outwards.
        assert_eq!(crops[2], [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        // Down and right.
        assert_eq!(crops[4], [4.0, 5.0, 5.0, 4.0, 5.0, 5.0]);
    }
}
