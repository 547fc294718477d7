//! Hues, by way of the colour space HSV in 8 bits, as Pillow converts to it and back.

use crate::augmentation::canvas::Canvas;

/// Moves every hue by `steps` of 256 round the colour circle.
///
/// As in torchvision, colours go through 8-bit HSV even for 0 steps, which changes many of them
/// by a few levels.
pub(super) fn shift(canvas: &mut Canvas, steps: u8) {
    canvas.map(|pixel| {
        let [hue, saturation, value] = to_hsv(pixel);
        to_rgb([hue.wrapping_add(steps), saturation, value])
    });
}

fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    if most == least {
        return [0, 0, most];
    }
    // Which numbers are rounded to 32 bits decides about the last level of a hue.
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [red_part, green_part, blue_part] =
        [red, green, blue].map(|value| f32::from(most - value) / range);
    let sixths = if red == most {
        blue_part - green_part
    } else if green == most {
        (2.0 + f64::from(red_part) - f64::from(blue_part)) as f32
    } else {
        (4.0 + f64::from(green_part) - f64::from(red_part)) as f32
    };
    let hue = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
    [
        (f64::from(hue) * 255.0) as u8,
        (f64::from(saturation) * 255.0) as u8,
        most,
    ]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths.floor();
    let part = f64::from((sixths - sector) as f32);
    let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
    let level = |lost: f64| (f64::from(value) * (1.0 - lost)).round() as u8;
    let low = level(saturation);
    let falling = level(saturation * part);
    let rising = level(saturation * (1.0 - part));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
