"""The values file while the server runs: what is valid is applied, what is not is logged and changes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.config import Values, ValuesFile, load
from tests.unit.config.test_values import FILE

if TYPE_CHECKING:
    from pathlib import Path


class Watched:
    """A values file that is polled, and what was applied from it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(FILE)
        self.applied: list[Values] = []
        self.file = ValuesFile(path, load(path), self.applied.append, interval=0.01)
        self.file.poll()

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def change(self, before: str, now: str) -> None:
        """Write the file with something else in it, and have it polled."""
        assert before in FILE
        self.write(FILE.replace(before, now))
        self.file.poll()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "values.yaml")


def test_valid_change_is_applied(watched: Watched) -> None:
    watched.change("portRangeEnd: 1024", "portRangeEnd: 2048")
    assert [values.pool[0].ports.last for values in watched.applied] == [2048]
    assert watched.file.valid


def test_file_that_says_the_same_in_other_words_changes_nothing(watched: Watched) -> None:
    watched.change("clusterID:", "# Our cluster.\nclusterID:")
    assert watched.applied == []


def test_change_is_applied_once(watched: Watched) -> None:
    watched.change("portRangeEnd: 1024", "portRangeEnd: 2048")
    watched.file.poll()
    assert len(watched.applied) == 1


def test_change_that_could_not_be_applied_is_tried_again(watched: Watched) -> None:
    apply, failures = watched.file._apply, [RuntimeError()]

    def fail_first(values: Values) -> None:
        if failures:
            raise failures.pop()
        apply(values)

    watched.file._apply = fail_first
    with pytest.raises(RuntimeError):
        watched.change("portRangeEnd: 1024", "portRangeEnd: 2048")
    assert not watched.file.valid
    watched.file.poll()
    assert watched.file.valid
    assert len(watched.applied) == 1


def test_change_that_failed_half_way_and_is_taken_back_is_undone(watched: Watched) -> None:
    apply = watched.file._apply

    def fail_half_way(values: Values) -> None:
        apply(values)
        raise RuntimeError

    watched.file._apply = fail_half_way
    with pytest.raises(RuntimeError):
        watched.change("portRangeEnd: 1024", "portRangeEnd: 2048")
    watched.file._apply = apply
    watched.change("portRangeEnd: 1024", "portRangeEnd: 1024")
    assert [values.pool[0].ports.last for values in watched.applied] == [2048, 1024]
    assert watched.file.valid


def test_mistake_changes_nothing_and_is_logged_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.change("portRangeEnd: 1024", "portRangeEnd: 10")
    watched.file.poll()
    assert watched.applied == []
    assert not watched.file.valid
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"the values in force stay, as {watched.path} can't be used:")
    assert "natGwPool[0].portRangeEnd: 10 lies below portRangeStart, 512" in record.getMessage()


def test_corrected_file_is_valid_again(watched: Watched) -> None:
    watched.change("portRangeEnd: 1024", "portRangeEnd: 10")
    watched.change("portRangeEnd: 1024", "portRangeEnd: 1024")
    assert watched.file.valid
    assert watched.applied == []


@pytest.mark.parametrize(
    ("before", "now", "problem"),
    [
        (
            "c4f0a9d27b6e84c1f93d5e7a1b2c30d68",
            "c2",
            "clusterID: it was c4f0a9d27b6e84c1f93d5e7a1b2c30d68 and is now c2",
        ),
        ('cn-hangzhou"', 'cn-beijing"', "regionID: it was cn-hangzhou and is now cn-beijing"),
        ("vpc-bp1rkq0z7v3m9xw2ty4ha", "vpc-2", "vpcID: it was vpc-bp1rkq0z7v3m9xw2ty4ha and is now vpc-2"),
        ("clusterID:", "installation: eu\nclusterID:", "installation: it was not set and is now eu"),
    ],
)
def test_change_that_needs_a_restart_is_refused(
    watched: Watched, caplog: pytest.LogCaptureFixture, before: str, now: str, problem: str
) -> None:
    watched.change(before, now)
    assert watched.applied == []
    assert not watched.file.valid
    assert f"{problem}, which needs a restart of the server" in caplog.text


def test_file_that_has_gone_changes_nothing(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.path.unlink()
    watched.file.poll()
    assert not watched.file.valid
    assert "it can't be read: No such file or directory" in caplog.text


def test_secret_is_not_in_the_log(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.change('accessKey: "LTAI5tExample"', "accessKey: [LTAI5tExample]")
    assert caplog.records
    assert "Tr0ub4dor" not in caplog.text


def test_secret_that_kubelet_swaps_is_noticed(tmp_path: Path) -> None:
    """A mounted Secret is a link to a link to a folder with a time in its name."""
    for name, text in (("one", FILE), ("two", FILE.replace("portRangeEnd: 1024", "portRangeEnd: 2048"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "values.yaml").write_text(text, encoding="utf-8")
    data, path = tmp_path / "..data", tmp_path / "values.yaml"
    data.symlink_to("one")
    path.symlink_to("..data/values.yaml")
    applied: list[Values] = []
    polled = ValuesFile(path, load(path), applied.append, interval=0.01)
    polled.start()
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(data)
    wait_until(lambda: applied, 10, "the change to be applied")
    polled.stop()
    assert [values.pool[0].ports.last for values in applied] == [2048]


def test_key_given_twice_changes_nothing_and_is_named_with_its_lines(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.change("portRangeEnd: 1024", "portRangeEnd: 2048\n      portRangeEnd: 600")
    assert watched.applied == []
    assert not watched.file.valid
    assert "portRangeEnd: given 2 times, in lines 13 and 14; keep one" in caplog.text


def test_what_is_odd_is_logged_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.change("clusterID:", "image: one\nclusterID:")
    watched.change("clusterID:", "image: two\nclusterID:")
    assert watched.file.valid
    assert caplog.text.count("image: poddnat doesn't know this key") == 1
