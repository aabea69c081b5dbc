"""Kullback-Leibler NMF measured: seconds to 1e-2 .. 1e-5 of the best known divergence beside
scikit-learn's multiplicative updates and those of fastTopics in an own version, the cost of one
iteration, and held-out perplexity beside latent Dirichlet allocation by scikit-learn and gensim.
`make bench` runs it; `--quick` takes a small corpus and two starts, `--short` three starts instead
of five (two of the cells), and one division of the texts instead of three.

Writes results/counts.md. README.md says how to read it.
"""

import math
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import scipy.sparse as sp
from tools.contenders import counts_halves
from tools.race import (
    ROOT,
    Contender,
    Course,
    environment_python,
    heading,
    markdown,
    median,
    met,
)

RESULTS = Path(__file__).parent / "results"
SHARES = (1e-2, 1e-3, 1e-4, 1e-5)
# seconds per start: ours and fastTopics' updates, scikit-learn
BUDGETS = {"corpus": (8, 40), "mutations": (12, 40), "cells": (20, 150), "small": (2, 8)}
SPARSE, DENSE = (1, 1, 5, 12), (1, 1, 3, 3)
TARGETS = {"corpus": SPARSE, "mutations": DENSE, "cells": SPARSE, "small": SPARSE}
FEW = 40  # iterations that perplexity needs; LDA has 20
GENSIM = ["gensim==4.4.0"]


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
    sides = [curves[who] for who in ("ours", "scikit-learn", "fastTopics")]
    best = [min(min(one["error"]) for one in of_a_start) for of_a_start in zip(*sides)]
    for share, target in zip(SHARES, TARGETS[work]):
        mine, other, third = (
            [reached(one, value * (1 + share)) for one, value in zip(side, best)] for side in sides
        )
        pairs = [(min(b, BUDGETS[work][1]), a) for a, b in zip(mine, other)]
        ratios = [0.0 if math.isinf(a) else b / a for b, a in pairs]
        ratio = statistics.median(ratios)
        at_least = ">= " if any(math.isinf(b) for b in other) else ""
        yield (
            work,
            f"{share:g}",
            words(mine),
            words(third),
            words(other),
            f"{at_least}{ratio:.1f} x",
            f">= {target:g} x",
            met(ratio >= target),
        )


def convergence(course, work, rounds):
    """Rows of the first table."""
    ours, theirs = BUDGETS[work]
    contenders = {
        "ours": Contender("counts_ours", work=work, budget=ours),
        "fastTopics": Contender("counts_fasttopics", work=work, budget=ours),
        "scikit-learn": Contender("counts_sklearn", work=work, budget=theirs),
    }
    return list(rows_of(work, course.race(contenders, rounds)))


def costs(course, work, rounds):
    """A row of the table of iterations."""
    passes = course.race({"pass": Contender("counts_pass", work=work)}, rounds)["pass"]
    ratio = statistics.median(one["iteration"] / one["seconds"] for one in passes)
    document = median(passes, "document")
    return (
        work,
        f"{median(passes) * 1e3:.3g} ms",
        f"{median(passes, 'iteration') * 1e3:.3g} ms",
        f"{ratio:.2f} x",
        met(ratio <= 1.5),
        f"{document * 1e3:.2g} ms",
        met(document < 1e-3),
    )


def save_halves(folder, rounds):
    """Write the texts of all rounds to files, for programs that have nothing of ours."""
    for seed in range(rounds):
        for name, C in zip(("train", "seen", "hidden"), counts_halves(seed)):
            sp.save_npz(Path(folder) / f"{name}-{seed}.npz", sp.csr_matrix(C))


