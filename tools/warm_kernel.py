"""Kernels that need not import the libraries again: one process imports them, each kernel is a fork
of it.

    warm_kernel.py serve DESCRIPTOR         import `LIBRARIES`, then fork one kernel a connection
    warm_kernel.py start ADDRESS ARGUMENTS  stand for a kernel: end when it ends, and the other way

A kernel starts with nothing of nnmf_nb imported and no notebook run: as fresh as one that is
started by itself, and 2 s of processor time cheaper. `kernels` is for tools/nbs.py; where a process
cannot be forked safely (Windows, macOS) it yields the usual command.
"""

import builtins
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace

LOG = "kernels.log"  # what kernels write to stderr, beside their connection files

LIBRARIES = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "scipy.stats",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "pandas",
    "sklearn.base",
    "sklearn.utils.validation",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.feature_extraction.text",
    "sklearn.neighbors",
    "scipy.io",
    "tqdm.std",
    "safetensors.numpy",
    "array_api_compat.numpy",
    "numba",
    # not pyplot, which asks for the kernel that shows its figures
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
)


def import_libraries():
    """Import what is installed of `LIBRARIES`, as in a kernel: pandas prints tables for a terminal
    where it finds none.
    """
    builtins.get_ipython = lambda: SimpleNamespace(kernel=None)
    for name in LIBRARIES:
        try:
            import_module(name)
        except ImportError:
            continue
    del builtins.get_ipython


def serve(descriptor):
    """Fork a kernel for each connection to a listening socket, until standard input ends."""
    import_libraries()
    signal.signal(signal.SIGCHLD, reap)
    listener = socket.socket(fileno=int(descriptor))
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            run_kernel(connection)
        connection.close()


def reap(*_):
    """Wait for the kernels that have ended: their processor time counts as this process's."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def run_kernel(connection):
    """Become the kernel that the process at the other end of `connection` stands for."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = json.loads(connection.makefile().readline())
    connection.sendall(f"{os.getpid()}\n".encode())
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    sys.argv = ["ipykernel_launcher", *request["arguments"], parent]
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    threading.Thread(target=end_with, args=[connection], daemon=True).start()

    from ipykernel.kernelapp import launch_new_instance

    try:
        launch_new_instance()
    except Exception:
        traceback.print_exc()  # the process ends below, and Python would not say why
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def end_with(connection):
    """End this process when the other end of `connection` is closed."""
    connection.recv(1)
    os._exit(0)


def start(address, *arguments):
    """Ask the process at `address` for a kernel and live as long as it does; what interrupts this
    process interrupts the kernel.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = {"environment": dict(os.environ), "folder": os.getcwd(), "arguments": arguments}
    connection.sendall(json.dumps(request).encode() + b"\n")
    kernel = int(connection.makefile().readline())
    signal.signal(signal.SIGINT, lambda *_: os.kill(kernel, signal.SIGINT))
    connection.recv(1)


@contextmanager
def kernels(folder, environment):
    """The command of a kernel, for a kernelspec: that of a fork of a process that lives as long as
    this context, in `folder`, with `environment`.
    """
    if sys.platform != "linux":
        yield [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return
    address = os.path.join(folder, "kernels.socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    descriptor = listener.fileno()
    command = [sys.executable, __file__, "serve", str(descriptor)]
    # figures are shown in the notebook, as in a kernel that imports matplotlib itself
    environment = {**environment, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    with open(os.path.join(environment["JUPYTER_RUNTIME_DIR"], LOG), "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=log, env=environment, pass_fds=[descriptor]
        )
    listener.close()  # who asks for a kernel where that process has ended is refused
    try:
        yield [sys.executable, "-S", "-E", __file__, "start", address, "-f", "{connection_file}"]
    finally:
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    {"serve": serve, "start": start}[sys.argv[1]](*sys.argv[2:])
