"""scikit-learn's own tests of its NMF, run with ours behind the name.

The functions in KEPT are taken from `sklearn.decomposition.tests.test_nmf` as installed, every case
of theirs, with the name `NMF` bound to `nnmf_nb.NMF` (their MiniBatchNMF cases are left out: we
have no such class). LEFT_OUT names every other test of that file and why; where it asks for
something sensible in other words, one of our own tests below asks for it. A test that a later
scikit-learn adds is noticed.
"""

import itertools
import warnings

import numpy as np
import pytest
import sklearn.decomposition
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF

theirs = pytest.importorskip("sklearn.decomposition.tests.test_nmf")

KEPT = """test_feature_names_out test_n_components_greater_n_features test_nmf_dtype_match\
 test_nmf_fit_close test_nmf_fit_nn_output
    test_nmf_float32_float64_consistency test_nmf_inverse_transform\
 test_nmf_regularization test_nmf_smoke test_nmf_sparse_input
    test_nmf_sparse_transform test_nmf_transform test_nmf_transform_custom_init""".split()

INTERNAL = "tests private functions of scikit-learn, not the estimator"
FUNCTION = "tests the function non_negative_factorization, which we do not have"
MINIBATCH = "MiniBatchNMF only"
LEFT_OUT = {
    "test_initialize_nn_output": INTERNAL,
    "test_initialize_close": INTERNAL,
    "test_initialize_variants": INTERNAL,
    "test_beta_divergence": INTERNAL,
    "test_special_sparse_dot": INTERNAL,
    "test_nmf_underflow": INTERNAL,
    "test_non_negative_factorization_checking": FUNCTION,
    "test_nmf_multiplicative_update_sparse": FUNCTION,
    "test_nmf_negative_beta_loss": FUNCTION,
    "test_nmf_decreasing": FUNCTION,
    "test_nmf_non_negative_factorization_n_components_auto": FUNCTION,
    "test_nmf_n_components_auto_no_h_update": FUNCTION,
    "test_nmf_w_h_not_used_warning": FUNCTION,
    "test_minibatch_nmf_transform": MINIBATCH,
    "test_mbnmf_inverse_transform": MINIBATCH,
    "test_minibatch_nmf_negative_beta_loss": MINIBATCH,
    "test_minibatch_nmf_partial_fit": MINIBATCH,
    "test_minibatch_nmf_verbose": MINIBATCH,
    "test_nmf_minibatchnmf_equivalence": (
        "compares with MiniBatchNMF entry by entry; "
        "our transform converges where theirs stops after max_iter steps"
    ),
    "test_non_negative_factorization_consistency": (
        "entry by entry the factors of scikit-learn's own path; "
        "below, the objective is compared instead"
    ),
    "test_convergence_warning": (
        "wants a warning on a 2 x 2 matrix of ones that we solve "
        "exactly in one step, and in other words; below on data where it is due"
    ),
    "test_parameter_checking": (
        "other words; and NNDSVD starts with more topics than rows "
        "are filled up here instead of refused; below"
    ),
    "test_nmf_true_reconstruction": (
        "its second half is MiniBatchNMF, and it wants "
        "zeros to the last bit where 1e-29 is left; below"
    ),
    "test_nmf_custom_init_dtype_error": "we convert a start of another dtype; below",
    "test_nmf_custom_init_shape_error": "other words; below",
    "test_nmf_n_components_auto": "reads the private attribute _n_components; below",
}


def cases(name):
    """Keyword arguments of every case of a test of theirs, without those of MiniBatchNMF."""
    grids = []
    for mark in getattr(getattr(theirs, name, None), "pytestmark", []):
        if mark.name == "parametrize":
            names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
            grids.append(
                [dict(zip(names, row if len(names) > 1 else [row])) for row in mark.args[1]]
            )
    for combination in itertools.product(*grids):
        case = {name.strip(): value for part in combination for name, value in part.items()}
        if case.get("Estimator") is not sklearn.decomposition.MiniBatchNMF:
            yield case


def words(value):
    return getattr(value, "__name__", None) or (
        str(value) if not isinstance(value, dict) else "-".join(value.values())
    )


def parameters():
    """(name, case) of every case; those of which every value has occurred are exhaustive."""
    for name in KEPT:
        seen = set()
        for case in cases(name):
            shown = [words(value) for value in case.values() if value is not theirs.NMF]
            new = {(key, words(value)) for key, value in case.items()} - seen
            seen |= new
            known = [pytest.mark.exhaustive] * bool(case and not new)
            yield pytest.param(name, case, id="-".join([name, *shown]), marks=known)


