"""Measures one case in PyTorch on the CPU, in one way of running it, and prints a JSON object.

    python pytorch_case.py --model resnet20 --task train --precision f32 --batch 128 \
        --size 32 --way compile/channels_last --threads 2 --seconds 5

The process does nothing else, so its peak memory belongs to the case. `--describe` prints the
layers of the network instead of measuring it.
"""

import argparse
import contextlib
import copy
import json
import statistics
import sys
import time
import warnings

import torch
from torch.nn import functional

import networks

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
WARM_STEPS, WARM_SHARE, FEWEST_STEPS = 2, 0.2, 3
MEMORY_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def main():
    options = parse_options()
    if options.describe:
        print(json.dumps(networks.describe(options.model, options.size)))
        return
    resident_after_import = resident_peak()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")

    engine, memory_format = options.way.split("/")
    model, images, labels = make_case(options, MEMORY_FORMATS[memory_format])
    begin = time.perf_counter()
    optimiser = None
    if options.task == "train":
        step, optimiser = prepare_training(
            model, images, labels, engine, options.precision
        )
    else:
        step = prepare_inference(model, images, engine, options.precision)
    seconds, result = measure(step, options.seconds)
    if not torch.isfinite(result).all():
        sys.exit("the result is not finite")
    print(
        json.dumps(
            {
                "images_per_second": options.batch / statistics.median(seconds),
                "steps": len(seconds),
                "optimiser": optimiser,
                "preparation_seconds": time.perf_counter() - begin - sum(seconds),
                "resident_after_import_bytes": resident_after_import,
                "resident_peak_of_steps_bytes": resident_peak(),
                "torch": torch.__version__,
                "instruction_set": torch.backends.cpu.get_cpu_capability(),
            }
        )
    )


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, choices=networks.NETWORKS)
    parser.add_argument("--task", choices=("train", "infer"), default="train")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--way", default="eager/channels_last")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--describe", action="store_true")
    return parser.parse_args()


def make_case(options, memory_format):
    """The network, and a batch of synthetic images and labels in memory."""
    spec = networks.NETWORKS[options.model]
    model = networks.build(options.model).to(memory_format=memory_format)
    images = torch.randn(options.batch, 3, options.size, options.size)
    labels = torch.randint(spec.classes, (options.batch,))
    return model, images.contiguous(memory_format=memory_format), labels


def autocast(precision):
    """The context of the forward pass; weights stay in f32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


def compiled(function):
    """`function` through TorchInductor, for the shapes of this process only."""
    return torch.compile(function, fullgraph=True, dynamic=False)


def prepare_training(model, images, labels, engine, precision):
    """A function that takes one step and returns the loss, and the kind of the optimiser."""

    def loss_of_batch(images, labels):
        with autocast(precision):
            logits = model(images)
        return functional.cross_entropy(logits.float(), labels)

    if engine == "compile":
        loss_of_batch = compiled(loss_of_batch)

    def gradients():
        model.zero_grad(set_to_none=True)
        loss = loss_of_batch(images, labels)
        loss.backward()
        return loss

    gradients()
    kind = fastest_optimiser(model)
    optimiser = make_optimiser(model, kind)

    def step():
        loss = gradients()
        optimiser.step()
        return loss

    return step, kind


def make_optimiser(model, kind):
    """Stochastic gradient descent with Nesterov momentum and weight decay, as there."""
    return torch.optim.SGD(
        model.parameters(),
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
        **{kind: True},
    )


def fastest_optimiser(model):
    """`foreach` or `fused`, whichever steps faster on the gradients that the model has."""
    parameters = copy.deepcopy(model.state_dict())
    best = {}
    for kind in ("foreach", "fused"):
        optimiser = make_optimiser(model, kind)
        optimiser.step()
        best[kind] = min(seconds_of(optimiser.step) for _ in range(7))
        model.load_state_dict(parameters)
    return min(best, key=best.get)


def prepare_inference(model, images, engine, precision):
    """A function that returns the logits of the batch."""
    model.eval().requires_grad_(False)
    if engine == "folded":
        networks.fold_batch_norm(model)

    def forward(images):
        with autocast(precision):
            return model(images)

    if engine in ("jit", "jit-onednn"):
        torch.jit.enable_onednn_fusion(engine == "jit-onednn")
        forward = frozen_trace(model, images, precision)
    elif engine == "compile":
        # Freezing folds batch norm, and converts and packs the weights ahead of time.
        torch._inductor.config.freezing = True
        forward = compiled(forward)

    def step():
        with torch.inference_mode():
            return forward(images)

    return step


def frozen_trace(model, images, precision):
    """The network through TorchScript, with batch norm folded and weights converted."""
    with torch.no_grad(), autocast(precision):
        # Casts are recorded in the trace, where freezing evaluates those of weights; the
        # autocast pass of TorchScript itself would insert them a second time.
        torch._C._jit_set_autocast_mode(False)
        trace = torch.jit.freeze(torch.jit.trace(model, images).eval())
        # Its layouts are those of f32, and of no use to the graphs of oneDNN.
        if precision == "f32" and not torch.jit.onednn_fusion_enabled():
            trace = torch.jit.optimize_for_inference(trace)
        return trace


def measure(step, seconds):
    """Seconds of each step until the time is over, after a warm-up; and the last result."""
    for _ in range(WARM_STEPS):
        step()
    end = time.perf_counter() + WARM_SHARE * seconds
    while time.perf_counter() < end:
        step()
    forget_peak()
    durations = []
    end = time.perf_counter() + seconds
    while len(durations) < FEWEST_STEPS or time.perf_counter() < end:
        begin = time.perf_counter()
        result = step()
        durations.append(time.perf_counter() - begin)
    return durations, result


def seconds_of(function):
    """How long one call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def resident_peak():
    """The largest resident set of this process since `forget_peak`, in bytes."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak():
    """Lets `resident_peak` begin anew; where that is not allowed it goes on."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as control:
        control.write("5")


if __name__ == "__main__":
    main()
