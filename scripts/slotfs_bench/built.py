"""Where cargo put the programs that are timed: scripts/bench and scripts/profile have asked it."""

import os
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


BUILT = Built(os.environ["SLOTFS_BENCH_PROGRAMS"].splitlines())
