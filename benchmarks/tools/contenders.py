"""Everything that is timed or weighed. One generator per contender: it prepares itself, then every
`next` measures once, as a dict.

Run by race.py as `python contenders.py NAME ARGUMENTS`, by the project's Python or by that of
.venv-peers, so nothing is imported at the top that one of them lacks. A line on stdin asks for a
measurement, which comes back as a line of JSON on stdout, with the processor seconds used so far.
"""

import gc
import json
import math
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np


def timed(work, at_least=0.0):
    """Median seconds of one call of `work`, over as many calls as take `at_least` seconds (one at
    least).
    """
    seconds, begin = [], time.perf_counter()
    while not seconds or time.perf_counter() - begin < at_least:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def moved(A, seed, by=1e-3):
    """The chain A with every entry changed by about the share `by`: where a small step of a
    training might lead.
    """
    rng = np.random.default_rng(seed)
    return [a * np.abs(1 + by * rng.standard_normal(a.shape)) for a in A]


def relative(X, *factors):
    return float(np.linalg.norm(X - np.linalg.multi_dot(factors)) / np.linalg.norm(X))


# --- a gradient of a chain ------------------------------------------------------------------------


def read_chain(path):
    """X (N x M) and the chain A of a file made by `write_chain`."""
    with np.load(path) as file:
        return file["X"], [file[f"A{l}"] for l in range(len(file.files) - 1)]


def write_chain(path, N=500, M=1000, ranks=(20, 5), dtype="float64"):
    """Data N x M with planted topics in groups and noise, and the chain with which training
    begins.
    """
    from nnmf_nb.chain._sequential import sequential
    from nnmf_nb.core._data import as_data

    rng, (k, groups) = np.random.default_rng(0), ranks[:2]
    words, mixture = (
        rng.random((N, k)) * (rng.random((N, k)) < 0.3),
        rng.random((k, groups)) * (rng.random((k, groups)) < 0.4),
    )
    weights = mixture @ (
        rng.random((groups, M)) * (rng.random((groups, M)) < 0.5)
    ) + 0.3 * rng.random((k, M)) * (rng.random((k, M)) < 0.3)
    X = (words @ weights + 0.05 * rng.random((N, M))).astype(dtype)
    start = sequential(as_data(X), ranks, rng, max_iter=20)
    np.savez(path, X=X, **{f"A{l}": fit.A for l, fit in enumerate(start)})


def our_gradient(path):
    """One evaluation of cost and gradient ('every', unit columns), supports warm from the chain
    before, as in training.
    """
    from nnmf_nb.chain._costs import ChainObjective, every, on_unit_columns
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import as_data

    X, A = read_chain(path)
    objective = on_unit_columns(ChainObjective(as_data(X), every))
    with blas_in_one_thread():  # as `fit` does it
        for n in range(10**9):
            objective(A)  # threads awake, supports warm
            yield {
                "seconds": float(
                    np.median(
                        [timed(partial(objective, moved(A, 1000 * n + i))) for i in range(20)]
                    )
                )
            }


def our_iteration(path):
    """One iteration of L-BFGS, line search and diary included: the mean over the first 20."""
    from nnmf_nb.chain._costs import every
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import as_data
    from nnmf_nb.models._neural import train_chain
    from nnmf_nb.solvers.gradient import lbfgs

    X, A = read_chain(path)
    data = as_data(X)
    with blas_in_one_thread():
        while True:
            yield {
                "seconds": timed(lambda: train_chain(data, A, every, lbfgs, max_iter=20, tol=0.0))
                / 20
            }


def floor(path):
    """The two products with the data that no gradient can avoid, A_0'X and X S', by bare NumPy."""
    X, A = read_chain(path)
    S = np.random.default_rng(0).random((X.shape[1], A[0].shape[1])).T.astype(X.dtype)
    while True:
        yield {"seconds": timed(lambda: (X.T @ A[0], X @ S.T), at_least=0.05)}


def peer_iteration(path):
    """One epoch of NeuralNMF: forward, its reconstruction loss, backward, step. Its own `train`,
    from the same chain.
    """
    import torch
    from NeuralNMF import Neural_NMF, train

    X, A = read_chain(path)
    X, net = torch.from_numpy(X), Neural_NMF([X.shape[0], *(a.shape[1] for a in A)])
    for n in range(10**9):
        for layer, a in zip(net.lsqnonneglst, moved(A, 1000 * n)):
            layer.A.data = torch.from_numpy(a)
        yield {"seconds": timed(lambda: train(net, X, epoch=1, lr=1, verbose=False))}


