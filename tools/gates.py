"""Run the gates that a change must pass, one after the other, with a line for each and a total at
the end.

    gates.py                what must pass before every commit (four to six minutes on two cores)
    gates.py --exhaustive   the same with every combination of parameters and the long tests
    (twenty minutes)

Notebooks and tests share one pool of processes, one more than there are cores (--jobs), each with
one thread.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("nbs", "tests", "tools", "benchmarks")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores():
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread_each(environment):
    """The environment of processes that run side by side: one thread where it does not say how
    many, and what Python compiles is stored.
    """
    variables = {
        name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    return {name: "1" for name in THREADS} | variables


def pytest_command(jobs, *more):
    """Tests and notebooks on `jobs` cores, in one process more, because some wait for a browser, a
    kernel or a cluster; tests of one group (the browser's) stay together in one of them.
    """
    return ["-m", "pytest", "-n", str(jobs + 1), "--dist", "loadgroup", *more]


def minutes(seconds):
    return (
        f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="every combination of parameters, and the long tests",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=cores(),
        help="cores for tests and notebooks (default: %(default)s)",
    )
    args, for_pytest = parser.parse_known_args()
    gates = [
        ("nnmf_nb/ is what the notebooks export", ["tools/nbs.py", "export-check"]),
        ("notebooks are tidy", ["tools/nbs.py", "tidy", "--check"]),
        ("README.md is made from nbs/index.ipynb", ["tools/readme.py", "--check"]),
        ("code is formatted", ["-m", "ruff", "format", "--check", "--quiet", *CODE]),
        ("ruff finds nothing", ["-m", "ruff", "check", "--quiet", *CODE, "nnmf_nb"]),
        ("types agree", ["-m", "mypy", "--no-error-summary"]),
        (
            "notebooks run and show what is stored; tests",
            pytest_command(args.jobs, *["--exhaustive"][: args.exhaustive], *for_pytest),
        ),
    ]
    start = time.monotonic()
    for number, (title, command) in enumerate(gates, 1):
        print(f"== {number}/{len(gates)} {title}", flush=True)
        began = time.monotonic()
        code = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=one_thread_each(os.environ)
        ).returncode
        spent = minutes(time.monotonic() - began)
        if code:
            sys.exit(f"== {number}/{len(gates)} FAILED after {spent}: {title}")
        print(f"   passed in {spent}", flush=True)
    print(f"== all {len(gates)} gates passed in {minutes(time.monotonic() - start)}")
    following = (
        "commit"
        if args.exhaustive
        else "make demo (see it work), make lab (tutorials), "
        "make test-all (every combination: 20 minutes), CONTRIBUTING.md"
    )
    print(f"Next: {following}")


if __name__ == "__main__":
    main()
