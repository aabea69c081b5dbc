"""The ways in which factorization packages are known to fail, row by row, over every model here.

ROWS lists the failures seen in other packages, and the tests that would see them in this one: those
without a file name stand below and carry the row's name, the others were there already. `zoo` holds
the models. What a row cannot mean for a model is said in a comment where it is left out.
"""

import re
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from strategies import optimality
from zoo import (
    EVERY,
    MASKED,
    SIGNED,
    TENSORS,
    ZOO,
    error,
    factors,
    fit,
    labels,
    new,
    one_of_each,
    planted,
    same,
    transform,
)

import nnmf_nb
from nnmf_nb import nnls_vjp, verify
from nnmf_nb.chain._costs import COSTS, ChainObjective, on_unit_columns
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import as_data

ROWS = {
    "zero locking in MU": [
        "test_zero_locking",
        "test_certificates.py::test_locked_zeros_of_multiplicative_updates",
    ],
    "dead components": [
        "test_dead_components",
        "test_components_killed_by_penalties_are_reported",
        "test_a_dead_component_costs_nothing",
    ],
    "NaN on zero rows, columns, all-zero X": [
        "test_degenerate_data",
        "test_objective_never_rises_on_degenerate_data",
    ],
    "extreme scale": ["test_extreme_scale"],
    "KL and IS with zeros": [
        "test_divergences_with_zeros",
        "test_divergences.py::test_zero_log_zero",
    ],
    "0 * NaN in masks": ["test_nan_in_masks", "test_nan_without_a_mask"],
    "negative input": ["test_negative_input"],
    "projection forgotten": ["test_projection_after_every_iteration"],
    "S stale": ["test_coefficients_belong_to_the_features"],
    "fit_transform is not transform": ["test_fit_transform_is_transform"],
    "non-determinism": [
        "test_determinism",
        "test_solvers.py::test_thread_count_does_not_change_the_result",
        "test_relations.py::test_order_of_data_points",
    ],
    "parameters ignored": ["test_parameters.py::test_parameter_matters"],
    "false convergence": ["test_convergence_is_reported_truly"],
    "sparse memory": ["test_sparse_memory"],
    "GPU slower, idle, out of memory": [
        "test_cuda.py::test_out_of_memory_halves_the_block_and_goes_on"
    ],
    "GPU differs from CPU": [
        "test_nnls.py::test_namespaces",
        "test_estimators.py::test_end_to_end_on_any_device",
    ],
    "NaN gradient": [
        "test_gradient_at_dependent_features",
        "test_nnls.py::test_vjp_is_finite_at_ties_and_duplicates",
    ],
    "k above min(m, n), 1, 2": ["test_ranks_and_shapes"],
    "class counts": ["test_class_counts", "test_unknown_labels_are_no_labels"],
    "input mutated": ["test_input_is_not_modified"],
    "kinds of input": ["test_kinds_of_input", "test_kinds_that_are_refused"],
    "widget blank": ["test_inspector.py::test_"],
    "placeholder tests": ["test_every_row_has_its_tests"],
}

ALL, NONNEGATIVE = list(ZOO), [name for name in ZOO if name not in SIGNED]
X = planted()
every_model = pytest.mark.parametrize("name", ALL)


def test_every_row_has_its_tests():
    here = Path(__file__).parent
    for row, tests in ROWS.items():
        for test in tests:
            file, _, function = test.rpartition("::")
            text = (here / (file or Path(__file__).name)).read_text(encoding="utf-8")
            assert re.search(rf"^def {function}", text, re.MULTILINE), f"{row}: {test} is gone"


# Not in the zoo: the codes of NonlinearSemiNMF are local minima found by an optimizer, slowly, so
# most rows mean nothing for them; test_nonlinear.py is theirs.
# Models of tensors are asked in EVERY what can be asked of matrices; test_tensors.py is theirs.
APART = {"NonlinearSemiNMF", *TENSORS}


