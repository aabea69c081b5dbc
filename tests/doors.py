"""Every way into the package for data X, and every container that X may come in: models x doors x
containers.

`MODELS` has each estimator of `nnmf_nb` once, `METHODS` what its methods do with X, `FUNCTIONS` the
functions of `nnmf_nb` and of its `metrics` and `plot` that take X, `CONTAINERS` the same numbers in
other clothes. `tests/test_doors.py` asks the same of all of them, and fails when a public model,
method or function that takes X is in none of them.
"""

import inspect
import warnings
from functools import partial

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zoo

import nnmf_nb
import nnmf_nb.evaluation.metrics as metrics
import nnmf_nb.plot as plot
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.plot._map import shares_of_layers

matplotlib.use("Agg")

N_SAMPLES, N_FEATURES = 18, 8
FEATURES = [f"g{i}" for i in range(N_FEATURES)]
# one variant of each class of the zoo, and those that are not in it
MODELS = {name: row for name, row in zoo.EVERY.items() if "-" not in name} | {
    "NonlinearSemiNMF": ("NonlinearSemiNMF", dict(ranks=(3, 2), random_state=0), "")
}
EVERY_CONTAINER = ("NMF", "SparseCodingNetwork")  # with data >= 0, of any sign; others see `FEW`
QUICK = {
    "DeepSemiNMF": dict(pretrain_iter=3),
    "NonlinearSemiNMF": dict(pretrain_iter=3),
    "SparseCodingNetwork": dict(pretrain_iter=3),
    "UnfoldedNMF": dict(pretrain_iter=3),
}
# fit, transform, .. have weights; and a mask, which models of tensors have as well
WEIGHTED = [name for name in MODELS if name in zoo.MASKED]
MASKED = [*WEIGHTED, *zoo.TENSORS]
WITHOUT_MASK = [name for name in MODELS if name not in MASKED]
# layers of nonnegative A and S, which metrics, plots and the inspector show
LAYERED = [name for name in WEIGHTED if name not in ("UnfoldedNMF",)]


def data(seed=0):
    """Whole numbers with three parts, n_samples x n_features, some of them zero: every container
    can hold them.
    """
    rng = np.random.default_rng(seed)
    parts = rng.gamma(0.6, 4.0, (N_SAMPLES, 3)) @ rng.gamma(0.5, 1.0, (3, N_FEATURES))
    return np.rint(parts) + np.eye(N_SAMPLES, N_FEATURES)


def labels():
    """Two classes, every third data point unknown."""
    return zoo.labels(N_SAMPLES)


def new(name, **change):
    kind, params, _ = MODELS[name]
    return getattr(nnmf_nb, kind)(**{**params, **QUICK.get(name, {}), **change})


