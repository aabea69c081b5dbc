"""NeuralNMF that goes on: from a fitted model (warm_start) and with other parameters in the middle
of a fit (change).
"""

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import Checkpoint, NeuralNMF, datasets, load, save
from nnmf_nb.models import _neural as neural

warnings.filterwarnings("ignore", category=ConvergenceWarning)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
TOY = datasets.toy(random_state=0)
X = TOY.X + np.random.default_rng(0).gamma(1.0, 2.0, TOY.X.shape)
Y = np.where(np.arange(90) % 3 == 0, TOY.labels["level_4"], -1)
KNOWN = np.random.default_rng(1).random(X.shape) < 0.8
BASE = dict(ranks=(6, 4), max_iter=10, tol=0, random_state=0)
OPTIMIZERS = {
    "lbfgs": {},
    "backtracking": {},
    "gd": dict(step=0.05),
    "adam": dict(step=0.01),
    "sgd": dict(batch_size=30),
}
DATA = {
    "dense": (X, {}),
    "sparse": (sp.csr_array(np.where(X > 2, X, 0)), {}),
    "float32": (X.astype(np.float32), {}),
    "mask": (np.where(KNOWN, X, np.nan), dict(mask=KNOWN)),
    "weights": (X, dict(weights=np.random.default_rng(2).random(X.shape))),
    "labels": (X, dict(y=Y)),
    "cross-entropy": (X, dict(y={0: Y, 1: TOY.labels["level_4"]})),
    "tiny": (X * 1e-30, {}),
    "nothing": (np.zeros((20, 8)), {}),
}


def new(**params):
    return NeuralNMF(**BASE | params)


def costs(model):
    return np.array(model.history_["objective"])


class Says:
    """A callback that calls `what(estimator)` after the n-th iteration."""

    def __init__(self, n, what):
        self.n, self.what, self.seen = n, what, 0

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.seen += context.task_name == "iteration"
        return (
            bool(self.what(estimator))
            if context.task_name == "iteration" and self.seen == self.n
            else False
        )


def cut(estimator):
    raise RuntimeError("cut")


# --- warm start -----------------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("coefficients", ["chain", "data"])
def test_a_warm_fit_never_raises_the_cost(kind, optimizer, coefficients):
    data, given = DATA[kind]
    loss = dict(label_loss="cross_entropy") if kind == "cross-entropy" else {}
    params = dict(optimizer=optimizer, coefficients=coefficients, **OPTIMIZERS[optimizer], **loss)
    model = new(warm_start=True, **params).fit(data, **given)
    rounding = 1e-5 if kind == "float32" else 1e-9
    for _ in range(2):
        before, dtype = costs(model).min(), model.layers_[0].A.dtype
        model.fit(data, **given)
        assert costs(model)[0] == pytest.approx(before, rel=rounding, abs=1e-15), (
            "it starts where the fit before ended"
        )
        assert costs(model).min() <= before * (1 + rounding) and model.layers_[0].A.dtype == dtype
    assert (model.fit_transform(data, **given) == model.layers_[-1].S.T).all()


def test_ten_and_ten_are_better_than_ten_and_a_new_start_than_none():
    model = new(warm_start=True).fit(X)
    first = costs(model).min()
    assert (costs(model.fit(X))[1:] < first).all() and len(costs(model)) == model.n_iter_ + 1 == 11
    cold = new().fit(X).fit(X)
    assert costs(cold).min() == first


def test_without_fitted_layers_it_starts_afresh():
    for a, b in zip(new(warm_start=True).fit(X).layers_, new().fit(X).layers_):
        np.testing.assert_array_equal(a.A, b.A)
    model = clone(new(warm_start=True).fit(X)).fit(X)  # a clone has forgotten
    np.testing.assert_array_equal(model.components_, new().fit(X).components_)


def test_it_goes_on_with_other_parameters_dtypes_and_data_points(tmp_path):
    model = new(warm_start=True).fit(X)
    A = [one.A for one in model.layers_]
    for data in (X[:60], X.astype(np.float32), sp.csr_array(X)):
        model.set_params(max_iter=0).fit(data)
        for before, one in zip(A, model.layers_):
            assert one.A.dtype == data.dtype
            np.testing.assert_allclose(
                np.sort(one.A, axis=None), np.sort(before, axis=None), atol=1e-6
            )
    save(new(warm_start=True).fit(X), tmp_path / "m")
    loaded, copied = (
        load(tmp_path / "m").fit(X),
        pickle.loads(pickle.dumps(new(warm_start=True).fit(X))).fit(X),
    )
    direct = new(warm_start=True).fit(X).fit(X)
    assert costs(loaded).tolist() == costs(copied).tolist() == costs(direct).tolist()
    labeled = direct.fit(X, Y)  # labels may come later, and leave
    assert labeled.classes_.tolist() == [0, 1, 2, 3] and not len(labeled.fit(X).classes_)
    own = lambda X, A, S, Y: (
        float(((X - A[0] @ S[0]) ** 2).sum()),
        [-2 * (X - A[0] @ S[0]) @ S[0].T, 0 * A[1]],
        [-2 * A[0].T @ (X - A[0] @ S[0]), 0 * S[1]],
    )
    callable_cost = direct.set_params(cost=own, max_iter=3).fit(X)
    assert costs(callable_cost).min() >= costs(callable_cost.fit(X)).min()