# --- the toy --------------------------------------------------------------------------------------

RANKS = 9, 4, 2


def toy_floors(X):
    """Relative errors that no matrix of the ranks can beat, from the singular values of X."""
    left = np.cumsum(np.linalg.svd(X, compute_uv=False)[::-1] ** 2)[::-1]
    return np.sqrt(left[list(RANKS)] / left[0])


def verdict(X, errors, seconds):
    return {"seconds": seconds, "excess": [float(e / f - 1) for e, f in zip(errors, toy_floors(X))]}


def toy_ours(seeds_per_turn):
    """NeuralNMF of this package with its defaults: `seeds_per_turn` fits, random_state and data
    both from the seed.
    """
    from nnmf_nb import NeuralNMF, datasets

    def fit(seed, **options):
        X = datasets.toy(random_state=seed).X
        model = NeuralNMF(ranks=RANKS, random_state=seed, **options)
        seconds = timed(lambda: model.fit(X))
        return verdict(
            X,
            [
                relative(X.T, *(layer.A for layer in model.layers_[: l + 1]), model.layers_[l].S)
                for l in range(3)
            ],
            seconds,
        )

    fit(0, max_iter=3)  # load the kernels
    for n in range(10**9):
        yield {"fits": [fit(seed) for seed in range(n * seeds_per_turn, (n + 1) * seeds_per_turn)]}


def toy_neural(folder, epochs):
    """NeuralNMF 1.0.0 as in its demo (GD, lr=1, reconstruction loss, a network per depth), for
    `epochs` epochs; seconds: the three-layer network.
    """
    import torch
    from NeuralNMF import Neural_NMF, train

    for seed in range(10**9):
        X, errors = np.load(Path(folder) / f"toy{seed}.npy"), []
        for depth in (1, 2, 3):
            torch.manual_seed(seed)
            net = Neural_NMF([X.shape[0], *RANKS[:depth]])
            seconds = timed(
                partial(train, net, torch.from_numpy(X), epoch=epochs, lr=1, verbose=False)
            )
            with torch.no_grad():
                # what `train` returns is older than its last step
                S = net(torch.from_numpy(X))[-1].numpy()
            errors.append(relative(X, *(layer.A.detach().numpy() for layer in net.lsqnonneglst), S))
        yield verdict(X, errors, seconds)


def toy_layers(folder, factorize):
    """Hierarchical NMF with `factorize(X, k, seed) -> A, S` for every layer."""
    for seed in range(10**9):
        X, start = np.load(Path(folder) / f"toy{seed}.npy"), time.perf_counter()
        factors, chain = [], X
        for k in RANKS:
            A, chain = factorize(chain, k, seed)
            factors.append((A, chain))
        seconds = time.perf_counter() - start
        yield verdict(
            X,
            [relative(X, *(A for A, _ in factors[: l + 1]), factors[l][1]) for l in range(3)],
            seconds,
        )


def toy_ssnmf(folder, iterations):
    """Hierarchical NMF by ssnmf's multiplicative updates; tol=-1, because its default stops at an
    error of 0.158.
    """
    from ssnmf import SSNMF

    def factorize(X, k, seed):
        np.random.seed(seed)  # ssnmf draws from the global generator
        model = SSNMF(X, k, modelNum=1, tol=-1)
        model.mult(numiters=iterations)
        return model.A, model.S

    return toy_layers(folder, factorize)


def toy_sklearn(folder):
    """Hierarchical NMF by scikit-learn's coordinate descent from its default start, to tol=1e-6."""
    from sklearn.decomposition import NMF

    def factorize(X, k, seed):
        model = NMF(k, tol=1e-6, max_iter=5000, random_state=seed)
        S = model.fit_transform(X.T).T
        return model.components_.T, S

    return toy_layers(folder, factorize)


# --- memory ---------------------------------------------------------------------------------------


def memory(key):
    """Memory of this process in bytes: VmRSS now, VmHWM at its peak."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key)
    )
    return int(line.split()[1]) * 1024


def weigh(fit, X, factors):
    """Growth of the peak while `fit(X)` runs, relative to the bytes of X and of
    `factors(model)`.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before, start = memory("VmRSS"), time.perf_counter()
    model = fit(X)
    seconds, growth = time.perf_counter() - start, memory("VmHWM") - before
    data = (
        sum(a.nbytes for a in (X.data, X.indices, X.indptr)) if hasattr(X, "indptr") else X.nbytes
    )
    own = sum(a.nbytes for a in factors(model))
    return {
        "seconds": seconds,
        "growth": growth,
        "factors": own,
        "size": data + own,
        "ratio": growth / (data + own),
    }


