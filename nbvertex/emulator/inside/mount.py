"""Mounts the buckets at /gcs for this process and all that it starts, where the system lets it; nobody else sees it."""

from __future__ import annotations

import ctypes
import os
import sys

NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000
BIND, ALL_BELOW, PRIVATE = 0x1000, 0x4000, 0x40000
MOUNT = "/gcs"


def show_buckets(buckets: str, scratch: str) -> bool:
    """Mount them; whether that could be done.

    Args:
        buckets: the folder in which they lie.
        scratch: a folder that may become the root of the file system.
    """
    if not sys.platform.startswith("linux"):
        return False
    trial = os.fork()  # what fails half-way would leave this process without its user
    if trial == 0:
        try:
            _mount(buckets, scratch)
            os._exit(0 if os.path.samefile(MOUNT, buckets) else 1)
        except OSError:
            os._exit(1)
    if os.waitpid(trial, 0)[1]:
        return False
    _mount(buckets, scratch)
    return True


def _call(name: str, *given: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    said = [one.encode() if isinstance(one, str) else one for one in given]
    if getattr(library, name)(*said):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _mount(buckets: str, scratch: str) -> None:
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", NEW_MOUNTS)
    except PermissionError:
        _call("unshare", NEW_MOUNTS | NEW_USER)
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{file}", "w", encoding="ascii") as written:
                written.write(text)
    _call("mount", None, "/", None, ALL_BELOW | PRIVATE, None)
    if not os.path.isdir(MOUNT):
        _make_place(scratch)
    _call("mount", buckets, MOUNT, None, BIND, None)


def _make_place(scratch: str) -> None:
    """A root that holds what the real one does, and a folder to mount at."""
    _call("mount", "tmpfs", scratch, "tmpfs", 0, "mode=755")
    for entry in os.scandir("/"):
        copy = os.path.join(scratch, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), copy)
            continue
        if entry.is_dir():
            os.mkdir(copy)
        else:
            with open(copy, "wb"):
                pass
        _call("mount", entry.path, copy, None, BIND | ALL_BELOW, None)
    os.mkdir(scratch + MOUNT)
    os.chroot(scratch)
    os.chdir("/")
