"""Every notebook runs from top to bottom and shows what is stored in it; the experiments, which
take minutes, are left to `make experiments`.
"""

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool(name):
    """The module tools/NAME.py."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nbs = tool("nbs")


# minutes together: in `make test` their modules have their tests alone, and each folder others
LONG = (
    *("deep", "ssnmf", "semi", "unfolded", "sparse_coding", "nonlinear", "rank_search", "profiles"),
    *("neural", "tensors", "tensor_cuts", "gradient", "live", "02_two_centuries"),
    *("03_looking_inside", "04_your_own_data", "05_what_can_go_wrong", "06_how_many_topics"),
    *("09_tensors_with_holes", "datasets", "command_line", "costs", "counts", "labels", "semi_nmf"),
    *("projection", "certificates", "metrics", "view", "base", "nmf", "mini_batch", "training"),
    *("checkpoints", "factors", "map", "map_kernels", "paths", "time", "topics", "consensus"),
    *("criteria", "count_descent", "divergences", "extrapolation", "online", "cp", "judgment"),
    *("arrays", "iteration", "linalg", "cuda_kernels", "near_dependence", "kl_kernels", "kernels"),
    *("quasi_newton", "stationarity", "tables", "probabilities", "one_layer", "bounds", "state"),
    *("rules", "text_steps", "map_arrays", "map_layout", "08_a_million_documents"),
    *("distributed", "07_correcting_a_model", "texts", "flat", "neural_ncpd"),
    *("cuts", "compare", "colors", "river", "images", "work", "form", "stopping", "documents"),
    *("coordinate_descent", "starts", "chains", "editing", "initialization", "edits", "report"),
    *("overview", "layers", "sequential", "notation", "cpu_kernels", "kl", "validation", "growth"),
)


def notebooks():
    """Every notebook but the experiments, as parameters."""
    return [
        pytest.param(path, marks=[pytest.mark.exhaustive] * (path.stem in LONG))
        for path in nbs.without_experiments()
    ]


@pytest.fixture(scope="module")
def kernels():
    """The environment of kernels that share what they import."""
    with nbs.kernel_environment() as environment:
        yield environment


@pytest.mark.notebook
@pytest.mark.parametrize("path", notebooks(), ids=nbs.name)
def test_notebook_runs_and_shows_what_is_stored(path, kernels):
    # in a thread of its own: the browser tests leave a running event loop in theirs
    with ThreadPoolExecutor(1) as pool:
        seconds = int(os.environ.get("NOTEBOOK_TIMEOUT", "300"))  # for a cell
        problems = pool.submit(nbs.problems_of, path, kernels, seconds).result()
    if os.environ.get("NOTEBOOK_OUTPUTS") == "ignored":  # tools/portable.py, without numba
        problems = problems if problems[:1] == [nbs.DOES_NOT_RUN] else []
    assert not problems, "\n".join([f"{nbs.name(path)}:", *problems])


@pytest.mark.parametrize(
    ("stored", "shown", "same"),
    [
        ("error 0.25.", "error 0.26.", True),
        ("error 0.25", "error 0.27", False),
        ("9.99  a", "10.00 a", True),  # the columns move
        ("-0.01", "0.01", False),  # a sign is exact
        ("k=1.5x", "k=1.6x", True),
        ("1e-16", "2e-16", True),
        ("1e+02", "1e-05", False),  # one digit of it, and another order of magnitude
        ("9.99e-05", "1.00e-04", True),
        ("5 topics", "6 topics", False),
        ("[1. 2.]", "[1. 3.]", False),
        ("version 1.9.1", "version 1.8.1", False),
        ("0.5 green", "0.5 red", False),
    ],
)
def test_numbers_are_compared_to_the_last_digit_shown(stored, shown, same):
    assert nbs.same_line(stored, shown, nbs.tolerance_of("print(x)")) is same


@pytest.mark.parametrize(
    ("tag", "stored", "shown", "same"),
    [
        ("0.05", "0.50", "0.54", True),
        ("0.05", "0.50", "0.56", False),
        ("5%", "200.0", "209.0", True),
        ("5%", "200.0", "211.0", False),
        ("5%", "200", "201", False),
        ("5% integers", "200", "209", True),
        ("0.5 integers", "-0.2 of 7", "0.2 of 7", True),
        ("5% integers", "7 dead", "7 lost", False),
    ],
)
def test_a_cell_may_have_its_own_tolerance(tag, stored, shown, same):
    assert nbs.same_line(stored, shown, nbs.tolerance_of(f"#| tolerance: {tag}\nprint(x)")) is same


def test_a_tag_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match="a number or a percentage"):
        nbs.tolerance_of("#| tolerance: about right\nprint(x)")
