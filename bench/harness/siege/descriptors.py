"""Few descriptors and full doors: do the probes answer, do the doors, and is anything left of it afterwards?"""

import time

from ..processes import Problem
from ..rounds import note
from . import attacks
from .attacks import MANY, Attack
from .gateway import DOORS, Gateway, Shape
from .table import Table

ABOUT = "a limit of 128, 256 or 1024 open files, and every door full"
BOUND = 1.0  # seconds
PROBES = ("/livez", "/readyz", *(f"/lb/{door}" for door in DOORS))
# Two rounds of all probes more than a connection of the test itself may still be open.
LEFT = 12

HEADINGS = ("files", "slowest probe, s", "probes answered 200", "requests answered", "descriptors before, full, after", "doors afterwards")


def run(siege):
    table = Table("descriptors", ABOUT, HEADINGS)
    for files in (128, 256, 1024):
        try:
            with Gateway(siege.running, siege.ground, siege.options.blastdoor, Shape(workers=2, files=files)) as gateway:
                measure(siege, table, files, gateway)
        except Problem as problem:
            table.must(False, f"{files} files: {problem}")
            table.add(files, *["–"] * 5)
    table.notes.append("Every door gets twice as many silent connections as the process may open files.")
    return table


def measure(siege, table, files, gateway):
    before = gateway.descriptors()
    full = Attack("full", "", ("connect", "-n", 2 * files, *MANY))
    flooding = [attacks.Running(siege.running, full, {full.door: port}).__enter__() for port in gateway.ports.values()]
    try:
        time.sleep(1.5)
        at_most = gateway.descriptors()
        answers = [gateway.ask(path, 3) for _ in range(4) for path in PROBES]
        served = [gateway.get(door, timeout=3)[0] == 200 for _ in range(4) for door in DOORS]
    finally:
        for one in flooding:
            one.__exit__()
    time.sleep(3)
    after = gateway.descriptors()
    doors = [gateway.get(door)[0] for door in DOORS]
    slowest, good = max(seconds for _, seconds in answers), sum(status == 200 for status, _ in answers)
    note(f"descriptors {files}: probes {good}/{len(answers)} in {slowest:.2f} s at most, "
         f"{sum(served)}/{len(served)} requests, {before}, {at_most}, {after} descriptors, doors {doors}")
    late = table.must(slowest <= BOUND and all(status for status, _ in answers), f"{files} files: a probe took {slowest:.1f} s")
    red = table.must(good == len(answers), f"{files} files: {len(answers) - good} of {len(answers)} probes were not 200")
    left = table.must(after <= before + LEFT, f"{files} files: {after - before} descriptors are left over")
    ill = table.must(doors == [200] * len(DOORS), f"{files} files: the doors answer {doors} afterwards")
    table.add(files, f"{slowest:.2f}{late}", f"{good} of {len(answers)}{red}", f"{sum(served)} of {len(served)}",
              f"{before}, {at_most}, {after}{left}", f"{' '.join(map(str, doors))}{ill}")
