"""The networks of Residua's catalog that are compared, in PyTorch.

Nothing but `torch` is needed. Modules have the names that Residua gives its layers, so that
`describe` can be compared with `residua models show NAME --json` layer by layer.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval


@dataclass(frozen=True)
class Spec:
    """What distinguishes one residual network from another (He et al. 2015)."""

    size: int  # height and width of the image
    classes: int
    imagenet_form: bool  # 7x7 stem of stride 2 and max pool; otherwise one 3x3 convolution
    bottleneck: bool  # 1x1, 3x3, 1x1 with the stride on the 3x3; otherwise two 3x3
    zero_pad: bool  # shortcut A; otherwise B, a 1x1 convolution with batch norm
    stem_width: int
    stages: tuple[tuple[int, int], ...]  # width and number of blocks


def _cifar(depth):
    """The CIFAR form (section 4.2): 6n + 2 layers, option-A shortcuts."""
    n, rest = divmod(depth - 2, 6)
    assert rest == 0 and n > 0, depth
    return Spec(32, 10, False, False, True, 16, ((16, n), (32, n), (64, n)))


def _four_stages(imagenet_form, bottleneck, blocks):
    """The networks of Table 1, or their forms for small images."""
    size, classes = (224, 1000) if imagenet_form else (32, 10)
    stages = tuple(zip((64, 128, 256, 512), blocks))
    return Spec(size, classes, imagenet_form, bottleneck, False, 64, stages)


NETWORKS = {
    "resnet20": _cifar(20),
    "resnet110": _cifar(110),
    "cifar_resnet18": _four_stages(False, False, (2, 2, 2, 2)),
    "resnet50": _four_stages(True, True, (3, 4, 6, 3)),
}


def _convolution(in_channels, out_channels, kernel, stride=1):
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
    )


class ZeroPadShortcut(nn.Module):
    """Option A: every second pixel, and zero channels, half of them before and half after."""

    def __init__(self, stride, added):
        super().__init__()
        self.stride = stride
        self.before = added // 2
        self.after = added - self.before

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class Block(nn.Module):
    """A residual block: convolutions with batch norm, plus the shortcut."""

    def __init__(self, spec, in_channels, width, stride):
        super().__init__()
        if spec.bottleneck:
            self.out_channels = 4 * width
            plan = [(width, 1, 1), (width, 3, stride), (self.out_channels, 1, 1)]
        else:
            self.out_channels = width
            plan = [(width, 3, stride), (width, 3, 1)]
        self.depth = len(plan)
        channels = in_channels
        for index, (out_channels, kernel, conv_stride) in enumerate(plan, 1):
            convolution = _convolution(channels, out_channels, kernel, conv_stride)
            setattr(self, f"conv{index}", convolution)
            setattr(self, f"bn{index}", nn.BatchNorm2d(out_channels))
            channels = out_channels

        self.shortcut_name = "downsample" if spec.imagenet_form else "shortcut"
        if stride == 1 and in_channels == self.out_channels:
            shortcut = None
        elif spec.zero_pad:
            shortcut = ZeroPadShortcut(stride, self.out_channels - in_channels)
        else:
            shortcut = nn.Sequential(
                _convolution(in_channels, self.out_channels, 1, stride),
                nn.BatchNorm2d(self.out_channels),
            )
        setattr(self, self.shortcut_name, shortcut)

    def forward(self, x):
        y = x
        for index in range(1, self.depth + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            if index < self.depth:
                y = functional.relu(y, inplace=True)
        shortcut = getattr(self, self.shortcut_name)
        y += x if shortcut is None else shortcut(x)
        return functional.relu(y, inplace=True)


class ResNet(nn.Module):
    """Stem, stages of blocks, global average pool, linear head."""

    def __init__(self, spec):
        super().__init__()
        self.imagenet_form = spec.imagenet_form
        kernel, stride = (7, 2) if spec.imagenet_form else (3, 1)
        self.conv1 = _convolution(3, spec.stem_width, kernel, stride)
        self.bn1 = nn.BatchNorm2d(spec.stem_width)
        self.stage_names = []
        channels = spec.stem_width
        for stage_index, (width, count) in enumerate(spec.stages):
            blocks = []
            for block_index in range(count):
                halves = stage_index > 0 and block_index == 0
                blocks.append(Block(spec, channels, width, 2 if halves else 1))
                channels = blocks[-1].out_channels
            name = f"layer{stage_index + 1}"
            self.stage_names.append(name)
            setattr(self, name, nn.Sequential(*blocks))
        self.head_name = "fc" if spec.imagenet_form else "linear"
        setattr(self, self.head_name, nn.Linear(channels, spec.classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.imagenet_form:
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        x = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return getattr(self, self.head_name)(x)


def build(name):
    """The network with this name, with fresh parameters."""
    return ResNet(NETWORKS[name])


def fold_batch_norm(model):
    """Folds every batch norm of a network in evaluation mode into the convolution before it."""
    for parent in list(model.modules()):
        children = dict(parent.named_children())
        for name, child in children.items():
            if not isinstance(child, nn.BatchNorm2d):
                continue
            # bn<i> follows conv<i>; in a projection shortcut, 1 follows 0.
            before = "0" if name == "1" else name.replace("bn", "conv")
            setattr(parent, before, fuse_conv_bn_eval(children[before], child))
            setattr(parent, name, nn.Identity())
    return model


def describe(name, size=None):
    """Parameters, multiply-accumulates and output shape of each layer with parameters.

    Shapes are [height, width, channels] or [features], as in Residua's layer table.
    """
    spec = NETWORKS[name]
    size = size or spec.size
    model = build(name).eval()
    layers = {}

    def watch(layer_name):
        def hook(module, _inputs, output):
            channels, *pixels = output.shape[1:]
            macs = 0
            if isinstance(module, nn.Conv2d):
                macs = module.weight.numel() * pixels[0] * pixels[1]
            elif isinstance(module, nn.Linear):
                macs = module.weight.numel()
            layers[layer_name] = {
                "parameters": sum(p.numel() for p in module.parameters()),
                "macs": macs,
                "output": [*pixels, channels],
            }

        return hook

    for layer_name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)):
            module.register_forward_hook(watch(layer_name))
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": sum(layer["macs"] for layer in layers.values()),
        "layers": layers,
    }
