"""Whole runs of the command line in processes of their own, with a fault at a chosen change of the store's files."""

import errno
import importlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType

# The processes are forked from a server that has imported everything, so that a run costs its own work alone.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.robust.imported"])
# What depends on the order of hashed strings comes out otherwise there than in the tests' own process.
os.environ.setdefault("PYTHONHASHSEED", "2")
CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"})
"""Audit events that change the file system, besides opening a file to write."""


def killed(number: int) -> None:
    """Die as the machine would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full(number: int) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True)
class Fault:
    """What happens at every change of the store's files from the ``first`` on, counted from 1."""

    first: int
    happens: Callable[[int], None]


@dataclass
class Run:
    """A run that was started; what it says lands in a file."""

    process: BaseProcess
    said: Path

    def end(self) -> tuple[int, str]:
        """Wait, and return the exit code and everything that was said."""
        self.process.join()
        assert self.process.exitcode is not None
        return self.process.exitcode, self.said.read_text(encoding="utf-8")


def start(
    arguments: list[str],
    *,
    cache: Path,
    said: Path,
    fault: Fault | None = None,
    largest_file: int | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """Run the command line with the arguments; the store whose changes count is what follows ``--store``.

    Args:
        largest_file: Bytes; longer files fail on the way, as on a disk that takes no more.
        environment: Variables of the process; of ``PYTHONPATH``, one folder to import from before all others.
    """
    variables = {**environment, "SPILLOVER_CACHE": str(cache)}
    process = SERVER.Process(target=_command_line, args=(arguments, variables, said, fault, largest_file))
    process.start()
    return Run(process, said)


def changes_of(said: Path) -> int:
    """Return how many changes of the store's files a run counted."""
    return int(said.with_suffix(".changes").read_text())


def _command_line(
    arguments: list[str], variables: dict[str, str], said: Path, fault: Fault | None, largest_file: int | None
) -> None:
    import torch

    from spillover.cli import main

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
    os.environ |= variables
    if "PYTHONPATH" in variables:
        import accelerate.tracking

        sys.path.insert(0, variables["PYTHONPATH"])
        importlib.reload(accelerate.tracking)  # which looks for packages when it is imported
    with said.open("w") as stream:
        _say(stream.fileno())
        # What is said goes through another process, or the limit would bind it as well.
        writer = None if largest_file is None else subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=stream)
    if largest_file is not None and writer and writer.stdin:
        _say(writer.stdin.fileno())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    seen = _watch(Path(arguments[arguments.index("--store") + 1]), fault) if "--store" in arguments else []
    try:
        main(arguments)
    finally:
        if writer is None:
            if seen:
                said.with_suffix(".changes").write_text(str(seen[0]))
        else:
            with Path(os.devnull).open("w") as nowhere:
                _say(nowhere.fileno())
            writer.communicate()


def _say(descriptor: int) -> None:
    """Lead what is printed from now on to a file or pipe."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _watch(store: Path, fault: Fault | None) -> list[int]:
    """Count changes below the store, and let the fault happen; an audit hook sees them before they are made."""
    seen, root = [0], str(store)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            changes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        else:
            changes = event in CHANGES
        if changes and str(arguments[0]).startswith(root):
            seen[0] += 1
            if fault and seen[0] >= fault.first:
                fault.happens(seen[0])

    sys.addaudithook(hook)
    return seen
