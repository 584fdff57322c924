"""The tests: how each one loads a proxy, what figures come of it, and what Blastdoor is to reach."""

import dataclasses
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from . import processes, proxies
from .processes import LOAD_CORE, PROXY_CORE, Problem
from .proxies import Blastdoor, Setting, client_context

# Share of a core that others used while a proxy was measured, from which on the measurement is repeated.
FOREIGN_LIMIT = {PROXY_CORE: 0.05, LOAD_CORE: 0.10}

# Sent by the tools that are not ours, so that all tests bring about the same request.
HEADERS = {
    "User-Agent": "load/1.0",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, br",
    "Cookie": "sid=0123456789abcdef",
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that a test yields for each proxy and round."""

    key: str
    unit: str
    digits: int = 1
    more_is_better: bool = False
    # The bound of Blastdoor's ratio to another, by its label.
    goals: dict = dataclasses.field(default_factory=dict)
    # The bound of Blastdoor's own value.
    limit: float | None = None


@dataclasses.dataclass(frozen=True)
class Bench:
    """What a measurement needs to know."""

    running: processes.Processes
    ground: proxies.Ground
    seconds: float
    warm_up: float
    attempts: int  # at a measurement that others disturb


class Test:
    """One test. A new one needs `name`, `about`, `figures` and `measure`, and a line in ALL."""

    name = ""
    about = ""
    figures = ()
    setting = Setting()
    fresh = False  # each measurement starts its proxy and ends it
    watches_cores = True  # repeated where others disturbed it
    tool = None  # a program it needs, and the Debian package that has it
    rounds = None  # at most so many

    def fleet(self, kinds):
        """The proxies to compare."""
        return [kind(self.setting) for kind in kinds if kind.speaks_tls or not self.setting.tls]

    def missing(self):
        """Why it cannot run here, if so."""
        if self.tool and not processes.peer_command(self.tool[0]):
            return f"{self.tool[0]} is missing: `bench/peers` unpacks it, or `apt install {self.tool[1]}`"
        return None

    def measure(self, bench, proxy):
        """The figures by key. `cpu_ns` and `seconds`, if given, are those of the measured window."""
        raise NotImplementedError


def load(bench, proxy, *options, realtime=False):
    """Our own load generator against a proxy."""
    command = [processes.program("load"), "-w", bench.warm_up, "-s", bench.seconds, *options]
    answers = json.loads(bench.running.output_of([*command, proxy.port, *proxy.pids()], realtime))
    if not answers["requests"]:
        raise Problem("no answers")
    if answers["errors"]:
        raise Problem(f"{answers['errors']} of {answers['requests']} requests failed")
    answers["cpu_us"] = answers["cpu_ns"] / 1e3 / answers["requests"]
    answers["per_second"] = answers["requests"] / answers["seconds"]
    answers["gb_per_cpu_second"] = answers["bytes"] / answers["cpu_ns"]
    return answers


def foreign_tool(bench, proxy, tool, warm_up, measured, requests):
    """Another load generator, with the proxy's CPU time read around it. `requests` reads its output."""
    command = processes.peer_command(tool)
    bench.running.output_of([*command, *warm_up])
    pids, begun = proxy.pids(), time.monotonic()
    cpu = processes.cpu_ns(pids)
    out = bench.running.output_of([*command, *measured])
    cpu, seconds = processes.cpu_ns(pids) - cpu, time.monotonic() - begun
    count = requests(out)
    return {"cpu_ns": cpu, "seconds": seconds, "cpu_us": cpu / 1e3 / count, "per_second": count / seconds}


def cpu(goals=None, what="request"):
    return Figure("cpu_us", f"CPU µs per {what}", goals=goals or {})


class Keepalive(Test):
    name = "keepalive"
    about = "HTTP/1.1, 64 kept connections, 128-byte answers"
    figures = (
        cpu({"haproxy": 0.85, "nginx": 0.95, "floor": 1.35}),
        Figure("per_second", "requests per second", digits=0, more_is_better=True),
    )

    def measure(self, bench, proxy):
        return load(bench, proxy)


class Bodies(Test):
    name = "bodies"
    about = "HTTP/1.1, 16 kept connections, answers of 1 MiB"
    figures = (Figure("gb_per_cpu_second", "GB per CPU-second", 2, more_is_better=True, goals={"haproxy": 1.0}),)

    def measure(self, bench, proxy):
        return load(bench, proxy, "-c", 16, "-u", "/api/1m")


class Latency(Test):
    name = "latency"
    about = "HTTP/1.1, 64 kept connections, 5,000 requests a second by schedule, 128-byte answers"
    figures = (
        Figure("p50", "µs, median", digits=0, goals={"nginx": 1.0}),
        Figure("p99", "µs, 99th percentile", digits=0, goals={"nginx": 1.0}),
        cpu(),
    )

    def measure(self, bench, proxy):
        # All parties in front of whatever else runs here: its queue for the core would be all that p99 shows.
        parties = [*proxy.pids(), bench.ground.upstream_pid]
        processes.be_realtime(parties)
        try:
            return load(bench, proxy, "-r", 5000, realtime=True)
        finally:
            processes.be_realtime(parties, on=False)


class AccessLog(Test):
    name = "access-log"
    about = "as keepalive, with the access log on, into a pipe that is read"
    setting = Setting(access_log=True)
    figures = (cpu(), Figure("per_second", "requests per second", digits=0, more_is_better=True))

    def fleet(self, kinds):
        return [kind for kind in super().fleet(kinds) if kind.speaks_http]

    def measure(self, bench, proxy):
        return load(bench, proxy)


class Routes(Test):
    name = "routes"
    about = "as keepalive, through one Ingress and host for each of 10 or 10,000, all of them requested in turn"
    figures = (
        cpu({"10 Ingresses": 1.03}),
        Figure("per_second", "requests per second", digits=0, more_is_better=True, goals={"10 Ingresses": 0.97}),
        Figure("start_ms", "ms from start to the first answer", digits=0),
        Figure("rss_mib", "MiB resident after the load"),
    )

    def fleet(self, kinds):
        few, many = Blastdoor(Setting(ingresses=10)), Blastdoor(Setting(ingresses=10_000))
        few.label, many.label = "10 Ingresses", "blastdoor"
        return [few, many]

    def measure(self, bench, proxy):
        figures = load(bench, proxy, "-v", proxy.setting.ingresses)
        figures["start_ms"] = proxy.ready_after * 1e3
        figures["rss_mib"] = processes.rss_kib(proxy.pids()) / 1024
        return figures


class Idle(Test):
    name = "idle"
    about = "5,000 HTTP/1.1 connections that served one request each and then keep silent"
    figures = (
        Figure("start_mib", "MiB resident at start", limit=15),
        Figure("connection_kib", "KiB per connection", digits=2, limit=1),
    )
    fresh = True
    watches_cores = False
    rounds = 3
    connections = 5000

    def measure(self, bench, proxy):
        at_start = processes.rss_kib(proxy.pids())
        held = []
        try:
            for _ in range(self.connections):
                connection = proxy.connect()
                held.append(connection)
                connection.sendall(proxy.request())
                if not connection.recv(1024).startswith(b"HTTP/1.1 200"):
                    raise Problem("a connection was refused")
            time.sleep(1)
            growth = processes.rss_kib(proxy.pids()) - at_start
        finally:
            for connection in held:
                connection.close()
        return {"start_mib": at_start / 1024, "connection_kib": growth / self.connections}


class IdleTls(Idle):
    name = "idle-tls"
    about = "2,000 TLS 1.3 connections that served one HTTP/1.1 request each and then keep silent"
    setting = Setting(tls=True)
    connections = 2000
    figures = (
        Figure("start_mib", "MiB resident at start", limit=15),
        Figure("connection_kib", "KiB per connection", limit=13),
    )


class Tls(Test):
    name = "tls"
    about = "HTTP/1.1 over TLS 1.3, 64 kept connections, 128-byte answers, from wrk"
    setting = Setting(tls=True)
    tool = ("wrk", "wrk")
    figures = (
        cpu({"haproxy": 0.65, "nginx": 0.9}),
        Figure("per_second", "requests per second", digits=0, more_is_better=True),
    )

    def measure(self, bench, proxy):
        headers = {"Host": "app.example.com", **HEADERS}
        options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]

        def command(seconds):
            url = f"https://127.0.0.1:{proxy.tls_port}/api/x"
            return ["-t1", "-c64", f"-d{max(1, round(seconds))}s", *options, url]

        return foreign_tool(bench, proxy, "wrk", command(1), command(bench.seconds), self.requests)

    @staticmethod
    def requests(out):
        done = re.search(r"(\d+) requests in", out)
        if re.search(r"Non-2xx|Socket errors", out) or not done or not int(done[1]):
            raise Problem("wrk: " + out[-300:])
        return int(done[1])


