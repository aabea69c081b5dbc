"""Models that learn from batches: the sums of all batches are those of all data, streams go on
after a file, and bad batches leave a model as it was.
"""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF, SSNMF, MiniBatchNMF, MiniBatchSSNMF, load, save, verify
from nnmf_nb.chain._labels import labels_per_layer
from nnmf_nb.core._arrays import gram
from nnmf_nb.core._data import DataMatrix, relative_error
from nnmf_nb.layer._kl import solve_kl
from nnmf_nb.layer._nnls import solve_layer
from nnmf_nb.models import _mini_batch
from nnmf_nb.models._mini_batch import LabeledSquares, _labels_in
from nnmf_nb.solvers._online import (
    Batch,
    Batches,
    Counts,
    Squares,
    learn,
    no_statistics,
    revived,
    train_in_batches,
)
from nnmf_nb.solvers.coordinate_descent import exact_block_update
from nnmf_nb.solvers.divergences import ratios

RNG = np.random.default_rng(0)
PARTS = RNG.gamma(0.5, 1.0, (4, 20))
X = RNG.gamma(0.5, 1.0, (90, 4)) @ PARTS + 0.1 * RNG.random((90, 20))
NEW = RNG.gamma(0.5, 1.0, (40, 4)) @ PARTS + 0.1 * RNG.random((40, 20))
COUNTS = RNG.poisson(4 * X).astype(float)
Y = (X @ PARTS.T).argmax(axis=1)
SOME = np.where(np.arange(90) % 3 == 0, Y, -1)
LOSSES = ("frobenius", "kullback-leibler")


def stream(model, X, n=6, passes=1, **rows):
    for _ in range(passes):
        for part in range(n):
            given = {name: value[part::n] for name, value in rows.items() if name != "classes"}
            given |= {name: value for name, value in rows.items() if name == "classes"}
            model.partial_fit(X[part::n], **given)
    return model


def fitted(model, *data, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **given)


def same(one, other):
    return np.array_equal(one.components_, other.components_) and np.array_equal(
        one.statistics_.P, other.statistics_.P
    )


# --- the sums -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [X, sp.csr_array(np.where(X > 1, X, 0))], ids=["dense", "sparse"])
def test_one_epoch_at_constant_A_is_one_step_of_least_squares(data):
    D, A = DataMatrix(data.T), PARTS.T + 0.3
    total = no_statistics(A, 2)
    for number in range(7):
        total = learn(Squares(), Batches(D, 7)[number], A, total, sweeps=0).total
    S = solve_layer(D, A)[0]
    direct = exact_block_update(gram(S.T), D.XSt(S), A).factor
    online = exact_block_update(total.Q, total.P, A).factor
    assert np.abs(online - direct).max() < 1e-12 * direct.max()
    assert total.size == pytest.approx(D.norm2) and total.count == 90
    assert Squares().value(A, total) == pytest.approx(relative_error(D, A, S), rel=1e-10)


def test_one_epoch_at_constant_A_is_one_multiplicative_step():
    D, A = DataMatrix(COUNTS.T), PARTS.T + 0.3
    total = no_statistics(A, 1)
    for number in range(7):
        total = learn(Counts(), Batches(D, 7)[number], A, total, sweeps=0).total
    S = solve_kl(D, A).S
    above, below = ratios(DataMatrix(COUNTS, D.scale), S.T, A.T, 1)
    step = A * (above / below).T
    assert np.abs(Counts().step(A, total, 1) - step).max() < 1e-9 * step.max()


def test_labels_of_batches_add_up():
    D, A, by = DataMatrix(X.T), PARTS.T, LabeledSquares(0.0)
    labels = labels_per_layer(SOME, 1, 90).get(0)
    known = np.ones((90, 4))
    known[::2, 1] = 0
    for given in (labels, labels_per_layer(np.eye(4)[Y], 1, 90, known).get(0)):
        batches, total = Batches(D, 5, _labels_in(given)), no_statistics(A, 2)
        for number in range(5):
            total = learn(by, batches[number], A, total, sweeps=0).total
        whole = learn(by, Batch(D, given), A, no_statistics(A, 2), sweeps=0).total
        for name in ("P", "Q", "size", "amounts"):
            one, other = getattr(total.labels, name), getattr(whole.labels, name)
            np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("by", [Squares(), Counts()], ids=["squares", "counts"])
