"""Means of starving an engine: limits of the kernel, small disks, failing fsyncs; for real processes."""

import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1

FSYNC_FAILS = """
import ctypes, platform, struct, sys
from engine.journal.journal import Journal

def seccomp(*numbers):
    # A filter that lets every call pass but those, which fail with EIO.
    jumps = [(0x15, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
    code = [(0x20, 0, 0, 0), *jumps, (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | 5)]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(packed))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0, ctypes.get_errno()

append, calls = Journal.append, 0

def failing(self, events):
    global calls
    calls += 1
    print("append", calls, file=sys.stderr, flush=True)
    if calls == 3:
        seccomp(*({"x86_64": (74, 75), "aarch64": (82, 83)}[platform.machine()]))
    return append(self, events)

Journal.append = failing
"""
"""Before ENTRY: from the third append on, every fsync of the writing thread fails."""


@contextmanager
def no_room(pid: int, size: int = 0) -> Iterator[None]:
    """For the length of the block, no file that the process writes to gets larger than `size` bytes."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        if psutil.pid_exists(pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def as_everybody() -> None:
    """For `preexec_fn`: root, too, keeps to the permissions of files from the next exec on."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[bool]:
    """A file system of its own in `folder`, where this process may mount one; whether it may."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    mounted = os.getuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path
