"""What grows with what: turns of NMF and gradients of chains against N, M, k, stored entries and
depth; float32; memory; labels. `make bench` runs it.

Writes results/scaling.md. README.md says how to read it.
"""

import math
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tools.race import Contender, Course, heading, markdown, median, met, peers_python, ratio

from tools import contenders

RESULT = Path(__file__).parent / "results" / "scaling.md"
ROUNDS = 5
BASE = dict(N=4000, M=2000, k=20)


def milliseconds(turns, key="seconds"):
    return f"{1e3 * median(turns, key):.2f}"


def turns(course):
    """A turn of NMF where one size doubles, beside its products."""
    sizes = [
        BASE,
        BASE | {"N": 8000},
        BASE | {"M": 4000},
        BASE | {"k": 40},
        BASE | {"k": 80},
        *(dict(N=20_000, M=10_000, k=20, density=d) for d in (0.0025, 0.005, 0.01)),
    ]
    rows = []
    for size in sizes:
        (seen,) = course.race({"turn": Contender("turn", **size)}, ROUNDS).values()
        over = ratio(seen, [{"seconds": one["products"]} for one in seen])
        stored = f"{size['density'] * size['N'] * size['M']:.0f}" if "density" in size else ""
        rows.append(
            (
                size["N"],
                size["M"],
                size["k"],
                stored,
                milliseconds(seen),
                milliseconds(seen, "products"),
                f"{over:.1f}",
            )
        )
    return (
        "## A turn of NMF\n\nBoth halves by sweeps, extrapolation, error and stationarity; "
        "products: A'X and X S', which no turn can do without. Stored: entries of a sparse X.\n\n"
        + markdown(("N", "M", "k", "stored", "turn, ms", "products, ms", "turn / products"), rows)
    )


def gradients(course, folder):
    """Cost and gradient of chains of two and four layers, beside its own products."""
    rows = []
    for ranks in ((50, 10), (50, 25, 12, 6)):
        path = str(folder / "chain.npz")
        contenders.write_chain(path, 10_000, 2000, ranks)
        seen = course.race(
            {"ours": Contender("our_gradient", path=path), "floor": Contender("floor", path=path)},
            ROUNDS,
        )
        over = ratio(seen["ours"], seen["floor"])
        asked = ("<= 1.5 x", met(over <= 1.5)) if ranks == (50, 10) else ("", "")
        rows.append(
            (
                ", ".join(map(str, ranks)),
                milliseconds(seen["ours"]),
                milliseconds(seen["floor"]),
                f"{over:.2f} x",
                *asked,
            )
        )
    return (
        "## A gradient of a chain\n\n10 000 features x 2000 data points, float64, cost `every` on "
        "unit columns, supports warm as in training; products: A_0'X and X S'.\n\n"
        + markdown(
            ("ranks", "gradient, ms", "products, ms", "gradient / products", "target", "met"), rows
        )
    )


def halves(course):
    """The same fit in float64 and float32."""
    rows = []
    for work in "ab":
        seen = course.race(
            {
                dtype: Contender("whole_fit", work=work, dtype=dtype)
                for dtype in ("float64", "float32")
            },
            ROUNDS,
        )
        faster = ratio(seen["float64"], seen["float32"])
        apart = abs(median(seen["float32"], "error") / median(seen["float64"], "error") - 1)
        rows.append(
            (
                contenders.WORKS[work],
                *(f"{median(seen[d]):.2f}" for d in seen),
                f"{faster:.2f} x",
                ">= 1.6 x",
                met(faster >= 1.6),
                f"{apart:.0e}",
                "<= 1e-4",
                met(apart <= 1e-4),
            )
        )
    return (
        '## float32\n\n`NMF(k, init="random", max_iter=12, tol=0)`; errors computed in float64.\n\n'
        + markdown(
            (
                "work",
                "float64, s",
                "float32, s",
                "faster",
                "target",
                "met",
                "errors differ by",
                "target",
                "met",
            ),
            rows,
        )
    )


def memory(course):
    if not Path("/proc/self/clear_refs").exists():
        return "## Memory\n\nNot measured: it needs Linux.\n"
    rows = []
    for work in "abc":
        ((one,),) = course.race({"it": Contender("memory_nmf", work=work)}, 1).values()
        rows.append(
            (
                contenders.WORKS[work],
                f"{one['size'] / 1e6:.1f}",
                f"{one['growth'] / 1e6:.1f}",
                f"{one['factors'] / 1e6:.1f}",
                f"{one['growth'] / one['factors']:.1f}",
            )
        )
    return (
        "## Memory of a fit\n\nGrowth of the peak resident memory during `NMF(k).fit`, in a fresh "
        "process with everything loaded, beyond X itself.\n\n"
        + markdown(("work", "X + A + S, MB", "growth, MB", "A + S, MB", "growth / (A + S)"), rows)
    )


def reached(turn, value):
    return next((t for t, v in zip(turn["t"], turn["error"]) if v <= value), math.inf)


def labels(course, python, folder):
    """Seconds until the joint objective of data and labels is within 1 % and 0.1 % of the best
    one.
    """
    path, budget = str(folder / "labeled.npz"), 3
    contenders.write_labeled(path)
    peer = (
        {"ssnmf": Contender("ssnmf_peer", python=python, path=path, budget=budget)}
        if python
        else {}
    )
    seen = course.race({"ours": Contender("ssnmf_ours", path=path, budget=budget)} | peer, ROUNDS)
    best = min(min(turn["error"]) for several in seen.values() for turn in several)
    rows = []
    for name, several in seen.items():
        times = [
            median([{"seconds": reached(turn, best * (1 + share))} for turn in several])
            for share in (0.1, 0.01, 0.001)
        ]
        rows.append(
            (
                name,
                *(f"{t:.2f} s" if math.isfinite(t) else "not reached" for t in times),
                f"{min(several[0]['error']) / best - 1:.1e}",
            )
        )
    return (
        "## Data and labels\n\n2000 features x 3000 data points, k = 20, 5 classes; ||X - AS||^2 "
        f"+ lam ||Y - BS||^2 within 10, 1 and 0.1 % of the best that anybody reached in {budget} "
        "s, one start for both. ours: `SSNMF`'s sweeps; ssnmf 1.0.3: its multiplicative "
        "updates.\n\n" + markdown(("", "10 %", "1 %", "0.1 %", "above the best in the end"), rows)
    )


def main():
    begin, python, course = time.monotonic(), peers_python(), Course()
    with tempfile.TemporaryDirectory() as name:
        parts = [
            turns(course),
            gradients(course, Path(name)),
            halves(course),
            labels(course, python, Path(name)),
            memory(course),
        ]
    text = heading("Scaling", datetime.now(UTC), course) + "\n".join(parts)
    RESULT.write_text(text, encoding="utf-8")
    print(f"\n{text}\nWritten to results/scaling.md after {time.monotonic() - begin:.0f} s.")


if __name__ == "__main__":
    main()
