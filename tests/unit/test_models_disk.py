import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from specreason.errors import ModelFileError
from specreason.models.disk import disk_errors, locked, need_space


def test_enough_space_is_silent(tmp_path: Path):
    need_space(tmp_path, 1)


def test_too_little_space_names_folder_needed_free_and_the_fix(tmp_path: Path):
    with pytest.raises(ModelFileError, match=r"1000000\.00 GB needed, .* free.*SPECREASON_CACHE=") as error:
        need_space(tmp_path, 10**15)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "is full"), (errno.EROFS, "Cannot use the model folder")]
)
def test_a_failing_disk_is_explained(number: int, says: str, tmp_path: Path):
    with pytest.raises(ModelFileError, match=says), disk_errors(tmp_path):
        raise OSError(number, "the system's own words")


def test_a_lock_makes_the_second_wait(tmp_path: Path):
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with locked(tmp_path / "lock", waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", lambda: order.append("waited")):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path):
    hold = (
        "import pathlib, sys, time; from specreason.models.disk import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), lambda: None): print('held', flush=True); time.sleep(60)"
    )
    lock = tmp_path / "lock"
    waited: list[bool] = []
    with subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        holder.kill()
    with locked(lock, lambda: waited.append(True)):
        pass
    assert waited == []
