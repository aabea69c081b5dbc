"""NMF measured: seconds to 1 %, 0.1 % and 0.01 % of the best known error on four works, beside
scikit-learn. `make bench` runs it.

Writes results/nmf.md (tables) and results/nmf.json (error against time, shown by
nbs/experiments/03_speed.ipynb). README.md says how to read them.
"""

import json
import math
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

from tools.contenders import WORKS
from tools.race import Contender, Course, heading, markdown, median, met, peers_python

RESULTS = Path(__file__).parent / "results"
ROUNDS, SHARES = 5, (0.01, 0.001, 0.0001)
# seconds per start: ours, scikit-learn
BUDGETS = {"a": (3, 10.5), "b": (9, 18), "c": (2, 3.5), "d": (0.5, 0.5)}
SLOW = {"a": 2}  # torchnmf; c is sparse, which it would take as 1.6 GB of zeros
TARGETS = {"a": (10, 10, None), "b": (2.5, 2.5, 2.5), "c": (1, 1.5, 1), "d": (2, 2, 2)}


def reached(turn, error):
    """Seconds until a curve is at `error` or below; infinite if it never is."""
    return next((t for t, e in zip(turn["t"], turn["error"]) if e <= error), math.inf)


def run_work(course, work, python):
    """Curves of one work by contender, the seconds of the two products, and the best known error
    per start.
    """
    ours, theirs = BUDGETS[work]
    seen = course.race(
        {
            "auto": Contender("nmf_ours", work=work, budget=ours),
            "scikit-learn": Contender("nmf_sklearn", work=work, budget=theirs),
        },
        ROUNDS,
    )
    if python and work in SLOW:
        seen |= course.race(
            {"torchnmf": Contender("nmf_torchnmf", python=python, work=work, budget=SLOW[work])},
            ROUNDS,
        )
    floor = course.race({"products": Contender("nmf_products", work=work)}, ROUNDS)["products"]
    best = [min(min(turns[n]["error"]) for turns in seen.values()) for n in range(ROUNDS)]
    return {"curves": seen, "products": median(floor), "best": best}


def words(times):
    """The median of times some of which may be infinite, and how often the error was reached where
    that was not always.
    """
    count, middle = sum(math.isfinite(t) for t in times), statistics.median(times)
    text = f"{middle:.3g} s" if math.isfinite(middle) else "not reached"
    return text if count in (0, len(times)) else f"{text} ({count} of {len(times)})"


def faster(ours, theirs, budget):
    """Median over the starts of their time over ours; where they never arrive, their budget counts
    and the ratio is a lower bound.
    """
    ratios = [min(b, budget) / a for a, b in zip(ours, theirs)]
    return statistics.median(ratios), any(math.isinf(b) for b in theirs)


def rows_of(work, result):
    curves, rows = result["curves"], []
    for share, target in zip(SHARES, TARGETS[work]):
        ours, theirs = (
            [reached(turn, best * (1 + share)) for turn, best in zip(curves[who], result["best"])]
            for who in ("auto", "scikit-learn")
        )
        ratio, bound = faster(ours, theirs, BUDGETS[work][1])
        asked = f">= {target:g} x" if target else "reached"
        good = ratio >= target if target else all(math.isfinite(t) for t in ours)
        rows.append(
            (
                work,
                f"{100 * share:g} %",
                words(ours),
                words(theirs),
                f"{'> ' if bound else ''}{ratio:.1f} x",
                asked,
                met(good),
            )
        )
    return rows


def turn_rows(results):
    rows = []
    for work, result in results.items():
        per_turn = {
            who: statistics.median(turn["seconds"] / turn["turns"] for turn in turns)
            for who, turns in result["curves"].items()
            if who != "torchnmf"
        }
        rows.append(
            (
                work,
                WORKS[work],
                *(f"{1e3 * s:.2f}" for s in (result["products"], *per_turn.values())),
                f"{per_turn['auto'] / result['products']:.1f}",
            )
        )
    return rows


def torch_line(results):
    """How far torchnmf's multiplicative updates came."""
    ends = []
    for work, result in results.items():
        if "torchnmf" in result["curves"]:
            runs = zip(result["curves"]["torchnmf"], result["best"])
            above = statistics.median(min(run["error"]) / best for run, best in runs) - 1
            ends.append(f"{work}: {100 * above:.2g} %")
    if not ends:
        return ""
    budgets = ", ".join(f"{seconds:g} s of {work}" for work, seconds in SLOW.items())
    return (
        "\ntorchnmf 0.3.5 (multiplicative updates) was above the best known error, after "
        f"{budgets}, by {', '.join(ends)}.\n"
    )


def geometric_mean(results):
    ratios = []
    for work, result in results.items():
        for share in SHARES:
            ours, theirs = (
                [
                    reached(turn, best * (1 + share))
                    for turn, best in zip(result["curves"][who], result["best"])
                ]
                for who in ("auto", "scikit-learn")
            )
            ratios.append(faster(ours, theirs, BUDGETS[work][1])[0])
    return statistics.geometric_mean(ratios)


def main():
    begin, python, course, results = time.monotonic(), peers_python(), Course(), {}
    for work in WORKS:
        print(work, flush=True)
        results[work] = run_work(course, work, python)
    mean = geometric_mean(results)
    text = (
        heading("NMF: error against time", datetime.now(UTC), course)
        + f'float64. {ROUNDS} random starts, the same for all; ours: `solver="auto"`; '
        "scikit-learn: coordinate descent. Best known: the lowest error that anybody reached "
        "from that start, "
        "ours with more time than is shown. Seconds are medians; ratios are medians of the ratios "
        "per start, and a lower bound (>) where scikit-learn did not arrive within its budget.\n\n"
        + markdown(
            ("work", "within", "ours", "scikit-learn", "faster", "target", "met"),
            [row for work in results for row in rows_of(work, results[work])],
        )
        + f"\nGeometric mean of the twelve ratios: {mean:.1f} x "
        f"(target >= 3 x: {met(mean >= 3)}).\n\n"
        + markdown(
            (
                "work",
                "",
                "two products, ms",
                "our turn, ms",
                "their sweep, ms",
                "our turn / products",
            ),
            turn_rows(results),
        )
        + torch_line(results)
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "nmf.md").write_text(text, encoding="utf-8")
    (RESULTS / "nmf.json").write_text(json.dumps(results), encoding="utf-8")
    print(
        f"\n{text}\nWritten to results/nmf.md and nmf.json after {time.monotonic() - begin:.0f} s."
    )


if __name__ == "__main__":
    main()