def heavy_data(name):
    """The data to be weighed: n_samples x n_features."""
    if name == "dense":
        rng = np.random.default_rng(0)
        return rng.random((5000, 20)) @ rng.random((20, 2000)) + 0.1 * rng.random((5000, 2000))
    from nnmf_nb import datasets

    return datasets.state_of_the_union().X


def memory_ours(data):
    """`NeuralNMF(ranks=(20, 6))`; 20 iterations fill every store of the optimizer. Kernels and
    thread pools are loaded before.
    """
    from nnmf_nb import NeuralNMF

    X = heavy_data(data)
    NeuralNMF(ranks=(20, 6), max_iter=3, random_state=0).fit(X[:400])
    while True:
        yield weigh(
            NeuralNMF(ranks=(20, 6), max_iter=20, random_state=0).fit,
            X,
            lambda model: [a for one in model.layers_ for a in (one.A, one.S)],
        )


def memory_sklearn(data):
    """scikit-learn's NMF(20): one layer, for comparison."""
    from sklearn.decomposition import NMF

    X, S = heavy_data(data), []

    def fit(X):
        model = NMF(20, random_state=0, max_iter=30)
        S.append(model.fit_transform(X))
        return model

    fit(X[:400])
    while True:
        yield weigh(fit, X, lambda model: [model.components_, S[-1]])


# --- q --------------------------------------------------------------------------------------------


def write_q(path, k, M):
    """A (200 x k), X (200 x M) with noise and half of the coefficients zero, and the coefficients
    of a matrix 1 % away from A.
    """
    from nnmf_nb import nnls

    rng = np.random.default_rng(k)
    A = rng.random((200, k))
    X = A @ (rng.random((k, M)) * (rng.random((k, M)) < 0.5)) + 0.1 * rng.random((200, M))
    np.savez(path, A=A, X=X, near=nnls(moved([A], 0, by=1e-2)[0], X))


def read_q(path, columns=None):
    with np.load(path) as file:
        return (
            file["A"],
            np.ascontiguousarray(file["X"][:, :columns]),
            np.ascontiguousarray(file["near"][:, :columns]),
        )


def kkt(A, X, S):
    """Largest entry of min(S, gradient), lengths of columns and of data points divided out."""
    length, size = np.linalg.norm(A, axis=0)[:, None], np.linalg.norm(X, axis=0)
    return float((np.abs(np.minimum(S * length, (A.T @ (A @ S - X)) / length)) / size).max())


def q_ours(path):
    """`nnls` cold and warm, checks and the product A'X included; seconds per data point."""
    from nnmf_nb import nnls

    A, X, near = read_q(path)
    while True:
        cold, warm = timed(lambda: nnls(A, X), 0.05), timed(lambda: nnls(A, X, near), 0.05)
        yield {
            "seconds": cold / X.shape[1],
            "warm": warm / X.shape[1],
            "kkt": kkt(A, X, nnls(A, X)),
        }


def q_scipy(path, columns=2000):
    """A loop of scipy.optimize.nnls over the data points, the first `columns` of them; seconds per
    data point.
    """
    from scipy.optimize import nnls

    A, X, _ = read_q(path, columns)
    S = np.empty((A.shape[1], X.shape[1]))

    def loop():
        for j in range(X.shape[1]):
            S[:, j] = nnls(A, X[:, j])[0]

    while True:
        yield {"seconds": timed(loop) / X.shape[1], "kkt": kkt(A, X, S)}


def q_nonnegfac(path):
    """Kim & Park's own block principal pivoting over all data points; seconds per data point."""
    from nonnegfac.nnls import nnlsm_blockpivot

    A, X, _ = read_q(path)
    while True:
        yield {
            "seconds": timed(lambda: nnlsm_blockpivot(A, X), 0.05) / X.shape[1],
            "kkt": kkt(A, X, nnlsm_blockpivot(A, X)[0]),
        }


# --- data and labels ------------------------------------------------------------------------------


