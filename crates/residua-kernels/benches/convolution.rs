//! Convolutions of the residual networks that matter, in floating-point operations per second: as
//! training runs them, with a normalisation and a rectifier before, and a normalisation behind.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use residua_kernels::convolution::fused::{
    ForwardPass, InputGradientPass, WeightGradientPass, forward, gradients, input_gradient,
    weight_gradient,
};
use residua_kernels::convolution::{ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::feature_map::{
    Affine, Finish, MapView, NormGradient, OutputGradient, Source, convert,
};
use residua_kernels::{Buffer, BufferPool, Element};

/// Name, batch, image size, input and output channels, kernel, stride.
type Shape = (&'static str, usize, usize, [usize; 2], usize, usize);

const SHAPES: [Shape; 39] = [
    ("resnet20/stem", 128, 32, [3, 16], 3, 1),
    ("resnet20/stage1", 128, 32, [16, 16], 3, 1),
    ("resnet20/stage2-first", 128, 32, [16, 32], 3, 2),
    ("resnet20/stage2", 128, 16, [32, 32], 3, 1),
    ("resnet20/stage3-first", 128, 16, [32, 64], 3, 2),
    ("resnet20/stage3", 128, 8, [64, 64], 3, 1),
    ("cifar_resnet18/stem", 128, 32, [3, 64], 3, 1),
    ("cifar_resnet18/stage1", 128, 32, [64, 64], 3, 1),
    ("cifar_resnet18/stage2-first", 128, 32, [64, 128], 3, 2),
    ("cifar_resnet18/stage2-shortcut", 128, 32, [64, 128], 1, 2),
    ("cifar_resnet18/stage2", 128, 16, [128, 128], 3, 1),
    ("cifar_resnet18/stage3-first", 128, 16, [128, 256], 3, 2),
    ("cifar_resnet18/stage3-shortcut", 128, 16, [128, 256], 1, 2),
    ("cifar_resnet18/stage3", 128, 8, [256, 256], 3, 1),
    ("cifar_resnet18/stage4-first", 128, 8, [256, 512], 3, 2),
    ("cifar_resnet18/stage4-shortcut", 128, 8, [256, 512], 1, 2),
    ("cifar_resnet18/stage4", 128, 4, [512, 512], 3, 1),
    ("resnet50/stem", 16, 224, [3, 64], 7, 2),
    ("resnet50/stage1-begin", 16, 56, [64, 64], 1, 1),
    ("resnet50/stage1-expand", 16, 56, [64, 256], 1, 1),
    ("resnet50/stage1-reduce", 16, 56, [256, 64], 1, 1),
    ("resnet50/stage1", 16, 56, [64, 64], 3, 1),
    ("resnet50/stage2-begin", 16, 56, [256, 128], 1, 1),
    ("resnet50/stage2-first", 16, 56, [128, 128], 3, 2),
    ("resnet50/stage2-expand", 16, 28, [128, 512], 1, 1),
    ("resnet50/stage2-reduce", 16, 28, [512, 128], 1, 1),
    ("resnet50/stage2", 16, 28, [128, 128], 3, 1),
    ("resnet50/stage2-shortcut", 16, 56, [256, 512], 1, 2),
    ("resnet50/stage3-begin", 16, 28, [512, 256], 1, 1),
    ("resnet50/stage3-first", 16, 28, [256, 256], 3, 2),
    ("resnet50/stage3-shortcut", 16, 28, [512, 1024], 1, 2),
    ("resnet50/stage3-expand", 16, 14, [256, 1024], 1, 1),
    ("resnet50/stage3-reduce", 16, 14, [1024, 256], 1, 1),
    ("resnet50/stage3", 16, 14, [256, 256], 3, 1),
    ("resnet50/stage4-first", 16, 14, [512, 512], 3, 2),
    ("resnet50/stage4-shortcut", 16, 14, [1024, 2048], 1, 2),
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

/// In memory as networks use it.
fn ramp_of<E: Element>(pool: &BufferPool, length: usize) -> Buffer<E> {
    let mut numbers = pool.take(length);
    convert(&ramp(length), &mut numbers).expect("the lengths are the same");
    numbers
}

fn input_pass<'a, E>(
    gradient: OutputGradient<'a, E>,
    weight: &'a [f32],
    finish: Finish<'a, E>,
    output: &'a mut [E],
) -> InputGradientPass<'a, E> {
    InputGradientPass {
        gradient,
        weight,
        output,
        add_to_output: false,
        finish: Some(finish),
    }
}

fn convolutions<E: Element>(criterion: &mut Criterion, format: &str) {
    for shape in SHAPES {
        let geometry = geometry(shape);
        let [inputs, outputs] = shape.3;
        let pool = BufferPool::default();
        let values = ramp_of::<E>(&pool, geometry.input_length());
        let behind = ramp_of::<E>(&pool, geometry.output_length());
        let mut output = ramp_of::<E>(&pool, geometry.output_length());
        let mut target = ramp_of::<E>(&pool, geometry.input_length());
        let weight = ramp(geometry.weight_length());
        let (before_channels, channels) = (ramp(inputs), ramp(outputs));
        let mut weight_target = weight.clone();
        let unrectified = Source {
            affine: Some(Affine {
                scale: &before_channels,
                shift: &before_channels,
            }),
            ..Source::stored(&values[..])
        };
        let source = Source {
            rectified: true,
            ..unrectified
        };
        let gradient = OutputGradient {
            gradient: &behind,
            norm: Some(NormGradient {
                values: (&behind[..]).into(),
                gradient_factor: &channels,
                value_factor: &channels,
                constant: &channels,
            }),
        };
        let norms = [(MapView::from(&values[..]), &before_channels[..])];
        let finish = Finish {
            mask: Some(unrectified),
            norms: &norms,
        };
        let mut group = criterion.benchmark_group(format!("{}/{format}", shape.0));
        let operations = 2 * geometry.multiply_accumulates();
        group.throughput(Throughput::Elements(operations));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| {
                let pass = ForwardPass {
                    source,
                    weight: &weight,
                    bias: None,
                    output: black_box(&mut output),
                    keep: None,
                    moments: true,
                };
                forward(&geometry, pass)
            });
        });
        group.bench_function("input gradient", |bencher| {
            bencher.iter(|| {
                let pass = input_pass(gradient, &weight, finish, black_box(&mut target));
                input_gradient(&geometry, pass)
            });
        });
        group.bench_function("weight gradient", |bencher| {
            bencher.iter(|| {
                let pass = WeightGradientPass {
                    source,
                    gradient,
                    weight_gradient: black_box(&mut weight_target),
                };
                weight_gradient(&geometry, pass)
            });
        });
        group.throughput(Throughput::Elements(2 * operations));
        group.bench_function("both gradients", |bencher| {
            bencher.iter(|| {
                let pass = input_pass(gradient, &weight, finish, black_box(&mut target));
                gradients(&geometry, source, black_box(&mut weight_target), pass)
            });
        });
        group.finish();
    }
}

fn in_f32(criterion: &mut Criterion) {
    convolutions::<f32>(criterion, "f32");
}

fn in_bf16(criterion: &mut Criterion) {
    convolutions::<bf16>(criterion, "bf16");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(800));
    targets = in_f32, in_bf16
}
criterion_main!(benches);
