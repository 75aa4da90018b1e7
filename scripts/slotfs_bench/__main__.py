import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from . import keys as key_work
from . import against, cluster, pkcs11, plot, rekey, report, scale, work
from .built import BUILT
from .peers import Bare, Gocryptfs, Securefs, Slotfs
from .timing import fdatasync_us, middle, round_trip_us

CLUSTER = "cluster"
KEYS, GENERATE, LOGIN, SCALE, REKEY, PKCS11 = "keys", "generate", "login", "scale", "rekey", "pkcs11"


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Compares slotfs with what a user would pick instead.",
                                     epilog=f"work: {', '.join([*work.WORK, KEYS, GENERATE, LOGIN, SCALE, REKEY, PKCS11])}; and by itself, as --only cluster alone: {CLUSTER}")
    parser.add_argument("--only", help="work to be timed, separated by commas [default: all of it]")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is done [default: 5]")
    parser.add_argument("--files", type=int, help="files to copy and to read [default: 5000, on a cluster 1000]")
    parser.add_argument("--listed", type=int,
                        help="files to list, and keys to clone and to generate [default: 10000; on a cluster files alone, 100000]")
    parser.add_argument("--cloned", type=int, default=20000, help="keys to clone on a cluster [default: %(default)s]")
    parser.add_argument("--parts", default="files,cat,clone,sign,ls,failover", help="what of the cluster [default: %(default)s]")
    parser.add_argument("--token-keys", type=int, default=1000,
                        help="keys moved between two tokens, of which others do more per second than of many [default: 1000]")
    parser.add_argument("--scale", default="1000,10000,100000,1000000",
                        help="objects in one slot, separated by commas [default: %(default)s]")
    parser.add_argument("--rekeyed", default="200000",
                        help="objects in a slot whose password is changed, separated by commas [default: %(default)s]")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each operation of PKCS#11 in each round [default: 0.5]")
    parser.add_argument("--searched", default="10000,100000",
                        help="keys among which PKCS#11 searches, the first for others too [default: %(default)s]")
    parser.add_argument("--out", type=Path, help="folder for README.md, results.json and plots "
                        "[default: docs/bench when everything is timed, else none]")
    parser.add_argument("--against", type=Path, metavar="PROGRAM",
                        help="compare with another build of slotfs, and with nothing else")
    return parser.parse_args()


def mounted(folder, files, wanted, rounds):
    copies = rounds * sum(work.WORK[name][2] for name in wanted)
    with ExitStack() as stack:
        slotfs = stack.enter_context(Slotfs(folder, BUILT, files, copies))
        blobs = slotfs.blobs()
        peers = [slotfs]
        for kind in (Bare, Gocryptfs, Securefs):
            peer = stack.enter_context(kind(folder, BUILT))
            peer.fill(blobs)
            peers.append(peer)
        size = len(next(iter(blobs.values())))
        round_trip = round_trip_us(peers[1].point)
        return work.run(peers, wanted, rounds), size, round_trip


def moved_keys(folder, args):
    """Keys per second by whom: the best of the rounds of the others, the median of ours."""
    modules = {"SoftHSM2": key_work.SOFTHSM, "Kryoptic": key_work.kryoptic(folder, BUILT.beside("bench-peers"))}
    slotfs = Slotfs(folder, BUILT, args.listed, args.rounds, folder="clone")
    rates = {}
    for number in range(args.rounds):
        rates.setdefault("slotfs", []).append(args.listed / key_work.clone(slotfs, number + 1))
        for name, module in modules.items():
            if module:
                took = key_work.move(folder, name, module, args.token_keys, number)
                rates.setdefault(name, []).append(args.token_keys / took)
        work.say(f"round {number + 1} of {args.rounds}: keys")
    return {name: middle(values) if name == "slotfs" else max(values) for name, values in rates.items()}


def versions(packages=("coreutils", "rsync", "gocryptfs", "securefs", "softhsm2", "p11-kit")):
    kernel = ".".join(platform.release().split(".")[:2])
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages], stdout=subprocess.PIPE, text=True)
    return [f"Linux {kernel}", *out.stdout.splitlines()]


