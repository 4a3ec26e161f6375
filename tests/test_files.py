import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pytest
from fixtures.kills import kill_at_each_moment

from scgim import _files
from scgim._files import (
    COMPLETE,
    STAGING_PREFIX,
    new_file,
    new_folder,
    recover,
    write_cells,
    write_text,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
NEVER, ALWAYS = (lambda file: False), (lambda file: True)


class BrokenError(RuntimeError):
    pass


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_folder(folder, text, keep=NEVER):
    with new_folder(folder, keep) as written:
        (written / "a.txt").write_text(text)
        (written / "deep").mkdir()
        (written / "deep" / "b.txt").write_text(text)


def test_a_file_is_written_with_its_folders(tmp_path):
    write_text(tmp_path / "deep" / "file.txt", "é")
    assert (tmp_path / "deep" / "file.txt").read_text(encoding="utf-8") == "é"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("earlier")

    def fail():
        with new_file(path) as written:
            written.write_text("half")
            raise BrokenError

    with pytest.raises(BrokenError):
        fail()
    assert contents(tmp_path) == {"file.txt": "earlier"}


def test_a_kill_at_any_operation_leaves_the_old_or_the_new_file(tmp_path):
    path = tmp_path / "file.txt"
    found = set()
    for _ in kill_at_each_moment(lambda: write_text(path, "new"), lambda: path.write_text("old")):
        found.add(path.read_text())
        write_text(tmp_path / "next.txt", "another file")
        assert {entry.name for entry in tmp_path.iterdir()} == {"file.txt", "next.txt"}
    assert found == {"old", "new"}


@pytest.mark.parametrize("can_swap", [True, False], ids=["swap", "two renames"])
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_folder(tmp_path, monkeypatch, can_swap):
    if not can_swap:
        monkeypatch.setattr(_files, "_swap", lambda left, right: False)
    folder = tmp_path / "folder"

    def reset():
        shutil.rmtree(folder, ignore_errors=True)
        write_folder(folder, "old")
        (folder / "mine.txt").write_text("mine")

    mine = {"mine.txt": "mine"}
    states = [{"a.txt": text, "deep/b.txt": text} | mine for text in ("old", "new")]
    found = []
    for _ in kill_at_each_moment(lambda: write_folder(folder, "new", ALWAYS), reset):
        if not folder.exists():
            assert not can_swap
        recover(folder)
        assert contents(folder) in states
        found.append(contents(folder))
        assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert all(state in found for state in states)


def test_a_kill_while_a_working_directory_is_filled_is_made_up_for(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def reset():
        shutil.rmtree(folder / "deep", ignore_errors=True)
        write_folder(Path(), "old")
        (folder / "mine.txt").write_text("mine")

    states = [{"a.txt": text, "deep/b.txt": text, "mine.txt": "mine"} for text in ("old", "new")]
    for _ in kill_at_each_moment(lambda: write_folder(Path(), "new", ALWAYS), reset):
        recover(folder)
        assert contents(folder) in states


def test_files_of_the_earlier_folder_stay_where_they_are_kept(tmp_path):
    write_folder(tmp_path / "folder", "old")
    (tmp_path / "folder" / "deep" / "mine.txt").write_text("mine")
    (tmp_path / "folder" / "link").symlink_to("a.txt")
    write_folder(tmp_path / "folder", "new", keep=lambda file: file.name in {"mine.txt", "b.txt"})
    assert contents(tmp_path / "folder") == {
        "a.txt": "new",
        "deep/b.txt": "new",
        "deep/mine.txt": "mine",
    }


def test_what_is_not_kept_goes_also_where_the_folder_cannot_be_moved(tmp_path, monkeypatch):
    write_folder(tmp_path / "folder", "old")
    (tmp_path / "folder" / "obsolete.txt").write_text("of the earlier run")
    monkeypatch.setattr(_files, "_can_move", lambda folder: False)
    write_folder(tmp_path / "folder", "new")
    assert contents(tmp_path / "folder") == {"a.txt": "new", "deep/b.txt": "new"}


def test_a_folder_that_turns_out_to_be_immovable_is_filled(tmp_path, monkeypatch):
    write_folder(tmp_path / "folder", "old")
    rename = Path.rename

    def refuse(self, target):
        if self == tmp_path / "folder":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(_files, "_swap", lambda left, right: False)
    write_folder(tmp_path / "folder", "new")
    assert contents(tmp_path) == {"folder/a.txt": "new", "folder/deep/b.txt": "new"}


def test_links_are_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_folder(tmp_path / "link", "new")
    write_text(tmp_path / "link" / "a.txt", "newer")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "newer"


def test_permissions_stay_those_of_the_earlier_file_and_of_the_user(tmp_path):
    (tmp_path / "beside").touch()
    for name, mode in (("new", (tmp_path / "beside").stat().st_mode), ("secret", 0o100600)):
        if name == "secret":
            (tmp_path / name).touch(0o600)
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).stat().st_mode == mode
    (tmp_path / "plain").mkdir()
    write_folder(tmp_path / "folder", "text")
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_pipe_is_written_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_text(tmp_path / "pipe", "text")
    assert reader.communicate(timeout=10)[0] == b"text"


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    with new_file(tmp_path / "one.txt") as written:
        written.write_text("one")
        recover(tmp_path)
        write_text(tmp_path / "two.txt", "two")
    assert contents(tmp_path) == {"one.txt": "one", "two.txt": "two"}


def test_without_locks_only_old_leftovers_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "fcntl", None)
    for name, age in (("fresh", 0), ("old", 2 * _files.ABANDONED_AFTER_S)):
        (tmp_path / f"{STAGING_PREFIX}{name}").mkdir()
        when = time.time() - age
        os.utime(tmp_path / f"{STAGING_PREFIX}{name}", (when, when))
    recover(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{STAGING_PREFIX}fresh"]


def test_processes_that_write_one_folder_end_with_one_of_theirs(tmp_path):
    code = (
        "import sys; from pathlib import Path; from scgim._files import new_folder\n"
        "for i in range(30):\n"
        "    with new_folder(Path(sys.argv[1]), lambda file: False) as written:\n"
        "        for name in 'abc':\n"
        "            (written / name).write_text(f'{sys.argv[2]} {i}')\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "folder", name], stderr=-1)
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.communicate(timeout=60)[1] == b""
    assert len(set(contents(tmp_path / "folder").values())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_is_told_with_the_path_and_keeps_the_earlier_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("earlier")
    code = (
        "import resource, signal, sys; from pathlib import Path; from scgim._files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(Path(sys.argv[1]), 'x' * 5000)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], check=False, capture_output=True, text=True
    )
    assert f"OSError: '{path}' could not be written ([Errno 27] File too large)" in run.stderr
    assert contents(tmp_path) == {"file.txt": "earlier"}


def test_cells_that_do_not_fit_are_refused_before_hdf5_crashes_on_them(tmp_path):
    path = tmp_path / "cells.h5ad"
    path.write_text("earlier")
    code = (
        "import resource, signal, sys; from pathlib import Path; from scgim._files import write_cells\n"
        "import anndata, numpy\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "write_cells(anndata.AnnData(numpy.ones((100, 200))), Path(sys.argv[1]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], check=False, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "about 0.1" in run.stderr
    assert "0.02 MB are free). What was there is as it was." in run.stderr
    assert contents(tmp_path) == {"cells.h5ad": "earlier"}


def test_cells_are_written_as_they_are(tmp_path):
    write_cells(anndata.AnnData(np.eye(3)), tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "cells.h5ad").X, np.eye(3))


def test_a_note_of_what_is_to_be_done_is_gone_when_it_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "_can_move", lambda folder: False)
    write_folder(tmp_path / "folder", "new")
    assert not list(tmp_path.rglob(COMPLETE))
