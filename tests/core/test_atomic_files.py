import os
import stat

import pytest

from turpentine.core.atomic_files import write_whole


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "scores.json"
    with write_whole(target) as aside:
        aside.write_text("whole")
        assert not target.exists()
        assert aside.suffix == ".json"
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["scores.json"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, error):
    target = tmp_path / "scores.json"
    target.write_text("old")

    def write_half():
        with write_whole(target) as aside:
            aside.write_text("ha")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_a_writer_replaces_is_kept(tmp_path):
    """Some writers rename their own file onto the path that they are given."""
    with write_whole(tmp_path / "a") as aside:
        other = tmp_path / "b"
        other.write_text("whole")
        os.replace(other, aside)
    assert (tmp_path / "a").read_text() == "whole"


def test_a_file_gets_the_rights_that_a_plain_one_gets(tmp_path):
    (tmp_path / "plain").write_text("")
    with write_whole(tmp_path / "whole") as aside:
        aside.write_text("")
    assert stat.S_IMODE((tmp_path / "whole").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_any_name_that_a_file_may_have_can_be_written(tmp_path):
    for name in ("é" * 120, "a" * 255, "new\nline", os.fsdecode(b"not \xff utf-8")):
        with write_whole(tmp_path / name) as aside:
            aside.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 4
