"""What is compared: the cases, and the ways of running them in PyTorch."""

import fnmatch
from dataclasses import dataclass

TASKS = ("train", "infer")
PRECISIONS = ("f32", "bf16")
# Name in the catalog, images per batch, height and width.
NETWORKS = (
    ("resnet20", 128, 32),
    ("resnet110", 128, 32),
    ("cifar_resnet18", 128, 32),
    ("resnet50", 16, 224),
    ("resnext29_8x64d", 128, 32),
    ("wrn28_10", 128, 32),
    ("densenet_bc100_k12", 64, 32),
    ("seresnet50", 16, 224),
    ("vgg16_bn", 16, 224),
)

ENGINES = {
    "train": ("eager", "compile"),
    "infer": ("eager", "folded", "jit", "jit-onednn", "compile"),
}
MEMORY_FORMATS = ("contiguous", "channels_last")


@dataclass(frozen=True)
class Case:
    """One network at work: the same for PyTorch and for Residua."""

    model: str
    task: str
    precision: str
    batch: int
    size: int

    @property
    def name(self):
        """As `--cases` selects it."""
        return f"{self.model}/{self.task}/{self.precision}"

    def ways(self, with_compile=True):
        """All ways of running the case in PyTorch, as `engine/memory format`."""
        return [
            f"{engine}/{memory_format}"
            for engine in ENGINES[self.task]
            for memory_format in MEMORY_FORMATS
            if with_compile or engine != "compile"
        ]


def all_cases():
    """Every case, in the order of the table."""
    return [
        Case(model, task, precision, batch, size)
        for model, batch, size in NETWORKS
        for task in TASKS
        for precision in PRECISIONS
    ]


def select(patterns, batch=None):
    """The cases whose names match one of the shell patterns, separated by commas.

    A pattern may be the start of a name: `resnet20` and `resnet20/train` select all below.
    """
    chosen = []
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    for pattern in wanted:
        matches = [
            case
            for case in all_cases()
            if fnmatch.fnmatchcase(case.name, pattern)
            or fnmatch.fnmatchcase(case.name, f"{pattern}/*")
        ]
        if not matches:
            names = "\n  ".join(case.name for case in all_cases())
            raise ValueError(f"no case matches '{pattern}'; there are\n  {names}")
        chosen.extend(matches)
    cases = [case for case in all_cases() if case in chosen]
    if batch is not None:
        cases = [
            Case(case.model, case.task, case.precision, batch, case.size) for case in cases
        ]
    return cases
