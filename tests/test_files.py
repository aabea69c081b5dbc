"""Files: what was saved comes back to the last bit, nothing else comes in, and a failing disk harms
nothing.
"""

import copy
import errno
import inspect
import json
import math
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import zoo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as to_bytes
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import NMF as TheirNMF
from sklearn.exceptions import ConvergenceWarning
from strategies import examples

import nnmf_nb
from nnmf_nb import (
    NMF,
    SSNMF,
    DeepNMF,
    DeepSemiNMF,
    GuidedNMF,
    HierarchicalNMF,
    MiniBatchNMF,
    MiniBatchSSNMF,
    NeuralNCPD,
    NeuralNMF,
    NonlinearSemiNMF,
    NonnegativeCP,
    SparseCodingNetwork,
    UnfoldedNMF,
    load,
    save,
)
from nnmf_nb.persistence._files import KEY, decode, digest, encode, fields_of, read

X = np.random.default_rng(0).gamma(0.5, 1.0, (24, 4)) @ np.random.default_rng(1).gamma(
    0.5, 1.0, (4, 9)
)
LABELS = np.array(["cat", "dog", "owl"], dtype=object)[np.arange(24) % 3]


def same(a, b):
    """Equal in value, type, dtype, memory order and every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype == object:
            return a.shape == b.shape and all(same(x, y) for x, y in zip(a.ravel(), b.ravel()))
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and a.flags.f_contiguous == b.flags.f_contiguous
            and a.tobytes() == b.tobytes()
        )
    if fields_of(a) is not None:
        return same(fields_of(a), fields_of(b))
    if isinstance(a, BaseEstimator):
        return same(a.__getstate__(), b.__getstate__())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or a != a and b != b


def fitted(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


MODELS = {
    "NMF": (NMF(3, random_state=0), (X,)),
    "NMF-fixed": (NMF(3, fixed=np.eye(9)[:1], random_state=0), (X,)),
    "NMF-KL": (NMF(3, solver="mu", beta_loss="kullback-leibler", random_state=0), (X,)),
    "NMF-float32": (NMF(3, random_state=0), (X.astype(np.float32),)),
    "HierarchicalNMF": (HierarchicalNMF((4, 2), random_state=0), (X,)),
    "DeepNMF": (DeepNMF((4, 2), random_state=0), (X,)),
    "DeepSemiNMF": (DeepSemiNMF((4, 2), random_state=0), (X - 1.0,)),
    "NonlinearSemiNMF": (NonlinearSemiNMF((4, 2), random_state=0, max_iter=20), (X - 1.0,)),
    "UnfoldedNMF": (
        UnfoldedNMF((2, 2), n_layers=2, source_weights=(1.0, 0.5), max_iter=20),
        (X, np.hstack([X / 4, 3 * X / 4])),
    ),
    "SparseCodingNetwork": (SparseCodingNetwork((4, 2), random_state=0, max_iter=20), (X, LABELS)),
    "SparseCodingNetwork-bare": (SparseCodingNetwork((4, 2), random_state=0), (X,)),
    "NeuralNMF": (NeuralNMF((4, 2), random_state=0, max_iter=50), (X,)),
    "SSNMF": (SSNMF(3, random_state=0), (X, LABELS)),
    "GuidedNMF": (GuidedNMF(3, seeds={"a": [0, 1], "b": [5]}, random_state=0), (X,)),
    "MiniBatchNMF": (MiniBatchNMF(3, batch_size=9, random_state=0), (X,)),
    "MiniBatchSSNMF": (MiniBatchSSNMF(3, batch_size=9, random_state=0), (X, LABELS)),
    "NeuralNMF-labels": (NeuralNMF((4, 2), random_state=0, max_iter=20), (X, LABELS)),
    "NonnegativeCP": (NonnegativeCP(3, random_state=0), (X,)),
    "NeuralNCPD": (NeuralNCPD((4, 2), random_state=0), (X, LABELS)),
}


@pytest.fixture(params=MODELS)
def model(request):
    model, data = MODELS[request.param]
    return fitted(clone(model), *data)


def estimators():
    found = (getattr(nnmf_nb, name) for name in nnmf_nb.__all__ if name not in zoo.SEARCHES)
    return [one for one in found if isinstance(one, type) and issubclass(one, BaseEstimator)]


# --- there and back -------------------------------------------------------------------------------


def test_every_estimator_is_among_the_models():
    assert {type(model) for model, _ in MODELS.values()} == {*estimators()}


def test_a_model_comes_back_to_the_last_bit(model, tmp_path):
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert (
        same(again, model)
        and repr(again) == repr(model)
        and again.get_params().keys() == model.get_params().keys()
    )
    assert (again.transform(X) == model.transform(X)).all()
    for method in ("predict", "predict_proba"):
        assert hasattr(again, method) == hasattr(model, method)
        if hasattr(model, method):
            assert (getattr(again, method)(X) == getattr(model, method)(X)).all()
    assert list(again.get_feature_names_out()) == list(model.get_feature_names_out())


def test_a_loaded_model_is_a_model(model, tmp_path):
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert same(pickle.loads(pickle.dumps(again)), model) and repr(clone(again)) == repr(
        clone(model)
    )
    save(again, tmp_path / "twice")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "twice").read_bytes()
    factors = [
        F
        for one in getattr(again, "layers_", [])
        for F in fields_of(one).values()
        if isinstance(F, np.ndarray)
    ]
    factors += getattr(again, "factors_", None) or [again.components_]
    assert all(F.flags.writeable for F in factors)


@pytest.mark.parametrize(
    "name", ["NMF", "HierarchicalNMF", "NeuralNMF-labels", "SparseCodingNetwork"]
)
def test_a_loaded_model_can_be_fitted_again(name, tmp_path):
    model, data = MODELS[name]
    model = fitted(clone(model), *data)
    save(model, tmp_path / "m")
    assert same(fitted(load(tmp_path / "m"), *data), fitted(clone(model), *data))


@pytest.mark.parametrize("kind", estimators(), ids=lambda kind: kind.__name__)
def test_every_estimator_unfitted(kind, tmp_path):
    model = kind().set_params(
        **{
            name: 7
            for name in ("max_iter", "random_state")
            if name in inspect.signature(kind).parameters
        }
    )
    save(model, tmp_path / "m")
    again = load(str(tmp_path / "m"))
    assert same(again, model) and repr(again) == repr(model)


def test_a_model_loads_in_another_process(tmp_path):
    model = fitted(NeuralNMF((4, 2), random_state=0), X)
    save(model, tmp_path / "m")
    code = (
        "from nnmf_nb import load; "
        f"print(load({str(tmp_path / 'm')!r}).components_.tobytes().hex())"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.strip() == model.components_.tobytes().hex()


def test_pandas_names_and_output_settings_stay(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"gene {i}" for i in range(9)])
    model = fitted(HierarchicalNMF((4, 2), random_state=0), frame).set_output(transform="pandas")
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert same(again.feature_names_in_, model.feature_names_in_) and again.transform(frame).equals(
        model.transform(frame)
    )
    unfitted = HierarchicalNMF().set_output(transform="pandas")
    save(unfitted, tmp_path / "m")
    assert same(load(tmp_path / "m"), unfitted)


def test_arrays_of_other_namespaces_come_back_as_numpy(tmp_path):
    xp = pytest.importorskip("array_api_strict")
    model = fitted(
        HierarchicalNMF((3, 2), max_iter=3, n_init_upper=1, random_state=0), xp.asarray(X)
    )
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert isinstance(again.layers_[0].A, np.ndarray) and np.allclose(
        again.transform(X), np.asarray(model.transform(xp.asarray(X)))
    )


@pytest.mark.gpu
def test_a_model_moves_from_gpu_to_cpu_and_back(tmp_path):
    import cupy

    model = fitted(HierarchicalNMF((4, 2), random_state=0, device="cuda"), X)
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert (
        isinstance(again.layers_[0].A, np.ndarray)
        and (again.layers_[0].A == cupy.asnumpy(model.layers_[0].A)).all()
    )
    assert cupy.allclose(again.transform(X), model.transform(X))
    assert np.allclose(
        again.set_params(device="cpu").transform(X), cupy.asnumpy(model.transform(X))
    )


def test_device_arrays_are_asked_for_their_host_copy(monkeypatch):
    Fake = type("ndarray", (), {"__module__": "cupy", "get": lambda self: np.arange(3.0)})
    # array-api-compat knows CuPy's arrays by their class
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=Fake))
    tensors = {}
    assert same(decode(encode(Fake(), tensors, "x"), tensors), np.arange(3.0))


def test_a_fit_that_failed_is_no_fit(tmp_path):
    model = NMF(3)
    with pytest.raises(ValueError):
        model.fit(-X)
    assert hasattr(model, "n_features_in_")
    save(model, tmp_path / "m")
    assert not hasattr(load(tmp_path / "m"), "n_features_in_")


def test_callbacks_stay_outside(tmp_path):
    class Nothing:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context): ...

    model = fitted(NMF(3, random_state=0).set_callbacks(Nothing()), X)
    save(model, tmp_path / "m")
    assert (load(tmp_path / "m").transform(X) == model.transform(X)).all()


VALUES = [
    None,
    True,
    3,
    -(10**40),
    0.1,
    -0.0,
    math.inf,
    -math.inf,
    "text \u2713 \udc80",
    b"bytes"[:0].decode(),
    (),
    (1, (2.5, None)),
    [],
    [[1], "a"],
    {},
    {"a": 1, 2: (3,), None: [4]},
    np.float64(0.1),
    np.int32(3),
    np.str_("x"),
    np.bool_(True),
    np.datetime64("2020-01-01"),
]
ARRAYS = [
    np.array(2.5),
    np.zeros((0, 3)),
    np.arange(6.0).reshape(2, 3),
    np.arange(6.0).reshape(2, 3).T,
    np.arange(24.0).reshape(2, 3, 4).T,
    np.arange(6.0)[::2],
    np.arange(6, dtype=">f8"),
    np.array([1 + 2j]),
    np.array(["a", "\u00e9l\u00e8ve", ""]),
    np.array([], dtype="U7"),
    np.array([b"a", b"bc"]),
    np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    np.array([1, None, "x", (2, 3)], dtype=object),
    np.array([True, False]),
    np.array([np.nan, -0.0, np.inf]),
    np.array([["a", "b"], ["c", "d"]], dtype=object),
    np.array(["b", "a"], dtype=">U1"),
    *[np.arange(3).astype(kind) for kind in "bBhHiIlLqQefdgFD"],
]


@pytest.mark.parametrize("value", [*VALUES, *ARRAYS], ids=repr)
def test_every_kind_of_value(value):
    tensors = {}
    text = json.dumps(encode(value, tensors, "x"), allow_nan=False)
    got = decode(json.loads(text), tensors)
    if isinstance(value, np.ndarray) and not (value.flags.c_contiguous or value.flags.f_contiguous):
        value = value.copy()
    assert same(got, value)
    assert math.copysign(1, got) == math.copysign(1, value) if type(value) is float else True


def test_strange_label_and_name_arrays_survive_the_file(tmp_path):
    model = fitted(NMF(3, random_state=0), X)
    model.classes_, model.history_ = (
        np.array(["\u00e9", 3, None], dtype=object),
        {"a": [math.inf, math.nan], 1: ARRAYS},
    )
    save(model, tmp_path / "m")
    assert (
        same(load(tmp_path / "m").classes_, model.classes_)
        and load(tmp_path / "m").history_["a"][0] == math.inf
    )


# --- refused before anything is written -----------------------------------------------------------


def my_cost(X, A, S, Y):
    return 0.0, [0 * a for a in A], [0 * s for s in S]


@pytest.mark.parametrize(
    "model, message",
    [
        (NeuralNMF(cost=my_cost), "parameter cost is the function my_cost.*set_params"),
        (NeuralNMF(cost=lambda *a: 0), "parameter cost is the function .*lambda"),
        (
            NMF(random_state=np.random.default_rng(0)),
            "parameter random_state is of type Generator.*set_params",
        ),
        (NMF(fixed=np.ma.masked_array([[1.0]], [[True]])), "parameter fixed is an array"),
        (TheirNMF(), "sklearn.decomposition._nmf.NMF is not one of them"),
        (type("NMF", (NMF,), {})(), "is not one of them"),
        (type("Mine", (NMF,), {})(), "'Mine' is no estimator of nnmf_nb"),
        (3, "'int' is no estimator"),
    ],
)
def test_what_no_file_can_hold(model, message, tmp_path):
    (tmp_path / "m").write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        save(model, tmp_path / "m")
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m").read_bytes() == b"old"


def test_a_fitted_custom_cost_can_be_saved_after_the_cure(tmp_path):
    model = fitted(NeuralNMF((4, 2), cost=my_cost, random_state=0), X)
    with pytest.raises(ValueError, match="parameter cost"):
        save(model, tmp_path / "m")
    save(model.set_params(cost="every"), tmp_path / "m")
    assert (load(tmp_path / "m").transform(X) == model.transform(X)).all()


def test_a_broken_model_is_not_written(tmp_path):
    model = fitted(NMF(3, random_state=0), X)
    model.components_[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        save(model, tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_too_much_text_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nnmf_nb.persistence._files.LONGEST", 100)
    with pytest.raises(ValueError, match="shorten history_"):
        save(NMF(), tmp_path / "m")


# --- disks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_failing_disk_leaves_the_old_file(step, error, tmp_path, monkeypatch):
    save(NMF(2), tmp_path / "m")
    old = (tmp_path / "m").read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(
        type(error), match="could not be saved.*unchanged" if isinstance(error, OSError) else None
    ) as caught:
        save(NMF(3), tmp_path / "m")
    assert getattr(caught.value, "errno", None) == getattr(error, "errno", None)
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m").read_bytes() == old


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_disk_that_is_really_full(tmp_path):
    # A limit on the size of files makes the system itself refuse in the middle of the write.
    save(NMF(2), tmp_path / "m")
    old = (tmp_path / "m").read_bytes()
    code = f"""
        import resource, signal
        from nnmf_nb import NMF, save
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        try: save(NMF(3), {str(tmp_path / "m")!r})
        except OSError as error: print(error)
    """
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    got = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=env
    )
    assert "could not be saved" in got.stdout and "unchanged" in got.stdout, got
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m").read_bytes() == old


@pytest.mark.parametrize("where", ["missing/m", "."])
def test_places_that_cannot_be_written(where, tmp_path):
    with pytest.raises(OSError, match="could not be saved"):
        save(NMF(), tmp_path / where)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"), reason="needs a folder that nobody may write to"
)
def test_a_read_only_folder():
    with pytest.raises(OSError, match="could not be saved"):
        save(NMF(), "/proc/self/m")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(NMF(2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and load(tmp_path / "real").n_components == 2


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")
    with pytest.raises(OSError):
        load(tmp_path)


# --- foreign and hostile files --------------------------------------------------------------------

GOOD = fitted(NMF(2, random_state=0), X)


def text_and_tensors(tmp_path, model=GOOD):
    save(model, tmp_path / "good")
    text, tensors = read(tmp_path / "good")
    return json.loads(text), tensors


def forged(path, tree, tensors, version="1"):
    """A file with a correct digest for whatever is in it."""
    text = tree if isinstance(tree, str) else json.dumps(tree)
    path.write_bytes(to_bytes(tensors, {KEY: f"{version} {digest(text, tensors)} {text}"}))
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x04\x95pickle",
        b"\xff" * 64,
        (2**62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        to_bytes({"x": np.zeros(3)}),
        to_bytes({"x": np.zeros(3)}, {"format": "pt"}),
        b"PK\x03\x04" + b"\0" * 99,
    ],
    ids=range(9),
)
def test_foreign_files(content, tmp_path):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(tmp_path / "m")


def test_truncated_anywhere(tmp_path):
    save(GOOD, tmp_path / "m")
    whole = (tmp_path / "m").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "m").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut off"):
            load(tmp_path / "m")


@pytest.mark.parametrize(
    "version, message",
    [
        ("2", "update nnmf_nb"),
        ("0", "reads 1"),
        ("", "reads 1"),
        ("1.0", "reads 1"),
        ("9" * 5000, "reads 1"),
        ("-1", "reads 1"),
    ],
)
def test_unknown_versions(version, message, tmp_path):
    tree, tensors = text_and_tensors(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(forged(tmp_path / "m", tree, tensors, version=version))


def header(**entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F64", "shape": [10**15, 10**15], "data_offsets": [0, 8]},
        {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]},
        {"dtype": "F64", "shape": [1], "data_offsets": [8, 0]},
        {"dtype": "F64", "shape": [1], "data_offsets": [-8, 0]},
        {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]},
        {"dtype": "O", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F64", "shape": "1", "data_offsets": [0, 8]},
        {"shape": [1], "data_offsets": [0, 8]},
    ],
)
def test_hostile_headers(entry, tmp_path):
    tree, tensors = text_and_tensors(tmp_path)
    text = json.dumps(tree)
    (tmp_path / "m").write_bytes(
        header(__metadata__={KEY: f"1 {digest(text, {})} {text}"}, **{"0": entry}) + b"\0" * 8
    )
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(tmp_path / "m")


def array_node(**change):
    return {"is": "array", "name": "0", "order": "C"} | change


HOSTILE = {
    "class of the system": lambda t: t.update({"class": "os.system"}),
    "class of another package": lambda t: t.update({"class": "sklearn.svm.SVC"}),
    "a function of this package": lambda t: t.update({"class": "nnls"}),
    "a module of this package": lambda t: t.update({"class": "datasets"}),
    "class that is a list": lambda t: t.update({"class": ["NMF"]}),
    "no class": lambda t: t.pop("class"),
    "no params": lambda t: t.pop("params"),
    "params a list": lambda t: t.update(params=[1]),
    "unknown parameter": lambda t: t["params"].update(harm=1),
    "fitted null": lambda t: t.update(fitted=None),
    "no components": lambda t: t["fitted"].pop("components_"),
    "no layers": lambda t: t["fitted"].pop("layers_"),
    "no n_features_in_": lambda t: t["fitted"].pop("n_features_in_"),
    "other n_features_in_": lambda t: t["fitted"].update(n_features_in_=8),
    "n_features_in_ text": lambda t: t["fitted"].update(n_features_in_="9"),
    "other number of outputs": lambda t: t["fitted"].update(_n_features_out=5),
    "layers not a list": lambda t: t["fitted"].update(layers_=3),
    "layers empty": lambda t: t["fitted"].update(layers_=[]),
    "layers twice": lambda t: t["fitted"].update(layers_=t["fitted"]["layers_"] * 2),
    "layer without S": lambda t: t["fitted"]["layers_"][0]["fields"].pop("S"),
    "layer with S null": lambda t: t["fitted"]["layers_"][0]["fields"].update(S=None),
    "layer with S text": lambda t: t["fitted"]["layers_"][0]["fields"].update(S="abc"),
    "layer with one field more": lambda t: t["fitted"]["layers_"][0]["fields"].update(harm=1),
    "record elsewhere": lambda t: t["fitted"]["layers_"][0].update({"class": "os.stat_result"}),
    "record a function": lambda t: t["fitted"]["layers_"][0].update({"class": "layers.describe"}),
    "record a path": lambda t: t["fitted"]["layers_"][0].update({"class": "../layers.Layer"}),
    "record imported": lambda t: t["fitted"]["layers_"][0].update({"class": "layers.DataMatrix"}),
    "record that is no record": lambda t: t["fitted"]["layers_"][0].update(
        {"class": "backend.ThreadPoolExecutor"}
    ),
    "record a number": lambda t: t["fitted"]["layers_"][0].update({"class": 5}),
    "attribute fit": lambda t: t["fitted"].update(fit=1),
    "attribute transform": lambda t: t["fitted"].update(transform=1),
    "attribute __class__": lambda t: t["fitted"].update(__class__=1),
    "attribute __dict__": lambda t: t["fitted"].update(__dict__=1),
    "attribute a path": lambda t: t["fitted"].update({"../x_": 1}),
    "attribute a parameter": lambda t: t["fitted"].update(tol=1),
    "attribute callbacks": lambda t: t["fitted"].update(_skl_callbacks=[]),
    "no such array": lambda t: t["fitted"].update(components_=array_node(name="../../etc")),
    "array name a list": lambda t: t["fitted"].update(components_=array_node(name=[0])),
    "array without order": lambda t: t["fitted"].update(components_={"is": "array", "name": "0"}),
    "unknown kind": lambda t: t["fitted"].update(x_={"is": "pickle", "data": "gASV"}),
    "kind a list": lambda t: t["fitted"].update(x_={"is": [1]}),
    "no kind": lambda t: t["fitted"].update(x_={"a": 1}),
    "dtype object": lambda t: t["fitted"].update(x_=array_node(dtype="O", shape=[1])),
    "dtype of floats": lambda t: t["fitted"].update(x_=array_node(dtype="<U9999999", shape=[1])),
    "objects that do not fill": lambda t: t["fitted"].update(
        x_={"is": "objects", "shape": [10**12], "values": [1]}
    ),
    "objects of negative shape": lambda t: t["fitted"].update(
        x_={"is": "objects", "shape": [-1], "values": [1]}
    ),
    "objects of shape true": lambda t: t["fitted"].update(
        x_={"is": "objects", "shape": [True], "values": [1]}
    ),
    "dict with a list as key": lambda t: t["fitted"].update(x_={"is": "dict", "items": [[[1], 2]]}),
    "dict of single items": lambda t: t["fitted"].update(x_={"is": "dict", "items": [1, 2]}),
    "float that is none": lambda t: t["fitted"].update(x_={"is": "float", "text": "1e3"}),
    "tuple of a number": lambda t: t["fitted"].update(x_={"is": "tuple", "values": 3}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_models_with_a_correct_digest(name, tmp_path):
    tree, tensors = text_and_tensors(tmp_path)
    HOSTILE[name](tree)
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(forged(tmp_path / "m", tree, tensors))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        '"NMF"',
        "{",
        "NaN",
        '{"class": "NMF", "params": {"tol": NaN}, "fitted": {}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 10_000,
    ],
    ids=range(11),
)
def test_hostile_json(text, tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(forged(tmp_path / "m", text, {}))


def test_deep_nesting_that_json_can_read(tmp_path):
    deep = 1
    for _ in range(400):
        deep = {"is": "tuple", "values": [deep]}
    tree, tensors = text_and_tensors(tmp_path)
    tree["fitted"]["x_"] = deep
    try:
        load(forged(tmp_path / "m", tree, tensors))
    except ValueError as error:
        assert "cannot be loaded" in str(error)


def change_tensors(kind, tensors):
    changes = {
        "nan": lambda a: np.where(a == a.max(), np.nan, a),
        "int": lambda a: a.astype(np.int64),
        "half": lambda a: a.astype(np.float16),
        "flat": np.ravel,
        "wide": lambda a: np.hstack([a, a]),
        "empty": lambda a: a[:0],
        "bytes": lambda a: a.view(np.uint8),
    }
    tensors.update({name: changes[kind](a) for name, a in tensors.items() if a.ndim == 2})


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", ["nan", "int", "half", "flat", "wide", "empty", "bytes"])
@pytest.mark.parametrize(
    "name", ["NMF", "HierarchicalNMF", "DeepSemiNMF", "UnfoldedNMF", "SparseCodingNetwork"]
)
def test_arrays_of_the_wrong_kind(kind, name, tmp_path):
    model, data = MODELS[name]
    tree, tensors = text_and_tensors(tmp_path, fitted(clone(model), *data))
    change_tensors(kind, tensors)
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(forged(tmp_path / "m", tree, tensors))


@pytest.mark.parametrize("change", ["one layer less", "S of another layer", "layers exchanged"])
def test_layers_that_are_no_chain(change, tmp_path):
    tree, tensors = text_and_tensors(tmp_path, fitted(HierarchicalNMF((4, 2), random_state=0), X))
    layers = tree["fitted"]["layers_"]
    if change == "one layer less":
        layers.pop()
    elif change == "S of another layer":
        layers[0]["fields"]["S"] = layers[1]["fields"]["S"]
    else:
        layers.reverse()
    with pytest.raises(ValueError, match="layer does not fit the rest"):
        load(forged(tmp_path / "m", tree, tensors))


def test_text_with_impossible_characters(tmp_path):
    tree, tensors = text_and_tensors(tmp_path)
    tree["fitted"]["x_"] = array_node(name="t", dtype="<U1", shape=[1])
    tensors["t"] = np.full(4, 255, dtype=np.uint8)
    with pytest.raises(ValueError, match="characters that do not exist"):
        load(forged(tmp_path / "m", tree, tensors))


@pytest.mark.parametrize("content", ["", "1", "1 ", "1 abc", "1 abc {}", " 1 {}"])
def test_a_missing_digest_or_model(content, tmp_path):
    (tmp_path / "m").write_bytes(to_bytes({}, {KEY: content}))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(tmp_path / "m")


def test_an_older_file_without_a_younger_parameter(tmp_path):
    tree, tensors = text_and_tensors(tmp_path)
    del tree["params"]["n_init"]
    again = load(forged(tmp_path / "m", tree, tensors))
    assert again.n_init == NMF().n_init and (again.transform(X) == GOOD.transform(X)).all()


def test_loading_imports_and_runs_nothing(tmp_path, monkeypatch):
    tree, tensors = text_and_tensors(tmp_path)
    tree["fitted"]["layers_"][0]["class"] = "this.Zen"
    sys.modules.pop("this", None)
    with pytest.raises(ValueError):
        load(forged(tmp_path / "m", tree, tensors))
    assert "this" not in sys.modules and "nnmf_nb.this" not in sys.modules


# --- fuzz -----------------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def loads_or_refuses(path):
    try:
        return load(path)
    except (ValueError, OSError):
        return None


@pytest.mark.parametrize("name", ["NMF", "SparseCodingNetwork"])
@FUZZ
@given(data=st.data())
def test_bytes_changed_anywhere(name, data, tmp_path):
    model, arguments = MODELS[name]
    if not (tmp_path / "good").exists():
        save(fitted(clone(model), *arguments), tmp_path / "good")
    content = bytearray((tmp_path / "good").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 200))
        what = data.draw(st.sampled_from(["flip", "flip", "insert", "delete", "repeat"]))
        if what == "flip":
            content[at] = data.draw(st.integers(0, 255))
        elif what == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif what == "delete":
            del content[at : at + data.draw(st.integers(1, 300))]
        else:
            content[at:at] = content[at : at + 100]
    (tmp_path / "bad").write_bytes(content)
    got = loads_or_refuses(tmp_path / "bad")
    assert got is None or same(got, load(tmp_path / "good"))


def nodes(tree, path=()):
    """Every place of a JSON tree."""
    yield path
    for key, value in (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    ):
        yield from nodes(value, (*path, key))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["0", "array", "os.system", "layers.Layer"]),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["is", "name", "values", "shape", "class", "fields", "order", "dtype", "x_"]
            ),
            part,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@FUZZ
@given(data=st.data())
def test_trees_changed_anywhere(data, tmp_path):
    # With a correct digest the changed tree is read: it may give another model, but only a whole
    # one, and no other error.
    tree, tensors = text_and_tensors(tmp_path)
    tree["fitted"]["history_"] = None  # few nodes, so that the changes hit what matters
    tree = copy.deepcopy(tree)
    path = data.draw(st.sampled_from([p for p in nodes(tree) if p]))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = data.draw(JSON)
    got = loads_or_refuses(forged(tmp_path / "bad", tree, tensors))
    assert got is None or type(got).__module__.startswith("nnmf_nb.")
