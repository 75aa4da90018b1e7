"""`object generate`, `partition clone`, logins, and the same keys moved between two tokens of other software HSMs."""

import os
import subprocess
import sys
from pathlib import Path

from .peers import Slotfs
from .timing import seconds

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
KRYOPTIC = """[package]
name = "peer"
version = "0.1.0"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
kryoptic = { version = "=1.5.4", default-features = false, features = ["minimal"] }
kryoptic-lib = { version = "=1.5.4", default-features = false, features = ["dynamic"] }
"""
# What new credentials cost (src/credential/kdf.rs).
ARGON2 = ["65536", "3", "4"]


def kryoptic(work, target):
    """Builds Kryoptic's module against the system's OpenSSL; None, told, where it does not build."""
    folder = Path(work) / "kryoptic"
    folder.mkdir()
    (folder / "Cargo.toml").write_text(KRYOPTIC)
    (folder / "lib.rs").write_text("")
    built = subprocess.run(["cargo", "build", "--release", "--quiet", "--target-dir", target], cwd=folder,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    modules = sorted(Path(target).glob("**/release/deps/libkryoptic*.so"))
    if built.returncode or not modules:
        print(f"Kryoptic is left out, as it does not build here:\n{built.stderr[-2000:]}", file=sys.stderr)
        return None
    return modules[-1]


def move(work, name, module, count, number):
    """Seconds to move `count` keys between two fresh tokens, in a process of its own: a module is loaded once."""
    folder = Path(work) / f"tokens-{name}-{number}"
    folder.mkdir()
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
    slots = "".join(f'[[slots]]\nslot = {slot}\ndbtype = "sqlite"\ndbargs = "{folder}/{slot}.sql"\n' for slot in (0, 1))
    (folder / "kryoptic.conf").write_text(slots)
    env = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm.conf"), "KRYOPTIC_CONF": str(folder / "kryoptic.conf")}
    out = subprocess.run([sys.executable, "-m", "slotfs_bench.tokens", str(module), str(count)], check=True, env=env,
                         stdout=subprocess.PIPE, text=True)
    return float(out.stdout)


def clone(slotfs, target):
    """Seconds of `partition clone` of everything in slot 0, logins included."""
    words = slotfs.words("partition", "clone", "-objects", "all", "-slot", target, slots=[0, target])
    return seconds(words, env={**os.environ, "SLOTFS_STORE": str(slotfs.store)})


def generate(slotfs, target, count):
    """Seconds of `object generate` of so many AES keys into an empty slot, the login included."""
    words = slotfs.words("object", "generate", "-slot", target, "-type", "aes", "-label", "bench", "-count", count, slots=[target])
    return seconds(words, env={**os.environ, "SLOTFS_STORE": str(slotfs.store)})


def made_and_cloned(work, built, count, rounds):
    """Seconds of generating and of cloning as many AES keys, in turn."""
    slotfs = Slotfs(work, built, count, 2 * rounds, folder="generate")
    made, cloned = [], []
    for number in range(rounds):
        # Who is first changes from round to round.
        for first in (number % 2 == 0, number % 2 != 0):
            slot = 2 * number + (1 if first else 2)
            if first:
                made.append(generate(slotfs, slot, count))
            else:
                cloned.append(clone(slotfs, slot))
    return made, cloned


def argon2id(built):
    out = subprocess.run([built / "argon2id", *ARGON2], check=True, stdout=subprocess.PIPE, text=True)
    return float(out.stdout)


def ready(work, built, objects, rounds):
    """Seconds until a mount with one login is ready, and those of one Argon2id, in turn."""
    slotfs = Slotfs(work, built, objects, 0, folder=f"ready-{objects}")
    mounts, costs = [], []
    for _ in range(rounds):
        costs.append(argon2id(built))
        words = slotfs.words("mount", slotfs.point, "--login", "0", slots=[0])
        mounts.append(seconds(words, env={**os.environ, "SLOTFS_STORE": str(slotfs.store)}))
        slotfs.__exit__()
    return mounts, costs
