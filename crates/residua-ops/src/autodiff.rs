//! The operations on the tape: what each remembers, and how its gradient flows back.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend};

use crate::backend::VisionBackend;
use crate::options::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};

#[derive(Debug)]
struct ConvolutionBackward;

impl<B: VisionBackend> Backward<B, 2> for ConvolutionBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, ConvolutionOptions);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (x, weight, options) = ops.state;
        if let Some(node) = weight_node {
            let dweight =
                B::convolution_weight_gradient(x.clone(), weight.clone(), dy.clone(), options);
            gradients.register::<B>(node.id, dweight);
        }
        // The image itself needs no gradient, which saves a tenth of the work of a small net.
        if let Some(node) = x_node {
            let dx = B::convolution_input_gradient(x, weight, dy, options);
            gradients.register::<B>(node.id, dx);
        }
    }
}

/// What a normalisation remembers; the statistics are those of the batch.
#[derive(Debug, Clone)]
struct NormState<B: Backend> {
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    y: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    options: NormOptions,
}

impl<B: VisionBackend> NormState<B> {
    fn backward(
        self,
        dy: FloatTensor<B>,
    ) -> (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
    ) {
        B::train_batch_norm_backward(
            self.x,
            self.scale,
            self.y,
            self.mean,
            self.variance,
            dy,
            self.options,
        )
    }
}

#[derive(Debug)]
struct BatchNormBackward;

impl<B: VisionBackend> Backward<B, 3> for BatchNormBackward {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x, scale, shift] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (dx, dscale, dshift, _) = ops.state.backward(dy);
        for (node, gradient) in [(x, dx), (scale, dscale), (shift, dshift)] {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct BatchNormAddBackward;

impl<B: VisionBackend> Backward<B, 4> for BatchNormAddBackward {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x, scale, shift, shortcut] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (dx, dscale, dshift, dsum) = ops.state.backward(dy);
        for (node, gradient) in [(x, dx), (scale, dscale), (shift, dshift), (shortcut, dsum)] {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct MaxPoolBackward;

impl<B: VisionBackend> Backward<B, 1> for MaxPoolBackward {
    type State = (FloatTensor<B>, MaxPoolOptions);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (x, options) = ops.state;
        if let Some(node) = x_node {
            gradients.register::<B>(node.id, B::max_pool_backward(x, dy, options));
        }
    }
}

#[derive(Debug)]
struct GlobalAveragePoolBackward;

impl<B: VisionBackend> Backward<B, 1> for GlobalAveragePoolBackward {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        if let Some(node) = x_node {
            gradients.register::<B>(node.id, B::global_average_pool_backward(ops.state, dy));
        }
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: VisionBackend> Backward<B, 3> for LinearBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (x, weight) = ops.state;
        let (dx, dweight, dbias) = B::linear_layer_backward(x, weight, dy);
        for (node, gradient) in [(x_node, dx), (weight_node, dweight), (bias_node, dbias)] {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct ZeroPadShortcutBackward;

impl<B: VisionBackend> Backward<B, 1> for ZeroPadShortcutBackward {
    type State = (FloatTensor<B>, ZeroPadOptions);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (x, options) = ops.state;
        if let Some(node) = x_node {
            gradients.register::<B>(node.id, B::zero_pad_shortcut_backward(x, dy, options));
        }
    }
}

impl<B: VisionBackend, C: CheckpointStrategy> VisionBackend for Autodiff<B, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvolutionOptions,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let prepared = ConvolutionBackward
            .prepare::<C>([x_node, weight_node])
            .compute_bound();
        match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let y = B::convolution(x.clone(), weight.clone(), options);
                tracked.finish((x, weight, options), y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::convolution(x, weight, options)),
        }
    }

    fn train_batch_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (scale, scale_node) = scale.into_parts();
        let (shift, shift_node) = shift.into_parts();
        let prepared = BatchNormBackward
            .prepare::<C>([x_node, scale_node, shift_node])
            .compute_bound();
        let (y, mean, variance) = B::train_batch_norm(x.clone(), scale.clone(), shift, options);
        let statistics = (
            Self::from_inner(mean.clone()),
            Self::from_inner(variance.clone()),
        );
        let y = match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let state = NormState {
                    x,
                    scale,
                    y: y.clone(),
                    mean,
                    variance,
                    options,
                };
                tracked.finish(state, y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(y),
        };
        (y, statistics.0, statistics.1)
    }

    fn train_batch_norm_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (scale, scale_node) = scale.into_parts();
        let (shift, shift_node) = shift.into_parts();
        let (shortcut, shortcut_node) = shortcut.into_parts();
        let prepared = BatchNormAddBackward
            .prepare::<C>([x_node, scale_node, shift_node, shortcut_node])
            .compute_bound();
        let (y, mean, variance) =
            B::train_batch_norm_add(x.clone(), scale.clone(), shift, shortcut, options);
        let statistics = (
            Self::from_inner(mean.clone()),
            Self::from_inner(variance.clone()),
        );
        let y = match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let state = NormState {
                    x,
                    scale,
                    y: y.clone(),
                    mean,
                    variance,
                    options,
                };
                tracked.finish(state, y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(y),
        };
        (y, statistics.0, statistics.1)
    }

    fn max_pool(x: FloatTensor<Self>, options: MaxPoolOptions) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let prepared = MaxPoolBackward.prepare::<C>([x_node]).compute_bound();
        match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let y = B::max_pool(x.clone(), options);
                tracked.finish((x, options), y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::max_pool(x, options)),
        }
    }

    fn global_average_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let prepared = GlobalAveragePoolBackward
            .prepare::<C>([x_node])
            .compute_bound();
        match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let y = B::global_average_pool(x.clone());
                tracked.finish(x, y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::global_average_pool(x)),
        }
    }

    fn linear_layer(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let prepared = LinearBackward
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound();
        match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let y = B::linear_layer(x.clone(), weight.clone(), bias);
                tracked.finish((x, weight), y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::linear_layer(x, weight, bias)),
        }
    }

    fn zero_pad_shortcut(x: FloatTensor<Self>, options: ZeroPadOptions) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let prepared = ZeroPadShortcutBackward
            .prepare::<C>([x_node])
            .compute_bound();
        match prepared.stateful() {
            OpsKind::Tracked(tracked) => {
                let y = B::zero_pad_shortcut(x.clone(), options);
                tracked.finish((x, options), y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::zero_pad_shortcut(x, options)),
        }
    }
}
