"""What was measured, as Markdown."""

from .timing import middle

NOT_RATES = {"rsync -a again", "ls -l"}


def spread(values):
    return f"{middle(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def ratio(took, what, other):
    """How many times as fast slotfs was as `other`, round by round; the median."""
    return middle([theirs / ours for ours, theirs in zip(took[what]["slotfs"], took[what][other])])


def mounted(took, files, listed):
    peers = list(next(iter(took.values())))
    lines = [f"| seconds, median (least to most) | {' | '.join(peers)} |", "| --- |" + " --- |" * len(peers)]
    for what, by in took.items():
        lines.append(f"| {what} | {' | '.join(spread(by[peer]) for peer in peers)} |")
    others = [peer for peer in peers if peer != "slotfs"]
    lines += ["", f"| slotfs, times as fast as | {' | '.join(others)} |", "| --- |" + " --- |" * len(others)]
    for what in took:
        lines.append(f"| {what} | {' | '.join(f'{ratio(took, what, peer):.2f}' for peer in others)} |")
    return lines


def targets(took, keys, made, login, scaled):
    """Each target of the project: what it asks, what was measured, whether that is enough."""
    rows = []

    def row(text, value, least=None, most=None):
        met = (least is None or value >= least) and (most is None or value <= most)
        rows.append(f"| {text} | {value:.2f} | {'yes' if met else 'no'} |")

    if "cp -r" in took:
        row("cp, at least 1.0 of gocryptfs", ratio(took, "cp -r", "gocryptfs"), 1.0)
        row("cp, at least 0.5 of the bare filesystem", ratio(took, "cp -r", "bare"), 0.5)
    many = next((what for what in took if what.endswith("cp at once")), None)
    if many and "cp -r" in took:
        alone = middle([one / all_ for one, all_ in zip(took["cp -r"]["slotfs"], took[many]["slotfs"])])
        bare = ratio(took, many, "bare")
        met = alone >= 3 or bare >= 0.8
        rows.append(f"| 8 cp at once, at least 3 times one, or 0.8 of the bare filesystem | {alone:.2f}, {bare:.2f} | {'yes' if met else 'no'} |")
    if "rsync -a" in took:
        row("rsync -a, at least 1.0 of gocryptfs", ratio(took, "rsync -a", "gocryptfs"), 1.0)
        row("rsync -a again, at most 1.2 times the bare filesystem's time", 1 / ratio(took, "rsync -a again", "bare"), most=1.2)
    for what in ("cat *", "tar c"):
        if what in took:
            row(f"{what}, at least 1.0 of gocryptfs", ratio(took, what, "gocryptfs"), 1.0)
    if "ls -l" in took:
        row("ls -l, at most 1.2 times the bare filesystem's time", 1 / ratio(took, "ls -l", "bare"), most=1.2)
    if keys and len(keys) > 1:
        best = max(rate for name, rate in keys.items() if name != "slotfs")
        row("partition clone, at least 50 times the best of SoftHSM2 and Kryoptic", keys["slotfs"] / best, 50)
    if made:
        row("object generate of AES keys, at most 2.0 times partition clone of as many",
            middle([generated / cloned for generated, cloned in zip(*made)]), most=2.0)
    for objects, (mounts, costs) in login.items():
        beyond = (middle(mounts) - middle(costs)) * 1000
        row(f"mount ready with {objects:,} objects, at most 100 ms beyond its Argon2id", beyond, most=100)
    if scaled:
        (least, (_, few)), (objects, (_, many)) = list(scaled.items())[0], list(scaled.items())[-1]
        row(f"resident memory with {objects:,} objects, below 100 MiB", many["resident, MiB"], most=100)
        row("largest WAL, MiB, bounded", many["largest WAL, MiB"], most=8)
        beyond = (many["mount ready, s"] - few["mount ready, s"]) * 1000
        row(f"mount ready with {objects:,} objects, at most 100 ms beyond that of {least:,}", beyond, most=100)
    return ["| target | measured | met |", "| --- | --- | --- |", *rows]
