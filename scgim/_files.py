"""Files and folders that appear at once or not at all, whatever kills the process that writes them."""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Locks of files and limits of their size, which Windows has not.
fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
resource: Any = importlib.import_module("resource") if os.name == "posix" else None
# What is being written lies in a neighbour of this name, with random letters at its end.
STAGING_PREFIX = ".scgim-writing-"
# Part of it, in which a folder waits while its successor takes its place.
REPLACED = ".replaced"
# Part of it, there once all is written for a folder that cannot be moved: what is to be deleted in it.
COMPLETE = ".complete"
# Where locks tell nothing, a neighbour this old has been left by a process that was killed.
ABANDONED_AFTER_S = 24 * 3600
# `renameat2` of Linux and `renamex_np` of macOS, flag for 'swap'; from their headers.
AT_FDCWD, RENAME_SWAP = -100, 2
# A folder that is mounted, a working directory, or below a folder that is not ours stays where it is.
CANNOT_MOVE = {errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES, errno.EROFS, errno.EINVAL}


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file that takes its place at the end of the block, complete.

    Parameters
    ----------
    path
        File to write; its folder is made where there is none. A device or a pipe is written at once.

    Yields
    ------
    Where to write. When the block raises, or the process is killed, `path` stays as it was.

    Raises
    ------
    OSError
        Where it cannot be written, for example on a full disk.
    """
    with _say_where(path):
        target = path.resolve()
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _staging(target.parent) as staging:
            written = staging / target.name
            yield written
            if target.exists():
                shutil.copymode(target, written)
            _sync(written)
            written.replace(target)
            _sync(target.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file that appears at once.

    Parameters
    ----------
    path
        File to write.
    content
        What is to be in it.
    """
    with new_file(path) as written:
        written.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write text to a file that appears at once, in UTF-8.

    Parameters
    ----------
    path
        File to write.
    text
        What is to be in it.
    """
    write_bytes(path, text.encode("utf-8"))


def write_cells(cells: Any, path: Path) -> None:  # noqa: ANN401 - AnnData or MuData, unknown here
    """Write cells to an h5ad or h5mu file that appears at once.

    Parameters
    ----------
    cells
        AnnData or MuData.
    path
        File to write.

    Raises
    ------
    OSError
        Where it cannot be written, for example on a full disk.
    """
    parts = cells.mod.values() if hasattr(cells, "mod") else [cells]
    with new_file(path) as written:
        _check_space(written, sum(part.__sizeof__() for part in parts))
        cells.write(written)


def _check_space(path: Path, n_bytes: int) -> None:
    """Raise where a file would not fit: HDF5 crashes the process on a full disk."""
    free = shutil.disk_usage(path.parent).free
    if resource is not None:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        free = free if limit == resource.RLIM_INFINITY else min(free, limit)
    if n_bytes > free:
        message = f"about {n_bytes / 1e6:.3g} MB are needed, and {free / 1e6:.3g} MB are free"
        raise OSError(errno.ENOSPC, message)


@contextmanager
def new_folder(path: Path, keep: Callable[[Path], bool]) -> Iterator[Path]:
    """Write a folder that takes its place at the end of the block, complete.

    A folder that cannot be moved, as it is mounted or a working directory, gets its new files one by
    one, each at once.

    Parameters
    ----------
    path
        Folder to write.
    keep
        Whether a file of the folder that is there, given relative to it, stays, unless there is a
        new one of that name.

    Yields
    ------
    Where to write. When the block raises, or the process is killed, `path` stays as it was.

    Raises
    ------
    OSError
        Where it cannot be written, for example on a full disk.
    """
    with _say_where(path):
        target = path.resolve()
        with _staging_for_folder(target) as staging:
            written = staging / target.name
            written.mkdir()  # not the staging folder itself, which only its owner may read
            yield written
            for file in _files_below(written):
                _sync(written / file)
            if _can_move(target) and staging.parent == target.parent:
                with _locked(target.parent):
                    moved = _replace_folder(written, target, keep)
                if moved:
                    return
            _fill_folder(written, target, keep)


def recover(folder: Path) -> None:
    """Finish what a killed process began to do to a folder, before it is read.

    Parameters
    ----------
    folder
        Folder that is to be read.
    """
    target = folder.resolve()
    with suppress(OSError):  # where nothing may be written, nothing was left half-way
        for place in (target, target.parent):
            if place.is_dir():
                _sweep(place)


@contextmanager
def _say_where(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = (
            f"{str(path)!r} could not be written ({error}). What was there is as it was. Free some "
            "space, or pass a path where you may write."
        )
        raised = OSError(message)
        raised.errno = error.errno
        raise raised from error


@contextmanager
def _staging_for_folder(target: Path) -> Iterator[Path]:
    """Staging beside a folder; inside it where the place beside it is not ours."""
    target.parent.mkdir(parents=True, exist_ok=True)
    is_beside = _can_move(target) and os.access(target.parent, os.W_OK)
    if not is_beside:
        target.mkdir(exist_ok=True)
    with _staging(target.parent if is_beside else target) as staging:
        yield staging


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Folder for what is being written, locked, so that others see that its writer lives."""
    _sweep(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=parent))
        lock = _lock(folder, wait=True)
        if folder.exists():  # not swept by another process before it was locked
            break
        _unlock(lock)
    try:
        yield folder
    finally:
        _finish(folder)
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock)


