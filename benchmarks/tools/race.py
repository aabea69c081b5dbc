"""Contenders in processes of their own that take turns, so that load from elsewhere hits all of
them alike.
"""

import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venv-peers"
THREADS = 2
# seconds before a turn: the threads of OpenMP that the one before has used go on spinning for up to
# 0.2
REST = 0.4
UNSET = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"  # would slow down one BLAS and not the other
# numpy and scipy as in our own environment: everyone gets the same BLAS. torch is asked for by its
# CPU build, so that CUDA is never fetched.
TORCH = "torch==2.13.0+cpu" if sys.platform == "linux" else "torch==2.13.0"
REQUIRED = [
    "NeuralNMF==1.0.0",
    "ssnmf==1.0.3",
    "torchnmf==0.3.5",
    TORCH,
    f"numpy=={version('numpy')}",
    f"scipy=={version('scipy')}",
]


def environment():
    """The environment of every contender: the same number of threads, no settings of one BLAS only,
    this checkout first.
    """
    keep = {name: value for name, value in os.environ.items() if name not in UNSET}
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
        str(THREADS),
    )
    return keep | threads | {"PYTHONPATH": str(ROOT)}


class Contender:
    """One generator of contenders.py; `start` gives it a process of its own, every `turn` lets it
    measure once.
    """

    def __init__(self, name, *, python=sys.executable, **arguments):
        self.name, self._command = (
            name,
            [python, str(Path(__file__).with_name("contenders.py")), name, json.dumps(arguments)],
        )

    def start(self):
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def turn(self):
        """One measurement, a dict. Raises RuntimeError when the process has died."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(
                f"the contender {self.name!r} died with exit code {self._process.wait()}; its "
                "traceback stands above"
            )
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


class Course:
    """Where races are run: waits for a quiet machine, `patience` seconds in the whole run at most,
    and notes what others used all the same.
    """

    def __init__(self, patience=120.0):
        self.patience, self.others, self.cores = patience, [], []

    def race(self, contenders, rounds):
        """Let contenders (label -> Contender, or None for a missing peer) take turns: label -> list
        of measurements.
        """
        self._wait()
        self.cores.append(cores_at_once())
        begin, used = time.monotonic(), core_seconds()
        running = {label: one.start() for label, one in contenders.items() if one}
        results = {label: [] for label in running}
        try:
            for _ in range(rounds):
                for label, one in running.items():
                    time.sleep(REST)
                    results[label].append(one.turn())
        finally:
            for one in running.values():
                one.close()
        seconds, own = time.monotonic() - begin, sum(turns[-1]["cpu"] for turns in results.values())
        self.others.append((core_seconds() - used - own) / seconds)
        print(
            f"  {', '.join(running)}: {seconds:.0f} s, others used {self.others[-1]:.1f} of "
            f"{os.cpu_count()} cores",
            flush=True,
        )
        return results

    def _wait(self, limit=0.3):
        begin = time.monotonic()
        while busy() > limit and time.monotonic() - begin < self.patience:
            time.sleep(1)
        self.patience -= time.monotonic() - begin


def core_seconds():
    """Seconds of processor that everybody used since the start of the machine, all cores together.
    NaN where /proc/stat is missing.
    """
    if not Path("/proc/stat").exists():
        return math.nan
    ticks = [int(t) for t in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    # all but idle and waiting for disks
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


SPIN = (
    "import time\nn, end = 0, time.perf_counter() + 0.5\n"
    "while time.perf_counter() < end: n += 1\n"
    "print(n)"
)


def cores_at_once():
    """How many cores two programs that only count get together, 1.0 to 2.0: a virtual machine may
    have fewer than it shows.
    """

    def count(programs):
        running = [
            subprocess.Popen([sys.executable, "-S", "-c", SPIN], stdout=subprocess.PIPE, text=True)
            for _ in range(programs)
        ]
        return sum(int(one.communicate()[0]) for one in running)

    return count(2) / count(1)


def busy(seconds=1.0):
    """Cores in use during the next second; to be called while no contender runs."""
    before = core_seconds()
    time.sleep(seconds)
    return (core_seconds() - before) / seconds


def median(measurements, key="seconds"):
    return statistics.median(one[key] for one in measurements)


def ratio(slow, fast, key="seconds"):
    """Median of the ratios within a round: what a round suffers, both of its sides suffer."""
    return statistics.median(a[key] / b[key] for a, b in zip(slow, fast))


def peers_python():
    """The interpreter of the environment with the peers, made at the first call; None, with the
    reason printed, when it cannot be made.
    """
    python = environment_python(PEERS, REQUIRED, "a minute or two, about 1.2 GB, once")
    if python is None:
        print(
            f"NeuralNMF needs {TORCH}: if pip finds none, let PIP_EXTRA_INDEX_URL or "
            "PIP_FIND_LINKS lead to CPU builds of torch.",
            flush=True,
        )
    return python


def environment_python(folder, required, effort):
    """The interpreter of an environment in `folder` with what is `required`, made at the first
    call; None, with the reason printed, when it cannot be made.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = folder / "installed", "\n".join(required)
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print(f"Making {folder.name}/ with {', '.join(required)} ({effort}) ...", flush=True)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *required],
    )
    for command in steps:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            errors = [
                line
                for line in (done.stderr + done.stdout).splitlines()
                if "ERROR" in line or "rror:" in line
            ]
            print(
                "The peers could not be installed, so their rows are left out:",
                *errors[-2:] or ["no message"],
                sep="\n  ",
                flush=True,
            )
            return None
    stamp.write_text(wanted)
    return str(python)


def machine():
    """Name of the processor, cores and system: no names of hosts."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [
            line.split(":")[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        if cpuinfo.exists()
        else []
    )
    return (
        f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} "
        f"cores, {platform.system()}"
    )


def versions(names):
    return ", ".join(f"{name} {version(name)}" for name in names)


def heading(title, begin, course, also=""):
    """The first lines of a result: date, machine, versions, and how quiet it was."""
    return (
        f"# {title}\n\n{begin:%Y-%m-%d}. {machine()}, {THREADS} threads for everyone. Python "
        f"{platform.python_version()}, "
        f"{versions(['numpy', 'scipy', 'scikit-learn', 'numba'])}{also}.\n"
        f"Others used {min(course.others):.1f} to {max(course.others):.1f} cores meanwhile; two "
        f"programs at once had {min(course.cores):.1f} to {max(course.cores):.1f} cores.\n\n"
    )


def markdown(head, rows):
    return (
        "\n".join(
            "| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)
        )
        + "\n"
    )


def met(condition):
    return "**yes**" if condition else "**no**"
