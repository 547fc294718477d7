"""Compares Residua with PyTorch on the CPU, side by side; `run` starts it, `README.md` explains.

Standard output is the tables; progress goes to standard error.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import sys

import cases as catalog
import peers
import processes
import report


def main():
    options = parse_options()
    try:
        cases = catalog.select(options.cases, options.batch)
        pytorch = peers.PyTorch(
            options.threads,
            options.seconds,
            options.timeout,
            options.allocator,
            pathlib.Path(sys.prefix) / "inductor-cache",
        )
    except ValueError as failure:
        sys.exit(f"error: {failure}")
    residua = peers.Residua(
        options.residua, options.threads, options.seconds, options.timeout
    )
    with_compile = not options.skip_compile
    if with_compile and peers.compiler() is None:
        say("no C++ compiler: torch.compile is left out")
        with_compile = False

    results = {
        "schema": "residua.peers/1",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
        "processor": processor(),
        "threads": options.threads,
        "seconds": options.seconds,
        "allocator_of_pytorch": pytorch.allocator,
        "cases": [],
    }
    require_same_networks(cases, pytorch, residua)
    for case in cases:
        ways = case.ways(with_compile)
        measured = measure_case(case, ways, options, pytorch, residua)
        results["cases"].append(measured)
        if options.json:
            # After each case, so that an interruption loses one case at most.
            write_json(options.json, results)
        say(report.one_line(measured))
    print(report.tables(results))
    if any(entry["summary"] is None for entry in results["cases"]):
        sys.exit(1)


def parse_options():
    parser = argparse.ArgumentParser(
        prog="run", description="Compares Residua with PyTorch on the CPU, side by side."
    )
    add = parser.add_argument
    add(
        "--residua",
        default=default_program(),
        metavar="PATH",
        help="the program (default: the release build of this clone)",
    )
    add(
        "--cases",
        default="*",
        metavar="LIST",
        help="names such as resnet20/train/bf16, the start of one, or patterns such as "
        "'*/infer/*', separated by commas (default: all)",
    )
    add("--list", action=ListCases, nargs=0, help="list the cases and exit")
    add("--rounds", type=positive(int), default=5, help="default: 5")
    add(
        "--seconds",
        type=positive(float),
        default=10.0,
        help="time for each measurement, after warm-up (default: 10)",
    )
    add(
        "--threads",
        type=positive(int),
        default=processes.physical_cores(),
        help="for both (default: the physical cores)",
    )
    add(
        "--keep",
        type=int,
        default=3,
        metavar="N",
        help="after the first round go on with the N fastest ways of PyTorch; 0: with all "
        "(default: 3)",
    )
    add("--batch", type=positive(int), help="instead of each case's own")
    add("--skip-compile", action="store_true", help="leave out torch.compile")
    add(
        "--allocator",
        choices=("auto", "jemalloc", "tcmalloc", "glibc", "system"),
        default="auto",
        help="for PyTorch; auto: jemalloc where installed, otherwise glibc tuned to keep memory",
    )
    add(
        "--timeout",
        type=positive(float),
        default=1800.0,
        metavar="SECONDS",
        help="for one process, compilation included (default: 1800)",
    )
    add("--json", metavar="FILE", help="also write every measurement here")
    # `run` has used it already.
    add(
        "--venv",
        metavar="DIR",
        help="folder of the Python environment (default: .venv beside the script)",
    )
    return parser.parse_args()


class ListCases(argparse.Action):
    """Prints the names of the cases."""

    def __call__(self, parser, *_):
        print("\n".join(case.name for case in catalog.all_cases()))
        parser.exit()


def positive(kind):
    """A parser of positive numbers."""

    def parse(text):
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def default_program():
    """The release build of the clone that this folder is in."""
    target = os.environ.get("CARGO_TARGET_DIR", peers.HERE.parent.parent / "target")
    return str(pathlib.Path(target) / "release" / "residua")


def require_same_networks(cases, pytorch, residua):
    """Ends the program unless both sides have the same layers and parameters."""
    for model in dict.fromkeys(case.model for case in cases):
        size = next(case.size for case in cases if case.model == model)
        try:
            ours, theirs = residua.describe(model), pytorch.describe(model, size)
        except processes.Failed as failure:
            sys.exit(f"error: {model} cannot be described: {failure}")
        difference = peers.check_same_network(ours, theirs)
        if difference is not None:
            sys.exit(f"error: {model} is not the same network: {difference}")
        say(
            f"{model}: the same in both, {ours['parameters']:,} parameters, "
            f"{len(theirs['layers'])} layers with parameters"
        )


def measure_case(case, ways, options, pytorch, residua):
    """All rounds of one case."""
    entry = {
        "name": case.name,
        "model": case.model,
        "task": case.task,
        "precision": case.precision,
        "batch": case.batch,
        "size": case.size,
        "rounds": [],
        "failures": {},
    }
    for index in range(options.rounds):
        measured = {}
        # There and back, so that a machine that becomes slower or faster favours no one.
        order = [*ways, report.RESIDUA]
        for side in order if index % 2 == 0 else reversed(order):
            say(f"{case.name} round {index + 1}/{options.rounds} {side} ...", end=" ")
            try:
                if side == report.RESIDUA:
                    result = residua.measure(case)
                else:
                    result = pytorch.measure(case, side)
            except processes.Failed as failure:
                say(f"failed: {failure}")
                entry["failures"][side] = str(failure)
                continue
            say(f"{result['images_per_second']:.1f} images/s")
            measured[side] = result
        entry["rounds"].append(measured)
        ways = report.fastest(entry["rounds"], ways, options.keep)
    entry["summary"] = report.summarise(entry["rounds"])
    return entry


def write_json(path, results):
    """Replaces the file as a whole."""
    temporary = pathlib.Path(f"{path}.tmp")
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def processor():
    """The processor's name."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def say(text, end="\n"):
    """Progress."""
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
