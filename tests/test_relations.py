"""What must come out when the data are changed in a known way: relations between two fits, over
every model where they hold, with drawn data.

No oracle is needed for a relation, so the data may be anything. A relation to the last bit holds
after any number of iterations; the others are asked of what is determined by the data and not by
the path of an optimizer: of `transform` for given features, or of the cost at given factors.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zoo import EVERY, error, factors, fit, labels, one_of_each, planted, same, transform

from nnmf_nb import NMF, SSNMF, NeuralNMF, certify, nnls
from nnmf_nb.chain._costs import COSTS, ChainObjective, on_unit_columns
from nnmf_nb.core._data import as_data

every_model = pytest.mark.parametrize("name", one_of_each(EVERY))
SEEN = planted(14, 9, seed=4)
FITTED = {}


def few(n):
    return settings(
        max_examples=n, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


ROWS, COLUMNS = st.integers(2, 9), st.integers(2, 7)


@st.composite
def data(draw, rows=ROWS, columns=COLUMNS):
    """Small data with ties, zeros, duplicated and zero rows and columns: small integers, or numbers
    with two digits.
    """
    n, m = draw(rows), draw(columns)
    entries = st.one_of(st.integers(0, 3).map(float), st.integers(0, 999).map(lambda i: i / 100))
    X = np.array(draw(st.lists(entries, min_size=n * m, max_size=n * m))).reshape(n, m)
    spoil = draw(st.sampled_from(["nothing", "row", "column", "zero row", "zero column"]))
    if spoil == "row":
        X[-1] = X[0]
    if spoil == "column":
        X[:, -1] = 2 * X[:, 0]
    if spoil == "zero row":
        X[n // 2] = 0
    if spoil == "zero column":
        X[:, m // 2] = 0
    return X


new_points = data(columns=st.just(SEEN.shape[1]))


def fitted(name):
    """The model trained on SEEN, once."""
    if name not in FITTED:
        FITTED[name] = fit(name, SEEN)
    return FITTED[name]


def close(S, expected, name):
    """Equal up to rounding; iterated coefficients (Kullback-Leibler) up to their tolerance."""
    np.testing.assert_allclose(
        S,
        expected,
        rtol=0,
        atol=(1e-4 if name.endswith("-kl") else 1e-9) * max(expected.max(initial=0), 1e-300),
    )


# --- scale ----------------------------------------------------------------------------------------


@every_model
@given(X=data(), power=st.integers(-90, 90))
@few(4)
def test_powers_of_two_change_no_bit(name, X, power):
    """The unit of the data cannot matter: features are the same and coefficients 2^p times the
    same, to the last bit.
    """
    a, b = fit(name, X, max_iter=6), fit(name, X * 2.0**power, max_iter=6)
    np.testing.assert_array_equal(transform(a, X) * 2.0**power, transform(b, X * 2.0**power))
    assert a.stop_reason_ == b.stop_reason_ and a.n_iter_ == b.n_iter_
    np.testing.assert_array_equal(factors(a)[0], factors(b)[0])


@every_model
@given(X=new_points, c=st.floats(1e-6, 1e6))
@few(5)
def test_coefficients_are_homogeneous(name, X, c):
    if name == "SparseCodingNetwork":
        c = 1.0  # its penalties have the units of the training data
    close(transform(fitted(name), c * X), c * transform(fitted(name), X), name)


# --- order, duplicates, parts ---------------------------------------------------------------------


@every_model
@given(X=new_points, seed=st.integers(0, 99))
@few(5)
def test_order_of_data_points(name, X, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    close(transform(fitted(name), X[order]), transform(fitted(name), X)[order], name)


@every_model
@given(X=new_points)
@few(5)
def test_every_data_point_has_its_own_coefficients(name, X):
    """Duplicates get the same, and a batch is mapped as its parts are."""
    whole = transform(fitted(name), X)
    close(transform(fitted(name), np.vstack([X, X])), np.vstack([whole, whole]), name)
    close(np.vstack([transform(fitted(name), X[:1]), transform(fitted(name), X[1:])]), whole, name)
    # company does not matter
    close(transform(fitted(name), np.vstack([X, 1e6 * SEEN]))[: len(X)], whole, name)


@every_model
@given(X=new_points)
@few(3)
def test_sparse_is_dense(name, X):
    for kind in (sp.csr_array, sp.csc_array):
        close(transform(fitted(name), kind(X)), transform(fitted(name), X), name)


@every_model
@given(X=data(rows=st.integers(4, 9), columns=st.integers(4, 7)), seed=st.integers(0, 99))
@few(3)
def test_order_of_features_and_points_in_training(name, X, seed):
    """Training on shuffled data is as good. Optimizers take other paths, so only the error is
    compared, and only where it can be: one part.
    """
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    X = X + 1e-3  # connected: else k = 1 has several minima
    size = next(size for size in ("ranks", "rank", "n_components") if size in EVERY[name][1])
    one = {size: (1,) if size == "ranks" else 1}
    if name == "SparseCodingNetwork":
        return  # draws its atoms from the data points, by number
    seeds = {"seeds": [[int(np.argsort(columns)[0])]]} if name == "GuidedNMF" else {}
    y = labels(len(X)) if EVERY[name][2] else None
    a = fit(name, X, y, max_iter=300, **one)
    b = fit(name, X[rows][:, columns], None if y is None else y[rows], max_iter=300, **one, **seeds)
    assert error(b, X[rows][:, columns]) == pytest.approx(error(a, X), rel=5e-3, abs=1e-6)


# --- topics and transposition ---------------------------------------------------------------------


# as many features as topics, or S_0 is not unique
@given(X=data(columns=st.integers(4, 7)), seed=st.integers(0, 99))
@few(15)
def test_cost_of_a_chain_does_not_depend_on_the_order_or_length_of_topics(X, seed):
    rng = np.random.default_rng(seed)
    A = [rng.random((X.shape[1], 3)) + 0.1, rng.random((3, 2)) + 0.1]
    order, length = rng.permutation(3), rng.uniform(0.01, 100, 3)
    for cost in COSTS.values():
        plain, units = (
            ChainObjective(as_data(X.T), cost),
            on_unit_columns(ChainObjective(as_data(X.T), cost)),
        )
        assert plain([A[0][:, order], A[1][order]])[0] == pytest.approx(
            plain(A)[0], rel=1e-8, abs=1e-12
        )
        assert units([A[0] * length, A[1] * length[0]])[0] == pytest.approx(
            units(A)[0], rel=1e-8, abs=1e-12
        )


@given(X=data(rows=st.just(6), columns=st.just(5)), seed=st.integers(0, 99))
@few(20)
def test_transposition_exchanges_the_factors(X, seed):
    """From a transposed start NMF of X' has the same error after the first full turn, up to which
    half comes last; at the end both are stationary for both.
    """
    rng = np.random.default_rng(seed)
    W, H = rng.random((6, 2)) + 0.1, rng.random((2, 5)) + 0.1
    a = fit(
        "NMF",
        X,
        n_components=2,
        init="custom",
        extra=dict(W=W, H=H),
        max_iter=4000,
        tol=1e-7,
        solver="anls",
    )
    S, A = transform(a, X).T, a.components_.T
    if a.converged_ and X.any():
        turned = certify(S.T, A.T, X)  # X ~ S' A', read the other way round
        assert turned.layers[0].error == pytest.approx(a.layers_[0].error, rel=1e-7, abs=1e-7)
        assert turned.layers[0].kkt < 1e-4 and turned.layers[0].stationarity < 1e-4


@given(X=data(rows=st.integers(3, 9), columns=st.integers(3, 7)))
@few(6)
def test_objective_of_the_transposed_problem(X):
    X = X + 1e-2
    a, b = (fit("NMF", D, n_components=1, max_iter=500, tol=1e-8) for D in (X, X.T))
    # k = 1 has one minimum: that of the SVD
    assert a.reconstruction_err_ == pytest.approx(b.reconstruction_err_, rel=1e-5)
    assert a.layers_[0].error == pytest.approx(a.layers_[0].floor, rel=1e-5, abs=1e-7)


# --- weights, masks, penalties --------------------------------------------------------------------


@given(X=new_points, seed=st.integers(0, 99))
@few(8)
def test_hidden_features_are_features_left_out(X, seed):
    known = np.random.default_rng(seed).random(X.shape[1]) < 0.7
    known[0] = True
    A = fitted("NMF").components_.T
    S = nnls(A, X.T, mask=np.repeat(known[:, None], len(X), axis=1))
    left_out = nnls(A[known], X.T[known])
    # where S is not unique both are minimizers, so what they explain is compared
    np.testing.assert_allclose((A @ S)[known], A[known] @ left_out, atol=1e-8 * max(X.max(), 1))


@pytest.mark.parametrize("name", ["NMF", "HierarchicalNMF", "NeuralNMF"])
@given(seed=st.integers(0, 99))
@few(3)
def test_doubled_weights_change_nothing(name, seed):
    X = planted(seed=seed)  # without ties, at which topics change places
    W = np.random.default_rng(seed).integers(0, 3, X.shape).astype(float)
    a, b = (fit(name, X, extra=dict(weights=c * W), max_iter=100) for c in (1.0, 2.0))
    # starts know the size of the weights, so paths part
    assert b.layers_[-1].error == pytest.approx(a.layers_[-1].error, rel=5e-2)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SSNMF", "SSNMF-kl", "NeuralNMF-labels", "SparseCodingNetwork"])
@given(X=data(rows=st.just(9)), permute=st.booleans())
@few(4)
def test_names_of_classes_do_not_matter(name, X, permute):
    y = np.array([0, 1, 2, 0, 1, 2, -1, 0, 1])
    words = np.array(["apple", "pear", "plum", "-1"], dtype=object)  # in the order of the numbers
    a = fit(name, X, y, max_iter=6)
    b = fit(name, X, words[y], max_iter=6)
    assert same(a, b)
    np.testing.assert_array_equal(words[a.predict(X)], b.predict(X))
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


@pytest.mark.parametrize(
    "model",
    [SSNMF(2, max_iter=10), NeuralNMF((2,), max_iter=10, n_init=1)],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(seed=st.integers(0, 9))
@few(2)
def test_permuted_classes(model, seed):
    """Exchanging two classes exchanges the columns of predict_proba, as long as the iterations are
    few: sums over classes are rounded in another order, which decides where a long training ends.
    """
    X = planted(20, 8, k=2, seed=seed)
    y = (X[:, 0] > np.median(X[:, 0])).astype(int)
    P, Q = (model.fit(X, labels_).predict_proba(X) for labels_ in (y, 1 - y))
    np.testing.assert_allclose(P, Q[:, ::-1], atol=1e-9)


@given(seed=st.integers(0, 9))
@few(4)
def test_no_weight_for_labels_is_no_labels(seed):
    X = planted(12, 8, seed=seed)
    assert same(fit("SSNMF", X, labels(12), lam=0.0), fit("SSNMF", X, np.full(12, -1)))
    np.testing.assert_array_equal(
        fit("SSNMF", X, labels(12), lam=0.0).components_, fit("NMF", X, init=None).components_
    )


def test_a_solved_problem_stays_solved():
    """NMF started at its own result stays there."""
    first = fit("NMF", SEEN, tol=1e-6, max_iter=5000)
    again = NMF(3, init="custom", tol=1e-5).fit(SEEN, W=first.transform(SEEN), H=first.components_)
    assert again.n_iter_ <= 2 and again.reconstruction_err_ == pytest.approx(
        first.reconstruction_err_, rel=1e-6
    )
