"""PKCS#11 operations on slotfs, SoftHSM2 and Kryoptic, in turn; the cryptography alone, and a round trip of p11-kit."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .timing import middle

KINDS = ["slotfs", "softhsm", "kryoptic"]
NAMES = {"slotfs": "slotfs", "softhsm": "SoftHSM2", "kryoptic": "Kryoptic"}
ALONE, ROUND_TRIP = "aws-lc alone", "p11-kit remote"
FIND, ABSENT = "find by CKA_ID", "find by CKA_ID, absent"
P11_KIT_CLIENT = next(Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so"), None)


def on(kind, *words):
    """The output of a program with a fresh token of that kind."""
    out = subprocess.run(["scripts/pkcs11/run", "--on", kind, "--", *map(str, words)], stdout=subprocess.PIPE, text=True)
    if out.returncode:
        print(f"{NAMES[kind]} is left out: {out.stdout[-2000:]}", file=sys.stderr)
        return None
    return json.loads(out.stdout.splitlines()[-1])


def through_p11_kit(bench):
    """The call that does nothing, through p11-kit's server, with SoftHSM2 behind it."""
    with tempfile.TemporaryDirectory() as folder:
        script = f"""
            p11-kit server --foreground --provider "$MODULE" --name {folder}/socket pkcs11: >{folder}/address 2>&1 & server=$!
            trap 'kill $server' EXIT
            for n in $(seq 100); do [ -S {folder}/socket ] && break; sleep 0.05; done
            P11_KIT_SERVER_ADDRESS=unix:path={folder}/socket MODULE={P11_KIT_CLIENT} {bench} --only nothing --seconds 1
        """
        return on("softhsm", "bash", "-c", script)


def measure(built, rounds, seconds, many):
    """By kind and operation: a list of the rounds' {"us", "cpu_us"}; and by kind the searches among many keys."""
    bench = built / "pkcs11-bench"
    took, kinds = {}, list(KINDS)
    for number in range(rounds):
        # Who is first changes from round to round.
        for kind in kinds[number % len(kinds):] + kinds[:number % len(kinds)]:
            one = on(kind, bench, "--seconds", seconds, "--keys", 10)
            if one is None:
                kinds.remove(kind)
                continue
            for what, cost in one.items():
                if what != "keys":
                    took.setdefault(NAMES[kind], {}).setdefault(what, []).append(cost)
        alone = json.loads(subprocess.run([built / "aws-lc-alone", str(seconds)], stdout=subprocess.PIPE, check=True).stdout)
        for what, cost in alone.items():
            took.setdefault(ALONE, {}).setdefault(what, []).append(cost)
        remote = through_p11_kit(bench)
        for what, cost in (remote or {}).items():
            took.setdefault(ROUND_TRIP, {}).setdefault(what, []).append(cost)
        print(f"round {number + 1} of {rounds}: pkcs11", file=sys.stderr)
    found = {}
    for kind in kinds:
        # Others make fewer of them per second the more there are: after two minutes they are asked with what they have.
        for keys in many if kind == "slotfs" else many[:1]:
            one = on(kind, bench, "--only", "find", "--seconds", max(seconds, 1), "--keys", keys)
            if one:
                found.setdefault(NAMES[kind], []).append((one["keys"], one[FIND], one[ABSENT]))
        print(f"find among many: {NAMES[kind]}", file=sys.stderr)
    return took, found


def cost(took, who, what, field="us"):
    rounds = took.get(who, {}).get(what)
    return middle([one[field] for one in rounds if field in one] or [0]) if rounds else None


def shown(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def tables(took, found):
    peers = list(took)
    operations = list(dict.fromkeys(what for by in took.values() for what in by))
    lines = [f"| microseconds of wall clock (of processors) | {' | '.join(peers)} |", "| --- |" + " --- |" * len(peers)]
    for what in operations:
        cells = []
        for peer in peers:
            wall, processors = cost(took, peer, what), cost(took, peer, what, "cpu_us")
            cells.append(shown(wall) + (f" ({shown(processors)})" if processors and peer != ALONE else ""))
        lines.append(f"| {what} | {' | '.join(cells)} |")
    if found:
        lines += ["", "| | keys | find by CKA_ID, us | absent, us |", "| --- | --- | --- | --- |"]
        lines += [f"| {who} | {keys:,} | {shown(one['us'])} | {shown(absent['us'])} |"
                  for who, rows in found.items() for keys, one, absent in rows]
    return lines


def targets(took, found):
    """Each target: what it asks, what was measured in this run, whether that is enough."""
    rows = []

    def row(text, value, least):
        rows.append(f"| {text} | {value:.2f} | {'yes' if value >= least else 'no'} |")

    def rate(what, other, text, least):
        """How many times slotfs does it while the other does it once: round by round, the median."""
        theirs, ours = took.get(other, {}).get(what), took.get("slotfs", {}).get(what)
        if theirs and ours:
            row(text, middle([a["us"] / b["us"] for a, b in zip(theirs, ours)]), least)

    rate("nothing", ROUND_TRIP, "a call that does nothing, at least 2.0 of p11-kit's", 2.0)
    rate("ECDSA P-256 sign", "SoftHSM2", "ECDSA P-256, at least 1.0 of SoftHSM2", 1.0)
    rate("RSA-2048 sign", "SoftHSM2", "RSA-2048, at least 1.6 of SoftHSM2", 1.6)
    rate("AES-256-GCM, 1 MiB", "SoftHSM2", "AES-GCM of 1 MiB, at least 3.0 of SoftHSM2", 3.0)
    for other in ("SoftHSM2", "Kryoptic"):
        rate("P-256 token pair", other, f"P-256 token pairs, at least 3.0 of {other}", 3.0)
    for what, least in (("RSA-2048 sign", 1.6), ("ECDSA P-256 sign", 1.2)):
        one, two = (took.get("slotfs", {}).get(name) for name in (what, f"{what}, 2 threads"))
        if one and two:
            row(f"{what}, two threads at least {least} of one", middle([a["us"] / b["us"] for a, b in zip(one, two)]), least)
    ours, theirs = found.get("slotfs"), found.get("SoftHSM2")
    if ours and theirs:
        row(f"find among {ours[0][0]:,}, at least 2,000 of SoftHSM2 among {theirs[0][0]:,}",
            theirs[0][1]["us"] / ours[0][1]["us"], 2000)
        if len(ours) > 1:
            row(f"find among {ours[0][0]:,}, at least 0.5 of its time among {ours[-1][0]:,}",
                ours[0][1]["us"] / ours[-1][1]["us"], 0.5)
    return rows