def test_every_model_is_in_the_zoo():
    models = {name for name in nnmf_nb._home if hasattr(getattr(nnmf_nb, name), "fit_transform")}
    assert models - APART == {kind for kind, _, _ in ZOO.values()}


def reports(model):
    """What a model says about itself in words: its summary, or for the models that have none
    (UnfoldedNMF, SparseCodingNetwork) nothing.
    """
    return model.summary() if hasattr(model, "summary") else ""


def sound(model, data):
    """Finite everywhere, >= 0 where promised, errors of a model that explains something, and
    readable.
    """
    S = transform(model, data)
    assert np.isfinite(S).all() and S.min() >= 0
    assert np.isfinite(getattr(model, "components_", 0.0)).all()
    assert np.isfinite(model.inverse_transform(S)).all()
    signed = type(model).__name__ in SIGNED
    for F in factors(model):
        assert np.isfinite(F).all() and (signed or F.min() >= 0)
    for one in getattr(model, "layers_", []):
        assert np.isfinite(one.error) and 0 <= one.error <= 1 + 1e-6
    assert "nan" not in reports(model)


# --- zero locking in MU ---------------------------------------------------------------------------


MULTIPLICATIVE = [
    ("NMF", dict(solver="mu", init="nndsvd")),
    ("NMF", dict(solver="mu", init="custom")),
    ("SSNMF", dict(solver="mu", init="nndsvd")),
    # UnfoldedNMF learns its bases from HALS; the rest does not multiply
    ("DeepNMF", dict(solver="mu")),
    ("DeepSemiNMF", dict(solver="mu")),
]


@pytest.mark.parametrize(
    "name, change",
    MULTIPLICATIVE,
    ids=lambda v: v if isinstance(v, str) else v.get("init", "start"),
)
def test_zero_locking(name, change):
    data = np.kron(np.eye(3), np.ones((6, 5))) + 0.01 * np.random.default_rng(0).random((18, 15))
    other = {
        "NMF": dict(solver="hals"),
        "SSNMF": dict(solver="hals"),
        "DeepNMF": dict(solver="hals"),
        "DeepSemiNMF": dict(solver="anls"),
    }[name]
    start = {}
    if change.get("init") == "custom":
        # zeros exactly where they hurt
        start = dict(
            W=np.roll(np.kron(np.eye(3), np.ones((6, 1))), 3, axis=0),
            H=np.kron(np.eye(3), np.ones((1, 5))),
        )
    tight = dict(max_iter=3000, tol=1e-6)
    mu, reference = (
        fit(name, data, extra=start, **tight, **change),
        fit(name, data, **tight, **other),
    )
    assert error(mu, data) <= 1.02 * error(reference, data)


# --- dead components ------------------------------------------------------------------------------


# these keep no layers to report on
@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("UnfoldedNMF", "SparseCodingNetwork")]
)
def test_dead_components(name):
    model = fit(
        name,
        np.full((8, 6), 3.0),
        **(dict(ranks=(4, 3)) if "ranks" in new(name).get_params() else dict(n_components=4)),
    )
    sound(model, np.full((8, 6), 3.0))
    certificate = verify(model, np.full((8, 6), 3.0))
    assert certificate.color != "green"
    assert (
        certificate.layers[0].dead
        or certificate.layers[0].duplicates
        or certificate.layers[0].degenerate
    )
    if hasattr(model, "summary"):  # DeepSemiNMF has no summary: `verify` is its report
        assert any(word in reports(model) for word in ("dead", "duplicate", "not unique"))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_components_killed_by_penalties_are_reported(alpha):
    data = np.abs(np.random.default_rng(0).normal(size=(20, 15)))
    model = fit("NMF", data, n_components=8, alpha_W=alpha, l1_ratio=1.0, max_iter=500)
    W = transform(model, data)
    dead = [j for j in range(8) if not (W[:, j].any() and model.components_[j].any())]
    assert model.layers_[0].dead == dead and (not dead or "dead topics" in model.summary())
    if alpha == 10:
        assert dead == list(range(8)) and verify(model, data).color == "red"


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2, 0.5])
def test_a_dead_component_costs_nothing(alpha):
    """A sweep cannot move what has no use, so its price has to be taken off: else training never
    ends, above the cost of an empty model.
    """
    data = nnmf_nb.datasets.toy(random_state=0).X
    sweeps, exact = (
        fit("NMF", data, n_components=9, alpha_W=alpha, l1_ratio=1.0, max_iter=2000, solver=solver)
        for solver in ("hals", "anls")
    )
    assert alpha < 0.5 or verify(sweeps, data).color == "red"
    assert (
        sweeps.converged_
        and sweeps.history_["objective"][-1]
        <= min(1.0, 1.01 * exact.history_["objective"][-1]) + 1e-12
    )


