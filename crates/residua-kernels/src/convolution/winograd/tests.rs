use super::correlate::transform_window;
use super::*;
use crate::InstructionSet;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;
use std::time::Instant;

#[test]
#[ignore = "prints speeds"]
fn speed() {
    let set = InstructionSet::current();
    for (size, c) in [
        (32, 16),
        (16, 32),
        (8, 64),
        (32, 64),
        (56, 64),
        (16, 128),
        (8, 256),
        (4, 512),
        (14, 256),
    ] {
        let tiles = tiles_per_unit(c, c);
        let per = (size as usize).div_ceil(4).pow(2);
        let images = (tiles / per).max(1);
        let rows = if per > tiles {
            (tiles / (size as usize).div_ceil(4)).max(1) * 4
        } else {
            size
        };
        let shape = UnitShape {
            images,
            rows: rows.min(size),
            columns: size,
            in_channels: c,
            out_channels: c,
        };
        let weight: Vec<f32> = (0..c * c * 9)
            .map(|i| (i % 97) as f32 / 97.0 - 0.5)
            .collect();
        let window: Vec<f32> = (0..shape.window_length())
            .map(|i| (i % 89) as f32 / 89.0 - 0.5)
            .collect();
        let mut result = vec![0.0; shape.result_length()];
        let weights = TransformedWeights::new(Direction::Forward, &weight, c, c);
        let time = |f: &mut dyn FnMut()| {
            f();
            let mut best = f64::MAX;
            for _ in 0..15 {
                let t = Instant::now();
                f();
                best = best.min(t.elapsed().as_secs_f64());
            }
            best * 1e6
        };
        let all = time(&mut || correlate(set, &shape, &weights, None, &window, &mut result));
        let mut v = Scratch::uninitialised(POSITIONS * shape.tiles() * c);
        let input = time(&mut || transform_window(set, &shape, &window, c, &mut v));
        let mut p = Scratch::uninitialised(POSITIONS * shape.tiles() * c);
        let multiply =
            time(&mut || super::correlate::multiply(set, shape.tiles(), c, &weights, &v, &mut p));
        let plan = ProductPlan::new(c, c);
        let gradient = result.clone();
        let both = time(&mut || drop(plan.transform(set, &shape, &window, &gradient)));
        let operands = plan.transform(set, &shape, &window, &gradient);
        let mut sums = Scratch::zeroed(plan.sums_length());
        let sums = DisjointWriter::new(&mut sums);
        let add = time(&mut || unsafe { plan.add(set, &operands, 0, 1, &sums) });
        let weights_time =
            time(&mut || drop(TransformedWeights::new(Direction::Forward, &weight, c, c)));
        let flop = 18.0 * (c * c * shape.images * shape.rows * shape.columns) as f64 / 1e3;
        let gemm = 72.0 * (c * c * shape.tiles()) as f64 / 1e3;
        println!(
            "{size:3} {c:4} tiles {:3}: correlate {:5.0} GF/s effective (input {input:6.1} us, multiply {multiply:6.1} us = {:4.0} GF/s, back {:6.1} us), gradient {:5.0} GF/s (transforms {both:6.1}, add {add:6.1} us = {:4.0} GF/s) weights {weights_time:.0} us",
            shape.tiles(),
            flop / all,
            gemm / multiply,
            all - input - multiply,
            flop / (both + add),
            gemm / add
        );
    }
}