def perplexities(course, k, rounds, gensim, folder):
    """Rows of the table of perplexity: ours, ours with few iterations, both of LDA."""
    contenders = {
        "NMF": Contender("counts_perplexity", who="nmf", k=k),
        f"NMF, {FEW} iterations": Contender("counts_perplexity", who="nmf", k=k, max_iter=FEW),
        "LDA (scikit-learn)": Contender("counts_perplexity", who="lda", k=k),
        "LDA (gensim)": gensim and Contender("counts_gensim", python=gensim, folder=folder, k=k),
    }
    found = course.race(contenders, rounds)
    lda = found["LDA (scikit-learn)"]
    for who, turns in found.items():
        row = k, who, f"{median(turns, 'perplexity'):.0f}"
        if "fit" not in turns[0]:
            yield (*row, "", f"{median(turns):.2g} s", "", "", "")
            continue
        fit, whole = (
            statistics.median(a[key] / b["seconds"] for a, b in zip(turns, lda))
            for key in ("fit", "seconds")
        )
        yield (
            *row,
            met(median(turns, "perplexity") <= median(lda, "perplexity")),
            f"{median(turns, 'fit'):.2g} s, {median(turns):.2g} s",
            f"{fit:.2f}, {whole:.2f}",
            met(fit <= 0.2),
            met(whole <= 0.2),
        )


def main(quick, short=False):
    """Run everything and write the result."""
    rounds = 2 if quick else 3 if short else 5
    begin, course, divisions = (
        datetime.now(UTC),
        Course(20.0 if quick else 120.0),
        1 if short else 3,
    )
    works = ("small",) if quick else ("corpus", "mutations", "cells")
    gensim = environment_python(ROOT / ".venv-gensim", GENSIM, "half a minute, once")
    starts = {work: 2 if short and work == "cells" else rounds for work in works}
    shares = [row for work in works for row in convergence(course, work, starts[work])]
    iterations = [costs(course, work, rounds) for work in works if work != "cells"]
    with tempfile.TemporaryDirectory() as folder:
        save_halves(folder, divisions)
        perplexity = [
            row
            for k in ((20,) if quick else (20, 50))
            for row in perplexities(course, k, divisions, gensim, folder)
        ]
    text = (
        heading("Counts", begin, course)
        + ("A quick run: a small corpus and two starts.\n\n" if quick else "")
        + "## Time to an optimum\n\n"
        + "Seconds to a share above the best known divergence of each start; medians over "
        + ", ".join(f"{n} starts ({work})" for work, n in starts.items())
        + ", the same for all. A side that never arrives counts as its budget. "
        + "fastTopics: an own version of its updates (20 iterations of EM, then four sweeps of "
        + "coordinate descent, extrapolated), whose clock stands still for its objective.\n\n"
        + markdown(
            (
                "work",
                "share",
                "ours",
                "fastTopics",
                "scikit-learn",
                "faster than scikit-learn",
                "target",
                "met",
            ),
            shares,
        )
        + "\n## An iteration\n\n"
        + "One multiplicative iteration of a fit (both factors, objective and stationarity) beside "
        + "a bare fused pass per factor; `transform` of one document (target < 1 ms). Processor "
        + "seconds of all threads.\n\n"
        + markdown(
            ("work", "bare passes", "iteration", "ratio", "<= 1.5 x", "document", "< 1 ms"),
            iterations,
        )
        + "\n## Perplexity\n\n"
        + "Held-out perplexity by document completion, State of the Union, every fifth "
        + "paragraph; medians over "
        + f"{divisions} division{'s' * (divisions > 1)} of the texts. NMF smooths topics and "
        + "shares by what it chooses on its training documents. "
        + "Times and their ratios to scikit-learn's LDA (20 iterations; gensim's has 20 passes) "
        + "are without and with that choice.\n\n"
        + markdown(
            (
                "k",
                "model",
                "perplexity",
                "not above LDA",
                "time",
                "of LDA's",
                "fit <= a fifth",
                "with choice <= a fifth",
            ),
            perplexity,
        )
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ("counts-quick.md" if quick else "counts.md")).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main("--quick" in sys.argv[1:], "--short" in sys.argv[1:])
