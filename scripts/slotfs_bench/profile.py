"""Where the time of eight `cp` at once goes, in slotfs and in the bare filesystem."""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .built import BUILT
from .peers import Bare, Slotfs
from .timing import middle
from .work import cp_at_once

OUT = Path("docs/bench/profile.md")
CALLS = ["read", "writev", "pread64", "pwrite64", "fcntl", "fsync", "futex"]
ROUNDS = 3
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def daemon(peer):
    return peer.stats()["pid"] if isinstance(peer, Slotfs) else peer.process.pid


def daemon_us(pid):
    """User and system time of a process, microseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) * TICK_US, int(fields[12]) * TICK_US


def children_us():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def once(peer, files):
    """Microseconds for each file."""
    pid, before, ours = daemon(peer), daemon_us(daemon(peer)), children_us()
    stats = peer.stats() if isinstance(peer, Slotfs) else {}
    took = cp_at_once(peer) * 1e6
    user, system = (now - then for now, then in zip(daemon_us(pid), before))
    cost = {"elapsed, all processors": took * os.cpu_count(), "cp": children_us() - ours, "daemon, user": user,
            "daemon, system": system}
    cost["idle, and interrupts of nobody"] = cost["elapsed, all processors"] - sum(list(cost.values())[1:])
    if stats:
        now = peer.stats()
        cost = {**cost, **{f"{name} requests": now[name] - stats[name]
                           for name in ("lookup", "getattr", "open", "create", "copy_file_range", "flush", "release")}}
        cost["commits"] = now["commits"] - stats["commits"]
    return {name: value / files for name, value in cost.items()}


def under(words, peer):
    """Runs it once more while `words` watches."""
    watching = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    cp_at_once(peer)
    watching.send_signal(signal.SIGINT)
    watching.wait()


def calls(peer, files, folder):
    out = f"{folder}/stat"
    events = ",".join(f"syscalls:sys_enter_{name}" for name in CALLS) + ",context-switches"
    under(["perf", "stat", "-x", ";", "-e", events, "-p", str(daemon(peer)), "-o", out], peer)
    counted = {}
    for line in Path(out).read_text().splitlines():
        fields = line.split(";")
        if len(fields) > 2 and fields[0].isdigit():
            counted[fields[2].replace("syscalls:sys_enter_", "")] = int(fields[0]) / files
    return counted


def symbols(peer, folder):
    """The share of the daemon's time in each symbol, most first."""
    data = f"{folder}/perf.data"
    under(["perf", "record", "-q", "-F", "4000", "-p", str(daemon(peer)), "-o", data], peer)
    report = subprocess.run(["perf", "report", "-i", data, "--sort", "dso,sym", "-g", "none", "--stdio"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    rows = re.findall(r"^\s+([\d.]+)%\s+(\S+)\s+\[(.)\] (.+?)\s*$", report, re.M)
    total = {"kernel": 0.0, "own": 0.0}
    for share, _, where, _ in rows:
        total["kernel" if where == "k" else "own"] += float(share)
    return total, [(f"{name} ({'kernel' if where == 'k' else dso})", float(share)) for share, dso, where, name in rows[:12]]


def main():
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    lines = ["# Profile of eight `cp` at once", "", f"Written by `scripts/profile`: {files:,} objects, {os.cpu_count()} processors; "
             f"medians of {ROUNDS} rounds in turn; microseconds, requests, commits and system calls are for each file."]
    with tempfile.TemporaryDirectory(prefix="slotfs-profile-") as folder, \
            Slotfs(folder, BUILT, files, ROUNDS + 3) as slotfs, Bare(folder, BUILT) as bare:
        bare.fill(slotfs.blobs())
        peers = [slotfs, bare]
        for peer in peers:
            cp_at_once(peer)
        rounds = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                rounds[peer.name].append(once(peer, files))
        table = {peer.name: {what: middle([one[what] for one in rounds[peer.name]]) for what in rounds[peer.name][0]}
                 for peer in peers}
        for peer in peers:
            table[peer.name].update({f"{name}, of the daemon": value for name, value in calls(peer, files, folder).items()})
        lines += ["", f"| for each file | {' | '.join(table)} |", "| --- |" + " --- |" * len(table)]
        for what in table["slotfs"]:
            values = [f"{of[what]:.2f}" if what in of else "" for of in table.values()]
            lines.append(f"| {what} | {' | '.join(values)} |")
        for peer in peers:
            total, most = symbols(peer, folder)
            lines += ["", f"## The daemon of {peer.name}", "",
                      f"{total['kernel']:.0f} % in the kernel, {total['own']:.0f} % in its own code.", "", "| symbol | % |", "| --- | --- |",
                      *(f"| `{name}` | {share:.1f} |" for name, share in most)]
    text = "\n".join(lines) + "\n"
    print(text)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text)


if __name__ == "__main__":
    main()
