//! Maps that are the first channels of wider ones: every pass computes the same bits as from
//! contiguous maps, in both formats and for every instruction set of the machine.

mod support;

use half::bf16;
use proptest::prelude::*;
use residua_kernels::convolution::fused::{
    self, ForwardPass, InputGradientPass, forward, input_gradient,
};
use residua_kernels::convolution::{ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::feature_map::{
    Finish, GradientSums, MapView, MapViewMut, NormGradient, OutputGradient, Shortcut, Source,
    evaluate, finish, measure,
};
use support::maps::{Format, Parts, in_every_set, map};
use support::numbers;

/// Numbers that no pass may read lie between the pixels; behind the last one is nothing.
fn widened<E: Format>(values: &[E], channels: usize, pitch: usize) -> Vec<E> {
    let unread = E::rounded(f32::NAN);
    let mut wide: Vec<E> = { values.chunks(channels) }
        .flat_map(|pixel| {
            let between = std::iter::repeat_n(unread, pitch - channels);
            pixel.iter().copied().chain(between)
        })
        .collect();
    wide.truncate(wide.len() - (pitch - channels));
    wide
}

fn bits<E: Format>(numbers: &[E]) -> Vec<u64> {
    let numbers = numbers.iter();
    numbers.map(|number| number.exact().to_bits()).collect()
}

/// The maps of `Parts`, each with a distance of its own.
struct Wide<E> {
    values: Vec<E>,
    shortcut: Vec<E>,
    pitches: [usize; 2],
}

impl<E: Format> Wide<E> {
    fn new(parts: &Parts<E>, gaps: [usize; 2]) -> Self {
        let pitches = gaps.map(|gap| parts.channels + gap);
        Self {
            values: widened(&parts.values, parts.channels, pitches[0]),
            shortcut: widened(&parts.shortcut, parts.channels, pitches[1]),
            pitches,
        }
    }

    fn values(&self) -> MapView<'_, E> {
        MapView::apart(&self.values, self.pitches[0])
    }

    fn shortcut(&self) -> MapView<'_, E> {
        MapView::apart(&self.shortcut, self.pitches[1])
    }

    fn source<'a>(&'a self, parts: &'a Parts<E>) -> Source<'a, E> {
        let source = parts.source();
        Source {
            values: self.values(),
            shortcut: { source.shortcut }.map(|shortcut| Shortcut {
                values: self.shortcut(),
                ..shortcut
            }),
            ..source
        }
    }
}

fn norm_gradient<'a, E: Format>(
    values: MapView<'a, E>,
    factors: &'a [Vec<f32>],
) -> NormGradient<'a, E> {
    NormGradient {
        values,
        gradient_factor: &factors[0],
        value_factor: &factors[1],
        constant: &factors[2],
    }
}

fn check_maps<E: Format>(pixels: usize, channels: usize, gaps: [usize; 3], kinds: [bool; 3]) {
    let parts = Parts::<E>::new(pixels, channels, kinds);
    let wide = Wide::new(&parts, [gaps[0], gaps[1]]);
    let [near, far] = [parts.source(), wide.source(&parts)].map(|source| {
        let mut target = vec![E::default(); parts.values.len()];
        evaluate(&source, channels, &mut target).unwrap();
        bits(&target)
    });
    assert!(near == far, "a source");

    let moments = [(&parts.values[..]).into(), wide.values()];
    let [near, far] = moments.map(|values| measure(values, channels).unwrap());
    assert!(near == far, "moments");

    let norms = [(&parts.values[..]).into(), wide.values()];
    let pitch = channels + gaps[2];
    let [near, far] = norms.map(|values| {
        let gradient = OutputGradient {
            gradient: &parts.shortcut,
            norm: parts
                .has_affine
                .then_some(norm_gradient(values, &parts.affine)),
        };
        let mut replaced = vec![E::default(); parts.values.len()];
        let mut added: Vec<E> = map(7, parts.values.len());
        let mut wide: [Vec<E>; 2] = [&replaced, &added].map(|map| widened(map, channels, pitch));
        gradient
            .evaluate(channels, (&mut replaced[..]).into())
            .unwrap();
        gradient.add_to(channels, (&mut added[..]).into()).unwrap();
        for (write, target) in [OutputGradient::evaluate, OutputGradient::add_to]
            .into_iter()
            .zip(&mut wide)
        {
            write(&gradient, channels, MapViewMut::apart(target, pitch)).unwrap();
        }
        // What lies between the pixels of a target stays as it is.
        let expected = [&replaced, &added].map(|map| bits(&widened(map, channels, pitch)));
        assert!(wide.map(|map| bits(&map)) == expected, "targets");
        [replaced, added].map(|map| bits(&map))
    });
    assert!(near == far, "the gradient of a norm");

    let [near, far] = finishes(&parts, &wide, |rest| {
        let mut gradient: Vec<E> = map(9, parts.values.len());
        let sums = finish(rest, channels, &mut gradient).unwrap();
        (bits(&gradient), sums)
    });
    assert!(near == far, "a finish");
}

