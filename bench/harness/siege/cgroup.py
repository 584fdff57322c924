"""Real memory cgroups, version 1 or 2, one for each measurement."""

import os
import pathlib
import time

from ..processes import Problem

ROOT = pathlib.Path("/sys/fs/cgroup")
NEVER = 1 << 60


def version():
    """1 or 2, or None with the reason where this process may not make memory cgroups."""
    reason = f"{ROOT} is not there, or has no memory controller"
    for kind in (Version2, Version1):
        if not kind.is_here():
            continue
        try:
            group = kind(64 << 20)
        except OSError as error:
            reason = error
            continue
        group.remove()
        return kind, None
    return None, f"no memory cgroup can be made here ({reason})"


class Memory:
    """A cgroup with a limit of memory. A process enters it before it runs its program."""

    folder, mark = ROOT, ""
    limit_file = peak_file = usage_file = ""

    @classmethod
    def is_here(cls):
        """Whether the kernel's files are there; the folder alone can be one of any file system."""
        return (cls.folder / cls.mark).exists()

    def __init__(self, limit):
        self.limit = limit
        self.path = self.folder / f"blastdoor-siege-{os.getpid()}-{time.monotonic_ns()}"
        self.path.mkdir()
        try:
            self._write(self.limit_file, limit)
            self.prepare()
        except OSError:
            self.remove()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)  # the process is about to end
        raise Problem(f"{self.path} cannot be removed: a process is left in it")

    def enter(self):
        """Called in the child."""
        self._write("cgroup.procs", os.getpid())

    def prepare(self):
        pass

    def _write(self, file, value):
        (self.path / file).write_text(str(value))

    def _read(self, file):
        try:
            return int((self.path / file).read_text())
        except (OSError, ValueError):
            return 0

    def usage(self):
        return self._read(self.usage_file)

    def peak(self):
        """The most that was in use, in bytes."""
        return self._read(self.peak_file)

    def sockets(self):
        """The most that the kernel held in buffers of TCP, where it counts that apart; else None."""
        return None

    def kills(self):
        """How many processes the kernel has killed."""
        raise NotImplementedError

    def _event(self, file, name):
        for line in (self.path / file).read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0


class Version2(Memory):
    mark = "cgroup.controllers"
    limit_file, peak_file, usage_file = "memory.max", "memory.peak", "memory.current"

    def prepare(self):
        self._write("memory.swap.max", 0)

    def kills(self):
        return self._event("memory.events", "oom_kill")


class Version1(Memory):
    folder, mark = ROOT / "memory", "memory.limit_in_bytes"
    limit_file, peak_file, usage_file = "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.usage_in_bytes"

    def prepare(self):
        # Buffers of TCP are counted apart, and only under a limit. This one refuses nothing.
        self._write("memory.kmem.tcp.limit_in_bytes", NEVER)

    def sockets(self):
        return self._read("memory.kmem.tcp.max_usage_in_bytes")

    def kills(self):
        return self._event("memory.oom_control", "oom_kill")


class Preference:
    """As root: a group of processes that gets as much of the cores as the kernel grants to anyone.

    A higher priority does the same to a lesser degree: 1 % of the time, which is what a 99th percentile sees, would
    remain to whatever else uses the machine.
    """

    def __init__(self, wanted):
        self.path = None
        kinds = ((ROOT / "cpu", "cpu.shares", "cpu.shares", 1 << 18), (ROOT, "cgroup.controllers", "cpu.weight", 10_000))
        for folder, mark, file, most in kinds:
            path = folder / f"blastdoor-siege-{os.getpid()}-cpu"
            if not wanted or self.path or not (folder / mark).exists():
                continue
            try:
                path.mkdir()
                (path / file).write_text(str(most))
                self.path = path
            except OSError:
                if path.exists():
                    path.rmdir()

    def enter(self):
        """Called in the child."""
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(50):
            try:
                if self.path:
                    self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)
