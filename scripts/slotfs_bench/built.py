"""Where cargo put the programs that are timed: scripts/bench and scripts/profile have asked it."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


class Built:
    """Programs by name, `built / "slotfs"`."""

    def __init__(self, paths):
        self.paths = {path.name: path for path in map(Path, paths)}

    def __truediv__(self, name):
        return self.paths[name]

    def beside(self, name):
        """A folder in the target directory, for what is built there by others."""
        return self.paths["slotfs"].parent.parent / name


# What the programs see of their stores is no concern of the machine's state folder.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="slotfs-bench-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

BUILT = Built(os.environ["SLOTFS_BENCH_PROGRAMS"].splitlines())
