"""scikit-learn's callback protocol: what a model reports while it is fitted, and who may stop
it.
"""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from nnmf_nb import DeepNMF, HierarchicalNMF, NeuralNMF, UnfoldedNMF, datasets
from nnmf_nb.models._base import EarlyStopping, hidden_score

TOY = datasets.toy(random_state=0)
MODELS = [
    E(ranks=(6, 2), max_iter=8, tol=0, random_state=0)
    for E in (HierarchicalNMF, NeuralNMF, DeepNMF)
]


class Diary:
    """Notes every hook; stops at iteration `stop`."""

    def __init__(self, stop=None):
        self.stop, self.events, self.errors = stop, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        assert X is TOY.X and y is None
        if context.task_name == "iteration":
            assert fitted_estimator.transform(X).shape == (
                len(X),
                fitted_estimator.components_.shape[0],
            )
            self.errors.append(fitted_estimator.reconstruction_err_)
        return len(self.errors) == self.stop


@pytest.fixture(params=MODELS, ids=lambda m: type(m).__name__)
def model(request):
    return clone(request.param)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_hooks_are_called_in_order_and_torn_down(model):
    diary = Diary()
    model.set_callbacks(diary).fit(TOY.X)
    n = len(diary.errors)
    assert n >= 8
    assert diary.events == [
        "setup",
        "begin fit",
        *["begin iteration", "end iteration"] * n,
        "end fit",
        "teardown",
    ]
    assert not hasattr(model, "_callback_fit_ctx")


def test_a_callback_changes_nothing(model):
    plain = clone(model).fit(TOY.X)
    watched = model.set_callbacks(Diary()).fit(TOY.X)
    for a, b in zip(plain.layers_, watched.layers_):
        np.testing.assert_array_equal(a.A, b.A)
        np.testing.assert_array_equal(a.S, b.S)


def test_a_callback_stops_the_fit(model, recwarn):
    diary = Diary(stop=3)
    model.set_callbacks(diary).fit(TOY.X)
    assert len(diary.errors) == 3 and model.stop_reason_ == "callback" and not model.converged_
    assert len(model.layers_) == 2 and model.transform(TOY.X).shape == (90, 2)
    assert not recwarn.list, "stopping was asked for: nothing to warn of"


def test_without_a_callback_no_model_is_made(model, monkeypatch):
    import nnmf_nb.models._base as estimators

    calls, made = [], estimators.fitted_attributes
    monkeypatch.setattr(estimators, "fitted_attributes", lambda *a: calls.append(1) or made(*a))
    model.fit(TOY.X)
    assert len(calls) == 1


def test_monitor_in_pipeline_and_search(model):
    monitor = ScoringMonitor(scoring=lambda m, X, y: {"explained": m.score(X)})
    y = TOY.labels["level_4"]
    make_pipeline(MaxAbsScaler(), model.set_callbacks(monitor)).fit(TOY.X, y)
    log = monitor.get_logs().data_as_pandas
    assert (
        len(log) >= 8
        and log["explained"].between(0, 1).all()
        and (log["estimator_name"] == type(model).__name__).all()
    )
    search = GridSearchCV(
        clone(model),
        {"ranks": [(4, 2), (5, 2)]},
        cv=KFold(2, shuffle=True, random_state=0),
        error_score="raise",
    ).set_callbacks(ProgressBar())
    assert search.fit(TOY.X, y).best_score_ > 0.5


def test_early_stopping_keeps_the_best():
    rng = np.random.default_rng(0)
    X = TOY.X + rng.gamma(1.0, 1.0, TOY.X.shape)
    known = rng.random(X.shape) < 0.7
    stopper = EarlyStopping(hidden_score(X, known), patience=15)
    model = (
        HierarchicalNMF(ranks=9, max_iter=100, tol=0, random_state=0)
        .set_callbacks(stopper)
        .fit(np.where(known, X, np.nan), mask=known)
    )
    assert model.stop_reason_ == "callback" and len(stopper.scores) < 100
    assert hidden_score(X, known)(stopper.best) == max(stopper.scores) > stopper.scores[-1]
    patient = EarlyStopping(hidden_score(X, known), patience=1000, tol=0.0)
    HierarchicalNMF(ranks=9, max_iter=20, tol=0, random_state=0).set_callbacks(patient).fit(
        X, mask=known
    )
    assert len(patient.scores) == 20
    eager = EarlyStopping(hidden_score(X, known), patience=2, tol=1.0)
    HierarchicalNMF(ranks=9, max_iter=20, tol=0, random_state=0).set_callbacks(eager).fit(
        X, mask=known
    )
    assert len(eager.scores) == 3


def test_hidden_score_refuses_nonsense():
    with pytest.raises(ValueError, match="shape"):
        hidden_score(TOY.X, np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="hides nothing"):
        hidden_score(TOY.X, np.ones(TOY.X.shape, bool))
    for scale in (1e-30, 1e30):
        known = np.random.default_rng(0).random(TOY.X.shape) < 0.7
        model = HierarchicalNMF(ranks=(9,), random_state=0).fit(TOY.X * scale, mask=known)
        assert 0 < hidden_score(TOY.X * scale, known)(model) <= 1


def test_unfolded_updates_report_too():
    scores = []
    stopper = EarlyStopping(
        lambda model: scores.append(-model.reconstruction_err_) or scores[-1], patience=3, tol=1e9
    )
    model = UnfoldedNMF(4, max_iter=20, tol=0).set_callbacks(stopper).fit(TOY.X)
    assert model.stop_reason_ == "callback" and len(scores) == 4
    assert stopper.best.transform(TOY.X).shape == (90, 4)
