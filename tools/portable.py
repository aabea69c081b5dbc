"""Run notebooks and tests as they would run elsewhere: with the kernels of other processors, other
numbers of threads, without numba.

    portable.py                     every setting that this machine can run (40 to 60 minutes on
    two cores)
    portable.py --most-different 2  the two that differ most from this machine's own: what CI runs
    portable.py --only zen          those with this in their name
    portable.py --list              the settings, and which of them this machine can run

OPENBLAS_CORETYPE chooses the kernels of OpenBLAS, NUMBA_CPU_NAME=generic those that numba compiles.
A setting is skipped, and said, where the processor or this build of OpenBLAS cannot run those
kernels. No browser is needed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from gates import ROOT, THREADS, cores, minutes, pytest_command

KERNELS = """
import numpy, scipy.linalg, threadpoolctl
numpy.ones((99, 99)) @ numpy.ones((99, 99))
scipy.linalg.svd(numpy.ones((99, 99)))
libraries = threadpoolctl.threadpool_info()
print(*sorted({library["architecture"] for library in libraries if library.get("architecture")}))
"""
# those that `make test` leaves to `make test-all`
LONG_NOTEBOOKS = ("--exhaustive", "-m", "notebook and exhaustive", "tests/test_notebooks.py")
# notebooks that show what is compiled, and how it differs from what is not
ABOUT_COMPILED = (
    *("layer/cpu_kernels", "layer/kl_kernels", "tensors/kernels", "plot/map_kernels"),
    *("plot/map_arrays", "solvers/extrapolation"),
)
# OpenBLAS has one set of kernels for both and tells the first name in its table
KNOWN_AS = {"Prescott": ("Prescott", "Katmai")}


@dataclass
class Setting:
    """An environment to run in: variables, whether numba can be imported, what is left out, and
    what is run instead of all tests that need no browser and the long notebooks.
    """

    name: str
    variables: dict = field(default_factory=dict)
    numba: bool = True
    without: tuple = ()
    only: tuple = ()

    def runs(self):
        """The arguments of pytest, run by run."""
        if self.only:
            return [self.only]
        others = ("-k", f"not ({' or '.join(self.without)})") if self.without else ()
        return [("-m", "not browser", *others), (*LONG_NOTEBOOKS, *others)]

    def environment(self, folder):
        """The variables of its processes; `folder` holds what hides numba."""
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        environment |= {name: self.variables.get("threads", "1") for name in THREADS}
        if not self.numba:
            # without compiled kernels solvers take other steps, so stored numbers differ
            environment["NOTEBOOK_OUTPUTS"] = "ignored"
            # and a fit of counts to many texts takes minutes
            environment["NOTEBOOK_TIMEOUT"] = "900"
            environment["PYTHONPATH"] = os.pathsep.join(
                filter(None, [str(folder), environment.get("PYTHONPATH")])
            )
        return environment | {
            name: value for name, value in self.variables.items() if name != "threads"
        }

    def kernels(self, folder):
        """(which kernels of OpenBLAS answer, why the setting cannot run here or "")."""
        done = subprocess.run(
            [sys.executable, "-c", KERNELS],
            env=self.environment(folder),
            capture_output=True,
            text=True,
        )
        found, wanted = done.stdout.strip(), self.variables.get("OPENBLAS_CORETYPE")
        if done.returncode:
            return found, f"this processor does not run them (exit status {done.returncode})"
        if wanted and found not in KNOWN_AS.get(wanted, (wanted,)):
            return found, f"this OpenBLAS answers with {found}"
        return found, ""


# Those that differ most from a recent processor come first.
SETTINGS = [
    Setting(
        "oldest kernels, generic numba, 1 thread",
        {"OPENBLAS_CORETYPE": "Prescott", "NUMBA_CPU_NAME": "generic"},
    ),
    Setting("Haswell, 2 threads", {"OPENBLAS_CORETYPE": "Haswell", "threads": "2"}),
    Setting(
        "without numba, 1 thread",
        numba=False,
        without=ABOUT_COMPILED,
    ),
    Setting("Nehalem, 1 thread", {"OPENBLAS_CORETYPE": "Nehalem"}),
    Setting("Zen, 1 thread", {"OPENBLAS_CORETYPE": "Zen"}),
    Setting("SkylakeX, 2 threads", {"OPENBLAS_CORETYPE": "SkylakeX", "threads": "2"}),
    Setting("this machine's own kernels, generic numba, 1 thread", {"NUMBA_CPU_NAME": "generic"}),
    Setting(
        "kernels as plain Python (NUMBA_DISABLE_JIT), 1 thread",
        {"NUMBA_DISABLE_JIT": "1"},
        only=(
            "tests/test_kernels.py",
            "tests/test_notebooks.py",
            "-k",
            "test_kernels or layer/nnls or chain/layers",
        ),
    ),
]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--most-different",
        type=int,
        metavar="N",
        help="only the first N of the settings that run here",
    )
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only the settings with this in their name"
    )
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument(
        "-j", "--jobs", type=int, default=cores(), help="processes (default: %(default)s)"
    )
    args = parser.parse_args()
    failed, ran, start = [], 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # None in its place makes every import of a module fail
        Path(folder, "sitecustomize.py").write_text("import sys\nsys.modules['numba'] = None\n")
        for setting in SETTINGS:
            if args.only.lower() not in setting.name.lower():
                continue
            if args.most_different is not None and ran == args.most_different:
                break
            found, trouble = setting.kernels(folder)
            if trouble:
                print(f"== {setting.name}: skipped, {trouble}", flush=True)
                continue
            print(f"== {setting.name} (OpenBLAS kernels: {found})", flush=True)
            ran += 1
            if args.list:
                continue
            began = time.monotonic()
            code = 0
            for arguments in setting.runs():
                command = [sys.executable, *pytest_command(args.jobs, "-q", *arguments)]
                code |= subprocess.run(
                    command, cwd=ROOT, env=setting.environment(folder)
                ).returncode
            print(
                f"   {'FAILED' if code else 'passed'} after {minutes(time.monotonic() - began)}",
                flush=True,
            )
            failed += [setting.name] * bool(code)
    if failed:
        sys.exit(f"== FAILED in {len(failed)} of {ran} settings: {'; '.join(failed)}")
    print(f"== passed in all {ran} settings, {minutes(time.monotonic() - start)}")


if __name__ == "__main__":
    main()
