"""Processes that are pinned, measured and always ended; where things are in the checkout."""

import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
OUT = ROOT / "target" / "bench"
PEERS = OUT / "peers"

PROXY_CORE = 0
LOAD_CORE = 1
# As root, what is measured gets almost all of its core even while others use the machine. 0: it gets its share.
PRIORITY = -19

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Problem(Exception):
    """Something the user can do something about; its text says what."""


def settle(core, realtime=False):
    """Runs in a new child: its core, its priority, and that it ends when this program is killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.sched_setaffinity(0, {core})
    if PRIORITY and os.geteuid() == 0:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
            pathlib.Path("/proc/self/autogroup").write_text(str(PRIORITY))
        except OSError:
            pass  # a kernel without autogroups, or a container without the right: measured at normal priority
    if realtime:
        be_realtime([os.getpid()])


def be_realtime(pids, on=True):
    """As root: these run as soon as they can, whatever else wants the core. For loads that leave it idle mostly."""
    if not PRIORITY:
        return
    policy, parameter = (os.SCHED_FIFO, os.sched_param(10)) if on else (os.SCHED_OTHER, os.sched_param(0))
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                os.sched_setscheduler(int(task), policy, parameter)
            except OSError:
                return


class Processes:
    """Everything this program started and has not ended yet. A context: leaving it ends them all."""

    def __init__(self):
        self._running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(*self._running)

    def start(self, command, core, realtime=False, prepare=None, **options):
        # A session of its own: Ctrl-C reaches this program alone, which then ends its children in order.
        process = subprocess.Popen(
            [str(part) for part in command],
            start_new_session=True,
            preexec_fn=prepare or (lambda: settle(core, realtime)),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options},
        )
        self._running.append(process)
        return process

    def end(self, *processes):
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                for pid in tree(process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.wait()
        self._running = [process for process in self._running if process not in processes]

    def pids_except(self, others):
        """All that runs here but these."""
        return [pid for process in self._running for pid in tree(process.pid) if pid not in others]

    def output_of(self, command, realtime=False):
        """Runs a program on the load's core to its end: its output, or a Problem with its error."""
        process = self.start(command, LOAD_CORE, realtime, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, error = process.communicate()
        finally:
            self.end(process)
        if process.returncode:
            raise Problem(f"{pathlib.Path(command[0]).name}: {(error or out).strip()[-400:]}")
        return out


def tree(pid):
    """The process and its descendants."""
    pids = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                pids += tree(int(child))
    except FileNotFoundError:
        pass
    return pids


def cpu_ns(pids):
    """CPU time of all threads of these processes, user and system."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total


def ended_children_ns():
    """CPU time of this program and of its children that have ended."""
    return int(sum(os.times()[:4]) * 1e9)


def rss_kib(pids):
    """Resident memory of these processes together."""
    rolled = (pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return sum(int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1]) for text in rolled)


def busy_seconds(core):
    """What a core spent on anything but idling, since boot; stolen time included."""
    line = re.search(rf"^cpu{core} (.*)$", pathlib.Path("/proc/stat").read_text(), re.M)[1]
    user, nice, system, idle, wait, irq, softirq, steal = (int(field) for field in line.split()[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def raise_file_limit():
    """As many open files as the system allows: the idle test holds thousands of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def compile_programs():
    """The load generator, the upstream and the floor, from C."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    (OUT / "bin").mkdir(parents=True, exist_ok=True)
    for source in sorted((BENCH / "programs").glob("*.c")):
        binary = OUT / "bin" / source.stem
        if binary.exists() and binary.stat().st_mtime > source.stat().st_mtime:
            continue
        if not compiler:
            raise Problem("a C compiler is missing: `apt install gcc libc6-dev`")
        subprocess.run([compiler, "-O2", "-o", binary, source], check=True)


def program(name):
    """A compiled program of bench/programs."""
    return OUT / "bin" / name


def peer_command(name):
    """How to start a program that bench/peers unpacked, or else one that is installed; None if it is nowhere.

    Unpacked programs run through the loader and the libraries that came with them.
    """
    for folder in ("usr/sbin", "usr/bin"):
        binary = PEERS / folder / name
        if binary.exists():
            loader = next((PEERS / "usr").glob("lib/*/ld-linux*.so.*"))
            return [loader, "--library-path", loader.parent, binary]
    installed = shutil.which(name)
    return [installed] if installed else None


def unpack_peers():
    """Runs bench/peers where something that it unpacks is missing."""
    if all(peer_command(name) for name in ("nginx", "haproxy", "wrk", "h2load")):
        return
    if not shutil.which("apt-get"):
        print("bench/peers needs apt-get: install nginx, haproxy, wrk and h2load yourself.", file=sys.stderr)
        return
    print("unpacking nginx, HAProxy, wrk and h2load into target/bench/peers …", file=sys.stderr)
    subprocess.run([BENCH / "peers"], stdout=subprocess.DEVNULL, check=False)