# --- NaN on zero rows, columns, all-zero X --------------------------------------------------------


def hole(data, rows=slice(None), columns=slice(None)):
    data = data.copy()
    data[rows, columns] = 0
    return data


HARD = {
    "zero rows": hole(X, slice(None, None, 3)),
    "zero columns": hole(X, columns=slice(None, None, 3)),
    "zero block": hole(X, slice(0, 8), slice(0, 6)),
    "all zero": np.zeros((6, 5)),
    "constant": np.full((6, 5), 3.0),
    "one row": X[:1],
    "one column": X[:, :1],
    "one entry": X[:1, :1],
    "one zero": np.zeros((1, 1)),
    "two rows": X[:2],
    "single nonzero": np.eye(6, 5) * np.eye(6, 5)[:1],
    "identity": np.eye(6),
    "duplicated rows": np.repeat(X[:4], 3, axis=0),
    "rank one": np.outer(X[:, 0], X[0]),
    "ties": np.array(
        [[1, 2, 0, 1], [2, 1, 0, 1], [1, 1, 1, 1], [0, 0, 2, 2], [1, 2, 0, 1]], dtype=float
    ),
    "duplicated columns": np.repeat(X[:, :4], 3, axis=1),
    "nearly equal columns": X[:, [0, 0, 1, 1]] * (1 + 1e-9 * np.arange(4)),
    "huge range": X * 10.0 ** np.linspace(-30, 30, 10),
    "one outlier": X + 1e12 * np.eye(14, 10) * np.eye(14, 10)[:1],
    "tiny": X * 1e-200,
    "enormous": X * 1e200,
    "subnormal": X * 1e-310,
}


@pytest.mark.each_value_once
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", EVERY)
def test_degenerate_data(name, case):
    if case == "subnormal" and (EVERY[name][2] or name in SIGNED):
        # their classifiers have the unit 1 / X, which is out of range there, and signs are lost
        return
    model = fit(name, HARD[case], max_iter=15)
    sound(model, HARD[case])
    if case in ("all zero", "one zero"):
        assert not transform(model, HARD[case]).any() and not getattr(
            model, "reconstruction_err_", 0
        )


def falls(values):
    """Rises by rounding only."""
    values = np.asarray(values, dtype=float)
    return len(values) < 2 or (np.diff(values) <= 1e-7 * np.abs(values[:-1]) + 1e-12).all()


@pytest.mark.each_value_once
@pytest.mark.parametrize(
    "case", ["zero rows", "zero columns", "all zero", "ties", "duplicated columns"]
)
@every_model
def test_objective_never_rises_on_degenerate_data(name, case):
    # HierarchicalNMF has an objective in every layer
    key = "errors" if name.startswith("HierarchicalNMF") else "objective"
    history = fit(name, HARD[case]).history_[key]
    if name.startswith("MiniBatch"):
        history = history[1:]  # in the first pass the beginning fades
    for values in history if name.startswith("HierarchicalNMF") else [history]:
        assert np.isfinite(np.asarray(values, dtype=float)).all() and falls(values)