def write_labeled(path):
    """X (2000 x 3000) of 20 planted topics, Y (5 x 3000) with one class per data point, and a start
    A, B, S of about their size.
    """
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 5, 3000)
    S = rng.random((20, 3000)) * (
        rng.random((20, 3000)) < np.where(np.arange(20)[:, None] % 5 == classes, 0.9, 0.1)
    )
    X = rng.random((2000, 20)) * (rng.random((2000, 20)) < 0.3) @ S + 0.05 * rng.random(
        (2000, 3000)
    )
    start = dict(A=rng.random((2000, 20)), B=rng.random((5, 20)), S=rng.random((20, 3000)))
    np.savez(
        path, X=X, Y=np.eye(5)[:, classes], classes=classes, lam=0.1 * np.sum(X * X) / 3000, **start
    )


def ssnmf_ours(path, budget):
    """`alternate_labels`, which `SSNMF` runs, from a start: the objective ||X - AS||^2 +
    lam ||Y - BS||^2 over ||X||^2 against seconds.
    """
    from nnmf_nb.chain._labels import Labels
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import as_data
    from nnmf_nb.models._ssnmf import alternate_labels, joint

    with np.load(path) as file:
        given = dict(file)
    labels = Labels(np.arange(5), given["Y"], None, np.arange(3000), 3000)
    with blas_in_one_thread():
        alternate_labels(
            joint(as_data(given["X"]), labels, float(given["lam"])),
            given["A"],
            given["S"],
            given["B"],
            max_iter=2,
        )
        while True:
            times, values, begin = [], [], time.perf_counter()
            data = as_data(given["X"])

            def note(n, value, pg, factors, begin=begin, times=times, values=values):
                times.append(time.perf_counter() - begin)
                values.append(value)
                return times[-1] > budget

            alternate_labels(
                joint(data, labels, float(given["lam"])),
                given["A"],
                given["S"] / data.scale,
                given["B"],
                max_iter=10**6,
                tol=0.0,
                callback=note,
            )
            yield curve(times, values)


def ssnmf_peer(path, budget):
    """ssnmf's multiplicative updates from the same start, ten at a time; the clock stands still
    while the objective is computed.
    """
    from ssnmf import SSNMF

    with np.load(path) as file:
        given = dict(file)
    X, Y, lam = given["X"], given["Y"], float(given["lam"])
    while True:
        model = SSNMF(
            X,
            20,
            modelNum=3,
            Y=Y,
            lam=lam,
            A=given["A"].copy(),
            B=given["B"].copy(),
            S=given["S"].copy(),
            tol=-1,
        )
        times, values, spent = [], [], 0.0
        while spent < budget:
            spent += timed(lambda model=model: model.mult(numiters=10))
            times.append(spent)
            values.append(
                (np.sum((X - model.A @ model.S) ** 2) + lam * np.sum((Y - model.B @ model.S) ** 2))
                / np.sum(X * X)
            )
        yield curve(times, values)


# --- NMF: error against time ----------------------------------------------------------------------

WORKS = {
    "a": "dense 2000 x 1500, k = 20, planted uniform factors, noise 10 % of the mean",
    "b": "dense 10000 x 2000, k = 50, the same way",
    "c": "sparse 20000 x 10000, 0.5 % filled by a power law, k = 20",
    "d": "the toy, 90 x 87, k = 9",
}


def nmf_work(name):
    """X (N x M) and k of a work."""
    import scipy.sparse as sp

    if name == "d":
        from nnmf_nb import datasets

        return np.ascontiguousarray(datasets.toy(random_state=0).X.T), 9
    rng = np.random.default_rng(0)
    if name == "c":
        N, M = 20_000, 10_000
        p, q = np.arange(1, N + 1) ** -1.0, np.arange(1, M + 1) ** -0.8
        i, j = rng.choice(N, 1_600_000, p=p / p.sum()), rng.choice(M, 1_600_000, p=q / q.sum())
        # repeated words are summed
        X = sp.coo_array((np.ones(len(i)), (i, j)), shape=(N, M)).tocsr()
        X.data = np.log1p(X.data) * rng.gamma(1, 1, X.nnz)
        return X, 20
    N, M, k = (2000, 1500, 20) if name == "a" else (10_000, 2000, 50)
    X = rng.random((N, k)) @ rng.random((k, M))
    return np.maximum(X + 0.1 * X.mean() * rng.standard_normal(X.shape), 0), k


def nmf_start(X, k, seed):
    """A (N x k) and S' (M x k), uniform, of about the size of X: the same for everybody."""
    rng = np.random.default_rng(1000 + seed)
    A, St = rng.random((X.shape[0], k)), rng.random((X.shape[1], k))
    return A, St * (4 * X.mean() / k)


