"""From measurements to figures: medians, ratios, tables."""

import statistics

RESIDUA = "residua"
# Above this many cores used by others, a measurement says little.
DISTURBED = 0.15


def fastest(rounds, ways, keep):
    """The ways that gave a result, at most `keep` of them unless that is 0, in their order."""
    speeds = median_speeds(rounds)
    ways = [way for way in ways if way in speeds]
    if keep > 0:
        best = sorted(ways, key=speeds.get, reverse=True)[:keep]
        ways = [way for way in ways if way in best]
    return ways


def median_speeds(rounds):
    """Median images per second of each side over the rounds that it was measured in."""
    sides = dict.fromkeys(side for measured in rounds for side in measured)
    return {
        side: statistics.median(
            measured[side]["images_per_second"] for measured in rounds if side in measured
        )
        for side in sides
    }


def summarise(rounds):
    """The row of the table for one case; `None` when a side gave no result.

    The peer is the way of PyTorch with the best median among those measured most often; the
    ratio is Residua's speed divided by the peer's in the same round.
    """
    speeds = median_speeds(rounds)
    count = {side: sum(side in measured for measured in rounds) for side in speeds}
    ways = [side for side in speeds if side != RESIDUA]
    if RESIDUA not in speeds or not ways:
        return None
    most = max(count[way] for way in ways)
    peer = max((way for way in ways if count[way] == most), key=speeds.get)
    both = [measured for measured in rounds if peer in measured and RESIDUA in measured]
    if not both:
        return None
    ratios = [
        measured[RESIDUA]["images_per_second"] / measured[peer]["images_per_second"]
        for measured in both
    ]

    def middle(side, key):
        return statistics.median(measured[side][key] for measured in both)

    return {
        "peer": peer,
        "optimiser_of_peer": both[-1][peer].get("optimiser"),
        "speeds": speeds,
        "rounds_of_ratio": len(both),
        "ratio": statistics.median(ratios),
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
        "peak_memory_bytes": {
            "pytorch": middle(peer, "peak_memory_bytes"),
            "pytorch_without_libraries": middle(peer, "resident_peak_of_steps_bytes")
            - middle(peer, "resident_after_import_bytes"),
            RESIDUA: middle(RESIDUA, "peak_memory_bytes"),
        },
        "cores_of_others": max(
            measured[side]["cores_of_others"] for measured in both for side in (peer, RESIDUA)
        ),
    }


def one_line(entry):
    """The outcome of a case in one line."""
    summary = entry["summary"]
    if summary is None:
        return f"{entry['name']}: no ratio, because a side gave no result"
    return f"{entry['name']}: {summary['ratio']:.2f} of PyTorch's speed ({summary['peer']})"


def tables(results):
    """All tables as Markdown."""
    parts = [
        f"{results['processor']}, {results['threads']} threads, PyTorch {version(results)} "
        f"with the allocator {results['allocator_of_pytorch']}, {results['date']}",
        ratio_table(results["cases"]),
        way_table(results["cases"]),
        *notes(results["cases"]),
    ]
    return "\n\n".join(part for part in parts if part)


def version(results):
    """PyTorch's version, as its processes gave it."""
    for entry in results["cases"]:
        for measured in entry["rounds"]:
            for result in measured.values():
                if "torch" in result:
                    return result["torch"]
    return "(never ran)"


def ratio_table(entries):
    """One row for each case: both speeds, their ratio, both memories."""
    rows = []
    for entry in entries:
        summary = entry["summary"]
        if summary is None:
            rows.append([entry["name"], str(entry["batch"])] + ["-"] * 7)
            continue
        memory = summary["peak_memory_bytes"]
        rows.append(
            [
                entry["name"],
                str(entry["batch"]),
                speed(summary["speeds"][summary["peer"]]),
                summary["peer"],
                speed(summary["speeds"][RESIDUA]),
                f"{summary['ratio']:.2f}",
                f"{summary['lowest_ratio']:.2f} to {summary['highest_ratio']:.2f}",
                f"{mebibytes(memory['pytorch'])} "
                f"({mebibytes(memory['pytorch_without_libraries'])})",
                mebibytes(memory[RESIDUA]),
            ]
        )
    heads = ["case", "batch", "PyTorch images/s", "in its fastest way", "Residua images/s"]
    heads += ["ratio", "over the rounds", "PyTorch MiB", "Residua MiB"]
    return markdown(heads, rows, left=(0, 3))


def way_table(entries):
    """One row for each case and way of PyTorch."""
    rows = []
    for entry in entries:
        speeds = median_speeds(entry["rounds"])
        for way in speeds:
            if way == RESIDUA:
                continue
            results = [measured[way] for measured in entry["rounds"] if way in measured]
            rows.append(
                [
                    entry["name"],
                    way,
                    results[-1].get("optimiser") or "",
                    speed(speeds[way]),
                    str(len(results)),
                    f"{max(r['preparation_seconds'] for r in results):.0f}",
                ]
            )
    heads = ["case", "way of PyTorch", "optimiser", "images/s", "rounds", "preparation s"]
    return markdown(heads, rows, left=(0, 1, 2)) if rows else ""


def notes(entries):
    """What a reader of the tables has to know."""
    for entry in entries:
        for side, reason in entry["failures"].items():
            yield f"{entry['name']}: {side} failed: {reason}"
    disturbed = [
        f"{entry['name']} ({entry['summary']['cores_of_others']:.1f} cores)"
        for entry in entries
        if entry["summary"] and entry["summary"]["cores_of_others"] > DISTURBED
    ]
    if disturbed:
        yield (
            "Other processes were using the processor, so these figures are unreliable: "
            f"{', '.join(disturbed)}."
        )


def speed(images_per_second):
    """Three significant digits or whole images."""
    if images_per_second >= 100:
        return f"{images_per_second:.0f}"
    return f"{images_per_second:.3g}"


def mebibytes(count):
    """Whole mebibytes."""
    return f"{count / 2**20:.0f}"


def markdown(heads, rows, left):
    """A Markdown table whose columns are also aligned as plain text."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]

    def line(cells):
        padded = [
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if index in left else "-" * (width - 1) + ":"
        for index, width in enumerate(widths)
    ]
    return "\n".join([line(heads), line(rule), *map(line, rows)])
