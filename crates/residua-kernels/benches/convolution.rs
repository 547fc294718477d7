//! Convolutions of the residual networks that matter, in floating-point operations per second.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use residua_kernels::convolution::{self, ConvolutionGeometry, ConvolutionSpec};

/// Name, batch, image size, input and output channels, kernel, stride.
type Shape = (&'static str, usize, usize, [usize; 2], usize, usize);

const SHAPES: [Shape; 21] = [
    ("resnet20/stem", 128, 32, [3, 16], 3, 1),
    ("resnet20/stage1", 128, 32, [16, 16], 3, 1),
    ("resnet20/stage2-first", 128, 32, [16, 32], 3, 2),
    ("resnet20/stage2", 128, 16, [32, 32], 3, 1),
    ("resnet20/stage3-first", 128, 16, [32, 64], 3, 2),
    ("resnet20/stage3", 128, 8, [64, 64], 3, 1),
    ("cifar_resnet18/stem", 128, 32, [3, 64], 3, 1),
    ("cifar_resnet18/stage1", 128, 32, [64, 64], 3, 1),
    ("cifar_resnet18/stage2", 128, 16, [128, 128], 3, 1),
    ("cifar_resnet18/stage3", 128, 8, [256, 256], 3, 1),
    ("cifar_resnet18/stage4", 128, 4, [512, 512], 3, 1),
    ("resnet50/stem", 16, 224, [3, 64], 7, 2),
    ("resnet50/stage1-expand", 16, 56, [64, 256], 1, 1),
    ("resnet50/stage1-reduce", 16, 56, [256, 64], 1, 1),
    ("resnet50/stage1", 16, 56, [64, 64], 3, 1),
    ("resnet50/stage2", 16, 28, [128, 128], 3, 1),
    ("resnet50/stage2-shortcut", 16, 56, [256, 512], 1, 2),
    ("resnet50/stage3", 16, 14, [256, 256], 3, 1),
    ("resnet50/stage4-expand", 16, 7, [512, 2048], 1, 1),
    ("resnet50/stage4-reduce", 16, 7, [2048, 512], 1, 1),
    ("resnet50/stage4", 16, 7, [512, 512], 3, 1),
];

fn geometry((_, batch, size, channels, kernel, stride): Shape) -> ConvolutionGeometry {
    ConvolutionGeometry::new(ConvolutionSpec {
        batch,
        input: [size, size],
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel, kernel],
        stride: [stride, stride],
        padding: [kernel / 2, kernel / 2],
        ..ConvolutionSpec::default()
    })
    .expect("the shapes of the list exist")
}

fn ramp(length: usize) -> Vec<f32> {
    (0..length)
        .map(|index| (index % 97) as f32 / 97.0 - 0.5)
        .collect()
}

fn convolutions(criterion: &mut Criterion) {
    for shape in SHAPES {
        let geometry = geometry(shape);
        let input = ramp(geometry.input_length());
        let weight = ramp(geometry.weight_length());
        let gradient = ramp(geometry.output_length());
        let mut output = gradient.clone();
        let mut input_gradient = input.clone();
        let mut weight_gradient = weight.clone();
        let mut group = criterion.benchmark_group(shape.0);
        group.throughput(Throughput::Elements(2 * geometry.multiply_accumulates()));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| {
                convolution::forward(&geometry, &input, &weight, None, black_box(&mut output))
            });
        });
        group.bench_function("input gradient", |bencher| {
            let target = &mut input_gradient;
            bencher.iter(|| {
                convolution::input_gradient(&geometry, &gradient, &weight, black_box(&mut *target))
            });
        });
        group.bench_function("weight gradient", |bencher| {
            let target = &mut weight_gradient;
            bencher.iter(|| {
                convolution::weight_gradient(&geometry, &input, &gradient, black_box(&mut *target))
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(800));
    targets = convolutions
}
criterion_main!(benches);
