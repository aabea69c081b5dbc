"""The live view: when it looks, what it shows, what its buttons do, and that training does not
notice. In a browser: test_browser.py.
"""

import base64
import inspect as python_inspect
import io
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from test_inspector import browser_tests

from nnmf_nb import (
    NMF,
    SSNMF,
    DeepNMF,
    DeepSemiNMF,
    GuidedNMF,
    HierarchicalNMF,
    LiveView,
    NeuralNMF,
    NonlinearSemiNMF,
    SparseCodingNetwork,
    UnfoldedNMF,
    datasets,
    inspect,
    load,
    save,
)
from nnmf_nb.inspector import _live as module
from nnmf_nb.inspector._pages import html_page

warnings.filterwarnings("ignore", category=ConvergenceWarning)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
TOY = datasets.toy(random_state=0)
ALWAYS = dict(rate=1e9, share=1)  # every iteration may be looked at
MODELS = {
    "NMF": NMF(5, max_iter=12, tol=0, random_state=0),
    "SSNMF": SSNMF(5, max_iter=12, tol=0, random_state=0),
    "stepwise": HierarchicalNMF(ranks=(6, 2), max_iter=12, tol=0, random_state=0),
    "neural": NeuralNMF(ranks=(6, 2), max_iter=12, tol=0, random_state=0),
    "deep": DeepNMF(ranks=(6, 2), max_iter=12, tol=0, random_state=0),
    "semi": DeepSemiNMF(ranks=(6, 2), max_iter=6, pretrain_iter=6, tol=0),
    "unfolded": UnfoldedNMF(4, max_iter=6, tol=0),
    "guided": GuidedNMF(5, seeds=[[0, 1], [40]], max_iter=12, tol=0, random_state=0),
    "nonlinear": NonlinearSemiNMF(ranks=(6, 2), max_iter=6, pretrain_iter=6, tol=0, random_state=0),
    "sparse coding": SparseCodingNetwork(
        ranks=(6, 2), pretrain_iter=6, max_iter=6, tol=0, random_state=0
    ),
}


def watched(kind="neural", X=TOY.X, y=None, **options):
    view = LiveView(**ALWAYS | dict(memory=1000) | options)
    model = clone(MODELS[kind]).set_callbacks(view)
    return view, model.fit(X) if y is None else model.fit(X, y)


def in_thread(work):
    """Run `work` beside the test; what it raises is raised by join()."""
    trouble = []

    def guarded():
        try:
            work()
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()

    def join():
        thread.join(30)
        assert not thread.is_alive() and not trouble, trouble

    return join


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


# --- when it looks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate, cost, gap",
    [(4, 0.0, 0.25), (4, 0.001, 0.25), (4, 0.1, 7.2), (1e9, 0.1, 7.2), (0.1, 0.05, 10.0)],
)
def test_throttle_keeps_rate_and_share(rate, cost, gap):
    now = [10.0]
    throttle = module.Throttle(rate, clock=lambda: now[0])
    assert throttle.due()
    now[0] += cost
    throttle.acted(10.0)
    assert throttle.next - now[0] == pytest.approx(gap)
    assert not throttle.due()
    throttle.leave_out(5.0)  # a pause buys nothing
    now[0] += 5.0
    assert throttle.next - now[0] == pytest.approx(gap)
    now[0] = throttle.next
    assert throttle.due()


def test_time_spent_never_exceeds_the_share():
    now, spent = [0.0], 0.0
    throttle = module.Throttle(1e9, clock=lambda: now[0])
    for n in range(3000):
        now[0] += 0.01
        if throttle.due():
            begun, cost = now[0], 0.05
            now[0] += cost
            throttle.acted(begun)
            spent += cost
            # with the look at the end
            assert n == 0 or spent + cost <= 0.04 * (now[0] + cost) + 1e-9
    assert spent > 0.035 * now[0]