# --- extreme scale --------------------------------------------------------------------------------


def steady(name, n):
    """n iterations, or none of those with labels of SparseCodingNetwork: a rounding error there
    leads to another minimum.
    """
    return 0 if name == "SparseCodingNetwork" else n


@pytest.mark.each_value_once
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("c", [1e-30, 1e30])
@every_model
def test_extreme_scale(name, c, dtype):
    base, scaled = X.astype(dtype), (X * c).astype(dtype)
    a, b = (error(fit(name, data, max_iter=steady(name, 30)), data) for data in (base, scaled))
    assert b == pytest.approx(a, rel=2e-2, abs=1e-3)


# --- KL and IS with zeros -------------------------------------------------------------------------


ZEROS = np.where(planted() > 1, planted(), 0)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("beta", [0.3, 1, 1.5, 3])
def test_divergences_with_zeros(beta, kind):
    model = fit("NMF", kind(ZEROS), solver="mu", beta_loss=beta)
    sound(model, kind(ZEROS))
    assert falls(model.history_["objective"])
    sound(fit("UnfoldedNMF", kind(ZEROS), beta=min(beta, 2)), kind(ZEROS))


@pytest.mark.parametrize("beta", [0, "itakura-saito", -0.5])
def test_divergences_that_cannot_take_zeros_say_so(beta):
    with pytest.raises(ValueError, match=r"(?i)zero.*|beta"):
        fit("NMF", ZEROS, solver="mu", beta_loss=beta)
    if beta != -0.5:
        # its squared error may be anything: only ratios count
        model = fit("NMF", ZEROS + 1e-9, solver="mu", beta_loss=beta)
        assert all(np.isfinite(F).all() for F in factors(model)) and falls(
            model.history_["objective"]
        )


# --- 0 * NaN in masks -----------------------------------------------------------------------------


KNOWN = np.random.default_rng(1).random(X.shape) < 0.8


@pytest.mark.each_value_once
@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf, -5.0, 1e300])
# DeepSemiNMF, UnfoldedNMF and SparseCodingNetwork have no mask
@pytest.mark.parametrize("name", MASKED)
def test_nan_in_masks(name, junk):
    clean, dirty = np.where(KNOWN, X, 0.0), np.where(KNOWN, X, junk)
    a, b = (fit(name, data, extra=dict(mask=KNOWN), max_iter=8) for data in (clean, dirty))
    assert same(a, b)
    np.testing.assert_array_equal(transform(a, clean, mask=KNOWN), transform(b, dirty, mask=KNOWN))


@pytest.mark.parametrize("junk, words", [(np.nan, "NaN"), (np.inf, "infinity")])
@every_model
def test_nan_without_a_mask(name, junk, words):
    dirty = np.where(KNOWN, X, junk)
    with pytest.raises(ValueError, match=rf"(?i){words}"):
        fit(name, dirty)
    model = fit(name, X, max_iter=2)
    with pytest.raises(ValueError, match=rf"(?i){words}"):
        model.transform(dirty)


# --- negative input -------------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize(
    "kind",
    [np.asarray, sp.csr_array, sp.csc_matrix, pd.DataFrame],
    ids=["dense", "csr", "csc", "frame"],
)
@every_model
def test_negative_input(name, kind):
    data = X - 0.4 * X.max() * np.eye(*X.shape, 2)
    if name in SIGNED:  # data of any sign are what they are for
        return sound(fit(name, kind(data)), kind(data))
    count = int((data < 0).sum())
    i, j = np.argwhere(data < 0)[0]
    with pytest.raises(
        ValueError, match=rf"Negative values.* {count} entries.*first at \[{i}, {j}\]"
    ):
        fit(name, kind(data))
    model = fit(name, kind(X), max_iter=2)
    with pytest.raises(ValueError, match="Negative values"):
        model.transform(kind(data))


