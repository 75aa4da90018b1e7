"""Mounted filesystems that hold the same files: each has a folder `source` and gives fresh folders to copy into.

Nothing here is durable but slotfs: gocryptfs and securefs write to the page cache of the filesystem below, the bare
filesystem to memory."""

import os
import subprocess
import time
from pathlib import Path

PASSWORD = "correct horse"


def run(*words, **more):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, **more)


def write_password(path):
    path.touch(0o600)
    path.write_text(PASSWORD + "\n")


def wait_for_mount(point):
    for _ in range(1000):
        if os.path.ismount(point):
            return
        time.sleep(0.01)
    raise RuntimeError(f"{point} was not mounted within ten seconds")


class Peer:
    """One mounted filesystem. `with` unmounts it."""

    name = ""
    durable = False

    def __init__(self, work, built, folder=None):
        self.built = built
        self.folder = Path(work) / (folder or self.name)
        self.folder.mkdir()
        self.point = self.folder / "mnt"
        self.point.mkdir()
        self.made = 0

    def __enter__(self):
        self.mount()
        wait_for_mount(self.point)
        return self

    def __exit__(self, *_):
        for _ in range(100):
            if subprocess.run(["fusermount3", "-u", self.point], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.point} is still in use")

    def fill(self, files):
        """Puts the files, by name, into the source folder."""
        self.source().mkdir()
        for name, data in files.items():
            (self.source() / name).write_bytes(data)

    def source(self):
        return self.point / "source"

    def fresh(self):
        """An empty folder to copy into."""
        self.made += 1
        folder = self.point / f"copy{self.made}"
        folder.mkdir()
        return folder


class Gocryptfs(Peer):
    name = "gocryptfs"

    def mount(self):
        below = self.folder / "below"
        below.mkdir()
        password = self.folder / "password"
        write_password(password)
        # A low cost of its password: only its files are timed.
        run("gocryptfs", "-init", "-q", "-scryptn", "10", "-passfile", password, below)
        run("gocryptfs", "-q", "-nosyslog", "-passfile", password, below, self.point)


class Securefs(Peer):
    name = "securefs"

    def mount(self):
        below = self.folder / "below"
        run("securefs", "create", "--pass", PASSWORD, "--rounds", "1", below)
        run("securefs", "mount", "-b", "--pass", PASSWORD, below, self.point, stderr=subprocess.DEVNULL)


class Bare(Peer):
    """examples/barefs.rs"""

    name = "bare"

    def mount(self):
        self.process = subprocess.Popen([self.built / "barefs", self.point])

    def __exit__(self, *_):
        super().__exit__()
        self.process.wait()


class Slotfs(Peer):
    """A store with a slot of objects and a slot for each copy, mounted and logged in."""

    name = "slotfs"
    durable = True

    def __init__(self, work, built, objects, copies, folder=None):
        super().__init__(work, built, folder)
        self.copies = copies
        self.store = self.place()
        self.password = self.folder / "password"
        write_password(self.password)
        self.domain = self.folder / "red.pem"
        self.command("domain", "newkey", self.domain)
        for slot in range(copies + 1):
            self.init(slot)
        if objects:
            self.generate(0, objects)

    def place(self):
        return self.folder / "store.db"

    def words(self, *words, slots=()):
        passwords = [word for slot in slots for word in ("--password-file", f"{slot}={self.password}")]
        return [self.built / "slotfs", *passwords, *words]

    def command(self, *words, slots=()):
        run(*self.words(*words, slots=slots), env={**os.environ, "SLOTFS_STORE": str(self.store)})

    def init(self, slot):
        self.command("partition", "init", "-slot", slot, "-label", f"slot{slot}", "-domainkey", self.domain,
                     "-force", slots=[slot])

    def generate(self, slot, objects):
        self.command("object", "generate", "-slot", slot, "-type", "aes", "-label", "bench", "-count", objects,
                     slots=[slot])

    def mount(self):
        slots = range(self.copies + 1)
        logins = [word for slot in slots for word in ("--login", slot)]
        self.command("mount", self.point, *logins, slots=slots)

    def fill(self, files):
        raise RuntimeError("a slot is filled with objects")

    def blobs(self):
        return {entry.name: Path(entry.path).read_bytes() for entry in os.scandir(self.source()) if entry.is_file()}

    def source(self):
        return self.point / "0"

    def fresh(self):
        self.made += 1
        if self.made > self.copies:
            raise RuntimeError("no slot is left to copy into")
        return self.point / str(self.made)

    def stats(self):
        lines = (self.point / ".slotfs/stats").read_text().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}
