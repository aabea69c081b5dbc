"""Contenders in processes of their own that take turns, so that load from elsewhere hits all of them alike."""

import contextlib
import json
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
UNSET = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"        # would slow down one BLAS and not the other
# numpy and scipy as in our own environment: everyone gets the same BLAS. torch is asked for by its CPU build, so that CUDA is never fetched.
TORCH = "torch==2.13.0+cpu" if sys.platform == "linux" else "torch==2.13.0"
REQUIRED = ["NeuralNMF==1.0.0", "ssnmf==1.0.3", TORCH, f"numpy=={version('numpy')}", f"scipy=={version('scipy')}"]


def environment():
    """The environment of every contender: the same number of threads, no settings of one BLAS only, this checkout first."""
    keep = {name: value for name, value in os.environ.items() if name not in UNSET}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(THREADS))
    return keep | threads | {"PYTHONPATH": str(ROOT)}


class Contender:
    """One function of contenders.py in a process of its own; every call of `turn` lets it measure once."""

    def __init__(self, name, *, python=sys.executable, **arguments):
        script = Path(__file__).with_name("contenders.py")
        self.name, self._lines = name, subprocess.Popen([python, str(script), name, json.dumps(arguments)], stdin=subprocess.PIPE,
                                                        stdout=subprocess.PIPE, text=True, env=environment())

    def turn(self):
        """One measurement, a dict. Raises RuntimeError when the process has died."""
        with contextlib.suppress(BrokenPipeError):
            self._lines.stdin.write("\n")
            self._lines.stdin.flush()
        answer = self._lines.stdout.readline()
        if not answer:
            raise RuntimeError(f"the contender {self.name!r} died with exit code {self._lines.wait()}; its traceback stands above")
        return json.loads(answer)

    def close(self):
        self._lines.stdin.close()
        self._lines.wait()


def race(contenders, rounds):
    """Let contenders (label -> Contender or None) take turns: label -> list of measurements. None, a peer that is missing, is left out."""
    contenders = {label: one for label, one in contenders.items() if one}
    results = {label: [] for label in contenders}
    try:
        for _ in range(rounds):
            for label, one in contenders.items():
                results[label].append(one.turn())
    finally:
        for one in contenders.values():
            one.close()
    return results


def median(measurements, key="seconds"):
    return statistics.median(one[key] for one in measurements)


def ratio(slow, fast, key="seconds"):
    """Median of the ratios within a round: what a round suffers, both of its sides suffer."""
    return statistics.median(a[key] / b[key] for a, b in zip(slow, fast))


def peers_python():
    """The interpreter of the environment with the peers, made at the first call; None, with the reason printed, when it cannot be made."""
    python = PEERS / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = PEERS / "installed", "\n".join(REQUIRED)
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print(f"Making {PEERS.name}/ with {', '.join(REQUIRED)} (a minute or two, about 1.2 GB, once) ...", flush=True)
    steps = [sys.executable, "-m", "venv", "--clear", str(PEERS)], [str(python), "-m", "pip", "install", "--quiet", *REQUIRED]
    for command in steps:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            print(f"The peers could not be installed, so their rows are left out: {reason[0]}\n"
                  f"  NeuralNMF needs {TORCH}: if pip finds none, point PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to CPU builds of torch.", flush=True)
            return None
    stamp.write_text(wanted)
    return str(python)


def busy(seconds=1.0):
    """Cores used by anybody during the next second; to be called while all contenders wait. NaN where /proc/stat is missing."""
    if not Path("/proc/stat").exists():
        return float("nan")

    def used():
        ticks = [int(t) for t in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4]                       # all but idle and waiting for disks

    before = used()
    time.sleep(seconds)
    return (used() - before) / os.sysconf("SC_CLK_TCK") / seconds


def wait_for_calm(limit=0.3, patience=40):
    """Wait until others use less than `limit` cores, `patience` seconds at most. Returns what they use."""
    end = time.monotonic() + patience
    while (load := busy()) > limit and time.monotonic() < end:
        time.sleep(1)
    return load


def machine():
    """Name of the processor, cores, and the kernels that OpenBLAS chose: no names of hosts."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def versions(names):
    return ", ".join(f"{name} {version(name)}" for name in names)
