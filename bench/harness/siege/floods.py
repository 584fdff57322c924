"""Floods at one door, and the latency at another one: with shared cores, and with cores of their own."""

import dataclasses
import statistics
import time

from .. import processes
from ..processes import LOAD_CORE, PROXY_CORE, Problem
from ..rounds import note
from . import attacks
from .cgroup import Preference
from .gateway import ATTACKED, ATTACKED_TLS, NEIGHBOUR, Gateway, Shape
from .ordinary import Ordinary
from .table import Table, ms

ABOUT = "requests to a door while another one is flooded"
BOUND = {"shared": 1.5, "own": 1.1}
RATE = 2000

# Where the doors' workers run, and the flood. The ordinary requests and their upstream are on the load's core always.
SHARED = Shape(core=PROXY_CORE)
OWN = Shape(cpus={ATTACKED: PROXY_CORE, ATTACKED_TLS: PROXY_CORE, NEIGHBOUR: LOAD_CORE})


def window(siege, gateway, seconds):
    """One window of ordinary requests, with the share of its core that others used."""
    core = PROXY_CORE if gateway.shape.core is not None else LOAD_CORE
    before, begun = processes.busy_seconds(core), time.monotonic()
    own = processes.cpu_ns([gateway.pid])
    found = Ordinary(siege.running, gateway.ports[NEIGHBOUR], seconds, rate=RATE).outcome()
    used = processes.busy_seconds(core) - before - (processes.cpu_ns([gateway.pid]) - own) / 1e9
    found["foreign"] = used / (time.monotonic() - begun) if gateway.shape.core is not None else 0.0
    return found


def measure(siege, gateway, attack, core):
    """Rounds of a quiet and an attacked window each."""
    rounds = []
    for _ in range(siege.options.rounds):
        quiet = window(siege, gateway, siege.options.seconds)
        with attacks.Running(siege.running, attack, gateway.ports, core) as flood:
            flood.wait_until_ready()
            time.sleep(0.3)
            flooded = window(siege, gateway, siege.options.seconds)
        time.sleep(0.2)
        rounds.append((quiet, flooded))
    return rounds


def run(siege):
    table = Table("floods", ABOUT, ("flood", "cores", "p99 quiet, ms", "p99 under it, ms", "ratio (range)", "bound", "failed"))
    attacks.client_hello()
    processes.be_realtime([siege.ground.upstream.pid])
    for cores, shape, core in (("shared", SHARED, LOAD_CORE), ("own", OWN, PROXY_CORE)):
        try:
            with (
                Preference(processes.PRIORITY) as preference,
                Gateway(
                    siege.running, siege.ground, siege.options.blastdoor, dataclasses.replace(shape, preference=preference)
                ) as gateway,
            ):
                for attack in siege.chosen(attacks.FLOODS):
                    add(table, attack, cores, measure(siege, gateway, attack, core))
        except Problem as problem:
            if cores == "own" and "cpus" in str(problem):
                table.missed.append("this build cannot give a door cores of its own (`cpus`)")
                continue
            raise
    table.notes.append(
        f"{RATE:,} requests a second by schedule from 16 kept connections, {siege.options.rounds} pairs of windows of "
        f"{siege.options.seconds:g} s; ratios within a pair."
    )
    return table


def add(table, attack, cores, rounds):
    ratios = [flooded["p99"] / max(1, quiet["p99"]) for quiet, flooded in rounds]
    ratio = statistics.median(ratios)
    failed = sum(one["errors"] + one.get("missing", 0) for pair in rounds for one in pair)
    quiet, flooded = (statistics.median(pair[side]["p99"] for pair in rounds) for side in (0, 1))
    foreign = statistics.median(one["foreign"] for pair in rounds for one in pair)
    note(
        f"floods {attack.name} {cores}: "
        + "  ".join(f"{one['p99']}/{two['p99']}" for one, two in rounds)
        + f"  (others used {foreign:.0%} of the core)"
    )
    late = table.must(ratio <= BOUND[cores], f"{attack.name}, {cores} cores: p99 {ratio:.2f} times its quiet value")
    lost = table.must(failed == 0, f"{attack.name}, {cores} cores: {failed} ordinary requests failed")
    table.add(
        attack.name, cores, ms(quiet), ms(flooded), f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        f"≤ {BOUND[cores]}{late}", f"{failed}{lost}",
    )
