//! What lies between the convolutions of residual networks, in numbers of the feature map per second:
//! passes over whole maps, shortcuts, pooling and the classifier.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use residua_kernels::feature_map::{
    Affine, Finish, MapView, NormGradient, OutputGradient, Shortcut, Source, convert, evaluate,
    finish, measure,
};
use residua_kernels::linear::{self, LinearGeometry};
use residua_kernels::pooling::{
    AverageGeometry, MaxGeometry, PoolingSpec, average_backward, average_forward, max_backward,
    max_forward,
};
use residua_kernels::shortcut::{self, ShortcutGeometry};
use residua_kernels::{Element, elementwise, reduce};

/// Name, batch, image size, channels.
const MAPS: [(&str, usize, usize, usize); 4] = [
    ("resnet20/stage1", 128, 32, 16),
    ("cifar_resnet18/stage2", 128, 16, 128),
    ("resnet50/stage1", 16, 56, 256),
    ("resnet50/stage4", 16, 7, 2048),
];

fn ramp<E: Element>(length: usize) -> Vec<E> {
    let numbers: Vec<f32> = (0..length)
        .map(|index| (index % 97) as f32 / 97.0 - 0.5)
        .collect();
    let mut target = vec![E::default(); length];
    convert(&numbers, &mut target).expect("the lengths are the same");
    target
}

fn maps<E: Element>(criterion: &mut Criterion, format: &str) {
    for (name, batch, size, channels) in MAPS {
        let length = batch * size * size * channels;
        let (values, added) = (ramp::<E>(length), ramp::<E>(length));
        let mut target = ramp::<E>(length);
        let per_channel = ramp::<f32>(channels);
        let affine = Some(Affine {
            scale: &per_channel,
            shift: &per_channel,
        });
        let source = Source {
            values: (&values[..]).into(),
            affine,
            shortcut: Some(Shortcut {
                values: (&added[..]).into(),
                affine: None,
            }),
            rectified: true,
        };
        let norms = [(MapView::from(&values[..]), &per_channel[..])];
        let mask = Source {
            rectified: false,
            ..source
        };
        let last_step = Finish {
            mask: Some(mask),
            norms: &norms,
        };
        let gradient = OutputGradient {
            gradient: &added,
            norm: Some(NormGradient {
                values: (&values[..]).into(),
                gradient_factor: &per_channel,
                value_factor: &per_channel,
                constant: &per_channel,
            }),
        };
        let mut group = criterion.benchmark_group(format!("{name}/{format}"));
        group.throughput(Throughput::Elements(length as u64));
        group.bench_function("moments", |bencher| {
            bencher.iter(|| measure(black_box(&values[..]).into(), channels));
        });
        group.bench_function("norm, addition and rectifier", |bencher| {
            bencher.iter(|| evaluate(&source, channels, black_box(&mut target)));
        });
        group.bench_function("gradient of a norm", |bencher| {
            bencher.iter(|| gradient.evaluate(channels, black_box(&mut target[..]).into()));
        });
        group.bench_function("mask and sums of a gradient", |bencher| {
            bencher.iter(|| finish(&last_step, channels, black_box(&mut target)));
        });
        group.bench_function("addition", |bencher| {
            bencher.iter(|| elementwise::add_assign(black_box(&mut target), &added));
        });
        group.bench_function("gradient of a bias", |bencher| {
            let mut sums = per_channel.clone();
            bencher.iter(|| reduce::channel_sums(&values, black_box(&mut sums)));
        });
        group.finish();
    }
}

fn pooling<E: Element>(criterion: &mut Criterion, format: &str) {
    let geometry = MaxGeometry::new(PoolingSpec {
        batch: 16,
        input: [112, 112],
        channels: 64,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        ..PoolingSpec::default()
    })
    .expect("the stem of resnet50 exists");
    let mut input = ramp::<E>(geometry.input_length());
    let mut output = ramp::<E>(geometry.output_length());
    let mut positions = vec![0; output.len()];
    let mut group = criterion.benchmark_group(format!("resnet50/max pooling/{format}"));
    group.throughput(Throughput::Elements(input.len() as u64));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| {
            max_forward(
                &geometry,
                &input,
                black_box(&mut output),
                black_box(&mut positions),
            )
        });
    });
    group.bench_function("backward", |bencher| {
        bencher.iter(|| max_backward(&geometry, &positions, &output, black_box(&mut input)));
    });
    group.finish();

    let geometry = AverageGeometry::global(16, [7, 7], 2048).expect("the head of resnet50 exists");
    let mut input = ramp::<E>(geometry.input_length());
    let mut means = ramp::<f32>(geometry.output_length());
    let mut group = criterion.benchmark_group(format!("resnet50/average pooling/{format}"));
    group.throughput(Throughput::Elements(input.len() as u64));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| average_forward(&geometry, &input, black_box(&mut means)));
    });
    group.bench_function("backward", |bencher| {
        bencher.iter(|| average_backward(&geometry, &means, black_box(&mut input)));
    });
    group.finish();
}

/// The parameter-free shortcut between the first two stages of the CIFAR networks.
fn zero_pad<E: Element>(criterion: &mut Criterion, format: &str) {
    let geometry =
        ShortcutGeometry::new(128, [32, 32], 16, 2, [8, 8]).expect("the shortcut exists");
    let mut input = ramp::<E>(geometry.input_length());
    let mut output = ramp::<E>(geometry.output_length());
    let mut group = criterion.benchmark_group(format!("resnet20/stage2-shortcut/{format}"));
    group.throughput(Throughput::Elements(output.len() as u64));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| shortcut::forward(&geometry, &input, black_box(&mut output)));
    });
    group.bench_function("backward", |bencher| {
        bencher.iter(|| shortcut::backward(&geometry, &output, black_box(&mut input)));
    });
    group.finish();
}

fn classifier(criterion: &mut Criterion) {
    let (rows, inputs, outputs) = (16, 2048, 1000);
    let geometry = LinearGeometry::new(rows, inputs, outputs).expect("the classifier exists");
    let weight = ramp::<f32>(outputs * inputs);
    let mut input = ramp::<f32>(rows * inputs);
    let mut output = ramp::<f32>(rows * outputs);
    let mut weight_gradient = weight.clone();
    let mut group = criterion.benchmark_group("resnet50/classifier");
    group.throughput(Throughput::Elements(weight.len() as u64));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| linear::forward(&geometry, &input, &weight, None, black_box(&mut output)));
    });
    group.bench_function("input gradient", |bencher| {
        bencher.iter(|| linear::input_gradient(&geometry, &output, &weight, black_box(&mut input)));
    });
    group.bench_function("weight gradient", |bencher| {
        let target = &mut weight_gradient;
        bencher
            .iter(|| linear::weight_gradient(&geometry, &input, &output, black_box(&mut *target)));
    });
    group.finish();
}

fn in_f32(criterion: &mut Criterion) {
    maps::<f32>(criterion, "f32");
    zero_pad::<f32>(criterion, "f32");
    pooling::<f32>(criterion, "f32");
}

fn in_bf16(criterion: &mut Criterion) {
    maps::<bf16>(criterion, "bf16");
    zero_pad::<bf16>(criterion, "bf16");
    pooling::<bf16>(criterion, "bf16");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(800));
    targets = in_f32, in_bf16, classifier
}
criterion_main!(benches);
