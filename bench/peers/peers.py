"""The two sides of the comparison: how each is started, and what it is started with."""

import glob
import os
import pathlib
import shutil
import sys

import processes

HERE = pathlib.Path(__file__).resolve().parent
WARM_SHARE, FEWEST_STEPS = 0.2, 3


class PyTorch:
    """`pytorch_case.py` in this interpreter's environment, one process for each measurement."""

    def __init__(self, threads, seconds, timeout, allocator, cache):
        self.threads = threads
        self.seconds = seconds
        self.timeout = timeout
        settings, self.allocator = allocator_settings(allocator)
        self.environment = {
            **os.environ,
            **settings,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            # Compiled once, used in every round.
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
        }

    def measure(self, case, way):
        """What `pytorch_case.py` prints, with what was seen from outside."""
        result, seen = self._run(
            case.model,
            case.size,
            *("--task", case.task, "--precision", case.precision, "--way", way),
            *("--batch", str(case.batch), "--threads", str(self.threads)),
            *("--seconds", str(self.seconds)),
        )
        return {**result, **seen}

    def describe(self, model, size):
        """The layers of a network."""
        return self._run(model, size, "--describe")[0]

    def _run(self, model, size, *options):
        command = [sys.executable, str(HERE / "pytorch_case.py")]
        command += ["--model", model, "--size", str(size), *options]
        return processes.run_for_json(command, self.environment, self.timeout)


class Residua:
    """The `residua` program, as it is installed: no allocator or thread setting helps it."""

    def __init__(self, program, threads, seconds, timeout):
        self.program = program
        self.threads = threads
        self.seconds = seconds
        self.timeout = timeout
        self.speeds = {}

    def measure(self, case):
        """The row that `residua bench` prints, with what was seen from outside."""
        if case not in self.speeds:
            # A few steps tell how many fit into the time.
            self.speeds[case] = self._bench(case, 1, 2)["images_per_second"]
        fitting = self.seconds * self.speeds[case] / case.batch
        steps = max(FEWEST_STEPS, round(fitting))
        warm_steps = max(2, round(WARM_SHARE * fitting))
        measured = self._bench(case, warm_steps, steps)
        self.speeds[case] = measured["images_per_second"]
        return measured

    def _bench(self, case, warm_steps, steps):
        options = {
            "model": case.model,
            "mode": case.task,
            "precision": case.precision,
            "batch": case.batch,
            "size": case.size,
            "steps": steps,
            "warmup": warm_steps,
            "threads": self.threads,
        }
        command = [self.program, "bench", "--json"]
        for option, value in options.items():
            command += [f"--{option}", str(value)]
        report, seen = processes.run_for_json(command, timeout=self.timeout)
        # The report gives height and width.
        row = only_row(report, {**options, "size": [case.size, case.size]})
        return {
            "images_per_second": float(row["images_per_second"]),
            "steps": steps,
            "row": row,
            **seen,
        }

    def describe(self, model):
        """The layers of a network, at the image size of the catalog."""
        command = [self.program, "models", "show", model, "--json"]
        return processes.run_for_json(command, timeout=self.timeout)[0]


def only_row(report, options):
    """The row of a `residua.bench/1` report, which must be about what was asked for."""
    rows = report.get("rows")
    if not isinstance(rows, list) or len(rows) != 1:
        raise processes.Failed("`residua bench` printed no report of one row")
    for key in ("model", "mode", "precision", "batch", "size", "threads"):
        if key in rows[0] and rows[0][key] != options[key]:
            raise processes.Failed(
                f"`residua bench` measured {key} {rows[0][key]!r}, not {options[key]!r}"
            )
    if not rows[0].get("images_per_second"):
        raise processes.Failed("`residua bench` printed no images_per_second")
    return rows[0]


def check_same_network(ours, theirs):
    """Compares two descriptions layer by layer; returns the first difference or `None`."""
    for total in ("parameters", "macs"):
        if ours[total] != theirs[total]:
            return f"{total}: {ours[total]} in Residua, {theirs[total]} in PyTorch"
    layers = {layer["name"]: layer for layer in ours["layers"] if layer["parameters"]}
    if layers.keys() != theirs["layers"].keys():
        odd = sorted(layers.keys() ^ theirs["layers"].keys())
        return f"layer {odd[0]} exists in one of them only"
    for name, layer in layers.items():
        for key, value in theirs["layers"][name].items():
            if layer[key] != value:
                return f"{key} of {name}: {layer[key]} in Residua, {value} in PyTorch"
    return None


def allocator_settings(wanted):
    """Environment that gives PyTorch an allocator that keeps its memory, and its name.

    `auto` takes jemalloc where it is installed and tunes glibc's otherwise. Both keep freed
    blocks, and ask for huge pages, so that activations do not fault in anew at each step.
    """
    tuned_glibc = {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
        "MALLOC_TOP_PAD_": str(256 << 20),
    }
    keeping = "thp:always,metadata_thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1"
    if wanted == "system":
        return {}, "system"
    if wanted == "glibc":
        return tuned_glibc, "glibc"
    names = {
        "jemalloc": ("libjemalloc.so*",),
        "tcmalloc": ("libtcmalloc_minimal.so*", "libtcmalloc.so*"),
    }
    library = find_library(names["jemalloc" if wanted == "auto" else wanted])
    if library is None:
        if wanted != "auto":
            raise ValueError(f"{wanted} is not installed")
        return tuned_glibc, "glibc"
    if wanted == "tcmalloc":
        return {"LD_PRELOAD": library}, "tcmalloc"
    return {"LD_PRELOAD": library, "MALLOC_CONF": keeping}, "jemalloc"


def find_library(patterns):
    """The path of a shared library in the usual folders."""
    folders = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
    folders += ("/usr/lib64", "/usr/lib", "/usr/local/lib")
    for pattern in patterns:
        for folder in folders:
            found = sorted(glob.glob(f"{folder}/{pattern}"))
            if found:
                return found[0]
    return None


def compiler():
    """The C++ compiler that TorchInductor would use, or `None`."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