def curve(seconds, errors):
    """At most 300 points of an error curve (the first 60 turns and then ever fewer), rounded."""
    keep = sorted(
        {
            *range(min(60, len(errors))),
            *np.unique(np.geomspace(1, len(errors), 240).astype(int) - 1).tolist(),
        }
    )
    return {
        "seconds": seconds[-1],
        "turns": len(errors),
        "t": [round(seconds[i], 6) for i in keep],
        "error": [round(errors[i], 9) for i in keep],
    }


def counts_work(name):
    """A matrix of counts (n_samples x n_features) and a rank: 'corpus' and 'small' planted texts
    in CSR, 'mutations' dense, 'cells' 20,000 cells x 5,000 genes with 5 % that are not zero, in
    CSR.
    """
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    if name == "cells":
        # genes differ in abundance and cells in size; 290 molecules a cell leave 5 % of X
        programs = rng.gamma(0.3, size=(20, 5000)) * rng.lognormal(0, 1.5, 5000)
        programs /= programs.sum(axis=1, keepdims=True)
        mixtures = (
            290 * rng.dirichlet(np.full(20, 0.2), 20_000) * rng.lognormal(0, 0.4, (20_000, 1))
        )
        blocks = np.split(mixtures, 20)
        parts = [sp.csr_array(rng.poisson(block @ programs).astype(float)) for block in blocks]
        return sp.csr_array(sp.vstack(parts)), 20
    if name == "mutations":
        signatures = rng.dirichlet(np.full(1000, 0.2), 20)
        size = 20_000 * rng.gamma(1, 1, (2000, 1))
        return rng.poisson(size * rng.dirichlet(np.ones(20), 2000) @ signatures).astype(float), 20
    documents, words = (5000, 3000) if name == "corpus" else (1000, 800)
    topics = rng.dirichlet(np.full(words, 0.05), 20)
    mixtures = rng.dirichlet(np.full(20, 0.1), documents)
    return sp.csr_array(rng.poisson(120 * mixtures @ topics).astype(float)), 20


def counts_start(X, k, seed):
    """W and H as scikit-learn's init="random" draws them: the same for everybody."""
    rng = np.random.default_rng(1000 + seed)
    size = np.sqrt(X.mean() / k)
    W, H = (np.abs(rng.standard_normal(shape)) for shape in ((X.shape[0], k), (k, X.shape[1])))
    return size * W, size * H


def counts_ours(work, budget):
    """`count_descent` of this package: the divergence after every iteration for `budget` seconds, a
    new start every time.
    """
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import DataMatrix
    from nnmf_nb.solvers.count_descent import count_descent

    X, k = counts_work(work)
    form = (lambda X: X.T.tocsr()) if hasattr(X, "indptr") else (lambda X: X.T)
    with blas_in_one_thread():
        W, H = counts_start(X[:60], k, -1)
        count_descent(DataMatrix(form(X[:60]), scale=1.0), H.T, W.T, max_iter=15, tol=0.0)
        for seed in range(10**9):
            W, H = counts_start(X, k, seed)
            times, errors = [], []
            begin = time.perf_counter()

            def note(n, error, pg, A, begin=begin, times=times, errors=errors):
                times.append(time.perf_counter() - begin)
                errors.append(error)
                return times[-1] > budget

            # both orientations of a sparse X, and the entries of a dense one, count
            data = DataMatrix(form(X), scale=1.0)
            count_descent(data, H.T, W.T, max_iter=10**7, tol=1e-7, callback=note)
            yield curve(times, errors)


def counts_sklearn(work, budget):
    """scikit-learn's multiplicative updates under Kullback-Leibler; the clock stands still while
    the divergence is computed.
    """
    from sklearn.decomposition import _nmf

    from nnmf_nb.core._data import DataMatrix
    from nnmf_nb.solvers.divergences import divergence

    X, k = counts_work(work)
    data = DataMatrix(X.T.tocsr() if hasattr(X, "indptr") else X.T, scale=1.0)
    if hasattr(X, "indptr"):
        import scipy.sparse as sp

        X = sp.csr_matrix(X)
    for seed in range(10**9):
        W, H = counts_start(X, k, seed)
        times, errors, spent = [], [], 0.0
        while spent < budget:
            begin = time.perf_counter()
            W, H_sum, HHt, XHt = _nmf._multiplicative_update_w(X, W, H, 1, 0, 0, 1.0)
            H = _nmf._multiplicative_update_h(X, W, H, 1, 0, 0, 1.0)
            spent += time.perf_counter() - begin
            times.append(spent)
            errors.append(divergence(data, H.T, W.T, 1))
        yield curve(times, errors)