# --- projection forgotten -------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("n", [0, 1, 4])
@every_model
def test_projection_after_every_iteration(name, n):
    sound(fit(name, X, max_iter=n), X)


@pytest.mark.parametrize("optimizer", ["gd", "adam", "backtracking", "sgd"])
def test_projection_of_every_optimizer(optimizer):
    step = {} if optimizer == "backtracking" else dict(step=10.0)  # far too long on purpose
    for n in range(4):
        sound(fit("NeuralNMF", X, optimizer=optimizer, max_iter=n, **step), X)


# --- S stale --------------------------------------------------------------------------------------


# its coefficients are the output of a network, the minimizer of nothing
@pytest.mark.parametrize("name", [name for name in ALL if name != "UnfoldedNMF"])
def test_coefficients_belong_to_the_features(name):
    model = fit(name, X, max_iter=7)  # unfinished on purpose
    half = len(factors(model)) // 2
    below, product = X.T, np.eye(X.shape[1])
    for l, (A, S) in enumerate(
        zip(factors(model)[:half], factors(model)[half:])
        if hasattr(model, "layers_")
        else coded(model)
    ):
        loss = model.criteria_.loss
        if not loss.is_squared:
            minus, plus = loss.parts_in_block(below, A @ S)
            gradient = A.T @ (plus - minus)
            assert np.abs(np.minimum(S / S.max(), gradient)).max() < 1e-4
            below = S
            continue
        if name == "DeepSemiNMF":  # its H belong to the product of the factors
            product = product @ A
            A, below = product, X.T
        l1, l2 = model.penalties_[l] if hasattr(model, "penalties_") else (0.0, 0.0)
        k = A.shape[1]
        stacked = np.vstack([A, np.sqrt(l2) * np.eye(k)]) if l2 else A
        for x, s in zip(below.T, S.T):
            if l1:  # the same optimality with both penalties written into the gradient
                g = A.T @ (A @ s - x) + l1 + l2 * s
                assert max(-g.min(), np.minimum(s, np.abs(g)).max()) < 1e-9 * np.linalg.norm(X)
            else:
                assert optimality(stacked, x, s) < 1e-9
        below = S


def coded(model):
    return [(D, transform(model, X, layer=l).T) for l, D in enumerate(model.dictionaries_)]


# --- fit_transform is not transform ---------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_array, np.float32], ids=["dense", "sparse", "float32"]
)
@every_model
def test_fit_transform_is_transform(name, kind):
    data = kind(X)
    model = new(name, max_iter=5)
    fitted = (
        model.fit_transform(data, labels(len(X))) if ZOO[name][2] else model.fit_transform(data)
    )
    again = model.transform(data)
    assert fitted.dtype == again.dtype == (np.float32 if kind is np.float32 else np.float64)
    np.testing.assert_allclose(fitted, again, rtol=0, atol=1e-10 * again.max())


# --- non-determinism ------------------------------------------------------------------------------


@every_model
def test_determinism(name):
    state = np.random.get_state()[1].copy()
    data = np.random.default_rng(0).random((12, 9))
    change = {} if name == "UnfoldedNMF" else dict(random_state=3)  # nothing in it is random
    a = fit(name, data, **change)
    np.random.random(3)  # whatever others draw
    assert same(a, fit(name, data, **change))
    if change:
        generator = [fit(name, data, random_state=np.random.RandomState(5)) for _ in range(2)]
        assert same(*generator)
    np.random.set_state(("MT19937", state, 624))
    fit(name, data, **change)
    assert (np.random.get_state()[1] == state).all()


# --- false convergence ----------------------------------------------------------------------------


RANDOM = np.random.default_rng(0).random((24, 15))  # no structure: many local minima