def test_a_model_is_made_only_for_a_look(monkeypatch):
    # a hook that asks for a fitted model at every iteration would double the price of training
    import nnmf_nb.models._base as estimators

    calls, made = [], estimators.fitted_attributes
    monkeypatch.setattr(estimators, "fitted_attributes", lambda *a: calls.append(1) or made(*a))
    monkeypatch.setattr(module.Throttle, "due", lambda self: False)
    watched(keep=[4])
    assert len(calls) == 2  # the chosen iteration, and the end of every fit


def test_share_of_the_time_is_small(monkeypatch):
    # by a clock of its own: an iteration takes 1, a look 3, so one look in 72 is allowed whatever
    # the rate
    now, looks = [0.0], []
    original = module.frame_of
    monkeypatch.setattr(
        module, "frame_of", lambda *a: looks.append(now.__setitem__(0, now[0] + 3)) or original(*a)
    )
    view = LiveView(rate=1e9)
    setup = view.setup

    def with_clock(estimator, context):
        setup(estimator, context)
        view._throttle = module.Throttle(1e9, clock=lambda: now[0])

    view.setup = with_clock
    begin = view.on_fit_task_begin
    view.on_fit_task_begin = lambda estimator, context: (
        now.__setitem__(0, now[0] + 1),
        begin(estimator, context),
    )
    NeuralNMF(ranks=(6, 2), max_iter=400, tol=0, random_state=0).set_callbacks(view).fit(TOY.X)
    iterations = view._number
    assert 250 < iterations and 3 <= len(looks) <= 2 + iterations / 72


