"""Kullback-Leibler NMF measured: seconds to 1e-2 .. 1e-5 of the best known divergence beside
scikit-learn's multiplicative updates, the cost of one iteration, and held-out perplexity beside
latent Dirichlet allocation. `make bench` runs it; `--quick` takes a small corpus and two starts.

Writes results/counts.md. README.md says how to read it.
"""

import math
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

from tools.race import Contender, Course, heading, markdown, median, met

RESULTS = Path(__file__).parent / "results"
SHARES = (1e-2, 1e-3, 1e-4, 1e-5)
# seconds per start: ours, scikit-learn
BUDGETS = {"corpus": (8, 40), "mutations": (10, 40), "small": (2, 8)}
TARGETS = {"corpus": (1, 1, 5, 12), "mutations": (1, 1, 3, 3), "small": (1, 1, 5, 12)}


def reached(one, value):
    """Seconds until a curve is at `value` or below; infinite if it never is."""
    return next((t for t, e in zip(one["t"], one["error"]) if e <= value), math.inf)


def words(times):
    """The median of times, some of which may be infinite, and how often there was one."""
    count, middle = sum(math.isfinite(t) for t in times), statistics.median(times)
    text = f"{middle:.2g} s" if math.isfinite(middle) else "not reached"
    return text if count in (0, len(times)) else f"{text} ({count} of {len(times)})"


def rows_of(work, curves):
    """Rows of the table of one work."""
    ours, theirs = curves["ours"], curves["scikit-learn"]
    best = [min(min(a["error"]), min(b["error"])) for a, b in zip(ours, theirs)]
    for share, target in zip(SHARES, TARGETS[work]):
        mine, other = (
            [reached(one, value * (1 + share)) for one, value in zip(side, best)]
            for side in (ours, theirs)
        )
        pairs = [(min(b, BUDGETS[work][1]), a) for a, b in zip(mine, other)]
        ratios = [0.0 if math.isinf(a) else b / a for b, a in pairs]
        ratio = statistics.median(ratios)
        at_least = ">= " if any(math.isinf(b) for b in other) else ""
        yield (
            work,
            f"{share:g}",
            words(mine),
            words(other),
            f"{at_least}{ratio:.1f} x",
            f">= {target:g} x",
            met(ratio >= target),
        )


def main(quick):
    """Run everything and write the result."""
    begin, course, rounds = datetime.now(UTC), Course(20.0 if quick else 120.0), 2 if quick else 5
    works = ("small",) if quick else ("corpus", "mutations")
    rows, costs = [], []
    for work in works:
        ours, theirs = BUDGETS[work]
        curves = course.race(
            {
                "ours": Contender("counts_ours", work=work, budget=ours),
                "scikit-learn": Contender("counts_sklearn", work=work, budget=theirs),
            },
            rounds,
        )
        rows += rows_of(work, curves)
        passes = course.race({"pass": Contender("counts_pass", work=work)}, rounds)["pass"]
        ratio = statistics.median(one["iteration"] / one["seconds"] for one in passes)
        document = median(passes, "document")
        costs.append(
            (
                work,
                f"{median(passes) * 1e3:.3g} ms",
                f"{median(passes, 'iteration') * 1e3:.3g} ms",
                f"{ratio:.2f} x",
                met(ratio <= 1.5),
                f"{document * 1e3:.2g} ms",
                met(document < 1e-3),
            )
        )
    perplexity = []
    for k in (20,) if quick else (20, 50):
        found = course.race(
            {who: Contender("counts_perplexity", who=who, k=k) for who in ("nmf", "lda")},
            min(rounds, 3),
        )
        (a, s), (b, t) = (
            (median(found[who], "perplexity"), median(found[who])) for who in ("nmf", "lda")
        )
        fit = median(found["nmf"], "fit")
        good = met(a <= b), met(fit <= t / 5)
        perplexity.append(
            (
                k,
                f"{a:.0f}",
                f"{b:.0f}",
                good[0],
                f"{fit:.2g} s",
                f"{s:.2g} s",
                f"{t:.2g} s",
                good[1],
            )
        )
    text = (
        heading("Counts", begin, course)
        + ("A quick run: a small corpus and two starts.\n\n" if quick else "")
        + "Seconds to a share above the best known divergence of each start; medians over "
        + f"{rounds} starts, the same for both sides. A side that never arrives counts as its "
        + "budget.\n\n"
        + markdown(
            ("work", "share", "ours", "scikit-learn", "faster", "target", "met"),
            rows,
        )
        + "\nOne multiplicative iteration of a fit (both factors, objective and stationarity) "
        + "beside a bare fused pass per factor; `transform` of one document (target < 1 ms).\n\n"
        + markdown(
            ("work", "bare passes", "iteration", "ratio", "<= 1.5 x", "document", "< 1 ms"), costs
        )
        + "\nHeld-out perplexity by document completion, State of the Union, every fifth "
        + "paragraph. NMF smooths topics and shares by what it chooses on its training documents, "
        + "which is a second fit; the target of time is for the first.\n\n"
        + markdown(
            ("k", "NMF", "LDA", "not above", "NMF fit", "with choice", "LDA", "fit <= a fifth"),
            perplexity,
        )
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ("counts-quick.md" if quick else "counts.md")).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