def main():
    args = arguments()
    if args.only == CLUSTER:
        packages = ["coreutils", "rsync", "etcd-server"]
        cluster.main(args, f"{platform.machine()}, {os.cpu_count()} processors; {'; '.join(versions(packages))}.")
        return
    args.files, args.listed = args.files or 5000, args.listed or 10000
    if args.against:
        with tempfile.TemporaryDirectory(prefix="slotfs-bench-") as folder:
            print(against.report(folder, args.against, args.files, args.rounds))
        return
    everything = [*work.WORK, KEYS, GENERATE, LOGIN, SCALE, REKEY, PKCS11]
    wanted = args.only.split(",") if args.only else everything
    unknown = [name for name in wanted if name not in everything]
    if unknown:
        sys.exit(f"scripts/bench: no such work: {', '.join(unknown)}; there is {', '.join(everything)}")
    out = args.out or (Path("docs/bench") if not args.only else None)
    took, keys, made, login, scaled, rekeyed, size, round_trip = {}, {}, None, {}, {}, [], 0, 0.0
    calls, found = {}, {}
    with tempfile.TemporaryDirectory(prefix="slotfs-bench-") as folder:
        sync = fdatasync_us(folder)
        for files, names in ((args.files, [n for n in wanted if n in work.WORK and n != "ls"]),
                             (args.listed, [n for n in wanted if n == "ls"])):
            if names:
                place = Path(folder) / f"of-{files}-{names[0]}"
                place.mkdir()
                more, size, round_trip = mounted(place, files, names, args.rounds)
                took.update(more)
        if KEYS in wanted:
            keys = moved_keys(folder, args)
        if GENERATE in wanted:
            made = key_work.made_and_cloned(folder, BUILT, args.listed, args.rounds)
            work.say("generate")
        if LOGIN in wanted:
            for objects in (1, args.listed, 10 * args.listed):
                login[objects] = key_work.ready(folder, BUILT, objects, args.rounds)
                work.say(f"login with {objects} objects")
        if SCALE in wanted:
            for objects in map(int, args.scale.split(",")):
                scaled[objects] = scale.measure(folder, BUILT, objects, args.rounds)
                work.say(f"a slot with {objects} objects")
        if REKEY in wanted:
            for objects in map(int, args.rekeyed.split(",")):
                rekeyed.append(rekey.measure(folder, BUILT, objects))
                work.say(f"a changed password over {objects} objects")
        if PKCS11 in wanted:
            calls, found = pkcs11.measure(BUILT, args.rounds, args.seconds, list(map(int, args.searched.split(","))))
    lines = ["# Measured", "", "Written by `scripts/bench`; only the ratios are worth anything elsewhere.", "",
             f"{platform.machine()}, {os.cpu_count()} processors; {'; '.join(versions())}.", "",
             f"Append of 4 KiB and fdatasync: {sync:.0f} us."
             + (f" One LOOKUP on the bare filesystem: {round_trip:.0f} us." if round_trip else ""), ""]
    if took:
        lines += [f"{args.files:,} files of {size} bytes (`ls -l`: {args.listed:,}), {args.rounds} rounds in turn. slotfs is "
                  "durable at each answer; the others are not.", "", *report.mounted(took, args.files, args.listed), ""]
    if keys:
        lines += ["| keys moved per second | |", "| --- | --- |",
                  *(f"| {name} | {rate:,.0f} |" for name, rate in keys.items()), "",
                  f"`partition clone -objects all` of {args.listed:,} with both logins (median), and C_WrapKey and C_UnwrapKey "
                  f"of {args.token_keys:,} (best round): others do fewer per second the more there are.", ""]
    if made:
        lines += [f"| {args.listed:,} AES keys | seconds |", "| --- | --- |",
                  *(f"| {what} | {report.spread(values)} |"
                    for what, values in zip(("object generate", "partition clone"), made)), ""]
    if login:
        lines += ["| objects | mount ready, s | one Argon2id, s |", "| --- | --- | --- |",
                  *(f"| {objects:,} | {report.spread(mounts)} | {report.spread(costs)} |"
                    for objects, (mounts, costs) in login.items()), ""]
    if scaled:
        lines += ["## Scale", "", f"One slot; {scale.CLONED} objects written into it, {scale.LOOKED_UP:,} of its objects looked up "
                  "at random, all of them listed, by one process; medians of the rounds. A mount with two logins is ready when "
                  "two Argon2id are done.", "", *scale.table(scaled), ""]
    if rekeyed:
        lines += ["## A changed password", "", "`role changepw` of po. Meanwhile co reads on a mount, `cp` writes through the mount "
                  "into another slot, and a command generates keys there.", "", *rekey.table(rekeyed), ""]
    if calls:
        lines += ["## PKCS#11", "", "One application and its token server, if it has one; medians of the rounds. The processors' time "
                  "is that of both.", "", *pkcs11.tables(calls, found), ""]
    lines += ["## Targets", "", *report.targets(took, keys, made, login, scaled), *pkcs11.targets(calls, found)]
    text = "\n".join(lines) + "\n"
    print(text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        rates = [(what, {peer: args.files / middle(values) for peer, values in by.items()})
                 for what, by in took.items() if what not in report.NOT_RATES]
        if rates:
            (out / "files.svg").write_text(plot.bars("Files through a mount", "files per second, median; more is better", rates))
            text = text.replace("## Targets", "![files per second](files.svg)\n\n## Targets")
        if scaled:
            series = {what: [middle(took[what]) for took, _ in scaled.values()] for what in scale.KINDS}
            (out / "scale.svg").write_text(plot.lines("Objects in one slot", "microseconds, median", list(scaled), series))
            text = text.replace("## Targets", "![microseconds by number of objects](scale.svg)\n\n## Targets")
        (out / "README.md").write_text(text)
        results = {"seconds": took, "keys_per_second": keys, "generate_and_clone": made, "login": login, "scale": scaled, "rekey": rekeyed, "pkcs11": calls, "pkcs11_find": found, "fdatasync_us": sync, "lookup_us": round_trip}
        (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


main()