def counts_fasttopics(work, budget, threads=2):
    """The updates of fastTopics; the clock stands still while the divergence is computed. That the
    log-likelihood, its published objective, and our divergence differ by a constant is checked.
    """
    import scipy.sparse as sp

    from benchmarks.tools.fasttopics import FastTopics
    from nnmf_nb.core._data import DataMatrix
    from nnmf_nb.solvers.divergences import divergence

    X, k = counts_work(work)
    X = sp.csr_array(X)
    data = DataMatrix(X.T.tocsr(), scale=1.0)
    constant = float((X.data * np.log(X.data) - X.data).sum())
    for seed in range(-1, 10**9):
        W, H = counts_start(X, k, max(seed, 0))
        times, errors, spent, Xt = [], [], 0.0, sp.csr_array(X.T.tocsr())
        fit = FastTopics(X, Xt, W, np.ascontiguousarray(H.T), threads)
        while spent < (budget if seed >= 0 else 0.0) or fit.n < 21:
            begin = time.perf_counter()
            fit.step()
            spent += time.perf_counter() - begin
            times.append(spent)
            errors.append(divergence(data, fit.A, fit.S.T, 1))
        assert math.isclose(errors[-1], fit.lowest + constant, rel_tol=1e-6)
        assert all(b <= a * (1 + 1e-9) for a, b in zip(errors, errors[1:]))
        if seed >= 0:  # the one before has compiled
            yield curve(times, errors)


def processor_seconds(work, times=5):
    """Median processor seconds of one call of `work`, of all threads: load counts less."""
    seconds = []
    for _ in range(times):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return float(np.median(seconds))


def counts_pass(work):
    """Processor seconds of a bare fused pass per factor, of one multiplicative iteration as a fit
    makes it, with its objective and its stationarity; and of the coefficients of one new document.
    The bare pass is the faster one of two: for the numerators alone, or for the whole step. What a
    fit does once is left out: ten iterations, which are multiplicative in any fit, less two.
    """
    from nnmf_nb import NMF
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import DataMatrix, transposed
    from nnmf_nb.layer._kl import linear_costs, multiplied, numerator
    from nnmf_nb.solvers.count_descent import count_descent

    X, k = counts_work(work)
    W, H = counts_start(X, k, 0)
    data = DataMatrix(X.T.tocsr() if hasattr(X, "indptr") else X.T, scale=1.0)
    other = transposed(data)
    model = NMF(k, beta_loss="kullback-leibler", max_iter=30, random_state=0).fit(X[:500])
    A, costs = np.ascontiguousarray(H.T), (linear_costs(data, H.T), linear_costs(other, W))

    def numerators():
        numerator(data, A, W.T)
        numerator(other, W, A.T)

    def steps():
        multiplied(data, A, W.T, costs[0])
        multiplied(other, W, A.T, costs[1])

    def fit(max_iter=10):
        count_descent(data, A, W.T, max_iter=max_iter, tol=0.0)

    with blas_in_one_thread():
        for prepare in (numerators, steps, fit):
            prepare()
        while True:
            bare = min(processor_seconds(numerators), processor_seconds(steps))
            whole = (processor_seconds(fit) - processor_seconds(partial(fit, 2))) / 8
            model.transform(X[7:8])
            begin = time.process_time()
            for n in range(20):
                model.transform(X[n : n + 1])
            document = (time.process_time() - begin) / 20
            yield {"seconds": bare, "iteration": whole, "document": document}


def counts_halves(seed):
    """State of the Union, every fifth paragraph: training documents, and halves of test documents,
    one seen and one to be predicted.
    """
    import scipy.sparse as sp

    from nnmf_nb import datasets

    C = sp.csr_matrix(datasets.state_of_the_union(weighting="counts").X[::5], dtype=np.float64)
    rng = np.random.default_rng(seed)
    test = rng.random(C.shape[0]) < 0.2
    seen = C[test].copy()
    seen.data = rng.binomial(seen.data.astype(int), 0.5).astype(float)
    return C[~test], seen, (C[test] - seen).tocoo()


