"""Alternating runs, their medians, and what this machine's disk and FUSE cost by themselves."""

import os
import statistics
import subprocess
import time


def seconds(words, **more):
    """How long a command took; it must succeed."""
    start = time.monotonic()
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, **more)
    return time.monotonic() - start


def at_once(commands, **more):
    """How long commands took that were started together."""
    start = time.monotonic()
    running = [subprocess.Popen([str(word) for word in words], **more) for words in commands]
    codes = [process.wait() for process in running]
    took = time.monotonic() - start
    if any(codes):
        raise RuntimeError(f"exit codes {codes}")
    return took


def fdatasync_us(folder, times=500):
    """Microseconds to append 4 KiB and fdatasync."""
    path = os.path.join(folder, "fdatasync")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    took = []
    for _ in range(times):
        start = time.perf_counter()
        os.write(fd, bytes(4096))
        os.fdatasync(fd)
        took.append(time.perf_counter() - start)
    os.close(fd)
    os.unlink(path)
    return statistics.median(took) * 1e6


def round_trip_us(point, times=2000):
    """Microseconds of one LOOKUP that is answered with ENOENT."""
    took = []
    path = os.path.join(point, "nothing")
    for _ in range(times):
        start = time.perf_counter()
        os.path.lexists(path)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1e6


def middle(values):
    return statistics.median(values)
