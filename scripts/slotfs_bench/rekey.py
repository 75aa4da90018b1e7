"""A changed password in a slot of many objects: what it takes, and what readers and writers in other processes see meanwhile."""

import os
import random
import signal
import subprocess
import threading
import time

from .peers import run, wait_for_mount, write_password
from .scale import Scaled

MIB = 1 << 20


class Rekeyed(Scaled):
    """Slot 0 holds many objects, slot 1 a few, slot 2 takes copies of them."""

    name = "rekey"

    def __init__(self, work, built, objects):
        super().__init__(work, built, objects, 1, folder=f"rekey-{objects}")
        self.init(2)
        # po changes: the mount's co stays logged in.
        self.passwords = [self.password, self.folder / "other"]
        write_password(self.passwords[1])
        self.passwords[1].write_text("another horse\n")

    def start_change(self):
        """po goes from one of two passwords to the other."""
        old, new = self.passwords
        words = self.words("role", "changepw", "-name", "po", "-slot", 0, "-newpasswordfile", new)
        words += ["--password-file", f"0:po={old}"]
        return subprocess.Popen([str(word) for word in words], env={**os.environ, "SLOTFS_STORE": str(self.store)},
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def opens(self, password):
        words = self.words("role", "login", "-name", "po", "-slot", 0, "--password-file", f"0:po={password}")
        return subprocess.run([str(word) for word in words], env={**os.environ, "SLOTFS_STORE": str(self.store)},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Beside:
    """Does something over and over in a thread: how long each took, at which second it began, and what failed."""

    def __init__(self, work):
        self.took, self.failed, self.ends = [], [], False
        self.thread = threading.Thread(target=self.repeat, args=(work,))
        self.thread.start()

    def repeat(self, work):
        while not self.ends:
            start = time.monotonic()
            try:
                work()
            except (OSError, subprocess.CalledProcessError) as error:
                self.failed.append(str(error))
            self.took.append(time.monotonic() - start)

    def end(self):
        self.ends = True
        self.thread.join()
        return self


def measure(work, built, objects):
    """One line of facts of a slot with so many objects."""
    slot = Rekeyed(work, built, objects)
    facts = {"objects": f"{objects:,}", "store, MiB": f"{os.path.getsize(slot.store) / MIB:.0f}"}
    logins = [word for number in range(3) for word in ("--login", str(number))]
    slot.command("mount", slot.point, *logins, slots=range(3))
    wait_for_mount(slot.point)
    try:
        chosen = random.Random(objects)
        sources = sorted(int(entry.name) for entry in os.scandir(slot.point / "1") if entry.name.isdigit())

        def read():
            (slot.point / "0" / str(chosen.randint(1, objects))).read_bytes()

        def copy():
            # By the daemon, into another slot.
            source = slot.point / "1" / str(sources.pop())
            run("cp", source, slot.point / "2" / "new", stderr=subprocess.PIPE)
            time.sleep(0.05)

        def generate():
            slot.generate(2, 1)

        threads = [Beside(read), Beside(copy), Beside(generate)]
        start = time.monotonic()
        change = slot.start_change()
        largest, done = 0, 0
        while not done:
            largest = max(largest, slot.wal_mib())
            time.sleep(0.02)
            # Not poll(), which would lose what it used.
            done, status, usage = os.wait4(change.pid, os.WNOHANG)
        change.returncode = os.waitstatus_to_exitcode(status)
        facts["seconds"] = f"{time.monotonic() - start:.1f}"
        facts["resident, MiB"] = f"{usage.ru_maxrss / 1024:.0f}"
        facts["largest WAL, MiB"] = f"{largest:.0f}"
        facts["exit status"] = change.returncode
        time.sleep(1)
        for name, beside in zip(("read", "cp by the daemon", "generate by a command"), threads):
            beside.end()
            facts[f"{name}: done, failed, longest s"] = f"{len(beside.took)}, {len(beside.failed)}, {max(beside.took):.2f}"
            for error in sorted(set(beside.failed))[:3]:
                print(f"{name}: {error}")
        read()
        facts["the new password opens"] = slot.opens(slot.passwords[1]) and not slot.opens(slot.passwords[0])

        # Killed half-way.
        slot.passwords.reverse()
        change = slot.start_change()
        time.sleep(float(facts["seconds"]) / 2)
        change.send_signal(signal.SIGKILL)
        change.wait()
        facts["killed: the old password opens"] = slot.opens(slot.passwords[0]) and not slot.opens(slot.passwords[1])
        read()
    finally:
        slot.__exit__()
    return facts


def table(results):
    """Markdown: a column for each number of objects."""
    lines = [f"| {' | '.join(['', *(each['objects'] for each in results)])} |".replace("|  |", "| |"),
             "| --- |" + " --- |" * len(results)]
    for name in list(results[0])[1:]:
        lines.append(f"| {name} | {' | '.join(str(each[name]) for each in results)} |")
    return lines