@pytest.mark.parametrize(
    "params, data, given, words",
    [
        (dict(ranks=(6, 3)), X, {}, r"ranks are \(6, 3\).*ranks=\(6, 4\).*warm_start=False"),
        (dict(ranks=(6, 4, 2)), X, {}, "ranks are"),
        ({}, X[:, :5], {}, "X has 5 features.*87 features.*warm_start=False"),
        ({}, X[:, :5].tolist(), {}, "X has 5 features"),
        (
            {},
            X,
            dict(y=np.where(Y == 2, -1, Y)),
            r"y has other classes.*layer 1.*2 is in one.*same 4 classes.*warm_start=False",
        ),
        ({}, X, dict(y=np.where(Y == 2, 9, Y)), "y has other classes"),
    ],
    ids=["ranks", "layers", "features", "list", "fewer classes", "other classes"],
)
def test_what_cannot_go_on_is_refused_and_leaves_the_model_as_it_was(params, data, given, words):
    model = new(warm_start=True).fit(X, Y)
    before = model.transform(X)
    with pytest.raises(ValueError, match=words):
        model.set_params(**params).fit(data, **given)
    np.testing.assert_array_equal(model.transform(X), before)
    assert model.certificate_ is not None
    assert model.set_params(warm_start=False).fit(data, **given).n_iter_ == 10  # the cure


def test_features_have_the_same_names():
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(87)])
    model = new(warm_start=True).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        model.fit(frame[frame.columns[::-1]])
    assert model.fit(frame).feature_names_in_[0] == "f0"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_warm_fit_resumes_to_the_same_bits(optimizer, tmp_path):
    options = dict(optimizer=optimizer, warm_start=True, **OPTIMIZERS[optimizer])
    once = lambda: new(**options).fit(X, Y)
    alone, path = once().fit(X, Y), tmp_path / "c"
    model = once()
    for n in (1, 4):
        with pytest.raises(RuntimeError, match="cut"):
            model.set_callbacks(Checkpoint(path, every=2), Says(n, cut)).fit(X, Y)
    other = once().set_callbacks(Checkpoint(path))  # a new process that has loaded the model
    for resumed in (model.set_callbacks(Checkpoint(path)).fit(X, Y), other.fit(X, Y)):
        assert costs(resumed).tolist() == costs(alone).tolist()
        for a, b in zip(resumed.layers_, alone.layers_):
            assert a.A.tobytes() == b.A.tobytes() and a.S.tobytes() == b.S.tobytes()
    with pytest.raises(ValueError, match="belongs to another fit: layers_ is different"):
        model.fit(X, Y)  # would start where this one ended
    with pytest.raises(ValueError, match="belongs to another fit: layers_ is different"):
        new(**options).set_callbacks(Checkpoint(path)).fit(X, Y)


# --- a change in the middle -----------------------------------------------------------------------


def changed(n, params, data=X, given=None, **base):
    """A model that changed after its n-th iteration."""
    return (
        new(**base)
        .set_callbacks(Says(n, lambda model: model.change(**params) and None))
        .fit(data, **(given or {}))
    )


