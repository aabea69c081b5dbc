"""Array namespaces to run contracts on, which cases `make test` runs, and what a machine without a
GPU leaves out.

`pytest --exhaustive` (`make test-all`) runs every case. Without it, what is marked `exhaustive` is
left out, a test that is given several lists of parameters runs on so many of their combinations
that each entry of each list occurs, one marked `each_value_once` on so many rows of a list that
each value of each column occurs, and a test that asks the same of four models or more runs on a
quarter of them, of which another test takes others; pytest's closing line counts them as
deselected. Properties get at most 30 examples (`strategies.examples`).

A test that takes `xp_device` runs once per namespace, device and dtype: NumPy, the strict reference
of the array API standard (which has nothing but the standard, on two devices that refuse to mix)
and CuPy. What is marked `gpu` is skipped where no CUDA device answers, and counted in the last
lines of the report.
"""

import gc
import shutil
import sys
from collections import Counter
from functools import cache, partial
from typing import Any, NamedTuple
from zlib import crc32

import pytest
from hypothesis import settings

# as in tools/nbs.py: nbformat is imported in a third of the time
sys.modules.setdefault("rfc3987_syntax", None)


class XpDevice(NamedTuple):
    """`xp` an array namespace, `device` and `dtype` as its creation functions take them."""

    xp: Any
    device: Any
    dtype: Any

    def asarray(self, values):
        """`values` as an array of this dtype on this device."""
        return self.xp.asarray(values, dtype=self.dtype, device=self.device)


COMBINATIONS = [
    ("numpy", "cpu", "float64"),
    ("numpy", "cpu", "float32"),
    # device1 refuses more
    pytest.param(("array_api_strict", "CPU_DEVICE", "float64"), marks=pytest.mark.exhaustive),
    ("array_api_strict", "device1", "float64"),
    # float32 is NumPy's, the namespace float64's
    pytest.param(("array_api_strict", "device1", "float32"), marks=pytest.mark.exhaustive),
    pytest.param(("cupy", 0, "float64"), marks=pytest.mark.gpu),
    pytest.param(("cupy", 0, "float32"), marks=pytest.mark.gpu),
]
NOT_RUN = "GPU test not run: "
HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Fixtures can ask whether their test failed, and then say more in the report."""
    report = yield
    if report.when == "call":
        item.stash[HAS_FAILED] = report.failed
    return report


@pytest.fixture(params=COMBINATIONS, ids=lambda c: "-".join(map(str, c)))
def xp_device(request):
    """(namespace, device, dtype), one combination per test."""
    name, device, dtype = request.param
    if name == "array_api_strict":
        import array_api_strict as xp

        device = xp.Device(device)
    elif name == "cupy":
        import array_api_compat.cupy as xp

        device = xp.cuda.Device(device)
    else:
        import array_api_compat.numpy as xp
    return XpDevice(xp, device, getattr(xp, dtype))


@pytest.fixture(scope="session")
def chromium():
    """A headless browser, for tests that are marked `browser` and skipped where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=find_chromium(),
            headless=True,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield browser
        browser.close()


def find_chromium():
    """Where Chromium is, or None."""
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )


@cache
def gpu():
    """(name of the CUDA device that answers or None, why not)."""
    try:
        import cupy
    except ImportError:
        return None, "CuPy is not installed"
    try:
        if not cupy.cuda.is_available():
            return None, "CuPy finds no CUDA device"
        cupy.zeros(1).get()  # a driver can be there and still fail at the first allocation
        return (
            f"{cupy.cuda.runtime.getDeviceProperties(0)['name'].decode()}, CuPy {cupy.__version__}",
            "",
        )
    except Exception as error:  # whatever CUDA raises, there is no device to test on
        return None, f"the CUDA device does not answer ({type(error).__name__}: {error})"


def pytest_configure(config):
    settings.register_profile("make test", max_examples=30)
    settings.register_profile("make test-all", max_examples=1000)
    settings.load_profile("make test-all" if config.getoption("exhaustive") else "make test")


def pytest_addoption(parser):
    parser.addoption(
        "--exhaustive",
        action="store_true",
        help="run what is marked `exhaustive` and every combination of parameters",
    )


def values_of(item):
    """What `representatives` must show of a test, as {(list, entry)}: the parameters of one list
    belong together; marked `each_value_once`, each of them is a list of its own.
    """
    if item.get_closest_marker("each_value_once"):
        return {(name, plain(value)) for name, value in item.callspec.params.items()}
    given = item.callspec.params
    return {(names, tuple(id(given[name]) for name in names)) for names in lists_of(item)}


