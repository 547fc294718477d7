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
    paths: tuple[int, int] = (1, 64)  # groups of a bottleneck's 3x3, and the width of each
    squeeze: bool = False  # squeeze and excitation at the end of the branch

    def build(self):
        """The network, with fresh parameters."""
        return ResNet(self)


@dataclass(frozen=True)
class WideSpec:
    """Wide ResNets (Zagoruyko and Komodakis 2016): norms first, 6n + 4 layers."""

    depth: int
    widening: int
    size: int = 32
    classes: int = 10

    def build(self):
        """The network, with fresh parameters."""
        return WideResNet(self)


@dataclass(frozen=True)
class DenseSpec:
    """DenseNet-BC for CIFAR (Huang et al. 2017): 6n + 4 layers."""

    depth: int
    growth: int
    size: int = 32
    classes: int = 10

    def build(self):
        """The network, with fresh parameters."""
        return DenseNet(self)


@dataclass(frozen=True)
class VggSpec:
    """VGG with batch norm (Simonyan and Zisserman 2015), torchvision's form."""

    convolutions: tuple[int, ...]  # of each of five stages
    size: int = 224
    classes: int = 1000

    def build(self):
        """The network, with fresh parameters."""
        return Vgg(self)


def _cifar(depth):
    """The CIFAR form (section 4.2): 6n + 2 layers, option-A shortcuts."""
    n, rest = divmod(depth - 2, 6)
    assert rest == 0 and n > 0, depth
    return Spec(32, 10, False, False, True, 16, ((16, n), (32, n), (64, n)))


def _four_stages(imagenet_form, bottleneck, blocks, **changes):
    """The networks of Table 1, or their forms for small images."""
    size, classes = (224, 1000) if imagenet_form else (32, 10)
    stages = tuple(zip((64, 128, 256, 512), blocks))
    return Spec(size, classes, imagenet_form, bottleneck, False, 64, stages, **changes)


NETWORKS = {
    "resnet20": _cifar(20),
    "resnet110": _cifar(110),
    "cifar_resnet18": _four_stages(False, False, (2, 2, 2, 2)),
    "resnet50": _four_stages(True, True, (3, 4, 6, 3)),
    # Xie et al. 2017, section 5.2.
    "resnext29_8x64d": Spec(
        32, 10, False, True, False, 64, ((64, 3), (128, 3), (256, 3)), paths=(8, 64)
    ),
    "wrn28_10": WideSpec(28, 10),
    "densenet_bc100_k12": DenseSpec(100, 12),
    "seresnet50": _four_stages(True, True, (3, 4, 6, 3), squeeze=True),
    "vgg16_bn": VggSpec((2, 2, 3, 3, 3)),
}


def _convolution(in_channels, out_channels, kernel, stride=1, groups=1):
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )


