"""q measured: microseconds per data point, cold and warm, beside a loop of scipy.optimize.nnls and
nonnegfac. `make bench` runs it.

Writes results/layer.md. README.md says how to read it.
"""

import importlib.util
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tools.race import Contender, Course, heading, markdown, median, met, ratio

from tools import contenders

RESULT = Path(__file__).parent / "results" / "layer.md"
ROUNDS, RANKS, POINTS = 5, (9, 20, 50), (1000, 10_000, 100_000)
TARGETS = {9: 20, 20: 20, 50: 7}


def race(course, path):
    runners = {"ours": Contender("q_ours", path=path), "scipy": Contender("q_scipy", path=path)}
    if importlib.util.find_spec("nonnegfac"):
        runners["nonnegfac"] = Contender("q_nonnegfac", path=path)
    return course.race(runners, ROUNDS)


def row(k, M, seen):
    warm = [{"seconds": turn["warm"]} for turn in seen["ours"]]
    faster = ratio(seen["scipy"], seen["ours"])
    times = [f"{1e6 * median(turns):.2f}" for turns in (seen["ours"], warm, seen["scipy"])]
    other = (
        (
            f"{1e6 * median(seen['nonnegfac']):.2f}",
            f"{ratio(seen['nonnegfac'], seen['ours']):.1f} x",
        )
        if "nonnegfac" in seen
        else ("", "")
    )
    return (
        k,
        M,
        *times,
        other[0],
        f"{faster:.1f} x",
        f">= {TARGETS[k]} x",
        met(faster >= TARGETS[k]),
        f"{ratio(seen['ours'], warm):.1f} x",
        other[1],
        *(f"{max(turn['kkt'] for turn in seen[who]):.0e}" for who in ("ours", "scipy")),
    )


def main():
    begin, course, rows, whole = time.monotonic(), Course(), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for k in RANKS:
            for M in POINTS:
                path = str(Path(folder) / "q.npz")
                contenders.write_q(path, k, M)
                seen = race(course, path)
                rows.append(row(k, M, seen))
                if (k, M) == (20, 100_000):
                    whole = median(seen["ours"]) * M
    text = (
        heading("q, the exact layer", datetime.now(UTC), course)
        + "Microseconds per data point, 200 features, noise 0.1, half of the coefficients zero; "
        "checks and A'X included. Warm: from the supports of a matrix 1 % away. SciPy: a loop "
        "over the first 2000 points. nonnegfac is on no package index: its columns are empty "
        "unless it can be imported. KKT: largest relative residual.\n\n"
        + markdown(
            (
                "k",
                "M",
                "cold",
                "warm",
                "scipy loop",
                "nonnegfac",
                "scipy / cold",
                "target",
                "met",
                "cold / warm",
                "nonnegfac / cold",
                "KKT",
                "KKT scipy",
            ),
            rows,
        )
        + f"\n100 000 data points at k = 20, cold: {whole:.2f} s (target < 0.3 s: "
        f"{met(whole < 0.3)}).\n"
    )
    RESULT.write_text(text, encoding="utf-8")
    print(f"\n{text}\nWritten to results/layer.md after {time.monotonic() - begin:.0f} s.")


if __name__ == "__main__":
    main()