def lists_of(item):
    """The names of the parameters of a test, those of one `pytest.mark.parametrize` together."""
    lists = [names_of(mark) for mark in item.iter_markers("parametrize")]
    fixtures = {*item.callspec.params}.difference(*lists)
    return lists + [(name,) for name in sorted(fixtures)]


def names_of(mark):
    """The names that `pytest.mark.parametrize` was given, as a text or a list."""
    names = mark.args[0] if mark.args else mark.kwargs["argnames"]
    return tuple(name.strip() for name in (names.split(",") if isinstance(names, str) else names))


def plain(value):
    """What tells the values of a parameter apart: a function or a class by its name, an estimator
    by its class.
    """
    if isinstance(value, partial):
        return value.func.__name__, repr(value.keywords)
    if hasattr(value, "get_params"):
        return type(value).__name__, repr(value)
    return getattr(value, "__name__", None) or repr(value)


def representatives(items):
    """So many of the cases of one test that each of their `values_of` occurs: greedily, those
    first that show most new ones.
    """
    chosen, seen = [], set()
    values = {item: values_of(item) for item in items}
    for least in range(max(map(len, values.values())), 0, -1):
        for item in items:
            new = values[item] - seen
            if len(new) >= least:
                chosen.append(item)
                seen |= new
    return chosen


def is_model(value):
    """Whether a parameter is a model: its class, or its name in tests/zoo.py."""
    from zoo import MODELS

    name = value.partition("-")[0] if isinstance(value, str) else getattr(value, "__name__", "")
    return name in MODELS


def quarter_of_the_models(cases):
    """The cases of one test on a quarter of its models, which its name decides: all of them where
    the test has few models, or more cases for one of them than for another.
    """
    for name in cases[0].callspec.params:
        if not all(is_model(item.callspec.params[name]) for item in cases):
            continue
        models = Counter(plain(item.callspec.params[name]) for item in cases)
        if len(models) >= 4 and len({*models.values()}) == 1:
            first = crc32(cases[0].originalname.encode()) % 4
            kept = {*[*models][first::4]}
            return [item for item in cases if plain(item.callspec.params[name]) in kept]
    return cases


def leave_out(config, items):
    """Deselect what is marked `exhaustive`, of a test on many models all but a quarter of them, and
    of a test with several lists of parameters all but its `representatives`.
    """
    tests = {}
    for item in items:
        if not item.get_closest_marker("exhaustive"):
            tests.setdefault((item.path, getattr(item, "originalname", item.name)), []).append(item)
    wanted = set()
    for cases in tests.values():
        if hasattr(cases[0], "callspec"):
            cases = representatives(quarter_of_the_models(cases))
        wanted.update(cases)
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = [item for item in items if item in wanted]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep thousands of tests and all modules, which live to the end, out of every search for
    garbage: while they are made, and later in the tests that call gc.collect().
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config, items):
    if not config.getoption("exhaustive"):
        leave_out(config, items)
    for item in items:
        # all in one process: one browser and one server serve them
        if "chromium" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("browser"))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not gpu()[0]:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=NOT_RUN + gpu()[1]))
    if config.getoption("dist", "no") != "no" or hasattr(config, "workerinput"):
        longest_first(items)


# each as long as a file of tests: the processes share them out at the end, when few files are left
ONE_BY_ONE = ("tests/test_notebooks.py",)


def path_of(item):
    return item.nodeid.partition("::")[0]


def longest_first(items):
    """Sort what processes share out: groups (they wait for a browser or a cluster), files by the
    number of their tests, single tests.
    """
    size = Counter(path_of(item) for item in items)

    def rank(item):
        path = path_of(item)
        if item.get_closest_marker("xdist_group"):
            return 0, 0, path
        return (2, 0, path) if path in ONE_BY_ONE else (1, -size[path], path)

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Send the tests of a file to one process: its fixtures are made once, and the processes have
    files to ask for instead of thousands of tests.
    """
    from xdist.scheduler import LoadGroupScheduling

    config.option.loadscopereorder = False  # by `longest_first`, not by the number of tests

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            group = super()._split_scope(nodeid)
            path = nodeid.partition("::")[0]
            return path if group == nodeid and path not in ONE_BY_ONE else group

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter):
    reasons = [
        report.longrepr[2]
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    ]
    left_out = sum(NOT_RUN in reason for reason in reasons)
    browser = sum("BROWSER TEST NOT RUN" in reason for reason in reasons)
    if browser:
        terminalreporter.section("browser")
        terminalreporter.line(
            f"{browser} browser tests did not run: Chromium or playwright is not installed"
        )
    device, why = gpu()
    terminalreporter.section("GPU")
    terminalreporter.line(f"on {device}" if device else f"{left_out} GPU tests did not run: {why}")
