"""Interleaved rounds: in each, every proxy is measured once, so that the machine's moods hit them alike."""

import sys
import time

from . import processes
from .processes import LOAD_CORE, PROXY_CORE, Problem
from .tests import FOREIGN_LIMIT


def note(text):
    print(text, file=sys.stderr, flush=True)


def run(test, bench, kinds, rounds):
    """Measures one test: figures by round and label. A proxy that fails is left out, which is noted."""
    rounds = min(rounds, test.rounds or rounds)
    fleet, results = [], [{} for _ in range(rounds)]
    try:
        for proxy in test.fleet(kinds):
            try:
                proxy.start(bench.running, bench.ground)
                fleet.append(proxy)
                if test.fresh:
                    proxy.end(bench.running)
            except Problem as problem:
                proxy.end(bench.running)
                note(f"{test.name}: left out for {proxy.label}: {problem}")
        for index, row in enumerate(results):
            for proxy in list(fleet):
                try:
                    row[proxy.label] = measure(test, bench, proxy)
                except Problem as problem:
                    note(f"{test.name}: left out for {proxy.label} from here on: {problem}")
                    fleet.remove(proxy)
                    proxy.end(bench.running)
            key, digits = test.figures[0].key, test.figures[0].digits
            values = (f"{label} {one[key]:.{digits}f}{'*' * one['contaminated']}" for label, one in row.items())
            note(f"{test.name} {index + 1}/{rounds}  " + "  ".join(values))
    finally:
        for proxy in fleet:
            proxy.end(bench.running)
    return results


def measure(test, bench, proxy):
    """One measurement, repeated while others disturb it; of several disturbed ones the least disturbed."""
    attempts = []
    for _ in range(bench.attempts if test.watches_cores else 1):
        if test.fresh:
            proxy.start(bench.running, bench.ground)
        try:
            attempts.append(observe(test, bench, proxy))
        finally:
            if test.fresh:
                proxy.end(bench.running)
        if not attempts[-1]["contaminated"]:
            break
    return min(attempts, key=lambda one: (one["contaminated"], one["foreign_proxy_core"]))


def observe(test, bench, proxy):
    """The figures of one measurement, with the share of each core that neither we nor the proxy used."""
    pids = proxy.pids()
    own = bench.running.pids_except(pids)
    before = {core: processes.busy_seconds(core) for core in (PROXY_CORE, LOAD_CORE)}
    proxy_cpu, begun = processes.cpu_ns(pids), time.monotonic()
    own_cpu = processes.cpu_ns(own) + processes.ended_children_ns()
    figures = test.measure(bench, proxy)
    elapsed = time.monotonic() - begun
    used = {
        PROXY_CORE: (processes.cpu_ns(pids) - proxy_cpu) / 1e9,
        LOAD_CORE: (processes.cpu_ns(own) + processes.ended_children_ns() - own_cpu) / 1e9,
    }
    foreign = {core: (processes.busy_seconds(core) - before[core] - used[core]) / elapsed for core in used}
    figures["foreign_proxy_core"] = round(foreign[PROXY_CORE], 3)
    figures["foreign_load_core"] = round(foreign[LOAD_CORE], 3)
    figures["contaminated"] = test.watches_cores and any(foreign[core] > FOREIGN_LIMIT[core] for core in foreign)
    if "cpu_ns" in figures:
        figures["core"] = round(figures["cpu_ns"] / 1e9 / figures["seconds"], 3)
    return figures