def quietly(call, *args, **extra):
    """call(*args, **extra) without a word about iterations or names that one side lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **extra)


def fit(name, X, y=None, max_iter=5, **extra):
    """A fitted model, with labels where it learns from them."""
    if y is None and MODELS[name][2]:
        y = labels()
    return quietly(new(name, max_iter=max_iter).fit, X, y, **extra)


# --- containers -----------------------------------------------------------------------------------


def frame(X):
    return pd.DataFrame(X, columns=FEATURES)


def with_duplicates(X):
    """CSR that stores every entry of X twice, as one more and minus one."""
    coo = sp.coo_array(X)
    rows, columns = np.tile(coo.row, 2), np.tile(coo.col, 2)
    values = np.concatenate([coo.data + 1, np.full(coo.nnz, -1.0)])
    order = np.argsort(rows, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(X)))])
    return sp.csr_array((values[order], columns[order], ends), shape=X.shape)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


CONTAINERS = {
    "list": lambda X: X.tolist(),
    "integers": lambda X: X.astype(np.int32),
    "big-endian": lambda X: X.astype(">f8"),
    "objects": lambda X: X.astype(object),
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "every second row of a larger array": lambda X: np.repeat(X, 2, axis=0)[::2],
    "masked, nothing hidden": np.ma.masked_array,
    "frame": frame,
    "nullable frame": lambda X: frame(X).convert_dtypes(),
    "frame of objects": lambda X: frame(X).astype(object),
    "frame of numbered columns": lambda X: pd.DataFrame(X, columns=range(400, 400 + N_FEATURES)),
    "frame of two levels": lambda X: pd.DataFrame(
        X, columns=pd.MultiIndex.from_product([["a", "b"], range(N_FEATURES // 2)])
    ),
    "frame of sparse columns": lambda X: pd.DataFrame.sparse.from_spmatrix(
        sp.csr_matrix(X), columns=FEATURES
    ),
    "CSR": sp.csr_array,
    "CSC matrix": sp.csc_matrix,
    "COO": sp.coo_array,
    "LIL": sp.lil_array,
    "DOK": sp.dok_array,
    "DIA": sp.dia_array,
    "BSR matrix": lambda X: sp.bsr_matrix(X, blocksize=(2, 2)),
    "CSR with duplicates": with_duplicates,
}
# one of each kind, for doors that take long
FEW = ["big-endian", "masked, nothing hidden", "nullable frame", "CSR with duplicates"]
SPARSE = ["frame of sparse columns", "CSR", "CSC matrix", "COO", "LIL", "DOK", "DIA", "BSR matrix"]
SPARSE = [*SPARSE, "CSR with duplicates"]
# the same numbers in fewer bits, beside float64: what goes in, how close the numbers are that come
# out
OTHER_DTYPES = {
    "float32": (np.float32, np.float64, 2e-3),
    "float16": (np.float16, np.float64, 2e-3),
    "boolean": (bool, np.float64, 1e-12),
    "unsigned bytes": (np.uint8, np.float64, 1e-12),
}

# --- doors ----------------------------------------------------------------------------------------


def certificate(found):
    """The numbers of a certificate."""
    if hasattr(found, "layers"):
        return [(one.error, one.floor, one.kkt) for one in found.layers]
    if hasattr(found, "errors"):
        return [found.errors, found.floors]
    return [found.error, found.floor, *found.kkt]


def widths(ax):
    """Widths of the bars of a plot."""
    return [one.get_width() for one in ax.patches if hasattr(one, "get_width")]


def drawn(call, *args, **extra):
    """The numbers that a plot shows: heights of bars, cells of images, outlines of areas."""
    figure = plt.figure()
    try:
        call(*args, fig=figure, **extra)
        bars = [width for ax in figure.axes for width in widths(ax)]
        cells = [np.ma.filled(one.get_array(), np.nan) for ax in figure.axes for one in ax.images]
        return [np.array(bars, dtype=float), *cells]
    finally:
        plt.close(figure)


def drawn_on_axes(call, *args, **extra):
    """The same for a plot on one pair of axes."""
    figure, ax = plt.subplots()
    try:
        call(*args, ax=ax, **extra)
        areas = [path.vertices for one in ax.collections for path in one.get_paths()]
        return [np.array(widths(ax), dtype=float), *areas]
    finally:
        plt.close(figure)


def dots(call, *args, **extra):
    """The colors of the dots of a plot on one pair of axes, sorted, as dots have no order."""
    figure, ax = plt.subplots()
    try:
        call(*args, ax=ax, **extra)
        colors = np.concatenate([one.get_facecolors() for one in ax.collections])
        return [np.sort(colors, axis=0)]
    finally:
        plt.close(figure)


def shown(view):
    """What the inspector shows of data points."""
    points = view.payload["points"]
    return [view.payload["frequency"], *(points[m]["errors"] for m in sorted(points, key=int))]


# method of a model: what it does with X
METHODS = {
    name: (lambda model, X, _name=name, **known: getattr(model, _name)(X, **known))
    for name in ("transform", "score", "predict", "predict_proba", "decision_function", "separate")
}


def tabulated(table):
    """The numeric columns of a table, NaN where something is missing."""
    return table.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan)


METHODS |= {
    "shares": lambda model, X, **known: tabulated(model.shares(X, **known)),
    "topic_info": lambda model, X, **known: tabulated(model.topic_info(X, **known)),
    "topic_report": lambda model, X, **known: tabulated(model.topic_report(X, **known).table),
    "document_info": lambda model, X, **known: tabulated(model.document_info(X, **known)),
    "samples_of": lambda model, X, **known: tabulated(model.samples_of(0, X=X, top=99, **known)),
    "residuals": lambda model, X, **known: [*map(np.asarray, model.residuals(X, **known))],
    "topic_probabilities": lambda model, X, **known: tabulated(
        model.topic_probabilities(X, **known)
    ),
    "perplexity": lambda model, X, **known: model.perplexity(X, smoothing=0.1, **known),
}
METHODS["score"] = lambda model, X, **known: (
    model.score(X, labels(), **known) if hasattr(model, "classes_") else model.score(X, **known)
)
# what `verify` asks a model, that is its door; X of the other one are coefficients
HOOKS = ("certify_fit", "factor_pairs", "inverse_transform")
TRAINING = ("fit", "fit_transform")  # every test of the containers goes through them
IN_BATCHES = ("partial_fit",)  # its containers are in test_mini_batch.py
# function with a model: name, call, whether it has mask and weights
WITH_MODEL = {
    "verify": lambda model, X, **known: certificate(nnmf_nb.verify(model, X, **known)),
    "inspect": lambda model, X: shown(nnmf_nb.inspect(model, X)),
    "forward": lambda model, X, **known: metrics.forward(model, X, **known).S,
    "regroup": lambda model, X, **known: (
        nnmf_nb.regroup(model, X, 2, random_state=0, **known).layers_[1].A
    ),
    "errors_per_depth": metrics.errors_per_depth,
    "topic_coherence": metrics.topic_coherence,
    "plot_reconstructions": partial(drawn, plot.plot_reconstructions),
    "plot_topics": lambda model, X: drawn(plot.plot_topics, model, X=X, lam=0.5),
    "plot_over_time": lambda model, X: drawn_on_axes(
        plot.plot_over_time, model, 0, np.arange(N_SAMPLES), X=X
    ),
    "shares_over": lambda model, X: plot.shares_over(model, 0, np.arange(N_SAMPLES), X=X)[1],
    "shares_by_group": lambda model, X: tabulated(
        plot.shares_by_group(model, np.arange(N_SAMPLES) % 3, X=X)
    ),
    "plot_by_group": lambda model, X: drawn_on_axes(
        plot.plot_by_group, model, np.arange(N_SAMPLES) % 3, X=X
    ),
    "plot_paths": lambda model, X: drawn_on_axes(plot.plot_paths, model, 0, X=X),
    "plot_river": lambda model, X: drawn_on_axes(
        plot.plot_river, model, 0, np.arange(N_SAMPLES), X=X
    ),
    "compare": lambda model, X: tabulated(nnmf_nb.compare(model, model, X).topics),
    # where dots stand follows every rounding of the shares: their number, and the shares
    "map_positions": lambda model, X: [
        np.array(plot.map_positions(model, X=X).shape),
        *shares_of_layers(model, X),
    ],
    "plot_map": lambda model, X: dots(plot.plot_map, model, X=X),
}
WITH_MASK = ("verify", "forward", "regroup", "errors_per_depth")  # and weights
A = np.random.default_rng(1).random((N_FEATURES, 3))
S = np.random.default_rng(2).random((3, N_SAMPLES))


def turn(X):
    """X (n_samples x n_features) in the orientation of the functional core."""
    if isinstance(X, list):
        return np.array(X).T.tolist()
    return X.T


# function without a model, for X in the user's orientation
WITHOUT_MODEL = {
    "nnls": lambda X, **known: nnmf_nb.nnls(A, turn(X), **known),
    "nnls_vjp": lambda X, **known: nnmf_nb.nnls_vjp(
        A, turn(X), nnmf_nb.nnls(A, turn(X), **known), np.ones_like(S), **known
    )[0],
    "kl_regression": lambda X, **known: nnmf_nb.kl_regression(A, turn(X), **known),
    "kl_vjp": lambda X, **known: nnmf_nb.kl_vjp(
        A, turn(X), nnmf_nb.kl_regression(A, turn(X), **known), np.ones_like(S), **known
    )[0],
    "kkt_residual": lambda X, **known: nnmf_nb.kkt_residual(A, turn(X), S, **known),
    "certify": lambda X, **known: certificate(nnmf_nb.certify(A, S, turn(X), **known)),
    "floors": lambda X: metrics.floors(X, (3, 2)),
    "flat_floors": lambda X: metrics.flat_floors(X, 2, n_init=1, max_iter=5, random_state=0),
}
CORE = (
    "nnls",
    "nnls_vjp",
    "kl_regression",
    "kl_vjp",
    "kkt_residual",
    "certify",
)  # have mask and weights
# what fits models to parts of X; it takes no mask
QUICK_SEARCH = dict(ranks=(2, 3, 4), n_splits=1, n_crosses=1, n_init=1, max_iter=5)
SEARCHES = {
    "RankSearch": lambda X: tabulated(nnmf_nb.RankSearch(**QUICK_SEARCH).fit(X).results_),
    "ProfileSearch": lambda X: tabulated(nnmf_nb.ProfileSearch(**QUICK_SEARCH).fit(X).results_),
    "consensus": lambda X: nnmf_nb.consensus(X, 3, n_runs=3, min_share=0).components_,
}
FUNCTIONS = {**WITH_MODEL, **WITHOUT_MODEL, **SEARCHES}
OF_TENSORS = ("plot_slice_residuals",)  # see test_tensors.py
STEERING = ("steer", "replay")  # see test_steering.py


def numbers(result):
    """A result of a door as one vector."""
    if isinstance(result, (list, tuple)):
        return np.concatenate([numbers(one) for one in result]) if len(result) else np.empty(0)
    result = to_numpy(result)
    if result.dtype.kind not in "biuf":
        result = np.unique(result, return_inverse=True)[1]
    return np.ravel(result).astype(np.float64)


# --- what there is --------------------------------------------------------------------------------


def takes_X(call):
    return "X" in inspect.signature(call).parameters


def public_models():
    """The estimators among the public names, by name."""
    found = {name: getattr(nnmf_nb, name) for name in nnmf_nb.__all__}
    models = {n: one for n, one in found.items() if isinstance(one, type) and hasattr(one, "fit")}
    return {name: one for name, one in models.items() if name not in zoo.SEARCHES}


def methods_with_X(kind):
    """Names of the public methods of a class that take X."""
    names = [name for name in dir(kind) if not name.startswith("_")]
    methods = [name for name in names if callable(getattr(kind, name, None))]
    return {name for name in methods if takes_X(getattr(kind, name))}


def functions_with_X():
    """Names of the public functions that take X, a matrix: of the package, its metrics and its
    plots; and of the searches.
    """
    found = {name: getattr(nnmf_nb, name) for name in nnmf_nb.__all__}
    for module in (metrics, plot):
        found |= {name: getattr(module, name) for name in module.__all__}
    functions = {name: one for name, one in found.items() if inspect.isfunction(one)}
    found = {name for name, one in functions.items() if takes_X(one)} | {*zoo.SEARCHES}
    return found - {*OF_TENSORS, *STEERING}