@pytest.mark.parametrize(
    "wrong", [dict(rate=0), dict(rate="fast"), dict(share=0), dict(share=-1)], ids=str
)
def test_rate_and_share_must_be_positive(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        LiveView(**wrong)


# --- what it shows --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_can_be_watched(kind):
    seen = []
    view = LiveView(**ALWAYS)
    view.observe(lambda change: seen.append(change.new["state"]), "progress")
    model = clone(MODELS[kind]).set_callbacks(view)
    model.fit(TOY.X, *([TOY.labels["level_4"]] if kind == "SSNMF" else []))
    assert (
        seen[0] == "waiting" and set(seen) == {"waiting", "running", "done"} and seen[-1] == "done"
    )
    assert len(view.curves["errors"]) == len(view.frame["layers"]) and view.epochs[0] == 1
    assert view._number >= 3 and "done" in view.controls.children[1].value
    if not hasattr(model, "layers_"):
        return
    for one, row in zip(model.layers_, view.frame["layers"]):  # the last frame is the fitted model
        assert row["error"] == pytest.approx(one.error, rel=1e-3) and row["rank"] == one.rank
    assert (
        repr(view).startswith(type(model).__name__)
        and "<table>" in view._repr_mimebundle_()["text/html"]
    )


def test_frames_show_the_strongest_features():
    view, model = watched(features=TOY.features)
    for l, row in enumerate(view.frame["layers"]):
        table = model.topics(l, TOY.features, 7)
        for topic in row["topics"]:
            assert topic["words"] == table.iloc[topic["topic"], 1:].tolist()
            assert topic["share"] == pytest.approx(table.iloc[topic["topic"], 0], rel=1e-2)
    # no names given
    assert watched()[0].frame["layers"][0]["topics"][0]["words"][0].startswith("x")
    pictures = watched(shape=(29, 3))[0].frame["layers"][0]["topics"]
    assert all("image" in topic and "words" not in topic for topic in pictures)
    view = watched(shape=(87,))[0]
    assert view.progress["shape"] == [87] and all(
        len(base64.b64decode(topic["image"])) == 87 for topic in view.frame["layers"][0]["topics"]
    )


def test_many_topics_are_cut_to_the_largest():
    layers = (
        HierarchicalNMF(ranks=(60, 3), max_iter=2, random_state=0)
        .fit(np.random.default_rng(0).random((70, 87)))
        .layers_
    )
    rows = module.frame_of(type("Model", (), {"layers_": layers})(), TOY.features)["layers"][0][
        "topics"
    ]
    shares = module.topic_shares(layers, 0)
    assert len(rows) == 40 and {r["topic"] for r in rows} == set(np.argsort(-shares)[:40])


def test_speed_is_relative_movement_per_iteration():
    a, b = np.ones((3, 2)), np.ones((3, 2)) * 1.1
    assert module.speeds([b], [a], 4)[0] == pytest.approx(0.1 / 1.1 / 4, rel=3e-2)
    assert module.speeds([b], None, 4) == [None] and module.speeds([b], [a[:2]], 4) == [None]


def test_curves_stay_short():
    curves = module.Curves(most=10)
    for i in range(1, 1000):
        curves.add(i, [1 / i, 2 / i])
    sent = curves()
    assert (
        5 <= len(sent["iterations"]) <= 10
        and sent["iterations"][0] == 1
        and sent["iterations"][-1] == 999
    )
    assert sent["errors"] == [
        [1 / i for i in sent["iterations"]],
        [2 / i for i in sent["iterations"]],
    ]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_matter(scale):
    frame, plain = (watched("stepwise", X=TOY.X * c)[0].frame for c in (scale, 1.0))
    for one, other in zip(frame["layers"], plain["layers"]):
        assert one["error"] == pytest.approx(other["error"], rel=1e-3)
        assert [t["words"] for t in one["topics"]] == [t["words"] for t in other["topics"]]
    dead, _ = watched("stepwise", X=np.zeros((90, 87)))
    # the page calls them dead
    assert all(t["share"] == 0 for row in dead.frame["layers"] for t in row["topics"])


# --- what its words do ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["NMF", "stepwise", "neural", "deep", "semi", "unfolded"])
def test_stop_ends_the_fit_and_leaves_a_fitted_model(kind):
    view = LiveView(**ALWAYS)
    view.observe(lambda change: view.stop() if change.new["iteration"] == 3 else None, "progress")
    model = clone(MODELS[kind]).set_callbacks(view).fit(TOY.X)
    assert (
        model.stop_reason_ == "callback" and view._number == 3 and view.progress["state"] == "done"
    )
    assert model.transform(TOY.X).shape[0] == 90


def test_pause_step_resume_from_another_thread():
    view = LiveView(**ALWAYS, memory=1000)
    model = NeuralNMF(ranks=(6, 2), max_iter=40, tol=0, random_state=0).set_callbacks(view)
    view.observe(
        lambda change: (
            view.pause() if change.new["iteration"] == 2 and change.old["iteration"] == 1 else None
        ),
        "progress",
    )
    seen = []

    def user():
        until(lambda: view.progress["state"] == "paused")
        seen.append(view.progress["iteration"])
        for n in (3, 4):
            view.step()
            until(
                lambda n=n: view.progress["iteration"] == n and view.progress["state"] == "paused"
            )
            seen.append(view.progress["iteration"])
        view.keep().look(1)
        assert view.frame == view._album[1][1]
        view.resume()

    join = in_thread(user)
    model.fit(TOY.X)
    join()
    assert seen == [2, 3, 4] and view._number > 4 and 4 in view.epochs
    # the end shows the end
    assert view.progress["state"] == "done" and view.progress["looking"] is None
    epochs = view.epochs
    assert view.keep().epochs == epochs  # nothing to keep any more


def test_stop_while_paused():
    view = LiveView(**ALWAYS).pause()
    join = in_thread(
        lambda: (
            until(lambda: view.progress["state"] == "running"),
            view.pause(),
            until(lambda: view.progress["state"] == "paused"),
            view.stop(),
        )
    )
    model = (
        NeuralNMF(ranks=(6, 2), max_iter=100000, tol=0, random_state=0)
        .set_callbacks(view)
        .fit(TOY.X)
    )
    join()
    assert model.stop_reason_ == "callback"


@pytest.mark.parametrize("paused", [True, False])
def test_change_from_another_thread(paused):
    y = TOY.labels["level_4"]
    view = LiveView(**ALWAYS, memory=1000)
    model = NeuralNMF(
        ranks=(6, 2), optimizer="adam", step=0.05, max_iter=60, tol=0, random_state=0
    ).set_callbacks(view)
    if paused:
        view.observe(
            lambda change: (
                view.pause() if change.new["iteration"] == 2 > change.old["iteration"] else None
            ),
            "progress",
        )
    said = []

    def user():
        until(
            lambda: view.progress["state"] == "paused" if paused else view.progress["iteration"] > 2
        )
        with pytest.raises(ValueError, match="speed cannot change"):
            view.change(speed=1)
        with pytest.raises(ValueError, match="step must be"):
            view.change(step=-1)
        assert view.change(lam=0.5, step=0.001) is view
        said.append(view.progress["state"] == "paused")
        view.resume()

    join = in_thread(user)
    model.fit(TOY.X, y)
    join()
    ((n, params),) = model.history_["changes"]
    assert (
        params == dict(lam=0.5, step=0.001)
        and (model.lam, model.step) == (0.5, 0.001)
        and said == [paused]
    )
    assert n == 2 if paused else n > 2
    assert view.curves["marks"] == [n] and view._number == len(model.history_["objective"]) == 61
    assert view.restore(n).step == 0.05 and view.restore(n + 1).step == 0.001
    assert view.progress["settings"] == dict(step=0.001, lam=0.5)
    with pytest.raises(ValueError, match="No fit is running.*warm_start"):
        view.change(step=0.1)


def test_only_neural_nmf_changes():
    seen = []
    view = LiveView(**ALWAYS)

    def once(change):
        if change.new["iteration"] == 2 and not seen:
            with pytest.raises(
                TypeError,
                match="HierarchicalNMF cannot change in the middle of a fit, only NeuralNMF",
            ):
                view.change(lam=1)
            seen.append(view.progress["settings"])

    view.observe(once, "progress")
    clone(MODELS["stepwise"]).set_callbacks(view).fit(TOY.X)
    assert seen == [{}] and view.curves["marks"] == []


def test_the_page_offers_what_means_something():
    step = dict(optimizer="adam", step=np.float32(0.5))
    assert module.settings_of(NeuralNMF(**step), False) == dict(step=0.5)
    assert module.settings_of(NeuralNMF(lam=2), True) == dict(lam=2.0)
    assert module.settings_of(NeuralNMF(optimizer="sgd"), True) == dict(step=None, lam=1.0)
    assert module.settings_of(NMF(), True) == module.settings_of(NeuralNMF(), False) == {}
    first, _ = watched()
    assert first.progress["settings"] == {} and module.marks_of(first.restore(2)) == []


@pytest.mark.parametrize("iteration", [1, 7])
def test_a_restored_model_goes_on(iteration):
    view, model = watched(y=TOY.labels["level_4"])
    old = view.restore(iteration).set_params(warm_start=True)
    again = old.fit(TOY.X, TOY.labels["level_4"])
    assert again.history_["objective"][0] == pytest.approx(
        model.history_["objective"][iteration - 1], rel=1e-9
    )
    assert (
        min(again.history_["objective"]) <= again.history_["objective"][0] and again.n_iter_ == 12
    )
    lower = (
        view.restore(iteration)
        .set_params(warm_start=True, optimizer="adam", step=0.001, lam=0.1)
        .fit(TOY.X)
    )
    assert lower.stop_reason_ == "max_iter"


def test_a_view_changes_nothing_and_can_be_used_again():
    view, model = watched(rate=4.0)
    plain = NeuralNMF(ranks=(6, 2), max_iter=12, tol=0, random_state=0).fit(TOY.X)
    for a, b in zip(plain.layers_, model.layers_):
        np.testing.assert_array_equal(a.A, b.A)
    before = view.curves
    model.fit(TOY.X[:60])
    assert view.progress["state"] == "done" and view.curves != before and view.epochs[0] == 1


def test_works_in_a_pipeline():
    view = LiveView(**ALWAYS)
    make_pipeline(
        MaxAbsScaler(),
        HierarchicalNMF(ranks=(6, 2), max_iter=5, random_state=0).set_callbacks(view),
    ).fit(TOY.X)
    assert view.progress["state"] == "done" and view.epochs


def test_an_error_during_fit_ends_the_view(monkeypatch):
    monkeypatch.setattr(module, "frame_of", lambda *a: 1 / 0)
    view = LiveView()
    with pytest.raises(ZeroDivisionError):
        NeuralNMF(ranks=(6, 2), random_state=0).set_callbacks(view).fit(TOY.X)
    assert view.progress["state"] == "done" and view.progress["reason"] == "an error"


# --- what it keeps --------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [0, 1, 5, 12])
def test_album_is_thinned_evenly(memory):
    album = module.Album([7, 8], memory)
    for i in range(1, 200):
        album.add(i, f"m{i}", {})
    album.add(199, "m199", {}, always=True)
    others = [i for i in album if i not in (7, 8, 199)]
    assert len(others) <= memory and {7, 8, 199} <= set(album)
    assert memory < 2 or (others[0] == 1 and others[-1] > 100)
    gaps = np.diff([i for i in others if i > 10])
    assert not len(gaps) or gaps.max() <= 2 * gaps.min()
    assert all(album[i][0] == f"m{i}" for i in album)
    with pytest.raises(ValueError, match="was not kept"):
        album[500]


@pytest.mark.parametrize("kind", ["NMF", "stepwise", "neural", "deep", "unfolded", "semi"])
def test_restored_models_are_models(kind, tmp_path):
    view, model = watched(kind)
    errors = view.curves["errors"][0] if view.curves["errors"] else None
    for n, i in enumerate(view.epochs):
        old = view.restore(i)
        assert (
            type(old) is type(model)
            and old.n_iter_ == i
            and not old.converged_
            and old.transform(TOY.X).shape[0] == 90
        )
        if errors is not None and hasattr(old, "layers_"):
            assert old.layers_[0].error == pytest.approx(errors[n], rel=1e-3)
            assert [one[n] is not None for one in view.curves["errors"]] == [
                l < len(old.layers_) for l in range(len(view.curves["errors"]))
            ]
    with pytest.raises(ValueError, match="was not kept"):
        view.restore(10**6)
    if kind in ("NMF", "stepwise", "neural", "deep"):
        old = view.restore(2)
        assert old.summary() and len(inspect(old).data)
        save(old, tmp_path / "old.safetensors")
        np.testing.assert_array_equal(
            load(tmp_path / "old.safetensors").transform(TOY.X), old.transform(TOY.X)
        )
        old.fit(TOY.X)  # no callbacks hang on it
        assert view.restore(2).n_iter_ == 2


def test_restored_in_the_middle_of_stepwise_training_has_the_layers_it_had():
    view, model = watched("stepwise")
    assert (
        len(view.restore(1).layers_) == 1
        and len(view.restore(view.epochs[-1]).layers_) == len(model.layers_) == 2
    )


# --- the widget, a terminal, a kernel -------------------------------------------------------------


def test_widget_mirrors_and_hears():
    pytest.importorskip("anywidget")
    view, _ = watched()
    widget = view.widget
    assert (
        widget.frame == view.frame
        and widget.progress == view.progress
        and widget.curves == view.curves
    )
    hear = lambda **content: widget._handle_custom_msg(content, [])
    hear(**{"do": "look", "with": [2]})
    assert view.progress["looking"] == 2 and widget.frame == view._album[2][1]
    hear(**{"do": "look", "with": [None]})
    assert view.progress["looking"] is None
    hear(**{"do": "look", "with": [10**6]})
    assert "was not kept" in widget.progress["error"]
    hear(do="restore")
    assert "unknown word" in widget.progress["error"]
    hear(do="change", params={"step": 0.1})
    assert "No fit is running" in widget.progress["error"]
    hear(do="keep")
    assert widget.progress["error"] == ""
    for word in ("pause", "resume", "step", "stop", "keep"):
        hear(do=word)
    assert view._remote.command == "stop"
    assert set(view._repr_mimebundle_()) == {
        "application/vnd.jupyter.widget-view+json",
        "text/html",
        "text/plain",
    }


def test_hooks_take_what_scikit_learn_gives():
    view = LiveView()
    assert "fitted_estimator" not in python_inspect.signature(view.on_fit_task_end).parameters
    view._due = True
    assert "fitted_estimator" in python_inspect.signature(view.on_fit_task_end).parameters


def test_terminal_gets_a_line_and_a_pipe_nothing(monkeypatch, capsys):
    watched()
    assert capsys.readouterr() == ("", "")
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    view, model = watched()
    lines = screen.getvalue().split("\r")
    assert (
        lines[-1].startswith(f"NeuralNMF {view._number}/")
        and lines[-1].endswith("\n")
        and "\n" not in "".join(lines[:-1])
    )


def test_without_anywidget_there_are_plain_buttons():
    pytest.importorskip("ipywidgets")
    code = """
import sys, time, threading
sys.modules["anywidget"] = None
from nnmf_nb import NeuralNMF, LiveView, datasets
view = LiveView(rate=1e6, share=1)
box = view.controls
pause, step, stop, keep = box.children[0].children
assert pause.disabled and set(view._repr_mimebundle_()) == \
{"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"}
model = NeuralNMF(ranks=(5, 2), random_state=0, max_iter=10**6, tol=0).set_callbacks(view)
def until(ready):
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end
        time.sleep(.005)
def gestures():
    until(lambda: view.progress["iteration"] >= 3)
    pause.click()
    until(lambda: view.progress["state"] == "paused" and pause.description == "resume")
    held = view.progress["iteration"]
    step.click()
    until(lambda: view.progress["iteration"] == held + 1 and view.progress["state"] == "paused")
    keep.click()
    box.children[2].value = held + 1
    assert view.progress["looking"] == held + 1
    view.look()
    assert box.children[2].value is None and f"iteration {held + 1}" in box.children[1].value
seen = []
def user():
    try:
        gestures()
        seen.append("everything")
    finally:
        stop.click()  # else a paused fit waits for ever
thread = threading.Thread(target=user)
thread.start()
model.fit(datasets.toy(0).X)
thread.join()
assert pause.disabled and "done" in box.children[1].value and "<table>" in box.children[3].value
print(model.stop_reason_, *seen)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.stdout == "callback everything\n", done.stderr


def test_without_any_widgets_there_is_text():
    code = """
import sys
sys.modules["anywidget"] = sys.modules["ipywidgets"] = None
from nnmf_nb import NMF, LiveView, datasets
view = LiveView()
NMF(3, random_state=0, max_iter=5, tol=1).set_callbacks(view).fit(datasets.toy(0).X)
print(view)
assert set(view._repr_mimebundle_()) == {"text/plain", "text/html"}
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NMF, done")


CELL = """
import numpy as np
from nnmf_nb import HierarchicalNMF, LiveView
view = LiveView(rate=50)
view.observe(lambda change: print("seen", flush=True) \
if (change.old["iteration"], change.new["iteration"]) == (0, 1) else None, "progress")
model = HierarchicalNMF(ranks=(20, 5), max_iter=10**6, tol=0, random_state=0).set_callbacks(view)
model.fit(np.random.default_rng(0).random((300, 200)))
print("reason", model.stop_reason_)
"""


def test_buttons_reach_a_busy_kernel(tmp_path, monkeypatch):
    # What a page without subshells does: it sends on the shell channel, while the kernel is in a
    # cell. A second cell waits its turn.
    pytest.importorskip("ipykernel")
    pytest.importorskip("anywidget")
    from ipykernel.kernelspec import write_kernel_spec
    from jupyter_client.manager import start_new_kernel

    write_kernel_spec(tmp_path / "kernels" / "python3")
    # searched first: a kernel python3 of the user's is another interpreter
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        first = client.execute(CELL)
        comm, texts, sent, done = None, "", False, set()
        end = time.monotonic() + 60
        while len(done) < 2:
            assert time.monotonic() < end, f"the kernel did not hear the button: {texts}"
            message = client.get_iopub_msg(timeout=60)
            kind, content = message["msg_type"], message["content"]
            assert kind != "error", content
            if kind == "comm_open" and "progress" in content["data"].get("state", {}):
                comm = content["comm_id"]
            if kind == "stream":
                texts += content["text"]
            if comm and "seen" in texts and not sent:
                second = client.execute("print('second', model.stop_reason_)")
                data = {"method": "custom", "content": {"do": "stop"}}
                client.shell_channel.send(
                    client.session.msg("comm_msg", {"comm_id": comm, "data": data})
                )
                sent = True
            if (
                kind == "status"
                and content["execution_state"] == "idle"
                and sent
                and message["parent_header"].get("msg_id") in (first, second)
            ):
                done.add(message["parent_header"]["msg_id"])
        assert texts.replace("seen", "").split() == ["reason", "callback", "second", "callback"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_last_iteration_is_drawn():
    # a view that may hardly ever look, and a fit of few iterations
    view = LiveView(rate=0.01)
    model = HierarchicalNMF((6, 2), max_iter=8, tol=0, random_state=0).set_callbacks(view)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(TOY.X)
    seen = view.curves
    assert view.progress["iteration"] == seen["iterations"][-1] > seen["iterations"][0]
    errors = [one[-1] for one in seen["errors"]]
    np.testing.assert_allclose(errors, [one.error for one in model.layers_], rtol=2e-4)
    assert len(set(seen["iterations"])) == len(seen["iterations"])


def test_a_look_says_what_is_shown_before_it_shows_it():
    view = LiveView(keep=[2], rate=1e6, share=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NMF(4, max_iter=6, tol=0, random_state=0).set_callbacks(view).fit(TOY.X)
    looking = []
    view.observe(lambda change: looking.append(view.progress["looking"]), "frame")
    view.look(2).look(None)
    assert looking == [2, None]


DRAW = """
const model = { get: (name) => state[name], on() {}, off() {} };
renderLive({ model, el });
"""


@browser_tests
@pytest.mark.parametrize("is_rising", [False, True])
def test_page_says_why_the_error_of_a_level_rises(chromium, tmp_path, is_rising):
    """Only where one does; and curves are lines, floors too: nothing is filled."""
    view, _ = watched("neural")
    curves = view.curves
    if is_rising:
        errors = [list(one) for one in curves["errors"]]
        errors[0][-1] = max(one for one in errors[0] if one is not None)
        curves = curves | {"errors": errors}
    state = dict(progress=view.progress, frame=view.frame, curves=curves)
    path = tmp_path / "live.html"
    path.write_text(html_page("live", "live.js", DRAW, state, ""), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.locator(".depth .chart").nth(1).wait_for()
    said = page.locator(".live .why").all_inner_texts()
    assert [one.startswith("All levels are trained together") for one in said] == [True] * is_rising
    fills = page.locator(".chart path").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).fill)"
    )
    assert len(fills) >= 4 and set(fills) == {"none"}
    page.close()
