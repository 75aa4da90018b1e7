"""The calls that rclone 1.63 and later makes for one file: a partial file beside the final name, verified, renamed."""

import hashlib
import os
import sys

source, target = sys.argv[1:]
partial = target + ".ee61fb1f.partial"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.md5(file.read()).digest()


before = os.lstat(source)
try:
    os.lstat(target)
except FileNotFoundError:
    pass
os.makedirs(os.path.dirname(target), exist_ok=True)
try:
    with open(source, "rb") as reader:
        out = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            os.posix_fallocate(out, 0, before.st_size)
            while chunk := reader.read(32768):
                os.write(out, chunk)
        finally:
            os.close(out)
    os.utime(partial, ns=(before.st_mtime_ns, before.st_mtime_ns))
    if os.lstat(partial).st_size != before.st_size or digest(partial) != digest(source):
        raise OSError("corrupted on transfer")
    os.rename(partial, target)
    os.lstat(target)
except OSError as error:
    try:
        os.remove(partial)
    except FileNotFoundError:
        pass
    sys.exit(f"{target}: {error}")