CHANGES = {
    "step": (dict(optimizer="adam", step=0.05), dict(step=0.001)),
    "batches": (dict(optimizer="sgd", batch_size=30), dict(batch_size=10, step=0.3)),
    "lam": (dict(lam=1.0), dict(lam=0.05)),
    "labels off": (dict(lam=1.0), dict(lam=0)),
    "labels on": (dict(lam=0), dict(lam=2.0)),
    "weights": ({}, dict(depth_weights=(1, 9))),
    "cost": ({}, dict(cost="last")),
    "optimizer": (dict(optimizer="adam", step=0.05), dict(optimizer="lbfgs", step=None)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_a_stop_and_a_warm_start(name):
    base, params = CHANGES[name]
    model = changed(5, params, given=dict(y=Y), max_iter=12, **base)
    half = new(**base).set_callbacks(Says(5, lambda model: True)).fit(X, Y).set_callbacks()
    half.set_params(warm_start=True, max_iter=8, **params)
    # whose random numbers go on in one fit, and begin again in the other
    if base.get("optimizer") != "sgd":
        np.testing.assert_allclose(costs(model)[5:], costs(half.fit(X, Y))[1:], rtol=1e-6)
        np.testing.assert_allclose(
            [one.error for one in model.layers_], [one.error for one in half.layers_], rtol=1e-6
        )
    assert (
        len(costs(model))
        == len(model.history_["errors"])
        == len(model.history_["stationarity"])
        == 13
        and model.n_iter_ == 12
    )
    assert model.history_["changes"] == [(5, params)] and model.stop_reason_ == "max_iter"
    assert params.items() <= model.get_params().items() and "_changes" not in vars(model)
    assert not np.array_equal(costs(model)[5:], costs(new(max_iter=12, **base).fit(X, Y))[5:]), (
        "it had an effect"
    )


def test_the_last_run_ends_no_worse_than_it_began():
    for n in (1, 2, 7, 11):
        model = changed(n, dict(optimizer="gd", step=1e6), max_iter=10)
        kept = costs(new().fit(X))[: min(n, 11)].min()
        assert len(costs(model)) == 11 and model.history_["changes"][0][0] == n
        assert costs(model.set_params(warm_start=True, max_iter=0).set_callbacks().fit(X))[
            0
        ] <= kept * (1 + 1e-9)


WRONG = {
    "ranks": ((2,), "ranks cannot change.*lam"),
    "nonsense": (1, "nonsense cannot change"),
    "warm_start": (True, "warm_start cannot"),
    "step": (0.1, "no meaning for optimizer='lbfgs'"),
    "lam": (-1, "lam must be"),
    "cost": (len, "callable"),
    "optimizer": ("newton", "optimizer must be"),
    "depth_weights": ((1,), "depth_weights must be"),
    "tol": (-1, "tol must be"),
}


def test_changes_add_up_and_wrong_ones_are_said_at_once():
    def twice(model):
        for name, (value, words) in WRONG.items():
            with pytest.raises(ValueError, match=words):
                model.change(**{name: value})
        # the second makes sense after the first only
        model.change(optimizer="adam").change(step=0.01)

    model = new().set_callbacks(Says(4, twice)).fit(X)
    assert model.history_["changes"] == [(4, dict(optimizer="adam", step=0.01))]
    with pytest.raises(ValueError, match="No fit is running.*warm_start=True"):
        model.change(step=0.1)


def test_who_stops_wins_over_who_changes():
    model = new().set_callbacks(Says(3, lambda model: bool(model.change(lam=0.1)))).fit(X)
    assert (
        model.stop_reason_ == "callback"
        and model.history_["changes"] == []
        and model.lam == 1.0
        and len(costs(model)) == 3
    )


def test_a_change_from_another_thread_and_before_the_first_iteration():
    model = new(max_iter=30)
    started, said = threading.Event(), threading.Event()

    def other():
        started.wait(20)
        model.change(cost="last")
        said.set()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    start, sequential = model._start, []
    model._start = lambda *given: (
        started.set(),
        said.wait(20),
        sequential.append(1),
        start(*given),
    )[-1]
    model.fit(X)
    thread.join(20)
    assert (
        sequential
        and model.history_["changes"] == [(1, dict(cost="last"))]
        and len(costs(model)) == 31
    )


@pytest.mark.parametrize("n", [1, 3, 6, 9])
def test_a_changed_fit_resumes_to_the_same_bits(n, tmp_path):
    says = lambda n: Says(
        n, lambda model: model.change(lam=0.1, optimizer="adam", step=0.02) and None
    )
    alone, path = new().set_callbacks(says(5)).fit(X, Y), tmp_path / "c"
    with pytest.raises(RuntimeError, match="cut"):
        new().set_callbacks(Checkpoint(path, every=1), says(5), Says(n, cut)).fit(X, Y)
    # a change that was said once is not said again: it is in the file
    again = [says(5 - n)] if n < 5 else []
    resumed = new().set_callbacks(Checkpoint(path), *again).fit(X, Y)
    assert (
        costs(resumed).tolist() == costs(alone).tolist()
        and resumed.get_params() == alone.get_params()
    )
    assert (
        resumed.history_["changes"]
        == alone.history_["changes"]
        == [(5, dict(lam=0.1, optimizer="adam", step=0.02))]
    )


def test_ctrl_c_at_the_start_of_a_later_run_keeps_the_chain(monkeypatch):
    calls, train = [], neural.train_chain

    def interrupted(*given, **more):
        calls.append(more["callback"] is not None)  # comparing the starts has none
        if calls.count(True) == 2:
            raise KeyboardInterrupt
        return train(*given, **more)

    monkeypatch.setattr(neural, "train_chain", interrupted)
    model = changed(4, dict(lam=0.5))
    assert (
        model.stop_reason_ == "interrupted"
        and len(costs(model)) == 4
        and model.transform(X).shape == (90, 4)
    )


def test_copies_from_the_middle_know_nothing_of_the_fit():
    kept = []

    class Keeps(Says):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            kept.append((fitted_estimator, hasattr(estimator, "_changes")))

    new(max_iter=2).set_callbacks(Keeps(0, None)).fit(X)
    assert kept[0][1] and not hasattr(kept[0][0], "_changes")
    with pytest.raises(ValueError, match="No fit is running"):
        kept[0][0].change(lam=2)
    assert pickle.loads(pickle.dumps(new())).set_params(warm_start=True).fit(X).n_iter_ == 10
