"""A small disk that can be filled: a tmpfs in a user and mount namespace of its own, for which nobody needs to be root.

The disk lives as long as the process that keeps the namespace; others enter it by a wrapper before their command. The
folder as others see it is not touched. A system that lets ordinary users make no namespaces has no such disk: then the
test is skipped, with the system's own words.
"""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest


class SmallDisk:
    """Made by `small_disk()`, empty."""

    def __init__(self, folder: Path, keeper: subprocess.Popen[bytes], as_ordinary_user: Sequence[str]) -> None:
        self.folder, self._keeper, self._as_ordinary_user = folder, keeper, as_ordinary_user
        self._ballast = folder / "ballast"

    def wrapper(self, *, user: int | None = None, group: int | None = None) -> Sequence[str]:
        """The words before a command that is to see the disk. Whoever made the disk gives the command.

        It sees itself as root; or under the numbers `user` and `group`, which must be its own.
        """
        enter = ["nsenter", f"--target={self._keeper.pid}", "--user", "--mount", "--preserve-credentials"]
        as_user = [] if user is None else ["unshare", "--user", f"--map-user={user}", f"--map-group={group}"]
        stay = f'cd {shlex.quote(str(self.folder.parent))} && exec "$@"'  # entering leads out of the working folder
        return [*enter, *as_user, "sh", "-c", stay, "sh"]

    def fill(self) -> None:
        """Leave no byte of room."""
        self._run("dd", "if=/dev/zero", f"of={self._ballast}", "bs=4096", "oflag=append", "conv=notrunc")
        assert self.free_bytes == 0

    def make_room(self) -> None:
        self._run("rm", "-f", str(self._ballast))
        assert self.free_bytes > 0

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(f"/proc/{self._keeper.pid}/root{self.folder}")
        return found.f_bavail * found.f_frsize

    def _run(self, *words: str) -> None:
        """Run a program as whoever made the disk: to a stranger, be it root, it is a foreign one."""
        command = [*self._as_ordinary_user, *self.wrapper(), *words]
        subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder.parent
        )


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int, as_ordinary_user: Sequence[str] = ()) -> Iterator[SmallDisk]:
    """A disk of that size, mounted at the folder, which is there. `as_ordinary_user`: the words that give up root."""
    mount = f"mount -t tmpfs -o size={megabytes}m,mode=0700 tmpfs {shlex.quote(str(folder))} && echo made && exec cat"
    command = [*as_ordinary_user, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder.parent
    ) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        assert keeper.stderr
        try:
            if keeper.stdout.readline() != b"made\n":
                pytest.skip(f"no disk of our own can be made here: {keeper.stderr.read().decode().strip()}")
            yield SmallDisk(folder, keeper, as_ordinary_user)
        finally:
            keeper.stdin.close()