@every_model
def test_convergence_is_reported_truly(name):
    y = labels(len(RANDOM)) if ZOO[name][2] else None
    # from 0 it ends at a kink, and says so: 'stalled'
    seed = dict(random_state=2) if name == "SparseCodingNetwork" else {}
    with pytest.warns(ConvergenceWarning):
        short = new(name, max_iter=2, tol=1e-12).fit(RANDOM, y)
    assert not short.converged_ and short.stop_reason_ == "max_iter"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        done = new(name, max_iter=5000, tol=1e-2, **seed).fit(RANDOM, y)
    assert (
        done.converged_
        and done.stop_reason_ in ("stationary", "no progress")
        and done.n_iter_ < 5000
    )


# --- sparse memory --------------------------------------------------------------------------------


# their data pass through what NMF and NMF-kl use
@pytest.mark.parametrize(
    "name", one_of_each(name for name in ALL if name not in ("NMF-anls", "SSNMF-kl"))
)
def test_sparse_memory(name, monkeypatch):
    data = sp.random_array((3000, 2000), density=0.002, rng=np.random.default_rng(0), format="csr")
    data.data += 0.1
    # UnfoldedNMF works on dense blocks, many at a time: small ones here, so that a whole matrix
    # would stand out
    monkeypatch.setattr("nnmf_nb.core._data._BLOCK", 2**16 if name == "UnfoldedNMF" else 2**18)

    def refuse(self, *args, **kwargs):
        if self.shape[0] * self.shape[1] > 2**18:
            raise AssertionError(f"{self.shape[0]} x {self.shape[1]} densified")
        return original(self, *args, **kwargs)

    for kind in (sp.csr_array, sp.csc_array):
        original = kind.toarray
        monkeypatch.setattr(kind, "toarray", refuse)
    change = dict(max_iter=2) | (
        dict(pretrain_iter=2) if "pretrain_iter" in new(name).get_params() else {}
    )
    fit(name, data[:300], **change)  # compile and import outside the measurement
    tracemalloc.start()
    fit(name, data, **change)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = data.data.nbytes + data.indices.nbytes + 8 * 4 * (3000 + 2000)
    assert peak < (40 if name == "UnfoldedNMF" else 25) * size < 3000 * 2000 * 8 / 3


# --- NaN gradient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", sorted(COSTS))
def test_gradient_at_dependent_features(cost):
    rng = np.random.default_rng(0)
    A = rng.random((10, 4))
    A[:, 1], A[:, 2] = A[:, 0], A[:, 0] * (1 + 1e-9)
    value, gradients, _ = on_unit_columns(ChainObjective(as_data(X.T), COSTS[cost]))(
        [A, rng.random((4, 2))]
    )
    assert np.isfinite(value) and all(
        np.isfinite(g).all() and np.abs(g).max() < 1e3 for g in gradients
    )
    G = rng.random((4, 14))
    assert all(np.isfinite(part).all() for part in nnls_vjp(A, X.T, nnmf_nb.nnls(A, X.T), G))


# those that are trained by backpropagation
@pytest.mark.parametrize(
    "name", ["NeuralNMF", "NeuralNMF-labels", "SparseCodingNetwork", "UnfoldedNMF"]
)
def test_gradient_on_duplicated_features(name):
    sound(
        fit(name, np.hstack([X, X, X[:, :1] * (1 + 1e-12)])),
        np.hstack([X, X, X[:, :1] * (1 + 1e-12)]),
    )


# --- k above min(m, n), 1, 2 ----------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.filterwarnings("ignore:ranks:UserWarning")
@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (4, 3)], ids=str)
@pytest.mark.parametrize("k", [1, 2, 7])
@every_model
def test_ranks_and_shapes(name, k, shape):
    data = X[: shape[0], : shape[1]]
    for ranks in [(k,), (k, k), (1, k)] if "ranks" in new(name).get_params() else [k]:
        model = fit(
            name,
            data,
            max_iter=10,
            **({"ranks": ranks} if isinstance(ranks, tuple) else {"n_components": ranks}),
        )
        sound(model, data)
        assert transform(model, data).shape == (shape[0], k)


# --- class counts ---------------------------------------------------------------------------------


