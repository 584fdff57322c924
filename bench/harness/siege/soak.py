"""Hours of churn and floods: does memory grow, are descriptors left behind?"""

import itertools
import statistics
import threading
import time

from ..rounds import note
from . import attacks
from .gateway import ATTACKED, DOORS, NEIGHBOUR, Gateway, Shape, ingress
from .ordinary import Ordinary
from .table import Table

ABOUT = "churn of objects and connections, every attack in turn; slope of memory and descriptors (--hours, --minutes)"
BOUND = 1.0  # MiB an hour
ATTACK_SECONDS, PAUSE_SECONDS = 4, 2


class Churn(threading.Thread):
    """Ingresses that come and go, five changes a second."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.ended, self.changes = gateway, threading.Event(), 0

    def run(self):
        while not self.ended.wait(0.2):
            index = self.changes % 40
            file = self.gateway.manifests / f"churn-{index}.yaml"
            if self.changes // 40 % 2:
                file.unlink(missing_ok=True)
            else:
                host = f"churn-{self.changes}.example.com"
                file.write_text(ingress(f"churn-{index}", ATTACKED, "app", "/", host, f"tenant-{index % 7}"))
            self.changes += 1


def slope(samples):
    """Per hour, with its standard error, by least squares; samples are (seconds, value)."""
    if len(samples) < 3:
        return 0.0, float("inf")
    times, values = zip(*samples)
    middle, mean = statistics.fmean(times), statistics.fmean(values)
    spread = sum((one - middle) ** 2 for one in times)
    rise = sum((one - middle) * (value - mean) for one, value in samples) / spread
    left = sum((value - mean - rise * (one - middle)) ** 2 for one, value in samples)
    return rise * 3600, (left / (len(samples) - 2) / spread) ** 0.5 * 3600


def run(siege):
    seconds = siege.options.hours * 3600 or siege.options.minutes * 60
    table = Table("soak", ABOUT, ("hours", "samples", "resident, first → last, MiB", "slope, MiB an hour", "descriptors, first → last", "ordinary requests failed"))
    attacks.client_hello()
    everything = [*attacks.FLOODS, *attacks.GREED]
    with Gateway(siege.running, siege.ground, siege.options.blastdoor, Shape(workers=2)) as gateway:
        churn = Churn(gateway)
        churn.start()
        begun, memory, descriptors, failed, requests = time.monotonic(), [], [], 0, 0
        for attack in itertools.cycle(siege.chosen(everything)):
            ordinary = Ordinary(siege.running, gateway.ports[NEIGHBOUR], ATTACK_SECONDS, rate=200, realtime=False)
            with attacks.Running(siege.running, attack, gateway.ports, nice=10):
                outcome = ordinary.outcome()
            failed, requests = failed + outcome["errors"], requests + outcome["requests"]
            time.sleep(PAUSE_SECONDS)
            now = time.monotonic() - begun
            memory.append((now, gateway.rss_kib() / 1024))
            descriptors.append((now, gateway.descriptors()))
            note(f"soak {now / 60:.1f} min after {attack.name}: {memory[-1][1]:.1f} MiB, {descriptors[-1][1]} descriptors, "
                 f"{outcome['errors']} failed, {churn.changes} changes")
            if not gateway.is_alive() or now > seconds:
                break
        churn.ended.set()
        churn.join()
        doors = [gateway.get(door)[0] for door in DOORS]
    add(table, siege, memory, descriptors, failed, doors)
    table.notes.append(f"{requests:,} ordinary requests at the other door; a sample after each attack and {PAUSE_SECONDS} s of rest.")
    return table


def add(table, siege, memory, descriptors, failed, doors):
    # Each attack leaves what the allocator keeps for the next one: the first two rounds of all of them are warm-up.
    attacks_in_round = len(siege.chosen([*attacks.FLOODS, *attacks.GREED]))
    warm_up = min(2 * attacks_in_round, len(memory) // 3)
    warm, open_files = memory[warm_up:], descriptors[warm_up:]
    rise, error = slope(warm)
    leak, leak_error = slope(open_files)
    table.must(doors == [200] * len(DOORS), f"the doors answer {doors} at the end")
    lost = table.must(failed == 0, f"{failed} ordinary requests failed")
    grows = table.must(rise - 2 * error <= BOUND, f"memory grows by {rise:.1f} ± {2 * error:.1f} MiB an hour")
    if not grows and rise + 2 * error > BOUND:
        table.notes.append(f"Undecided: a run of {memory[-1][0] / 60:.0f} minutes knows the slope to within {2 * error:.1f} MiB an hour.")
    leaks = table.must(leak - 2 * leak_error <= 5, f"descriptors grow by {leak:.0f} an hour")
    table.add(
        f"{memory[-1][0] / 3600:.2f}", f"{len(warm)} after warm-up", f"{warm[0][1]:.1f} → {warm[-1][1]:.1f}",
        f"{rise:+.1f} ± {2 * error:.1f}{grows}", f"{open_files[0][1]} → {open_files[-1][1]}{leaks}", f"{failed}{lost}",
    )
