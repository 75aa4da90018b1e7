"""The same work on a file and on three members of etcd on this host, beside etcd's own transactions of the same bytes."""

import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from . import keys, work
from .built import BUILT
from .members import Members
from .peers import Slotfs, run
from .timing import fdatasync_us, middle, seconds

NAME = "bench"
# What the engine puts into one transaction, and reads of a listing in one question.
MOST_OBJECTS, PAGE = 512, 4096
WORK = ["cp", "cp8", "rsync"]
SIGN = "ECDSA P-256 sign"
COUNTED = 500
TRIES = 5
CLONED = "partition clone"


class OnFile(Slotfs):
    name = "file"


class OnCluster(Slotfs):
    name = "cluster"

    def __init__(self, members, work, built, objects, copies, store=NAME, folder=None):
        self.location = f"etcd://{','.join(members.endpoints)}/{store}"
        super().__init__(work, built, objects, copies, folder)

    def place(self):
        return self.location


class Bare:
    """examples/bare_etcd.rs of the store, at the member that a daemon asks first."""

    def __init__(self, members, built):
        self.words = [built / "bare_etcd", members.endpoints[0]]

    def ask(self, *words):
        out = subprocess.run([*self.words, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout
        return float(out)


class Results:
    """Seconds by what was done and by whom, one for each round, and how many objects that were."""

    def __init__(self):
        self.took, self.objects = {}, {}

    def keep(self, what, who, objects, value):
        self.took.setdefault(what, {}).setdefault(who, []).append(value)
        self.objects[what] = objects

    def rate(self, what, who):
        values = self.took[what].get(who)
        return self.objects[what] / middle(values) if values else None

    def ratio(self, what, one, other):
        """How many times as fast one was as the other, round by round."""
        by = self.took[what]
        if one not in by or other not in by:
            return None
        each = sorted(theirs / ours for ours, theirs in zip(by[one], by[other]))
        return middle(each), each[0], each[-1]


def files(place, members, bare, results, count, rounds):
    """cp, 8 cp and rsync through both mounts, and what one cp asks of the cluster."""
    copies = rounds * sum(work.WORK[name][2] for name in WORK) + 1
    with ExitStack() as stack:
        peers = [stack.enter_context(OnFile(place, BUILT, count, copies)),
                 stack.enter_context(OnCluster(members, place, BUILT, count, copies))]
        sealed = bare.ask("sealed", NAME)
        size = next(len(Path(it.path).read_bytes()) for it in os.scandir(peers[1].source()) if it.is_file())
        together = []
        for number in range(rounds):
            for name in WORK:
                what, titles, _ = work.WORK[name]
                for peer in peers if number % 2 else reversed(peers):
                    time.sleep(work.FORGET)
                    before = peer.stats()["commits"]
                    values = what(peer)
                    commits = peer.stats()["commits"] - before
                    values = values if isinstance(values, tuple) else (values,)
                    results.keep(titles[0], peer.name, count, values[0])
                    if name == "cp8" and peer is peers[1]:
                        together.append(count / max(commits, 1))
                each = max(1, round(together[-1])) if name == "cp8" else 1
                results.keep(titles[0], "bare", count, bare.ask("write", count, each, int(sealed)))
            work.say(f"round {number + 1} of {rounds}: files")
        # What one cp asks of the cluster: a cp for each, so that nothing is shared.
        target, names = peers[1].fresh(), sorted(it.name for it in os.scandir(peers[1].source()) if it.is_file())
        handled, agreed = members.counts()
        for name in names[:COUNTED]:
            run("cp", peers[1].source() / name, target)
        now_handled, now_agreed = members.counts()
        counted = min(COUNTED, len(names))
        writes = (now_agreed - agreed) / counted
        asked = {"writes": writes, "reads": (now_handled - handled) / counted - writes}
    return {"sealed row": int(sealed), "blob": size, "objects of one transaction, 8 cp": middle(together), "asked": asked}


def reads(place, members, bare, results, count, rounds, sealed):
    """cat of all by a daemon that was just started and so knows nothing, and once more."""
    stores = [OnFile(place, BUILT, count, 0, folder="read-file"),
              OnCluster(members, place, BUILT, count, 0, store="read", folder="read-cluster")]
    for number in range(rounds):
        for store in stores if number % 2 else reversed(stores):
            with store:
                for what in ("cat *", "cat * again"):
                    results.keep(what, store.name, count, work.cat(store))
                    time.sleep(work.FORGET)
        results.keep("cat *", "bare", count, bare.ask("read", count, sealed))
    work.say("cat")


def clones(place, members, bare, results, count, rounds, sealed):
    """`partition clone` of everything, less what it takes for one object: that is two logins."""
    stores = [OnFile(place, BUILT, count, rounds + 1, folder="clone-file"),
              OnCluster(members, place, BUILT, count, rounds + 1, store="clone", folder="clone-cluster")]
    logins = {}
    for number in range(rounds):
        for store in stores if number % 2 else reversed(stores):
            env = {**os.environ, "SLOTFS_STORE": str(store.store)}
            # Another one each time: one that is there already is asked about.
            words = store.words("partition", "clone", "-objects", number + 1, "-slot", rounds + 1, slots=[0, rounds + 1])
            login = seconds(words, env=env)
            logins.setdefault(store.name, []).append(login)
            results.keep(CLONED, store.name, count, keys.clone(store, number + 1) - login)
        results.keep(CLONED, "bare", count, bare.ask("write", count, MOST_OBJECTS, sealed))
        work.say(f"round {number + 1} of {rounds}: clone")
    return {who: middle(values) for who, values in logins.items()}


def listings(place, members, bare, results, count, rounds):
    """ls and ls -l of many, each by a daemon that was just started and so knows nothing."""
    on_file = OnFile(place, BUILT, 0, 0, folder="list-file")
    on_file.generate(0, count)
    on_cluster = OnFile(place, BUILT, 0, 0, folder="list-cluster")
    on_cluster.name, location = "cluster", f"etcd://{','.join(members.endpoints)}/list"
    copied = seconds([BUILT / "slotfs", "store", "copy", on_file.store, location])
    on_cluster.store = location
    for number in range(rounds):
        for store in [on_file, on_cluster] if number % 2 else [on_cluster, on_file]:
            for words in (["ls"], ["ls", "-l"]):
                what = f"{' '.join(words)}, {count:,}"
                with store:
                    results.keep(what, store.name, count, seconds([*words, store.source()]))
                    results.keep(f"{what} again", store.name, count, seconds([*words, store.source()]))
        results.keep(f"ls, {count:,}", "bare", count, bare.ask("list", "list", PAGE))
        work.say(f"round {number + 1} of {rounds}: ls")
    return copied


def signatures(place, members, results, rounds, time_each):
    """One application that signs, through the token server that each daemon has."""
    with OnFile(place, BUILT, 0, rounds, folder="sign-file") as on_file, \
            OnCluster(members, place, BUILT, 0, rounds, store="sign", folder="sign-cluster") as on_cluster:
        for number in range(rounds):
            for store in [on_file, on_cluster] if number % 2 else [on_cluster, on_file]:
                env = {**os.environ, "MODULE": str(BUILT / "libslotfs_pkcs11.so"), "TOKEN": f"slot{number}", "PIN": "correct horse",
                       "SLOTFS_STORE": str(store.store), "SLOTFS_PROGRAM": str(BUILT / "slotfs")}
                out = subprocess.run([BUILT / "pkcs11-bench", "--seconds", str(time_each)], check=True, env=env,
                                     stdout=subprocess.PIPE, text=True).stdout
                results.keep(SIGN, store.name, 1, json.loads(out.splitlines()[-1])[SIGN]["us"] / 1e6)
            work.say(f"round {number + 1} of {rounds}: sign")


def asked_member(members, mount):
    """The member that the daemon asks."""
    before = [members.handled(nth) for nth in range(3)]
    for _ in range(20):
        os.listdir(mount)
        time.sleep(0.02)
        (mount / "new-there").exists()
    grew = [members.handled(nth) - before[nth] for nth in range(3)]
    return grew.index(max(grew))


def failovers(place, members, count):
    """Seconds from the death of a member to the end of the next cp that succeeds."""
    took = {}
    with OnCluster(members, place, BUILT, count, 1, store="failover", folder="failover") as store:
        names = iter(sorted(it.name for it in os.scandir(store.source()) if it.is_file()))
        target = store.fresh()

        def copy(name):
            return subprocess.run(["cp", store.source() / name, target / name], stderr=subprocess.DEVNULL).returncode == 0

        for number in range(TRIES):
            # The daemon asks the member that is killed: that is the worst.
            for kind in ("the leader", "a follower"):
                victim = asked_member(members, target)
                members.move_leader(victim if kind == "the leader" else (victim + 1) % 3)
                for _ in range(20):
                    copy(next(names))
                members.kill(victim)
                start = time.monotonic()
                name = next(names)
                while not copy(name):
                    pass
                took.setdefault(kind, []).append(time.monotonic() - start)
                members.start(victim)
                members.wait()
                time.sleep(1)
            work.say(f"{number + 1} of {TRIES}: killed members")
    return took


def shown(rate):
    return "" if rate is None else f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def spread(ratio):
    return "" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def targets(results, facts, listed):
    rows = ["| target | measured | met |", "| --- | --- | --- |"]

    def row(text, value, met):
        rows.append(f"| {text} | {value} | {'yes' if met else 'no'} |")

    if facts.get("asked"):
        asked = facts["asked"]
        row("one cp: at most 1 transaction that writes", f"{asked['writes']:.2f}", asked["writes"] <= 1.02)
        row("one cp: at most 3 questions", f"{asked['reads']:.2f}", asked["reads"] <= 3.02)
    if CLONED in results.took:
        ratio = results.ratio(CLONED, "cluster", "bare")
        row("partition clone, at least 0.5 of bare transactions", f"{ratio[0]:.2f}", ratio[0] >= 0.5)
    for what in (f"ls, {listed:,}", f"ls -l, {listed:,}"):
        if what in results.took:
            value = middle(results.took[what]["cluster"])
            row(f"{what}, below 1 s", f"{value:.2f} s", value < 1)
    return rows


def report(results, facts, killed, rounds, listed, sync, versions):
    yield from ["# Measured on a cluster", "",
                f"{versions} Append of 4 KiB and fdatasync: {sync:.0f} us. Three members on this host and on its one disk; "
                f"{rounds} rounds in turn; only the ratios are worth anything elsewhere.", ""]
    yield from ["| objects per second, medians | file | cluster | bare etcd | cluster / bare | cluster / file |",
                "| --- | --- | --- | --- | --- | --- |"]
    for what in results.took:
        rates = " | ".join(shown(results.rate(what, who)) for who in ("file", "cluster", "bare"))
        yield (f"| {what} | {rates} | {spread(results.ratio(what, 'cluster', 'bare'))} "
               f"| {spread(results.ratio(what, 'cluster', 'file'))} |")
    yield ""
    if "asked" in facts:
        asked = facts["asked"]
        yield from [f"An object's blob has {facts['blob']} bytes, its sealed row {facts['sealed row']}. Eight `cp` at once had "
                    f"{facts['objects of one transaction, 8 cp']:.1f} objects in a transaction. One `cp` of one object asked for "
                    f"{asked['writes']:.2f} transactions and {asked['reads']:.2f} reads.", ""]
    if "logins" in facts:
        logins = ", ".join(f"{who} {took:.2f} s" for who, took in facts["logins"].items())
        yield from [f"`partition clone` without the command itself and its two logins, which are a clone of one object: {logins}.", ""]
    if "copied" in facts:
        yield from [f"`store copy` of {listed:,} objects from the file into the cluster: {facts['copied']:.1f} s.", ""]
    if killed:
        yield from ["| killed, and asked by the daemon | until the next cp has succeeded, s: median | most |", "| --- | --- | --- |"]
        yield from (f"| {kind} | {middle(values):.2f} | {max(values):.2f} |" for kind, values in killed.items())
        yield ""
    yield from ["## Targets", "", *targets(results, facts, listed)]


def main(args, versions):
    parts = args.parts.split(",")
    results, facts, killed, failed = Results(), {}, {}, None
    count, listed, cloned = args.files or 1000, args.listed or 100_000, args.cloned
    with tempfile.TemporaryDirectory(prefix="slotfs-bench-") as folder:
        place, other = Path(folder), Path(folder) / "failing"
        other.mkdir()
        sync = fdatasync_us(folder)
        try:
            with Members(place) as members:
                bare = Bare(members, BUILT)
                if "files" in parts:
                    facts.update(files(place, members, bare, results, count, args.rounds))
                if "cat" in parts:
                    reads(place, members, bare, results, count, args.rounds, facts.get("sealed row", 300))
                if "clone" in parts:
                    facts["logins"] = clones(place, members, bare, results, cloned, args.rounds, facts.get("sealed row", 300))
                if "sign" in parts:
                    signatures(place, members, results, args.rounds, args.seconds)
                if "ls" in parts:
                    facts["copied"] = listings(place, members, bare, results, listed, args.rounds)
            if "failover" in parts:
                # Others: their databases are small.
                with Members(other) as members:
                    killed = failovers(other, members, 300)
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            # What was measured before counts.
            failed = error
    text = "\n".join(report(results, facts, killed, args.rounds, listed, sync, versions)) + "\n"
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "cluster.md").write_text(text)
        everything = {"seconds": results.took, "objects": results.objects, "facts": facts, "failover": killed, "fdatasync_us": sync}
        (args.out / "cluster.json").write_text(json.dumps(everything, indent=1) + "\n")
    if failed:
        raise failed
