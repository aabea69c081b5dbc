"""The foundation measured: the gradient of a chain, the toy and memory, beside peers in the same
run. `make bench` runs it.

Prints its tables and writes them to benchmarks/results/foundation.md. benchmarks/README.md says how
to read them.
"""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tools.race import Contender, Course, heading, markdown, median, met, peers_python, ratio

from tools import contenders

RESULT = Path(__file__).parent / "results" / "foundation.md"
EPOCHS, UPDATES, SEEDS, ROUNDS = 100, 3000, 100, 5
MISSING = "not measured"


def peer(name, python, **arguments):
    return Contender(name, python=python, **arguments) if python else None


def gradient(course, python, folder):
    path = str(folder / "chain.npz")
    contenders.write_chain(path)
    seen = course.race(
        {
            "ours": Contender("our_gradient", path=path),
            "floor": Contender("floor", path=path),
            "iteration": Contender("our_iteration", path=path),
            "peer": peer("peer_iteration", python, path=path),
        },
        7,
    )
    ms = {label: f"{1e3 * median(turns):.2f}" for label, turns in seen.items()}
    over_floor = ratio(seen["ours"], seen["floor"])
    rows = [
        ("this package: cost and gradient", ms["ours"], f"{over_floor:.1f} x the floor", "", ""),
        ("the floor: A_0'X and X S'", ms["floor"], "", "", ""),
        ("this package: an L-BFGS iteration, all included", ms["iteration"], "", "", ""),
    ]
    if "peer" in seen:
        faster = ratio(seen["peer"], seen["ours"])
        rows.append(
            (
                "NeuralNMF 1.0.0: an epoch",
                ms["peer"],
                f"{faster:.0f} x our gradient",
                ">= 150 x",
                met(faster >= 150),
            )
        )
    else:
        rows.append(("NeuralNMF 1.0.0: an epoch", MISSING, "", ">= 150 x", ""))
    return (
        "## 1. One gradient of a chain\n\n500 features x 1000 data points, ranks 20, 5, float64, "
        "from the hierarchical start, same chains for both; ours: cost `every` on unit columns, "
        "supports warm as in training; NeuralNMF: its reconstruction loss, its defaults "
        "(`initialize_support=True`, its warm start, gains nothing here).\n\n"
        + markdown(("", "ms", "ratio", "target", "met"), rows)
    )


def toy_row(name, fits):
    """A row of the toy's table: seeds, seeds within 1 % of all floors, median excess per depth,
    median seconds.
    """
    good = sum(max(fit["excess"]) < 0.01 for fit in fits)
    excess = [
        f"{100 * statistics.median(fit['excess'][l] for fit in fits):.2f} %" for l in range(3)
    ]
    return [name, f"{good} of {len(fits)}", *excess, f"{median(fits):.3f}"]


def toy(course, python, folder):
    from nnmf_nb import datasets

    for seed in range(ROUNDS):
        np.save(folder / f"toy{seed}.npy", datasets.toy(random_state=seed).X.T)
    place = str(folder)
    seen = course.race(
        {
            "ours": Contender("toy_ours", seeds_per_turn=SEEDS // ROUNDS),
            "neural": peer("toy_neural", python, folder=place, epochs=EPOCHS),
            "ssnmf": peer("toy_ssnmf", python, folder=place, iterations=UPDATES),
            "sklearn": Contender("toy_sklearn", folder=place),
        },
        ROUNDS,
    )
    ours = [fit for turn in seen["ours"] for fit in turn["fits"]]
    good, seconds = sum(max(fit["excess"]) < 0.01 for fit in ours), median(ours)
    names = {
        "neural": f"NeuralNMF 1.0.0, demo settings, {EPOCHS} epochs",
        "ssnmf": f"ssnmf 1.0.3, layer by layer, tol=-1, {UPDATES} updates a layer",
        "sklearn": "scikit-learn NMF, layer by layer, tol=1e-6",
    }
    rows = [
        toy_row("this package, NeuralNMF() with ranks=(9, 4, 2)", ours),
        *(toy_row(names[k], seen[k]) if k in seen else [names[k], *[MISSING] * 5] for k in names),
    ]
    text = (
        "## 2. The toy, ranks 9, 4, 2\n\nMedian excess of the relative error over the SVD floor "
        "at each depth; a fit counts when all three are below 1 %.\n\n"
        + markdown(("", "seeds at the floors", "depth 0", "depth 1", "depth 2", "median s"), rows)
        + "\n"
        + markdown(
            ("target", "measured", "met"),
            [
                (
                    f">= {SEEDS - 1} of {SEEDS} seeds at all floors",
                    f"{good} of {len(ours)}",
                    met(good >= SEEDS - 1),
                ),
                ("median time < 0.5 s", f"{seconds:.3f} s", met(seconds < 0.5)),
            ],
        )
    )
    if "neural" in seen:
        full = median(seen["neural"]) / EPOCHS * 10_000
        text += (
            "\nNeuralNMF's demo trains 10,000 epochs, with a network of its own per depth. "
            f"Extrapolated from {EPOCHS}: {full:.0f} s per 10,000 epochs of the three-layer "
            f"network, {full / seconds:.0f} times our median fit. Its errors above are those "
            f"after {EPOCHS} epochs and say nothing about 10,000.\n"
        )
    return text


def memory(course, python, folder):
    if not Path("/proc/self/clear_refs").exists():
        return "## 3. Memory\n\nNot measured: it needs Linux.\n"
    rows = []
    for data, label in (
        ("union", "State of the Union, 19197 x 5212, sparse"),
        ("dense", "dense 5000 x 2000"),
    ):
        for name, contender in (
            ("this package, ranks (20, 6)", "memory_ours"),
            ("scikit-learn NMF, rank 20", "memory_sklearn"),
        ):
            ((one,),) = course.race({"it": Contender(contender, data=data)}, 1).values()
            ours = contender == "memory_ours"
            rows.append(
                (
                    label,
                    name,
                    f"{one['size'] / 1e6:.1f}",
                    f"{one['growth'] / 1e6:.1f}",
                    f"{one['ratio']:.1f}",
                    "< 10" if ours else "",
                    met(one["ratio"] < 10) if ours else "",
                )
            )
    return (
        "## 3. Memory\n\nGrowth of the peak resident memory during `fit`, in a fresh process with "
        "everything loaded, over the bytes of the data and the factors.\n\n"
        + markdown(("data", "", "data + factors, MB", "growth, MB", "ratio", "target", "met"), rows)
    )


def main():
    begin, python, course = time.monotonic(), peers_python(), Course()
    parts = []
    with tempfile.TemporaryDirectory() as name:
        for part in (gradient, toy, memory):
            print(part.__name__, flush=True)
            parts.append(part(course, python, Path(name)))
    head = (
        heading("Foundation", datetime.now(UTC), course, ", torch 2.13.0 (CPU)" if python else "")
        + "Medians of rounds in which the contenders took turns; ratios are medians of the ratios "
        "within a round.\n\n"
    )
    text = head + "\n".join(parts)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(
        f"\n{text}\nWritten to {RESULT.relative_to(Path(__file__).parents[1])} after "
        f"{time.monotonic() - begin:.0f} s."
    )


if __name__ == "__main__":
    main()