def test_a_second_visit_replaces_the_first(by):
    """The sums after many passes are those of the last visits."""
    D, A = DataMatrix(COUNTS.T), PARTS.T + 0.3
    batches = Batches(D, 4)
    state = train_in_batches(by, batches, A, max_iter=20, tol=0.0)
    assert state.latest is None  # the last passes were no longer those of a stream
    for name, exact in (("P", state.total.P), ("Q", state.total.Q)):
        parts = []
        for number, visit in enumerate(state.visits):
            own = visit.own or by.change(batches[number], A, visit.S)[0]
            part = np.zeros_like(exact)
            rows = visit.rows if visit.own and name == "P" else slice(None)
            part[rows] = getattr(own, name)
            parts.append(part)
        np.testing.assert_allclose(sum(parts), exact, rtol=1e-8, atol=1e-10 * exact.max())


def test_counts_begin_with_rough_coefficients():
    """Multiplicative steps from equal shares, one more every six batches, then exact ones."""
    batch, A = Batch(DataMatrix(COUNTS.T)), PARTS.T + 0.3
    V = COUNTS.T / batch.X.scale
    S = V.sum(axis=0) / A.sum(axis=0)[:, None] / A.shape[1]
    for _ in range(4):
        S = S * (A.T @ (V / (A @ S))) / A.sum(axis=0)[:, None]
    total = no_statistics(A, 1)
    found = Counts().at(6).coefficients(batch, A, total)
    np.testing.assert_allclose(found, S, rtol=1e-10)
    late = Counts().at(10_000).coefficients(batch, A, total)
    assert np.array_equal(late, Counts().coefficients(batch, A, total))
    assert np.abs(late - found).max() > 0.01 * found.max()


def test_objective_never_rises_and_ends_where_training_on_all_data_ends():
    model = MiniBatchNMF(4, batch_size=20, random_state=0, tol=1e-6, max_iter=2000).fit(X)
    assert (np.diff(model.history_["objective"][1:]) <= 1e-12).all()
    assert model.converged_ and verify(model, X).color == "green"
    best = NMF(4, random_state=0, tol=1e-6).fit(X).layers_[0].error
    assert model.layers_[0].error == pytest.approx(best, rel=1e-3)
    labeled = fitted(MiniBatchSSNMF(4, batch_size=20, random_state=0, max_iter=60), X, SOME)
    assert (np.diff(labeled.history_["objective"][1:]) <= 1e-10).all()
    whole = SSNMF(4, random_state=0).fit(X, SOME)
    assert labeled.score(X, Y) >= whole.score(X, Y) - 0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_held_out_objective_falls_over_epochs(loss):
    # so many points that topics cannot learn them by heart; the mean of several starts
    rng = np.random.default_rng(1)
    many = rng.poisson(4 * rng.gamma(0.5, 1.0, (450, 4)) @ PARTS) * 1.0
    errors = np.zeros(4)
    for start in range(4):
        model = MiniBatchNMF(4, init="random", beta_loss=loss, random_state=start)
        for epoch in range(4):
            errors[epoch] += 1 - stream(model, many, n=30).score(NEW)
    assert np.diff(errors).max() < 0.01 * errors[0] and errors[-1] < 0.8 * errors[0]


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("how", ["pickle", "file"])
def test_a_stream_goes_on_after_a_file_with_the_same_bits(tmp_path, loss, how):
    whole = stream(MiniBatchNMF(4, beta_loss=loss, random_state=0), COUNTS, passes=2)
    half = stream(MiniBatchNMF(4, beta_loss=loss, random_state=0), COUNTS)
    if how == "file":
        save(half, tmp_path / "half.safetensors")
        half = load(tmp_path / "half.safetensors")
    else:
        half = pickle.loads(pickle.dumps(half))
    assert same(stream(half, COUNTS), whole)
    assert half.n_samples_seen_ == 180 and half.n_steps_ == 12
    assert half.history_ == whole.history_


def test_labels_of_a_stream_go_on_after_a_file(tmp_path):
    whole = stream(MiniBatchSSNMF(4, random_state=0), X, passes=2, y=SOME)
    half = stream(MiniBatchSSNMF(4, random_state=0), X, y=SOME)
    save(half, tmp_path / "half.safetensors")
    half = stream(load(tmp_path / "half.safetensors"), X, y=SOME)
    assert same(half, whole) and np.array_equal(half.B_, whole.B_)
    assert half.score(X, Y) > 0.8


