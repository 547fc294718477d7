//! Pictures that show any number of classes, and their spreadsheet.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

/// What the pictures show, any number of them.
pub(crate) const SHAPES: [&str; 3] = ["blue cross", "green disc", "red square"];

/// Numbers that look random and are always the same (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A 24×24 picture with some of the shapes anywhere, each in a shade of its colour, before noise.
fn picture(shown: [bool; 3], draw: &mut Draw) -> RgbImage {
    let mut picture = RgbImage::from_fn(24, 24, |_, _| {
        let grey = 90 + draw.below(60) as u8;
        Rgb([grey; 3])
    });
    for (shape, is_shown) in shown.into_iter().enumerate() {
        let (left, top) = (draw.below(15) as i32, draw.below(15) as i32);
        let shade = 170 + draw.below(80) as u8;
        if !is_shown {
            continue;
        }
        for (y, x) in (0..9).flat_map(|y| (0..9).map(move |x| (y, x))) {
            let (dy, dx) = (y - 4_i32, x - 4_i32);
            let (is_inside, colour) = match shape {
                0 => (dy.abs() <= 1 || dx.abs() <= 1, [30, 40, shade]),
                1 => (dy * dy + dx * dx <= 16, [30, shade, 40]),
                _ => (true, [shade, 30, 40]),
            };
            if is_inside {
                picture.put_pixel((left + x) as u32, (top + y) as u32, Rgb(colour));
            }
        }
    }
    picture
}

/// A folder `shapes` with pictures and their spreadsheet, in splits; without validation pictures, there is no
/// such split.
pub(crate) fn shapes(folder: &Path, train: u64, validation: u64) -> PathBuf {
    let root = folder.join("shapes");
    fs::create_dir_all(&root).unwrap();
    let mut table = "path,labels,split\n".to_owned();
    let mut draw = Draw(1);
    for (split, count) in [("train", train), ("val", validation)] {
        for number in 0..count {
            let shown = [0; 3].map(|_| draw.below(5) < 2);
            let name = format!("{split}-{number:03}.png");
            picture(shown, &mut draw).save(root.join(&name)).unwrap();
            let names: Vec<&str> = { SHAPES.iter().zip(shown) }
                .filter_map(|(name, is_shown)| is_shown.then_some(*name))
                .collect();
            table += &format!("{name},{},{split}\n", names.join("|"));
        }
    }
    let file = root.join("labels.csv");
    fs::write(&file, table).unwrap();
    file
}