class Http2(Test):
    name = "h2"
    about = "HTTP/2 over TLS 1.3 in, HTTP/1.1 out, 16 connections with 16 streams each, 128-byte answers, from h2load"
    setting = Setting(tls=True)
    tool = ("h2load", "nghttp2-client")
    figures = (
        cpu({"haproxy": 0.75, "nginx": 0.9}),
        Figure("per_second", "requests per second", digits=0, more_is_better=True),
    )

    def measure(self, bench, proxy):
        options = [part for name, value in HEADERS.items() for part in ("-H", f"{name.lower()}: {value}")]

        def command(seconds):
            to = [f"--connect-to=127.0.0.1:{proxy.tls_port}", f"https://app.example.com:{proxy.tls_port}/api/x"]
            return ["-t1", "-c16", "-m16", "-D", max(1, round(seconds)), *options, *to]

        return foreign_tool(bench, proxy, "h2load", command(1), command(bench.seconds), self.requests)

    @staticmethod
    def requests(out):
        done = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        if not done or not int(done[1]) or int(done[3]) or int(done[4]) or "Application protocol: h2" not in out:
            raise Problem("h2load: " + out[-300:])
        return int(done[1])


class Handshakes(Test):
    name = "handshakes"
    about = "a full TLS 1.3 handshake (P-256 certificate), one request, and the end of the connection, by 8 clients"
    setting = Setting(tls=True)
    clients = 8
    figures = (cpu({"haproxy": 0.6}, what="handshake"),)

    def measure(self, bench, proxy):
        self.shake_hands(proxy, min(0.5, bench.warm_up))
        pids, begun = proxy.pids(), time.monotonic()
        spent = processes.cpu_ns(pids)
        count = self.shake_hands(proxy, bench.seconds)
        spent, seconds = processes.cpu_ns(pids) - spent, time.monotonic() - begun
        return {"cpu_ns": spent, "seconds": seconds, "cpu_us": spent / 1e3 / count, "per_second": count / seconds}

    @classmethod
    def shake_hands(cls, proxy, seconds):
        """Several clients at a time, so that the proxy seldom sleeps between two steps; how many handshakes."""
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(cls.clients) as clients:
            return sum(clients.map(lambda _: cls.one_client(proxy, end), range(cls.clients)))

    @staticmethod
    def one_client(proxy, end):
        context, request, count = client_context(), proxy.request("close"), 0
        while time.monotonic() < end:
            plain = socket.create_connection(("127.0.0.1", proxy.tls_port), 2)
            # No session is offered, so that every handshake is a full one.
            with context.wrap_socket(plain, server_hostname="app.example.com") as connection:
                connection.sendall(request)
                if not connection.recv(1024).startswith(b"HTTP/1.1 200"):
                    raise Problem("a connection was refused")
            count += 1
        return count


ALL = (Keepalive, Bodies, Latency, Idle, Routes, AccessLog, Tls, Http2, Handshakes, IdleTls)