ALL = [*parameters()]


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning", "error::RuntimeWarning"
)
@pytest.mark.parametrize("name, case", ALL)
def test_theirs(name, case, monkeypatch):
    monkeypatch.setattr(theirs, "NMF", NMF)
    getattr(theirs, name)(
        **{key: NMF if value is sklearn.decomposition.NMF else value for key, value in case.items()}
    )


def test_every_test_of_theirs_is_kept_or_left_out_for_a_reason():
    new = {name for name in vars(theirs) if name.startswith("test_")} - {*KEPT} - {*LEFT_OUT}
    assert not new, f"scikit-learn has new tests of NMF: sort {sorted(new)} into KEPT or LEFT_OUT"
    assert len(ALL) > 100 or not all(hasattr(theirs, name) for name in KEPT)


# --- what the tests left out ask for, in our words ------------------------------------------------


@pytest.fixture
def X():
    return np.abs(np.random.RandomState(42).randn(10, 8))


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_convergence_warning(solver, X):
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        NMF(3, max_iter=1, solver=solver).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        NMF(1, max_iter=3, solver=solver).fit(np.ones((2, 2)))


def test_parameter_checking():
    with pytest.raises(ValueError, match="solver='cd'.*beta_loss=1.0"):
        NMF(solver="cd", beta_loss=1.0).fit(np.ones((2, 2)))
    with pytest.raises(ValueError, match="Negative values in data passed to"):
        NMF().fit(-np.ones((2, 2)))
    with pytest.raises(ValueError, match="Negative values in data passed to"):
        NMF(2, tol=0.1).fit(np.ones((2, 2))).transform(-np.ones((2, 2)))


@pytest.mark.parametrize("init", ["nndsvd", "nndsvda", "nndsvdar"])
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_more_topics_than_singular_vectors(init, solver):
    model = NMF(3, init=init, solver=solver, random_state=0).fit(np.ones((2, 2)))
    assert model.components_.shape == (3, 2) and model.reconstruction_err_ < 1e-6


def test_true_reconstruction():
    rng = np.random.RandomState(42)
    W, H = np.zeros((15, 5)), np.zeros((5, 10))
    W[range(5), range(5)] = np.abs(rng.randn(5))
    H[np.arange(10) % 5, range(10)] = np.abs(rng.randn(10))
    model = NMF(5, solver="mu", beta_loss=1, max_iter=1000, random_state=0)
    np.testing.assert_allclose(
        model.inverse_transform(model.fit_transform(W @ H)), W @ H, rtol=1e-7, atol=1e-12
    )


def test_start_of_another_dtype_is_converted(X):
    rng = np.random.RandomState(0)
    W, H = rng.rand(10, 2), rng.rand(2, 8)
    double = NMF(2, init="custom").fit(X, W=W, H=H.astype(np.float32))
    single = NMF(2, init="custom").fit(X.astype(np.float32), W=W, H=H)
    assert (double.components_.dtype, single.components_.dtype) == (np.float64, np.float32)
    assert single.reconstruction_err_ == pytest.approx(double.reconstruction_err_, rel=1e-3)


@pytest.mark.parametrize("W, H", [((5, 2), (2, 8)), ((10, 3), (2, 8)), ((10, 2), (2, 7))])
def test_start_of_the_wrong_shape(W, H, X):
    with pytest.raises(ValueError, match="W and H must be 10 x k and k x 8"):
        NMF(2, init="custom").fit(X, W=np.ones(W), H=np.ones(H))


def test_number_of_topics_follows_the_start(X):
    assert NMF("auto", init="custom", tol=1e-2).fit(
        X, W=np.ones((10, 2)) + np.eye(10, 2), H=np.ones((2, 8)) + np.eye(2, 8)
    ).components_.shape == (2, 8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("init", ["random", "nndsvda"])
def test_error_is_no_worse_than_theirs(solver, init, X):
    X[:, ::2] = 0
    params = dict(init=init, solver=solver, random_state=1, max_iter=1000)
    ours, other = (
        Estimator(3, **params).fit(X).reconstruction_err_
        for Estimator in (NMF, sklearn.decomposition.NMF)
    )
    assert ours <= other * (1 + 1e-3)
