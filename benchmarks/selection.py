"""How often `RankSearch` finds the planted numbers of topics, on fresh draws.

    python benchmarks/selection.py [CORPUS ..] [--draws 5] [--first 5001]
    python benchmarks/selection.py CORPUS .. --cost [--n_init 3]

prints one line per draw and a table of hits; with --cost the processor time and the memory of a
search as multiples of plain fits instead. The rule and its thresholds are those of
`nbs/selection/rules.ipynb`, fixed before these seeds were drawn; they are not tuned on them.
"""

import argparse
import json
import time
import tracemalloc
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from nnmf_nb import NMF, datasets
from nnmf_nb.selection._rank_search import RankSearch

KL = NMF(solver="mu", beta_loss="kullback-leibler")


def counts(ranks, n_samples, n_features, length=100, mixing=None):
    """A function of the seed: planted counts as float32, the rank first."""

    def draw(seed):
        data = datasets.planted_counts(ranks, n_samples, n_features, length, mixing, seed)
        return data.X.astype(np.float32)

    return draw


def dense(kind):
    """Six dense topics, |noise|, clipped noise or multiplicative noise."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        X = rng.gamma(0.5, 1.0, (400, 6)) @ rng.gamma(0.5, 1.0, (6, 200))
        noise = 0.2 * X.mean() * rng.standard_normal(X.shape)
        if kind == "abs":
            return np.abs(X + noise).astype(np.float32)
        if kind == "clip":
            return np.maximum(X + noise, 0).astype(np.float32)
        return (X * rng.gamma(4.0, 0.25, X.shape)).astype(np.float32)

    return draw


def signatures(n_samples):
    """Counts of 96 kinds of mutations in genomes with five signatures."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        H = rng.dirichlet(np.full(96, 0.1), 5)
        W = rng.gamma(0.5, 2000.0, (n_samples, 5))
        return rng.poisson(W @ H).astype(np.float32)

    return draw


