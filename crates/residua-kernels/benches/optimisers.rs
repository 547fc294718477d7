//! Steps of the optimisers on the widest 3×3 kernel of resnet50, in numbers of the parameter per
//! second.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use residua_kernels::optimiser::{
    AdamW, DecayForm, Lamb, Muon, MuonScale, RmsProp, RmsPropForm, Sgd, TrustBound, move_average,
};

/// Output channels, and input channels times taps.
const SHAPE: [usize; 2] = [512, 512 * 9];

fn ramp() -> Vec<f32> {
    (0..SHAPE[0] * SHAPE[1])
        .map(|index| (index % 97) as f32 / 97.0 - 0.5)
        .collect()
}

fn optimisers(criterion: &mut Criterion) {
    let gradient = ramp();
    let mut parameter = gradient.clone();
    let mut mean = gradient.clone();
    let mut square = vec![1.0; gradient.len()];
    let mut group = criterion.benchmark_group("resnet50/stage4 kernel");
    group.throughput(Throughput::Elements(gradient.len() as u64));
    let sgd = Sgd {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: true,
    };
    group.bench_function("sgd", |bencher| {
        bencher.iter(|| sgd.step(black_box(&mut parameter), &gradient, &mut mean));
    });
    let adam_w = AdamW {
        learning_rate: 1e-3,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 0.05,
    };
    group.bench_function("adamw", |bencher| {
        let (mean, square) = (&mut mean, &mut square);
        bencher.iter(|| adam_w.step(10, black_box(&mut parameter), &gradient, mean, square));
    });
    let rms_prop = RmsProp {
        learning_rate: 1e-3,
        smoothing: 0.9,
        epsilon: 1e-3,
        momentum: 0.9,
        weight_decay: 1e-5,
        form: RmsPropForm::TensorFlow,
    };
    group.bench_function("rmsprop", |bencher| {
        let (square, velocity) = (&mut square, &mut mean);
        bencher.iter(|| rms_prop.step(black_box(&mut parameter), &gradient, square, velocity));
    });
    let lamb = Lamb {
        learning_rate: 1e-3,
        betas: [0.9, 0.999],
        epsilon: 1e-6,
        weight_decay: 0.01,
        form: DecayForm::Coupled,
        bound: TrustBound::Unbounded,
    };
    group.bench_function("lamb", |bencher| {
        let (mean, square) = (&mut mean, &mut square);
        bencher.iter(|| lamb.step(10, black_box(&mut parameter), &gradient, mean, square));
    });
    let muon = Muon {
        learning_rate: 0.02,
        momentum: 0.95,
        nesterov: true,
        weight_decay: 0.1,
        scale: MuonScale::Original,
    };
    group.bench_function("muon", |bencher| {
        bencher.iter(|| muon.step(SHAPE, black_box(&mut parameter), &gradient, &mut mean));
    });
    group.bench_function("moving average", |bencher| {
        bencher.iter(|| move_average(black_box(&mut parameter), &gradient, 0.9999));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(800));
    targets = optimisers
}
criterion_main!(benches);
