"""What is timed. Each piece of work is done by every peer in turn, and that as often as there are rounds."""

import os
import sys
import time

from .timing import at_once, seconds

# Attributes that the kernel remembers are a second old at most.
FORGET = 1.1
WRITERS = 8


def say(text):
    print(text, file=sys.stderr, flush=True)


def cp(peer):
    return seconds(["cp", "-r", f"{peer.source()}/.", peer.fresh()])


def cp_at_once(peer):
    names = sorted(entry.name for entry in os.scandir(peer.source()) if entry.is_file())
    target = peer.fresh()
    commands = [["cp", "-t", target, *names[first::WRITERS]] for first in range(WRITERS)]
    return at_once(commands, cwd=peer.source())


def rsync(peer):
    """First and second run."""
    target = peer.fresh()
    words = ["rsync", "-a", f"{peer.source()}/", target]
    first = seconds(words)
    time.sleep(FORGET)
    return first, seconds(words)


def cat(peer):
    return seconds(["sh", "-c", 'cat "$1"/*', "sh", peer.source()])


def tar(peer):
    # tar looks whether it writes to /dev/null, and then reads nothing.
    return seconds(["sh", "-c", 'tar cf - -C "$1" . | cat', "sh", peer.source()])


def ls(peer):
    return seconds(["ls", "-l", peer.source()])


# By name: what is done, the names of what it gives, and how many fresh folders it needs.
WORK = {
    "cp": (cp, ["cp -r"], 1),
    "cp8": (cp_at_once, [f"{WRITERS} cp at once"], 1),
    "rsync": (rsync, ["rsync -a", "rsync -a again"], 1),
    "cat": (cat, ["cat *"], 0),
    "tar": (tar, ["tar c"], 0),
    "ls": (ls, ["ls -l"], 0),
}


def run(peers, wanted, rounds):
    """Seconds by what was done and by whom, one for each round."""
    took = {}
    for number in range(rounds):
        for name in wanted:
            what, results, _ = WORK[name]
            # Who is first changes from round to round.
            turn = peers[number % len(peers):] + peers[:number % len(peers)]
            for peer in turn:
                time.sleep(FORGET)
                values = what(peer)
                values = values if isinstance(values, tuple) else (values,)
                for result, value in zip(results, values):
                    took.setdefault(result, {}).setdefault(peer.name, []).append(value)
            say(f"round {number + 1} of {rounds}: {name}")
    return took
