"""Two builds of slotfs side by side: the same work by each in turn, so that a change that costs something is seen."""

from contextlib import ExitStack
from pathlib import Path

from . import keys, work
from .built import BUILT, Built
from .peers import Slotfs
from .timing import middle


class Other(Slotfs):
    """The build that the one of this tree is compared with."""

    name = "other"


def compare(folder, program, files, rounds):
    """Seconds by what was done and by which build, one for each round."""
    copies = rounds * sum(fresh for _, _, fresh in work.WORK.values())
    with ExitStack() as stack:
        peers = [stack.enter_context(Slotfs(folder, BUILT, files, copies)),
                 stack.enter_context(Other(folder, Built([program]), files, copies))]
        took = work.run(peers, list(work.WORK), rounds)
    cloners = [Slotfs(folder, BUILT, files, rounds, folder="clone-slotfs"),
               Other(folder, Built([program]), files, rounds, folder="clone-other")]
    for number in range(rounds):
        for peer in cloners[number % 2:] + cloners[:number % 2]:
            by = took.setdefault("partition clone", {})
            by.setdefault(peer.name, []).append(keys.clone(peer, number + 1))
        work.say(f"round {number + 1} of {rounds}: clone")
    return took


def table(took):
    """Medians, and the ratio of the seconds of this build to those of the other, with the spread of the rounds."""
    rows = ["| | this build, s | the other, s | ratio (of each round) |", "| --- | --- | --- | --- |"]
    for what, by in took.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(by["slotfs"], by["other"]))
        rows.append(f"| {what} | {middle(by['slotfs']):.3f} | {middle(by['other']):.3f} "
                    f"| {middle(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")
    return rows


def report(folder, program, files, rounds):
    """What `compare` measured, as text."""
    program = Path(program).resolve()
    return "\n".join([f"{files:,} files, {rounds} rounds in turn; a ratio below 1 means that this build is faster.", "",
                      *table(compare(folder, program, files, rounds))]) + "\n"