def perplexity_of(W, H, hidden):
    """Perplexity of words given shares W and topics H, which are made probabilities."""
    H = H / H.sum(axis=1, keepdims=True)
    W = W / np.maximum(W.sum(axis=1, keepdims=True), 1e-300)
    p = np.einsum("ij,ij->i", W[hidden.row], H.T[hidden.col])
    return float(np.exp(-(hidden.data @ np.log(p)) / hidden.data.sum()))


def counts_perplexity(who, k, max_iter=None):
    """Held-out perplexity by document completion, of NMF with the smoothing that it chooses on its
    training documents, or of scikit-learn's LDA (20 iterations), and the seconds of it; of NMF also
    without the choice.
    """
    from sklearn.decomposition import LatentDirichletAllocation

    from nnmf_nb import NMF

    warnings.simplefilter("ignore")  # of the number of iterations
    given = {} if max_iter is None else dict(max_iter=max_iter)
    for seed in range(10**9):
        train, seen, hidden = counts_halves(seed)
        begin = time.perf_counter()
        if who == "lda":
            model = LatentDirichletAllocation(k, max_iter=20, random_state=seed, n_jobs=1)
            H, W = model.fit(train).components_, model.transform(seen)
            seconds = time.perf_counter() - begin
            yield {"seconds": seconds, "perplexity": perplexity_of(W, H, hidden)}
            continue
        model = NMF(k, beta_loss="kullback-leibler", random_state=seed, **given).fit(train)
        model.transform(seen)
        fitted = time.perf_counter() - begin
        perplexity = model.perplexity(hidden, seen)
        seconds = time.perf_counter() - begin
        yield {"seconds": seconds, "fit": fitted, "perplexity": perplexity}


def counts_gensim(folder, k):
    """The same of gensim's LDA with 20 passes, from the files that `save_halves` wrote: its
    environment has nothing of ours.
    """
    import scipy.sparse as sp
    from gensim.matutils import Sparse2Corpus
    from gensim.models import LdaModel

    for seed in range(10**9):
        train, seen, hidden = (
            sp.load_npz(Path(folder) / f"{name}-{seed}.npz") for name in ("train", "seen", "hidden")
        )
        begin = time.perf_counter()
        corpus = Sparse2Corpus(train, documents_columns=False)
        words = dict(enumerate(map(str, range(train.shape[1]))))
        model = LdaModel(corpus, k, words, passes=20, random_state=seed)
        W, _ = model.inference(list(Sparse2Corpus(seen, documents_columns=False)))
        seconds = time.perf_counter() - begin
        found = perplexity_of(W, model.get_topics().astype(float), hidden.tocoo())
        yield {"seconds": seconds, "perplexity": found}


def nmf_ours(work, budget, dtype="float64", **options):
    """`extrapolated` of this package: the relative error after every turn for `budget` seconds, a
    new start every time.
    """
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import as_data
    from nnmf_nb.solvers.extrapolation import extrapolated_nmf

    X, k = nmf_work(work)
    X = X.astype(dtype)
    A, St = (F.astype(dtype) for F in nmf_start(X, k, -1))
    with blas_in_one_thread():
        for exact in (False, True):
            # load the kernels
            extrapolated_nmf(as_data(X), A, St.T, max_iter=2, tol=0.0, exact=exact)
        for seed in range(10**9):
            A, St = (F.astype(dtype) for F in nmf_start(X, k, seed))
            times, errors = [], []
            begin = time.perf_counter()
            data = as_data(X)  # the second orientation of a sparse X counts

            def note(n, error, pg, A, begin=begin, times=times, errors=errors):
                times.append(time.perf_counter() - begin)
                errors.append(error)
                return times[-1] > budget

            extrapolated_nmf(
                data, A, St.T / data.scale, max_iter=10**7, tol=0.0, callback=note, **options
            )
            yield curve(times, errors)


def nmf_sklearn(work, budget, dtype="float64"):
    """scikit-learn's coordinate descent, sweep by sweep, as `NMF(solver="cd")` runs it; the clock
    stands still while the error is computed.
    """
    from sklearn.decomposition._nmf import _update_coordinate_descent as update

    X, k = nmf_work(work)
    X = X.astype(dtype)
    norm2 = float((X.multiply(X) if hasattr(X, "indptr") else X * X).sum(dtype=np.float64))
    random = np.random.mtrand._rand
    for seed in range(10**9):
        A, St = (F.astype(dtype) for F in nmf_start(X, k, seed))
        times, errors, spent = [], [], 0.0
        while spent < budget:
            begin = time.perf_counter()
            update(X, A, St, 0, 0, False, random)
            update(X.T, St, A, 0, 0, False, random)
            spent += time.perf_counter() - begin
            G, H = A.T.astype(np.float64) @ A, St.T.astype(np.float64) @ St
            times.append(spent)
            errors.append(
                float(
                    np.sqrt(
                        max(norm2 - 2 * np.sum(A * (X @ St), dtype=np.float64) + np.sum(G * H), 0)
                        / norm2
                    )
                )
            )
        yield curve(times, errors)