def _initialise(model, mode="fan_out"):
    """Normal with the variance of He et al. 2015 ("Delving Deep into Rectifiers")."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode)


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


class SqueezeExcitation(nn.Module):
    """A gate on the channels (Hu et al. 2018), as timm writes it."""

    def __init__(self, channels, reduced):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        gate = x.mean((2, 3), keepdim=True)
        gate = self.fc2(functional.relu(self.fc1(gate), inplace=True))
        return x * gate.sigmoid()


class Block(nn.Module):
    """A residual block: convolutions with batch norm, plus the shortcut."""

    def __init__(self, spec, in_channels, width, stride):
        super().__init__()
        if spec.bottleneck:
            self.out_channels = 4 * width
            groups, group_width = spec.paths
            inner = width * group_width // 64 * groups
            plan = [
                (inner, 1, 1, 1),
                (inner, 3, stride, groups),
                (self.out_channels, 1, 1, 1),
            ]
        else:
            self.out_channels = width
            plan = [(width, 3, stride, 1), (width, 3, 1, 1)]
        self.depth = len(plan)
        channels = in_channels
        for index, (out_channels, *convolution) in enumerate(plan, 1):
            convolution = _convolution(channels, out_channels, *convolution)
            setattr(self, f"conv{index}", convolution)
            setattr(self, f"bn{index}", nn.BatchNorm2d(out_channels))
            channels = out_channels
        if spec.squeeze:
            self.se = SqueezeExcitation(self.out_channels, self.out_channels // 16)

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
        if hasattr(self, "se"):
            y = self.se(y)
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
        _initialise(self, "fan_in" if spec.zero_pad else "fan_out")

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.imagenet_form:
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        x = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return getattr(self, self.head_name)(x)


class WideBlock(nn.Module):
    """Norm, rectifier, convolution, twice; a projection reads what the first rectifier gives."""

    def __init__(self, in_channels, width, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = _convolution(in_channels, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Sequential(_convolution(in_channels, width, 1, stride))

    def forward(self, x):
        activated = functional.relu(self.bn1(x), inplace=self.shortcut is not None)
        y = functional.relu(self.bn2(self.conv1(activated)), inplace=True)
        y = self.conv2(y)
        y += x if self.shortcut is None else self.shortcut(activated)
        return y


class WideResNet(nn.Module):
    """Stem without norm, three stages, norm, pool, head."""

    def __init__(self, spec):
        super().__init__()
        blocks = (spec.depth - 4) // 6
        self.conv1 = _convolution(3, 16, 3)
        channels = 16
        for stage, width in enumerate((16, 32, 64), 1):
            width *= spec.widening
            members = []
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                members.append(WideBlock(channels, width, stride))
                channels = width
            setattr(self, f"layer{stage}", nn.Sequential(*members))
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, spec.classes)
        _initialise(self)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = functional.relu(self.bn(x), inplace=True)
        return self.linear(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class DenseLayer(nn.Module):
    """A bottleneck of four times the growth; its result is put behind its input."""

    def __init__(self, channels, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = _convolution(channels, 4 * growth, 1)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = _convolution(4 * growth, growth, 3)

    def forward(self, x):
        y = self.conv1(functional.relu(self.norm1(x), inplace=True))
        y = self.conv2(functional.relu(self.norm2(y), inplace=True))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    """Halves channels and map."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = _convolution(channels, channels // 2, 1)

    def forward(self, x):
        x = self.conv(functional.relu(self.norm(x), inplace=True))
        return functional.avg_pool2d(x, 2)


class DenseNet(nn.Module):
    """Three dense blocks with transitions between them."""

    def __init__(self, spec):
        super().__init__()
        layers, channels = (spec.depth - 4) // 6, 2 * spec.growth
        self.features = nn.Sequential()
        self.features.add_module("conv0", _convolution(3, channels, 3))
        for block in (1, 2, 3):
            members = nn.Sequential()
            for layer in range(1, layers + 1):
                members.add_module(
                    f"denselayer{layer}", DenseLayer(channels, spec.growth)
                )
                channels += spec.growth
            self.features.add_module(f"denseblock{block}", members)
            if block < 3:
                self.features.add_module(f"transition{block}", Transition(channels))
                channels //= 2
        self.features.add_module("norm_final", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, spec.classes)
        _initialise(self)

    def forward(self, x):
        x = functional.relu(self.features(x), inplace=True)
        return self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Vgg(nn.Module):
    """Convolutions with bias and norm, five max pools, three linear layers."""

    def __init__(self, spec):
        super().__init__()
        layers, channels = [], 3
        for stage, count in enumerate(spec.convolutions):
            width = min(64 << stage, 512)
            for _ in range(count):
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, spec.classes),
        )
        _initialise(self)

    def forward(self, x):
        x = functional.adaptive_avg_pool2d(self.features(x), 7)
        return self.classifier(x.flatten(1))


def build(name):
    """The network with this name, with fresh parameters."""
    return NETWORKS[name].build()


def fold_batch_norm(model):
    """Folds batch norms of a network in evaluation mode into the convolutions before them.

    Where a norm comes first, as in wide ResNets' blocks and DenseNets, only those that read a
    convolution alone can be folded.
    """
    for parent in list(model.modules()):
        if isinstance(parent, (WideResNet, DenseNet, Transition)):
            continue
        children = dict(parent.named_children())
        names = list(children)
        for name, child in children.items():
            if not isinstance(child, nn.BatchNorm2d):
                continue
            if isinstance(parent, WideBlock):
                before = {"bn2": "conv1"}.get(name)
            elif isinstance(parent, DenseLayer):
                before = {"norm2": "conv1"}.get(name)
            elif isinstance(parent, nn.Sequential):
                before = names[names.index(name) - 1]
            else:
                before = name.replace("bn", "conv")
            if isinstance(children.get(before), nn.Conv2d):
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