# the others take no labels
LEARN = ["SSNMF", "SSNMF-kl", "HierarchicalNMF", "DeepNMF", "NeuralNMF", "SparseCodingNetwork"]
CLASSES = {
    "more classes than topics": np.arange(14) % 9,
    "single class": np.zeros(14, int),
    "one label": np.where(np.arange(14) == 3, 1, -1),
    "as many as points": np.arange(14),
    "words": np.array(["tin", "iron", "tin", "zinc", "-1", "iron", "tin"] * 2),
    "all": np.arange(14) % 2,
}


@pytest.mark.each_value_once
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", CLASSES)
@pytest.mark.parametrize("name", LEARN)
def test_class_counts(name, case):
    y = CLASSES[case]
    model = fit(name, X, y, max_iter=10)
    sound(model, X)
    predicted = model.predict(X)
    assert predicted.shape == (14,) and set(predicted) <= set(y) - {-1, "-1"}
    if case in ("single class", "one label"):
        assert len(set(predicted)) == 1
    P = model.predict_proba(X)
    assert np.isfinite(P).all() and np.allclose(P.sum(axis=1), 1)


@pytest.mark.parametrize("name", LEARN)
def test_unknown_labels_are_no_labels(name):
    a = new(name, max_iter=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        a.fit(X)
    assert same(a, fit(name, X, np.full(14, -1), max_iter=10))
    if name != "SparseCodingNetwork":  # takes classes, no matrices of them
        Y = (CLASSES["all"][:, None] == [0, 1]).astype(float)
        assert same(
            fit(name, X, CLASSES["all"], max_iter=10),
            fit(name, X, Y, extra=dict(L=np.ones(Y.shape, bool)), max_iter=10),
        )
        assert same(a, fit(name, X, Y, extra=dict(L=np.zeros(Y.shape, bool)), max_iter=10))


# --- input mutated --------------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize(
    "kind", [np.array, sp.csr_array, sp.coo_array, pd.DataFrame], ids=lambda k: k.__name__
)
@every_model
def test_input_is_not_modified(name, kind):
    data, y = kind(ZEROS), labels(14)
    fit(name, data, y if ZOO[name][2] else None, max_iter=5)
    np.testing.assert_array_equal(data.toarray() if sp.issparse(data) else np.asarray(data), ZEROS)
    np.testing.assert_array_equal(y, labels(14))
    if name in MASKED and not sp.issparse(data):
        mask, weights = KNOWN.copy(), KNOWN * 2.0
        fit(name, data, extra=dict(mask=mask, weights=weights), max_iter=5)
        assert (mask == KNOWN).all() and (weights == KNOWN * 2.0).all()


def test_custom_start_is_not_modified():
    rng = np.random.default_rng(0)
    W, H = rng.random((14, 3)), rng.random((3, 10))
    copies = W.copy(), H.copy()
    for solver in ("hals", "anls", "mu"):
        fit("NMF", X, extra=dict(W=W, H=H), init="custom", solver=solver)
    assert (W == copies[0]).all() and (H == copies[1]).all()


# --- kinds of input -------------------------------------------------------------------------------


COUNTS = np.round(planted() * 4)


def frozen(data):
    data = data.copy()
    data.setflags(write=False)
    return data