def nmf_products(work):
    """The floor of a turn: the two products with X, by this package's `DataMatrix` on all
    threads.
    """
    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import as_data

    X, k = nmf_work(work)
    data = as_data(X)
    A, St = nmf_start(X, k, 0)
    with blas_in_one_thread():
        while True:
            yield {"seconds": timed(lambda: (data.AtX(A), data.XSt(St.T)), at_least=0.1)}


def nmf_torchnmf(work, budget):
    """torchnmf's multiplicative updates, ten at a time; the clock stands still while the error is
    computed.
    """
    import torch
    from torchnmf.nmf import NMF

    torch.set_default_dtype(torch.float64)
    X, k = nmf_work(work)
    Xt = torch.from_numpy(X).T
    for seed in range(10**9):
        A, St = nmf_start(X, k, seed)
        model = NMF(W=torch.from_numpy(A), H=torch.from_numpy(St))
        times, errors, spent = [], [], 0.0
        while spent < budget:
            spent += timed(lambda model=model: model.fit(Xt, beta=2, tol=0, max_iter=10))
            times.append(spent)
            errors.append(float(torch.linalg.norm(Xt - model().detach()) / torch.linalg.norm(Xt)))
        yield curve(times, errors)


# --- scaling --------------------------------------------------------------------------------------


def turn(N, M, k, density=1.0, dtype="float64"):
    """A turn of `extrapolated` with sweeps, and its two products with X: seconds of each."""
    import scipy.sparse as sp

    from nnmf_nb.core._arrays import blas_in_one_thread
    from nnmf_nb.core._data import as_data
    from nnmf_nb.solvers.extrapolation import extrapolated_nmf

    rng = np.random.default_rng(0)
    X = (
        sp.random_array((N, M), density=density, format="csr", rng=rng)
        if density < 1
        else np.maximum(rng.random((N, k)) @ rng.random((k, M)), 0)
    )
    data, (A, St) = as_data(X.astype(dtype)), (F.astype(dtype) for F in nmf_start(X, k, 0))
    with blas_in_one_thread():
        fit = extrapolated_nmf(data, A, St.T, max_iter=3, tol=0.0, exact=False)
        while True:
            turns = (
                timed(
                    lambda: extrapolated_nmf(data, fit.A, fit.S, max_iter=5, tol=0.0, exact=False),
                    0.2,
                )
                / 5
            )
            yield {
                "seconds": turns,
                "products": timed(lambda: (data.AtX(fit.A), data.XSt(fit.S)), 0.1),
            }


def whole_fit(work, dtype):
    """`NMF(k)` fitted to a work in a dtype, a fixed number of turns: seconds and the relative
    error, computed in float64.
    """
    from nnmf_nb import NMF

    data, k = nmf_work(work)
    X = data.T.astype(dtype)
    fit = NMF(k, init="random", random_state=0, max_iter=12, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit.fit(X[:50])
        while True:
            seconds = timed(lambda: fit.fit(X))
            yield {
                "seconds": seconds,
                "error": relative(
                    data, fit.components_.T.astype("float64"), fit.transform(X).T.astype("float64")
                ),
            }


def memory_nmf(work):
    """`NMF(k)` on a work: growth of the peak beyond X, over the bytes of A and S."""
    from nnmf_nb import NMF

    data, k = nmf_work(work)
    X = data.T if isinstance(data, np.ndarray) else data.T.tocsr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NMF(k, init="random", random_state=0, max_iter=3).fit(X[:400])
        while True:
            yield weigh(
                NMF(k, init="random", random_state=0, max_iter=20).fit,
                X,
                lambda model: [model.components_, np.empty((X.shape[0], k))],
            )


if __name__ == "__main__":
    # whatever a library prints must not end up among the answers
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    contender = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    for _ in sys.stdin:
        print(json.dumps(next(contender) | {"cpu": time.process_time()}), file=answers, flush=True)
