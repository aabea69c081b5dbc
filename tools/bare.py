"""Use the package where numba, or ipywidgets and anywidget, are not installed.

    bare.py                    each of the environments in turn
    bare.py --only no-numba    one of them: no-numba or no-widgets

Each is a new environment outside this checkout, with the wheel and its requirements but those that
the name says. There the quickstart and the command line run, fits are compared with those of this
environment, and what cannot work must say why and what to do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

from installed import ROOT, built, clean_environment, install, run, use

ABSENT = {"no-numba": ("numba",), "no-widgets": ("ipywidgets", "anywidget")}
# one fit of each kind that has compiled kernels; errors as JSON
FITS = """
import json
import numpy as np
from nnmf_nb import NMF, SSNMF, HierarchicalNMF, NeuralNMF, NonnegativeCP, datasets
toy, counts = datasets.toy(), datasets.planted_counts((6, 3), 120, 60)
holes = np.where(np.random.default_rng(0).random(toy.X.shape) < 0.9, toy.X, np.nan)
half = np.where(np.arange(90) % 2, toy.labels["level_4"], -1)
boxes = datasets.nested_boxes()
kl = "kullback-leibler"
fits = {
    "NMF": NMF(4, random_state=0).fit(toy.X),
    "NMF, KL": NMF(6, beta_loss=kl, random_state=0).fit(counts.X),
    "NMF, mask": NMF(4, random_state=0).fit(holes, mask="nan"),
    "SSNMF": SSNMF(4, random_state=0).fit(toy.X, half),
    "HierarchicalNMF": HierarchicalNMF((9, 4), random_state=0).fit(toy.X),
    "NeuralNMF": NeuralNMF((9, 4), random_state=0).fit(toy.X),
    "NeuralNMF, KL": NeuralNMF((6, 3), beta_loss=kl, random_state=0).fit(counts.X),
    "NonnegativeCP": NonnegativeCP(5, random_state=0).fit(boxes.X),
}
print(json.dumps({name: float(model.reconstruction_err_) for name, model in fits.items()}))
"""
NO_NUMBA = """
import importlib.util, sys
assert importlib.util.find_spec("numba") is None
import nnmf_nb
from nnmf_nb.layer._nnls import cpu_kernels
assert cpu_kernels() is None
"""
NO_WIDGETS = """
import importlib.util
assert not any(importlib.util.find_spec(name) for name in ("ipywidgets", "anywidget"))
from nnmf_nb import LiveView, NeuralNMF, datasets, inspect
toy = datasets.toy()
live = LiveView()
model = NeuralNMF((9, 4), random_state=0).set_callbacks(live).fit(toy.X)
view = inspect(model, toy.X)
for one in (view, live):
    assert {"text/plain", "text/html"} == {*one._repr_mimebundle_()}, one
    for part, name in (("widget", "anywidget"), ("controls", "ipywidgets")):
        try:
            getattr(one, part)
        except ImportError as error:
            assert f"pip install {name}" in str(error) and error.name == name, error
        else:
            raise AssertionError(f"{part} without {name}")
view.to_html("view.html")
"""
CHECKS = {"no-numba": NO_NUMBA, "no-widgets": NO_WIDGETS}


def requirements(without):
    """The requirements of the package but those named."""
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    listed = parser["DEFAULT"]["requirements"].split()
    left = [one for one in listed if not one.startswith(without)]
    if len(listed) - len(left) != len(without):
        sys.exit(f"bare: {without} are not all among the requirements")
    return left


def errors_of(said):
    """What FITS printed last."""
    return json.loads(said.strip().splitlines()[-1])


def errors_here():
    """The errors of the fits in this environment."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path[0] = {str(ROOT)!r}\n{FITS}"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stderr}bare: the fits fail in this environment")
    return errors_of(done.stdout)


def compare(found, wanted):
    """The largest relative difference of errors; end where one is large."""
    gaps = {name: abs(found[name] / wanted[name] - 1) for name in wanted}
    worst = max(gaps, key=gaps.get)
    if gaps[worst] > 1e-3:
        sys.exit(f"bare: {worst} has error {found[worst]} there, {wanted[worst]} here")
    return f"errors differ by {gaps[worst]:.0e} of their size at most"


def try_environment(name, wheel, folder, wanted):
    """Make an environment, run everything in it, and say how it went."""
    folder.mkdir()
    python = clean_environment(folder / "environment")
    install(python, *requirements(ABSENT[name]))
    install(python, "--no-deps", wheel)
    run(python, "-W", "ignore", "-c", CHECKS[name], cwd=folder)
    use(python, folder / "empty")
    return compare(errors_of(run(python, "-W", "ignore", "-c", FITS, cwd=folder)), wanted)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=[*ABSENT], help="one environment")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, _ = built(folder / "dist")
        wanted = errors_here()
        for name in [args.only] if args.only else ABSENT:
            print(f"{name}:", try_environment(name, wheel, folder / name, wanted), flush=True)


if __name__ == "__main__":
    main()
