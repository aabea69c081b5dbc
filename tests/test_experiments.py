"""The experiments in small: every cell runs, with its capital numbers cut down. `make experiments`
runs them as they are.
"""

import os
import re
import warnings
from pathlib import Path

import matplotlib
import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "nbs" / "experiments"
SMALL = {
    "01_table_1": dict(SEEDS=1),
    "02_where_depth_helps": dict(
        SEEDS=1,
        DRAWS=1,
        SETS=("planted news", "swimmer"),
        ZOOMS=("Gene Ontology",),
        LABELED=("digits",),
    ),
    "03_speed": {},
    "04_defaults": dict(STARTS=2, DEEP_STARTS=1, SETS=("toy", "8 topics")),
    "05_published_tensors": dict(DRAWS=1),
    "06_hierarchies": dict(SEEDS=1, SETS=("planted news",)),
}
LONG = ["01_table_1", "02_where_depth_helps", "05_published_tensors", "06_hierarchies"]  # in small


def test_every_experiment_is_run_here():
    assert sorted(SMALL) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name in LONG)) for name in SMALL]
)
def test_experiment(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    matplotlib.use("Agg")
    names = {"__name__": "__main__"}
    cells = [
        cell.source
        for cell in nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    found = set()
    for source in cells:
        for key, value in SMALL[name].items():
            small, count = re.subn(
                rf"^{key} = .*$", f"{key} = {value!r}", source, flags=re.MULTILINE
            )
            source, found = small, found | ({key} if count else set())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(source, f"{name}{os.sep}cell", "exec"), names)
    matplotlib.pyplot.close("all")
    assert found == set(SMALL[name])  # nothing was cut down under an old name
