"""The gateway in a memory cgroup under what makes gateways hold memory, with ordinary traffic beside it."""

import statistics
import time

from .. import processes
from ..processes import Problem
from ..rounds import note
from . import attacks, cgroup
from .attacks import Attack
from .gateway import ATTACKED, NEIGHBOUR, Gateway, Shape
from .ordinary import Ordinary
from .table import Table, mib, ms

ABOUT = "attacks on memory in cgroups of 128 and 512 MiB: kills, peak, and ordinary requests meanwhile"
BOUND = 2.0
RATE = 500

HEADINGS = (
    "attack", "MiB allowed", "killed", "peak, MiB", "kernel's TCP, MiB", "failed, other door", "failed, same door",
    "p99, other door", "p99, same door",
)


def run(siege):
    table = Table("memory", ABOUT, HEADINGS)
    kind, reason = cgroup.version()
    if not kind:
        table.missed.append(f"NOT MEASURED: {reason}")
        return table
    attacks.client_hello()
    processes.be_realtime([siege.ground.upstream.pid])
    together = Attack("all", "all of these at once", ())
    for limit in (int(size) << 20 for size in siege.options.limits.split(",")):
        for attack in siege.chosen((*attacks.GREED, together)):
            one = attacks.GREED if attack is together else (attack,)
            with kind(limit) as group, cgroup.Preference(processes.PRIORITY) as preference:
                shape = Shape(workers=2, cgroup=group, preference=preference)
                try:
                    row = measure(siege, shape, one)
                except Problem as problem:
                    row = {"problem": str(problem)}
                row.update(kills=group.kills(), peak=group.peak(), sockets=group.sockets())
            add(table, attack, limit, row)
    table.notes.append(
        f"{RATE} requests a second by schedule from 16 kept connections at each of two doors, {siege.options.rounds} quiet "
        f"and {siege.options.rounds} attacked windows of {siege.options.seconds:g} s; p99 in ms, quiet → attacked."
    )
    if kind is cgroup.Version1:
        table.notes.append(
            "Version 1 of cgroups counts buffers of TCP apart from the limit; version 2 counts them within it."
        )
    return table


def measure(siege, shape, chosen):
    """Quiet windows, then the attacks, then attacked windows while they last."""
    with Gateway(siege.running, siege.ground, siege.options.blastdoor, shape) as gateway:
        quiet = [pair(siege, gateway) for _ in range(siege.options.rounds)]
        attacking = [attacks.Running(siege.running, one, gateway.ports, nice=10).__enter__() for one in chosen]
        try:
            # They need not get all connections that they want: the gateway may refuse them.
            time.sleep(1)
            attacked = [pair(siege, gateway) for _ in range(siege.options.rounds)]
            alive, rss = gateway.is_alive(), gateway.rss_kib()
        finally:
            for one in attacking:
                one.__exit__()
        time.sleep(1)
        return {
            "quiet": quiet, "attacked": attacked, "alive": alive and gateway.is_alive(), "rss": rss,
            "after": gateway.get(NEIGHBOUR)[0], "errors": gateway.errors()[-3:],
            "outcomes": [one.outcome for one in attacking],
        }


def pair(siege, gateway):
    """Windows at the other and at the attacked door at the same time."""
    doors = (NEIGHBOUR, ATTACKED)
    started = [Ordinary(siege.running, gateway.ports[door], siege.options.seconds, rate=RATE) for door in doors]
    return [one.outcome() for one in started]


def add(table, attack, limit, row):
    allowed = limit >> 20
    where = f"{attack.name}, {allowed} MiB"
    if "problem" in row:
        table.must(False, f"{where}: {row['problem']}")
        table.add(attack.name, allowed, row["kills"], mib(row["peak"]), *["–"] * 5)
        return
    killed = not row["alive"] or row["kills"]
    cells = [attack.name, allowed, ("yes" if killed else "no") + table.must(not killed, f"{where}: killed")]
    cells += [mib(row["peak"]), "–" if row["sockets"] is None else mib(row["sockets"])]
    if killed:
        table.add(*cells, *["–"] * 4)
        note(f"memory {where}: killed  {row['outcomes'][:1]}")
        return
    latencies, log = [], []
    for index, door in enumerate(("other door", "same door")):
        failed = sum(one[index]["errors"] + one[index].get("missing", 0) for one in row["attacked"])
        quiet, attacked = (statistics.median(one[index]["p99"] for one in row[side]) for side in ("quiet", "attacked"))
        cells.append(f"{failed}{table.must(failed == 0, f'{where}: {failed} ordinary requests failed at the {door}')}")
        late = table.must(attacked <= BOUND * quiet, f"{where}: p99 at the {door} {attacked / max(1, quiet):.1f} times its quiet value")
        latencies.append(f"{ms(quiet)} → {ms(attacked)}{late}")
        log.append(f"{failed} failed, {quiet:.0f}/{attacked:.0f} µs")
    table.must(row["after"] == 200, f"{where}: the other door answers {row['after']} afterwards")
    table.add(*cells, *latencies)
    note(f"memory {where}: peak {mib(row['peak'])}, killed {bool(killed)}, {'; '.join(log)}  {row['outcomes'][:1]}")
