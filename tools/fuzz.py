#!/usr/bin/env python
"""Fuzz nnls: small-integer problems full of ties against brute force over all supports, which
shares no code with the package.

    python tools/fuzz.py [NUMBER [SEED]]        # 100 000 problems from seed 0 (a few minutes)

Every problem is solved by the portable and by the compiled engine, by the latter also among equal
data points, because many points of one A start from another support. Prints what kinds of problems
there were, the largest KKT residuals, and every problem that was answered wrongly or whose flag
"not unique" is wrong (exit status 1); a failing one is found again by its number, `python
tools/fuzz.py 1 SEED+NUMBER`. Source of the idea: SciPy's nnls, some versions of which return a
wrong answer without a word for 1 % of such problems.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from strategies import brute_force, integer_problem, may_vary, optimality  # noqa: E402

from nnmf_nb import nnls  # noqa: E402, F401
from nnmf_nb.core._arrays import DEGENERATE, NOT_CONVERGED, TIED  # noqa: E402
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.layer._nnls import nnls_certified  # noqa: E402

ALLOWED = 1e-10


def examined(A, x, engine, others):
    """Status of the answer of an engine to x, one of 1 + `others` equal data points; its largest
    residual by both measures, and what is wrong with it ('' if nothing).
    """
    layer.cpu_kernels = engine
    S, status, kkt = nnls_certified(A, np.repeat(x[:, None], 1 + others, axis=1))
    s = S[:, 0]
    residual = max(float(kkt[0]), optimality(A, x, s))
    worse = ((x - A @ s) ** 2).sum() - brute_force(A, x)
    wrong = (
        "negative"
        if s.min() < 0
        else "not optimal"
        if residual > ALLOWED
        else "not the minimum"
        if worse > ALLOWED
        else "not converged"
        if status[0] >= NOT_CONVERGED
        else ""
    )
    if not wrong and bool(status[0] & DEGENERATE) != may_vary(A, x, s):
        wrong = (
            "flagged, but its columns are independent"
            if status[0] & DEGENERATE
            else "not flagged, but its columns are dependent"
        )
    return int(status[0]), residual, wrong


def fuzz(number, seed):
    """Problems `seed` .. `seed + number - 1`: counts, the worst residual per engine, what was
    wrong, and where the engines differ about uniqueness.
    """
    compiled = layer.cpu_kernels
    # many points of one A start elsewhere
    engines = {"portable": (lambda: None, 0)} | (
        {"compiled": (compiled, 0), "compiled, many points": (compiled, 120)} if compiled() else {}
    )
    counts, worst, wrong, split = Counter(), dict.fromkeys(engines, 0.0), [], []
    for n in range(seed, seed + number):
        A, x = integer_problem(np.random.default_rng(n))
        answers = {name: examined(A, x, *engine) for name, engine in engines.items()}
        for name, (_, residual, fault) in answers.items():
            worst[name] = max(worst[name], residual)
            if fault:
                wrong.append((n, name, fault))
        if len({status for status, _, _ in answers.values()}) > 1:
            split.append(n)
        status = answers["portable"][0]
        counts["with dependent columns"] += np.linalg.matrix_rank(A) < A.shape[1]
        counts["more unknowns than equations"] += A.shape[1] > A.shape[0]
        counts["with a tie"] += bool(status & TIED)
        counts["without a unique solution"] += bool(status & DEGENERATE)
    layer.cpu_kernels = compiled
    return counts, worst, wrong, split


if __name__ == "__main__":
    number, seed = (
        int(value) for value in (sys.argv[1:] + ["100000", "0"][len(sys.argv) - 1 :])[:2]
    )
    start = time.perf_counter()
    counts, worst, wrong, split = fuzz(number, seed)
    print(
        f"{number} small-integer problems, seeds {seed} to {seed + number - 1}, {time.perf_counter() - start:.0f} s"
    )
    for kind, count in counts.items():
        print(f"  {count:>8}  {kind}")
    for name, residual in worst.items():
        print(f"  largest KKT residual, {name} engine: {residual:.1e}")
    print(
        f"  {len(split)} right answers whose uniqueness the engines judge differently {split[:9]}"
    )
    print(
        f"  {len(wrong)} wrong answers",
        *(f"    problem {n}, {name} engine: {fault}" for n, name, fault in wrong),
        sep="\n",
    )
    sys.exit(bool(wrong))
