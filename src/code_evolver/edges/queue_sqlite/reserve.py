"""A file that keeps some room on the disk, so that tasks in work can end when it is full."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Reserve:
    """`size` bytes at `path`; size 0: none is kept."""

    path: Path
    size: int
    released: bool = False

    def ensure(self) -> bool:
        """Write the file where it is missing or short. False: there is no room for it."""
        try:
            if self.size == 0 or (self.path.is_file() and self.path.stat().st_size >= self.size):
                return True
            self._write()
        except OSError:
            self.path.unlink(missing_ok=True)
            return False
        return True

    def _write(self) -> None:
        with self.path.open("wb") as stream:
            stream.write(b"\0" * self.size)
            stream.flush()
            os.fsync(stream.fileno())

    def release(self) -> bool:
        """Give the room back. False where it had been given already."""
        if self.released or self.size == 0:
            return False
        self.released = True
        self.path.unlink(missing_ok=True)
        return True

    def restore(self) -> bool:
        """Take the room again after a release; False while there is none: then nothing new may come in."""
        if self.released and self.ensure():
            self.released = False
        return not self.released