def _sweep(parent: Path) -> None:
    """Delete what killed processes left in a folder, and put back what they were replacing."""
    for folder in parent.glob(f"{STAGING_PREFIX}*"):
        lock = None if fcntl is None else _lock(folder, wait=False)
        if lock is None and not _is_old(folder):
            continue
        _finish(folder)
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(lock)


def _finish(staging: Path) -> None:
    """Bring a folder to its old or new state, should its writer have been stopped between the two."""
    if (staging / COMPLETE).exists():
        _roll_forward(staging)
    replaced = staging / REPLACED
    for entry in replaced.iterdir() if replaced.is_dir() else ():
        if not (staging.parent / entry.name).exists():
            entry.rename(staging.parent / entry.name)


def _is_old(folder: Path) -> bool:
    with suppress(OSError):
        return time.time() - folder.stat().st_mtime > ABANDONED_AFTER_S
    return False


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Lock a folder until the process ends, however it ends; ``None`` where that is not possible."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another process, or a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time move things in a folder."""
    lock = _lock(folder, wait=True)
    try:
        yield
    finally:
        _unlock(lock)


def _can_move(folder: Path) -> bool:
    is_working_directory = Path.cwd().is_relative_to(folder)
    return not (is_working_directory or (folder.exists() and folder.is_mount()))


def _replace_folder(written: Path, target: Path, keep: Callable[[Path], bool]) -> bool:
    """Move a complete folder to its place, with the files of the old one that are kept."""
    if not target.exists():
        written.rename(target)
        _sync(target.parent)
        return True
    shutil.copymode(target, written)
    _carry_over(target, written, keep)
    try:
        if not _swap(written, target):
            replaced = written.parent / REPLACED
            replaced.mkdir()
            target.rename(replaced / target.name)
            written.rename(target)
    except OSError as error:
        if error.errno in CANNOT_MOVE:
            return False
        raise
    _carry_over(written, target, keep)  # what others put there since
    _sync(target.parent)
    return True


def _fill_folder(written: Path, target: Path, keep: Callable[[Path], bool]) -> None:
    """Move complete files into a folder that stays where it is; a kill meanwhile can be made up for."""
    target.mkdir(exist_ok=True)
    staging = written.parent
    obsolete = set(_files_below(target)) - set(_files_below(written))
    note = {
        "target": str(target.relative_to(staging.parent)),
        "obsolete": [str(file) for file in obsolete if not keep(file)],
    }
    unfinished = staging / f"{COMPLETE}-"
    unfinished.write_text(json.dumps(note), encoding="utf-8")
    _sync(unfinished)
    unfinished.rename(staging / COMPLETE)
    _sync(staging)
    _roll_forward(staging)


def _roll_forward(staging: Path) -> None:
    note = json.loads((staging / COMPLETE).read_text(encoding="utf-8"))
    target = (staging.parent / note["target"]).resolve()
    written = staging / target.name
    for file in _files_below(written):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (written / file).replace(target / file)
    for file in note["obsolete"]:
        (target / file).unlink(missing_ok=True)
    _sync(target)
    (staging / COMPLETE).unlink()


def _carry_over(old: Path, new: Path, keep: Callable[[Path], bool]) -> None:
    """Link files of a folder into its successor, or copy them where links are not possible."""
    for file in _files_below(old):
        if os.path.lexists(new / file) or not keep(file):
            continue
        (new / file).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(old / file, new / file, follow_symlinks=False)
        except OSError:
            shutil.copy2(old / file, new / file, follow_symlinks=False)


def _files_below(folder: Path) -> list[Path]:
    """Files in a folder and its folders, relative to it; links are not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(STAGING_PREFIX)]
        found += [(Path(place) / name).relative_to(folder) for name in (*files, *links)]
    return found


def _sync(path: Path) -> None:
    """Bring a file or the entries of a folder to the disk."""
    if path.is_symlink() or (path.is_dir() and fcntl is None):
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or fcntl is not None else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def _swap(left: Path, right: Path) -> bool:
    """Let two paths trade places in one step; ``False`` where the system has no such step."""
    name = {"linux": "renameat2", "darwin": "renamex_np"}.get(sys.platform)
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if function is None:
        return False
    paths = os.fsencode(left), os.fsencode(right)
    flag = ctypes.c_uint(RENAME_SWAP)
    if name == "renameat2":
        status = function(AT_FDCWD, paths[0], AT_FDCWD, paths[1], flag)
    else:
        status = function(*paths, flag)
    return bool(status == 0)
