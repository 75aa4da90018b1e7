"""One slot with ever more objects: what a clone, a lookup and a listed entry take, and what the daemon needs."""

import os
import random
import time
from pathlib import Path

from .peers import Slotfs, wait_for_mount
from .timing import middle, seconds

CLONED = 500
LOOKED_UP = 2000
# Attributes that the kernel remembers are a second old at most.
FORGET = 1.1
MIB = 1 << 20
KINDS = ["clone", "lookup", "listed entry"]


class Scaled(Slotfs):
    """Slot 0 holds many objects, slot 1 a few that are copied into it."""

    name = "scale"

    def __init__(self, work, built, objects, rounds, folder=None):
        super().__init__(work, built, objects, 1, folder=folder or f"scale-{objects}")
        self.generate(1, CLONED * rounds)

    def init(self, slot):
        self.command("partition", "init", "-slot", slot, "-label", f"slot{slot}", "-domainkey", self.domain,
                     "-capacity", 2_000_000, "-force", slots=[slot])

    def memory_mib(self, field):
        """`VmRSS`, or `VmHWM`: the most there ever was."""
        lines = Path(f"/proc/{self.stats()['pid']}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

    def wal_mib(self):
        return os.path.getsize(f"{self.store}-wal") / MIB


def measure(work, built, objects, rounds):
    """Of a slot with so many objects: what each took, microseconds, round by round, and what the daemon needed."""
    # The same lookups in every run.
    chosen = random.Random(objects)
    scaled = Scaled(work, built, objects, rounds)
    took = {kind: [] for kind in KINDS}
    ready = seconds(scaled.words("mount", scaled.point, "--login", "0", "--login", "1", slots=[0, 1]),
                    env={**os.environ, "SLOTFS_STORE": str(scaled.store)})
    wait_for_mount(scaled.point)
    wal = 0
    try:
        slot = scaled.point / "0"
        sources = sorted((int(entry.name) for entry in os.scandir(scaled.point / "1") if entry.name.isdigit()))
        for number in range(rounds):
            part = sources[number * CLONED:(number + 1) * CLONED]
            # Their own handles are taken where the slot is large: `new` asks for any.
            paths = [str(scaled.point / "1" / str(handle)) for handle in part]
            start = time.monotonic()
            for path in paths:
                with open(path, "rb") as source, open(slot / "new", "xb", buffering=0) as target:
                    target.write(source.read())
            took["clone"].append((time.monotonic() - start) / CLONED * 1e6)
            wal = max(wal, scaled.wal_mib())
            time.sleep(FORGET)
            names = [str(slot / str(chosen.randint(1, objects))) for _ in range(LOOKED_UP)]
            start = time.monotonic()
            for name in names:
                os.stat(name)
            took["lookup"].append((time.monotonic() - start) / LOOKED_UP * 1e6)
            start = time.monotonic()
            listed = sum(1 for _ in os.scandir(slot))
            took["listed entry"].append((time.monotonic() - start) / listed * 1e6)
            wal = max(wal, scaled.wal_mib())
        needs = {"mount ready, s": ready, "resident, MiB": scaled.memory_mib("VmRSS"),
                 "largest WAL, MiB": wal, "store, MiB": os.path.getsize(scaled.store) / MIB}
    finally:
        scaled.__exit__()
    return took, needs


def table(results):
    """Markdown: a row for each number of objects."""
    needs = list(next(iter(results.values()))[1])
    lines = [f"| objects | {' | '.join(f'{kind}, us' for kind in KINDS)} | {' | '.join(needs)} |",
             "| --- |" + " --- |" * (len(KINDS) + len(needs))]
    for objects, (took, need) in results.items():
        values = [f"{middle(took[kind]):.1f}" for kind in KINDS] + [f"{need[name]:.2f}" for name in needs]
        lines.append(f"| {objects:,} | {' | '.join(values)} |")
    return lines