/// What `compute` makes of a last step that reads contiguous maps, and of one that reads wide ones.
fn finishes<E: Format, T>(
    parts: &Parts<E>,
    wide: &Wide<E>,
    mut compute: impl FnMut(&Finish<'_, E>) -> T,
) -> [T; 2] {
    let mean = numbers(8, parts.channels);
    let [values, shortcut] = [&parts.values[..], &parts.shortcut[..]].map(MapView::from);
    let near = (parts.source(), [values, shortcut]);
    let far = (wide.source(parts), [wide.values(), wide.shortcut()]);
    [near, far].map(|(source, norms)| {
        let norms = norms.map(|values| (values, &mean[..]));
        compute(&Finish {
            mask: parts.rectified.then_some(source),
            norms: &norms[..1 + usize::from(parts.has_shortcut)],
        })
    })
}

/// Results of all passes of a convolution.
#[derive(PartialEq)]
struct Passes {
    output: Vec<u64>,
    kept: Option<Vec<u64>>,
    mean: Vec<f64>,
    input_gradients: [Vec<u64>; 2],
    sums: [GradientSums; 2],
    weight_gradient: Vec<u64>,
}

fn check_convolution<E: Format>(geometry: &ConvolutionGeometry, gaps: [usize; 3]) {
    let spec = geometry.spec();
    let (inputs, outputs) = (spec.in_channels, spec.out_channels);
    let read = Parts::<E>::new(geometry.input_length() / inputs, inputs, [true; 3]);
    let behind = Parts::<E>::new(geometry.output_length() / outputs, outputs, [true; 3]);
    let wide = Wide::new(&read, [gaps[0], gaps[1]]);
    let wide_behind = Wide::new(&behind, [gaps[2]; 2]);
    let weight = numbers(9, geometry.weight_length());
    let mut sources = [
        (read.source(), (&behind.values[..]).into()),
        (wide.source(&read), wide_behind.values()),
    ]
    .into_iter();
    let [near, far] = finishes(&read, &wide, |rest| {
        let (source, norm) = sources.next().unwrap();
        let mut output = vec![E::default(); geometry.output_length()];
        let mut kept = vec![E::default(); geometry.input_length()];
        let keeps = spec.stride == [1, 1] && spec.input == geometry.output();
        let pass = ForwardPass {
            source,
            weight: &weight,
            bias: None,
            output: &mut output,
            keep: keeps.then_some(&mut kept[..]),
            moments: true,
        };
        let moments = forward(geometry, pass).unwrap().unwrap();
        let gradient = OutputGradient {
            gradient: &behind.shortcut,
            norm: Some(norm_gradient(norm, &behind.affine)),
        };
        let mut targets = [0, 1].map(|_| vec![E::default(); geometry.input_length()]);
        let pass = |output| InputGradientPass {
            gradient,
            weight: &weight,
            output,
            add_to_output: false,
            finish: Some(*rest),
        };
        let [alone, together] = &mut targets;
        let mut weight_gradient = vec![0.0; weight.len()];
        let sums = [
            input_gradient(geometry, pass(alone)),
            fused::gradients(geometry, source, &mut weight_gradient, pass(together)),
        ];
        Passes {
            output: bits(&output),
            kept: keeps.then(|| bits(&kept)),
            mean: moments.mean,
            input_gradients: targets.map(|target| bits(&target)),
            sums: sums.map(|sums| sums.unwrap().unwrap()),
            weight_gradient: bits(&weight_gradient),
        }
    });
    assert!(near == far, "{spec:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn wide_maps_give_the_same_bits(
        pixels in prop_oneof![1usize..40, 900usize..1100],
        channels in prop_oneof![Just(12usize), Just(33), 1usize..20, 30usize..70],
        gaps in [0usize..40, 0usize..40, 0usize..40],
        kinds: [bool; 3],
    ) {
        in_every_set(|| {
            check_maps::<f32>(pixels, channels, gaps, kinds);
            check_maps::<bf16>(pixels, channels, gaps, kinds);
        });
    }

    #[test]
    fn wide_maps_give_convolutions_the_same_bits(
        batch in 1usize..4,
        size in [4usize..14, 4usize..14],
        inputs in prop_oneof![Just(12usize), Just(33), 1usize..40],
        outputs in 1usize..40,
        kernel in prop_oneof![2 => Just(1usize), 2 => Just(3)],
        stride in prop_oneof![3 => Just(1usize), 1 => Just(2)],
        groups in prop_oneof![3 => Just(1usize), 1 => Just(2)],
        is_depthwise in prop::bool::weighted(0.2),
        gaps in [0usize..40, 0usize..40, 0usize..40],
    ) {
        let (channels, groups) = match is_depthwise {
            true => ([inputs + 1; 2], inputs + 1),
            false => ([inputs * groups, outputs * groups], groups),
        };
        let geometry = ConvolutionGeometry::new(ConvolutionSpec {
            batch,
            input: size,
            in_channels: channels[0],
            out_channels: channels[1],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            groups,
            ..ConvolutionSpec::default()
        })
        .unwrap();
        in_every_set(|| {
            check_convolution::<f32>(&geometry, gaps);
            check_convolution::<bf16>(&geometry, gaps);
        });
    }
}

#[test]
fn depthwise_convolutions_read_stored_maps_of_wider_ones() {
    let channels = 12;
    let geometry = ConvolutionGeometry::new(ConvolutionSpec {
        batch: 2,
        input: [5, 7],
        in_channels: channels,
        out_channels: channels,
        kernel: [3; 2],
        padding: [1; 2],
        groups: channels,
        ..ConvolutionSpec::default()
    })
    .unwrap();
    let values: Vec<f32> = map(1, geometry.input_length());
    let weight = numbers(2, geometry.weight_length());
    let wide = widened(&values, channels, 33);
    let sources = [(&values[..]).into(), MapView::apart(&wide, 33)];
    let [near, far] = sources.map(|source| {
        let mut output = vec![f32::NAN; geometry.output_length()];
        let pass = ForwardPass {
            source: Source::stored(source),
            weight: &weight,
            bias: None,
            output: &mut output,
            keep: None,
            moments: false,
        };
        forward(&geometry, pass).unwrap();
        output
    });
    assert_eq!(near, far);
}

#[test]
fn wide_maps_that_do_not_fit_are_named() {
    let values = [0.0f32; 20];
    let attempt = |pitch: usize, pixels: usize, channels: usize| {
        let source = Source::stored(MapView::apart(&values, pitch));
        let mut target = vec![0.0; pixels * channels];
        evaluate(&source, channels, &mut target).map_err(|error| error.to_string())
    };
    // Two more pixels than are asked for may follow, and half a pixel may be missing.
    assert_eq!(attempt(5, 2, 3), Ok(()));
    assert_eq!(attempt(8, 3, 4), Ok(()));
    assert_eq!(
        attempt(8, 3, 5).unwrap_err(),
        "source has 20 elements, too few for 3 pixels of 5 channels at a distance of 8"
    );
    assert_eq!(
        attempt(4, 2, 5).unwrap_err(),
        "pixels of source with 5 channels overlap at a distance of 4"
    );
    assert!(attempt(usize::MAX, 1, 5).is_ok());
    assert!(attempt(usize::MAX, 3, 5).is_err());
    assert!(attempt(usize::MAX / 2 + 2, 3, 1).is_err());

    let gradient = OutputGradient::stored(&values);
    let mut target = [0.0; 32];
    let target = MapViewMut::apart(&mut target, 8);
    assert_eq!(
        gradient.add_to(4, target).unwrap_err().to_string(),
        "target has 32 elements, too few for 5 pixels of 4 channels at a distance of 8"
    );
    assert!(measure(MapView::apart(&values, 8), 5).is_err());
    assert!(measure(MapView::apart(&values, 8), 0).is_err());
    assert!(measure(MapView::apart(&values, 0), 2).is_err());
    assert_eq!(measure(MapView::apart(&values, 8), 4).unwrap().count, 3);
}
