//! Times on one thread, printed:
//! `cargo test --release -p residua-kernels --lib winograd -- --ignored --nocapture print_times`.

use std::time::{Duration, Instant};

use super::super::correlate::Strips;
use super::super::*;
use super::reference::numbers;
use crate::InstructionSet;

/// Channels, side, images of a unit.
const SHAPES: [(usize, usize, usize); 12] = [
    (16, 32, 4),
    (32, 16, 8),
    (64, 8, 32),
    (64, 32, 2),
    (64, 56, 1),
    (128, 16, 8),
    (128, 28, 2),
    (256, 8, 16),
    (256, 14, 4),
    (512, 4, 64),
    (512, 4, 128),
    (512, 7, 32),
];

/// Time to spend on a shape.
const BUDGET: Duration = Duration::from_millis(400);

/// The best time of each step of `round`, and the median of the whole.
fn times<const STEPS: usize>(mut round: impl FnMut() -> [Duration; STEPS]) -> ([f64; STEPS], f64) {
    round();
    let begin = Instant::now();
    let mut rounds = Vec::new();
    while rounds.len() < 5 || begin.elapsed() < BUDGET {
        rounds.push(round());
    }
    let best = std::array::from_fn(|step| {
        let times = rounds.iter().map(|round| round[step]);
        times.min().expect("there are rounds").as_secs_f64()
    });
    let mut wholes: Vec<Duration> = rounds.iter().map(|round| round.iter().sum()).collect();
    wholes.sort();
    (best, wholes[wholes.len() / 2].as_secs_f64())
}

/// The time that the thread has been running: other processes may share the processor.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    #[repr(C)]
    struct Timespec {
        seconds: std::ffi::c_long,
        nanoseconds: std::ffi::c_long,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: std::ffi::c_int, time: *mut Timespec) -> std::ffi::c_int;
    }
    const THREAD_CPU_TIME: std::ffi::c_int = 3;
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: the C library writes a `timespec`, which on 64-bit Linux is two `long`s.
    let status = unsafe { clock_gettime(THREAD_CPU_TIME, &raw mut time) };
    assert!(status == 0, "the clock of the thread");
    Duration::new(time.seconds as u64, time.nanoseconds as u32)
}

/// The time: there is no portable clock of a thread.
#[cfg(not(target_os = "linux"))]
fn processor_time() -> Duration {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGIN.elapsed()
}

fn timed(total: &mut Duration, body: impl FnOnce()) {
    let begin = processor_time();
    body();
    *total += processor_time() - begin;
}

#[test]
#[ignore = "measures"]
fn print_times() {
    // Within a pool, so that the calling thread does all the work.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a thread").install(print_all_times);
}

fn print_all_times() {
    let filter = std::env::var("WINOGRAD_CHANNELS").ok();
    for (channels, side, images) in SHAPES {
        let channels_name = channels.to_string();
        if filter.as_ref().is_some_and(|only| *only != channels_name) {
            continue;
        }
        let shape = UnitShape {
            images,
            rows: side,
            columns: side,
            in_channels: channels,
            out_channels: channels,
        };
        let operations = (2 * 9 * channels * channels * images * side * side) as f64;
        println!("{channels} at {side}², {images} images");
        let rate = |time: f64| operations / time / 1e9;
        let window = numbers(1, shape.window_length());
        let weight = numbers(2, 9 * channels * channels);
        let mut result = vec![0.0; shape.result_length()];
        let prepare = || TransformedWeights::new(Direction::Forward, &weight, channels, channels);
        let ([preparation], _) = times(|| {
            let mut time = Duration::ZERO;
            timed(&mut time, || drop(prepare()));
            [time]
        });
        let weights = prepare();
        let ([whole], median) = times(|| {
            let mut time = Duration::ZERO;
            timed(&mut time, || {
                correlate(&shape, &weights, &window, &mut result)
            });
            [time]
        });
        let ([before, products, after], _) = times(|| {
            let [mut before, mut products, mut after] = [Duration::ZERO; 3];
            let strips = Strips::new(&shape, &weights);
            let mut scratch = strips.scratch();
            for rows in strips.ranges() {
                timed(&mut before, || {
                    strips.transform_window(rows.clone(), &window, &mut scratch);
                });
                timed(&mut products, || {
                    strips.multiply(rows.clone(), &weights, &mut scratch);
                });
                timed(&mut after, || {
                    strips.transform_result(rows, &scratch, &mut result);
                });
            }
            [before, products, after]
        });
        println!(
            "  correlate        {:7.3} ms {:4.0} GFLOP/s (median {:4.0}); window {:6.3}, products {:7.3} ({:3.0} real), result {:6.3}; weights {:.3} ms",
            whole * 1e3,
            rate(whole),
            rate(median),
            before * 1e3,
            products * 1e3,
            rate(products) / 4.0 * (shape.tiles() * 16) as f64 / (images * side * side) as f64,
            after * 1e3,
            preparation * 1e3,
        );

        let set = InstructionSet::detect();
        let gradient = numbers(3, shape.result_length());
        let mut windows = vec![0.0; transformed_window_length(set, &shape)];
        let mut gradients = vec![0.0; transformed_gradient_length(set, &shape)];
        let mut sums = vec![0.0; sums_length(set, channels, channels)];
        let mut weight_gradient = weight.clone();
        let ([before, other, products], median) = times(|| {
            let [mut before, mut other, mut products] = [Duration::ZERO; 3];
            timed(&mut before, || {
                transform_window(set, &shape, &window, &mut windows)
            });
            timed(&mut other, || {
                transform_gradient(set, &shape, &gradient, &mut gradients)
            });
            timed(&mut products, || {
                let unit = TransformedUnit {
                    tiles: shape.tiles(),
                    window: &windows,
                    gradient: &gradients,
                };
                accumulate(set, channels, channels, 0..36, &[unit], &mut sums);
            });
            [before, other, products]
        });
        let ([finish], _) = times(|| {
            let mut time = Duration::ZERO;
            timed(&mut time, || {
                finish_weight_gradient(set, channels, channels, &[&sums], 0, &mut weight_gradient);
            });
            [time]
        });
        let whole = before + other + products;
        println!(
            "  weight gradient  {:7.3} ms {:4.0} GFLOP/s (median {:4.0}); window {:6.3}, products {:7.3} ({:3.0} real), gradient {:5.3}; finish {:.3} ms",
            whole * 1e3,
            rate(whole),
            rate(median),
            before * 1e3,
            products * 1e3,
            rate(products) / 4.0 * (shape.tiles() * 16) as f64 / (images * side * side) as f64,
            other * 1e3,
            finish * 1e3,
        );
    }
}