def test_containers_and_dtypes_say_the_same():
    one = stream(MiniBatchNMF(4, random_state=0), COUNTS)
    sparse = stream(MiniBatchNMF(4, random_state=0), sp.csr_array(COUNTS))
    np.testing.assert_allclose(sparse.components_, one.components_, atol=1e-8)
    single = stream(MiniBatchNMF(4, random_state=0), COUNTS.astype(np.float32))
    assert single.components_.dtype == single.transform(COUNTS.astype(np.float32)).dtype
    assert single.components_.dtype == np.float32
    np.testing.assert_allclose(single.components_, one.components_, atol=1e-3)
    frame = pd.DataFrame(COUNTS, columns=[f"g{n}" for n in range(20)])
    named = MiniBatchNMF(4, random_state=0).partial_fit(frame[:40])
    assert list(named.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        named.partial_fit(frame[40:].rename(columns={"g3": "other"}))


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("loss", LOSSES)
def test_scale_does_not_matter(loss, factor):
    one = stream(MiniBatchNMF(4, beta_loss=loss, random_state=0), COUNTS)
    other = stream(MiniBatchNMF(4, beta_loss=loss, random_state=0), COUNTS * factor)
    np.testing.assert_allclose(other.components_, one.components_, atol=1e-6)
    np.testing.assert_allclose(other.history_["objective"], one.history_["objective"], rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_small_and_empty_batches(loss):
    model = MiniBatchNMF(4, beta_loss=loss, random_state=0)
    for row in COUNTS[:30]:
        model.partial_fit(row[None, :])
    assert model.n_samples_seen_ == 30 and np.isfinite(model.components_).all()
    assert model.score(COUNTS) > 0.4
    first = MiniBatchNMF(4, beta_loss=loss, random_state=0).partial_fit(np.zeros((5, 20)))
    assert np.isfinite(first.components_).all() and stream(first, COUNTS).score(COUNTS) > 0.7
    before = first.components_.copy()
    first.set_params(forget_factor=1.0).partial_fit(np.zeros((5, 20)))
    np.testing.assert_allclose(first.components_, before, atol=0.1)
    model.set_params(forget_factor=1.0).partial_fit(np.zeros((5, 20)))
    assert np.isfinite(model.components_).all() and model.score(COUNTS) > 0.4


@pytest.mark.parametrize("data", [X, sp.csr_array(X)], ids=["dense", "sparse"])
def test_weights_of_data_points_are_copies(data):
    w = np.where(np.arange(90) % 2, 0.0, 2.0)
    weighted = MiniBatchNMF(4, random_state=0, forget_factor=1.0).partial_fit(data, sample_weight=w)
    twice = sp.vstack([data[::2]] * 2) if sp.issparse(data) else np.tile(data[::2], (2, 1))
    copies = MiniBatchNMF(4, random_state=0, forget_factor=1.0)
    H = RNG.random((4, 20))
    for model in (weighted, copies):
        model.set_params(init="custom")
    weighted = MiniBatchNMF(4, init="custom").partial_fit(data, H=H, sample_weight=w)
    copies.partial_fit(twice, H=H)
    np.testing.assert_allclose(weighted.components_, copies.components_, atol=1e-8)
    with pytest.raises(ValueError, match=r"sample_weight\[0\] = -1"):
        weighted.partial_fit(X, sample_weight=np.full(90, -1.0))


def test_dead_topics_are_revived():
    D = DataMatrix(X.T)
    A = np.concatenate([PARTS[:3].T, np.zeros((20, 1))], axis=1)
    total = learn(Squares(), Batch(D), A, no_statistics(A, 2), sweeps=0).total
    S = solve_layer(D, A)[0]
    new, _ = revived(Squares(), Batch(D), A, S, total)
    assert new[:, 3].any() and np.array_equal(new[:, :3], A[:, :3])
    assert relative_error(D, new, solve_layer(D, new)[0]) < 0.9 * relative_error(D, A, S)
    exact = DataMatrix(A @ S)  # nothing is left to explain
    total = learn(Squares(), Batch(exact), A, no_statistics(A, 2), sweeps=0).total
    assert not revived(Squares(), Batch(exact), A, S, total)[0][:, 3].any()


def test_a_topic_that_the_first_batches_lack_is_found():
    late = np.concatenate(
        [RNG.gamma(1.0, 1.0, (60, 2)) @ PARTS[:2], RNG.gamma(1.0, 1, (90, 4)) @ PARTS]
    )
    model = MiniBatchNMF(4, random_state=0)
    for n in range(15):
        model.partial_fit(late[10 * n : 10 * n + 10])
    assert model.score(RNG.gamma(1.0, 1.0, (50, 4)) @ PARTS) > 0.95


# --- what is refused ------------------------------------------------------------------------------


def test_bad_batches_leave_the_model_as_it_was():
    model = stream(MiniBatchSSNMF(4, random_state=0), X, y=SOME)
    before = pickle.dumps([model.components_, model.statistics_.P, model.n_steps_, model.B_])
    nan = X.copy()
    nan[3, 2] = np.nan
    for data, given, words in (
        (X[:, :19], {}, "X has 19 features, but MiniBatchSSNMF is expecting 20 features"),
        (nan, {}, r"3, 2"),
        (np.ma.masked_array(X, X > 2), {}, "takes no mask"),
        (X, dict(y=np.full(90, 7)), "y has the class 7, which is none of"),
        (X, dict(classes=[1, 2]), "are not those of the calls before"),
        (X, dict(y=SOME[:5]), "y"),
    ):
        with pytest.raises(ValueError, match=words):
            model.partial_fit(data, **given)
    assert before == pickle.dumps(
        [model.components_, model.statistics_.P, model.n_steps_, model.B_]
    )
    with pytest.raises(TypeError, match="mask"):
        MiniBatchNMF(4).fit(X, mask=X > 0)
    for change in (dict(forget_factor=1.1), dict(forget_factor="all"), dict(batch_size=0)):
        with pytest.raises(ValueError, match=[*change][0]):
            MiniBatchNMF(4, **change).partial_fit(X)
    with pytest.raises(ValueError, match="needs H"):
        MiniBatchNMF(4, init="custom").fit(X)
    with pytest.raises(ValueError, match="NMF has others"):
        MiniBatchNMF(4, beta_loss="itakura-saito").fit(X)


def test_classes_are_named_at_the_first_call():
    model = MiniBatchSSNMF(4, random_state=0)
    model.partial_fit(X[:30])
    assert len(model.classes_) == 0
    model.partial_fit(X[30:60], np.where(Y[30:60] < 2, Y[30:60], -1), classes=range(4))
    model.partial_fit(X[60:], Y[60:])
    assert list(model.classes_) == [0, 1, 2, 3] and model.B_.shape == (4, 4)
    assert model.score(X, Y) > 0.7


def test_forgetting_follows_a_drift():
    """After the topics have changed a short memory explains the new ones better."""
    other = RNG.gamma(0.5, 1.0, (90, 4)) @ RNG.gamma(0.5, 1.0, (4, 20))
    scores = []
    for forget_factor in (0.1, 1.0):
        model = MiniBatchNMF(4, forget_factor=forget_factor, random_state=0)
        stream(stream(model, X, passes=3), other)
        scores.append(model.score(other))
    assert scores[0] > scores[1]


def test_a_sample_can_be_verified():
    model = stream(MiniBatchNMF(4, random_state=0), X, passes=2)
    model.partial_fit(X)
    certificate = verify(model, X[:17])
    assert certificate.layers[0].kkt < 1e-10 and certificate.color == "gray"
    assert "more data points" in repr(certificate)
    assert model.certificate_.layers[0].kkt < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_a_batch_is_described_when_somebody_asks(loss, kind, monkeypatch):
    """With the same bits as at once, whatever happened to batch and parameters meanwhile."""
    batch = kind(COUNTS[60:])
    model = stream(MiniBatchNMF(4, beta_loss=loss, random_state=0), COUNTS[:60], 2)
    model.partial_fit(batch)
    assert not {"layers_", "reconstruction_err_", "deviances_"} & set(vars(model))
    values = batch if isinstance(batch, np.ndarray) else batch.data
    values[:] = 0.0
    model.set_params(beta_loss="frobenius")
    monkeypatch.setattr(_mini_batch, "LARGEST_COPY", 0)
    at_once = stream(MiniBatchNMF(4, beta_loss=loss, random_state=0), COUNTS[:60], 2)
    at_once.partial_fit(kind(COUNTS[60:]))
    assert "layers_" in vars(at_once)
    for name in ("A", "S", "error", "kkt"):
        one, other = (getattr(each.layers_[0], name) for each in (model, at_once))
        assert np.array_equal(one, other)
    assert model.reconstruction_err_ == at_once.reconstruction_err_
    assert hasattr(model, "deviances_") == (loss == "kullback-leibler")
    assert model._description is None  # the copy of the batch is gone


def test_copies_and_files_of_a_stream_hold_no_batch(tmp_path):
    model = stream(MiniBatchNMF(4, random_state=0), X)
    save(model, tmp_path / "model.nnmf")
    loaded = load(tmp_path / "model.nnmf")
    again = stream(MiniBatchNMF(4, random_state=0), X)
    for one in (loaded, pickle.loads(pickle.dumps(again)), copy.copy(again)):
        assert vars(one).get("_description") is None
        assert np.array_equal(one.layers_[0].S, model.layers_[0].S)
    with pytest.raises(AttributeError, match="no attribute 'layers_'"):
        getattr(MiniBatchNMF(4), "layers_")  # noqa: B009
    assert not hasattr(fitted(again, X), "deviances_")