def rank_one(seed):
    """Poisson counts of one topic."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(2.0, 50.0, (800, 1)) * rng.dirichlet(np.full(600, 0.3), 1)
    return rng.poisson(mean).astype(np.float32)


def permuted(seed):
    """Planted counts whose columns are permuted one by one."""
    X = counts(8, 800, 600)(seed).toarray()
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.permutation(column) for column in X.T])


P8, F12, T12 = (8, 800, 600), (12, 1200, 800), ((12, 4), 1200, 800)
CORPORA = {  # draw, planted r0 and r1, ranks, model
    "P8": (counts(*P8), (8, None), range(2, 13), None),
    "P8mixed": (counts(*P8, mixing=0.3), (8, None), range(2, 13), None),
    "P8short": (counts(*P8, length=25), (8, None), range(2, 13), None),
    "P8long": (counts(*P8, length=400), (8, None), range(2, 13), None),
    "F12": (counts(*F12), (12, None), range(2, 15), None),
    "F12mixed": (counts(*F12, mixing=0.3), (12, None), range(2, 15), None),
    "F12short": (counts(*F12, length=25), (12, None), range(2, 15), None),
    "F12long": (counts(*F12, length=400), (12, None), range(2, 15), None),
    "T12": (counts(*T12), (12, 4), range(2, 15), None),
    "T12mixed": (counts(*T12, mixing=0.3), (12, 4), range(2, 15), None),
    "T12short": (counts(*T12, length=25), (12, 4), range(2, 15), None),
    "T12long": (counts(*T12, length=400), (12, 4), range(2, 15), None),
    "abs": (dense("abs"), (6, None), range(2, 10), None),
    "clip": (dense("clip"), (6, None), range(2, 10), None),
    "mult": (dense("mult"), (6, None), range(2, 10), None),
    "KL100": (signatures(100), (5, None), range(2, 10), KL),
    "KL30": (signatures(30), (5, None), range(2, 10), KL),
    "news": (
        lambda seed: datasets.planted_news(seed).X.astype(np.float32), (10, 4), range(2, 14), None
    ),
    "toy": (lambda seed: datasets.toy(seed).X.astype(np.float32), (9, None), range(2, 13), None),
    "rank1": (rank_one, (None, None), range(2, 9), None),
    "permuted": (permuted, (None, None), range(2, 9), None),
    "GO": (
        lambda seed: datasets.gene_ontology().X.astype(np.float32), (12, None), range(2, 17), None
    ),
    "digits": (lambda seed: load_digits().data, (None, None), range(2, 21), None),
    "SOTU": (lambda seed: datasets.state_of_the_union().X, (None, None), range(2, 21), None),
}  # fmt: skip


def one_draw(name, seed, n_jobs, n_init):
    """What the search says about one draw, as a dict."""
    draw, planted, _, _ = CORPORA[name]
    X, begin, cpu = draw(seed), time.perf_counter(), time.process_time()
    search = searched(X, name, seed, n_jobs, n_init)
    return {
        "corpus": name,
        "seed": seed,
        "planted": planted,
        "r0": search.suggested_[0].rank,
        "others": [one.rank for one in search.suggested_[1:]],
        "r1": [level.rank for level in search.levels_],
        "plateaus": [plateau.ranks for plateau in search.plateaus_],
        "reason": search.suggested_[0].reason,
        "seconds": round(time.perf_counter() - begin, 1),
        "cpu": round(time.process_time() - cpu, 1),
    }


def searched(X, name, seed, n_jobs, n_init):
    """A search without the refit of the suggested rank."""
    _, _, ranks, model = CORPORA[name]
    search = RankSearch(model, ranks, n_jobs=n_jobs, n_init=n_init, random_state=seed)
    search._best = lambda *given: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(X)


def seconds_of(work):
    begin = time.process_time()
    work()
    return time.process_time() - begin


def megabytes_of(work):
    """The peak of what Python and NumPy allocate during `work`."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def cost(name, seed, n_init):
    """Processor time relative to plain fits of all ranks, memory relative to one of the largest."""
    draw, _, ranks, model = CORPORA[name]
    X, plain = draw(seed), clone(NMF() if model is None else model).set_params(random_state=seed)

    def fit_all():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in ranks:
                clone(plain).set_params(n_components=k).fit(X)

    def fit_largest():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clone(plain).set_params(n_components=max(ranks)).fit(X)

    fit_largest()  # kernels are compiled
    search = lambda: searched(X, name, seed, 1, n_init)
    seconds = [seconds_of(work) for work in (search, fit_all)]
    megabytes = [megabytes_of(work) for work in (search, fit_largest)]
    return {
        "corpus": name,
        "n_init": n_init,
        "cpu": [round(value, 2) for value in seconds],
        "cpu ratio": round(seconds[0] / seconds[1], 1),
        "MB": [round(value, 1) for value in megabytes],
        "memory ratio": round(megabytes[0] / megabytes[1], 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="*", default=["P8", "toy"], metavar="CORPUS")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=5001)
    parser.add_argument("--n_jobs", type=int, default=1)
    parser.add_argument("--n_init", type=int, default=6)
    parser.add_argument("--cost", action="store_true")
    asked = parser.parse_args()
    unknown = [name for name in asked.corpora if name not in CORPORA]
    if unknown:
        parser.error(f"{unknown[0]} is no corpus: give some of {', '.join(CORPORA)}")
    if asked.cost:
        for name in asked.corpora:
            print(json.dumps(cost(name, asked.first, asked.n_init)), flush=True)
        return
    for name in asked.corpora:
        found = []
        for seed in range(asked.first, asked.first + asked.draws):
            found.append(one_draw(name, seed, asked.n_jobs, asked.n_init))
            print(json.dumps(found[-1]), flush=True)
        r0, r1 = CORPORA[name][1]
        exact = sum(one["r0"] == r0 for one in found)
        within = sum(one["r0"] is not None and r0 and abs(one["r0"] - r0) <= 1 for one in found)
        first = sum((one["r1"] or [None])[0] == r1 for one in found if one["r0"] == r0)
        print(
            f"# {name}: of {len(found)} draws r0 exact {exact}, within 1 {within}, "
            f"profile {r0, r1} first {first}",
            flush=True,
        )


if __name__ == "__main__":
    main()