KINDS = {
    "fortran": np.asfortranarray,
    "read-only": frozen,
    "strided": lambda D: np.repeat(np.repeat(D, 2, axis=1), 2, axis=0)[::2, ::2],
    "reversed": lambda D: D[::-1].copy()[::-1],
    "int64": lambda D: D.astype(int),
    "uint8": lambda D: D.astype(np.uint8),
    "float32": lambda D: D.astype(np.float32),
    "float16": lambda D: D.astype(np.float16),
    "longdouble": lambda D: D.astype(np.longdouble),
    "big-endian": lambda D: D.astype(">f8"),
    "object": lambda D: D.astype(object),
    "list": lambda D: D.tolist(),
    "frame": pd.DataFrame,
    "int frame": lambda D: pd.DataFrame(D.astype(int)),
    "sparse frame": lambda D: pd.DataFrame.sparse.from_spmatrix(sp.csr_matrix(D)),
    **{
        kind.__name__: kind
        for kind in (
            sp.csr_array,
            sp.csr_matrix,
            sp.csc_array,
            sp.csc_matrix,
            sp.coo_array,
            sp.coo_matrix,
            sp.lil_array,
            sp.dok_array,
            sp.bsr_array,
            sp.dia_array,
        )
    },
    "int csr": lambda D: sp.csr_array(D.astype(int)),
    "float32 csc": lambda D: sp.csc_array(D.astype(np.float32)),
    "read-only csr": lambda D: frozen_csr(D),
    "unsorted csr": lambda D: unsorted_csr(D),
    "64-bit indices": lambda D: wide_csr(D),
}


def frozen_csr(data):
    data = sp.csr_array(data)
    for part in (data.data, data.indices, data.indptr):
        part.setflags(write=False)
    return data


def unsorted_csr(data):
    data = sp.csr_array(data)
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(data.indptr, data.indptr[1:])])
    return sp.csr_array((data.data[order], data.indices[order], data.indptr), shape=data.shape)


def wide_csr(data):
    data = sp.csr_array(data)
    data.indices, data.indptr = data.indices.astype(np.int64), data.indptr.astype(np.int64)
    return data


BASE = {}


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", KINDS)
@every_model
def test_kinds_of_input(name, kind):
    data = KINDS[kind](COUNTS)
    model = fit(name, data, max_iter=steady(name, 30))
    S = transform(model, data)
    assert S.dtype == (np.float32 if kind in ("float32", "float32 csc") else np.float64)
    if name not in BASE:
        BASE[name] = error(fit(name, COUNTS, max_iter=steady(name, 30)), COUNTS)
    assert error(model, COUNTS) == pytest.approx(BASE[name], rel=2e-2, abs=1e-3)


def test_boolean_data():
    for name in ALL:
        assert transform(fit(name, COUNTS > 3, max_iter=5), COUNTS > 3).dtype == np.float64


@pytest.mark.each_value_once
@pytest.mark.parametrize(
    "bad",
    [
        np.ones(5),
        np.ones((2, 3, 4)),
        np.empty((0, 4)),
        np.empty((4, 0)),
        np.array([["a", "b"], ["c", "d"]]),
        np.ones((3, 3)) * 1j,
        None,
        3.0,
    ],
    ids=["1d", "3d", "no samples", "no features", "text", "complex", "None", "number"],
)
@every_model
def test_kinds_that_are_refused(name, bad):
    with pytest.raises((ValueError, TypeError)):
        new(name).fit(bad, labels(3) if ZOO[name][2] else None)


def test_masked_arrays_are_refused_where_every_number_counts():
    with pytest.raises(TypeError, match="A is a masked array that hides"):
        nnmf_nb.nnls(np.ma.masked_greater(X.T, 1.0), X.T)


def test_other_array_libraries_are_checked_too():
    xp = pytest.importorskip("array_api_strict")
    model = fit("NMF", xp.asarray(X), max_iter=3)
    with pytest.raises(ValueError, match="X has 4 features, but NMF is expecting 10"):
        model.transform(xp.asarray(X[:, :4]))
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.transform(xp.asarray(X[0]))
    # trained further on its labeled data points only
    half = fit("SparseCodingNetwork", xp.asarray(X), max_iter=2)
    assert np.isfinite(transform(half, xp.asarray(X))).all() and "error" in repr(model.layers_[0])


def test_transform_needs_the_features_of_fit():
    for name in ALL:
        model = fit(name, X, max_iter=2)
        with pytest.raises(ValueError, match="features"):
            model.transform(X[:, :4])
        assert to_numpy(model.transform(X[:1])).shape[0] == 1
