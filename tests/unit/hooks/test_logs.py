"""What the server logs: one line for each change, with what it is about, and nothing while nothing changes."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat import logs
from tests.unit.hooks.world import EXPOSE_80, GATEWAY, PORTS, SECRET, World, answer

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lines:
    """The log, as programs read it."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def all(self) -> list[dict[str, Any]]:
        """Return all lines so far."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def saying(self, text: str) -> dict[str, Any]:
        """Wait for the one line that says something."""
        wait_until(lambda: any(text in line["message"] for line in self.all()), 10, f"a line with {text!r}")
        (line,) = (line for line in self.all() if text in line["message"])
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    ours = [logging.getLogger("poddnat"), logging.getLogger("hooks")]
    before = [logger.level for logger in ours]
    for logger in ours:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield Lines(stream)
    for logger, level in zip(ours, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_create_is_told_with_pod_gateway_and_the_request_id_of_the_cloud(world: World, lines: Lines) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    line = lines.saying("asked for")
    assert (line["level"], line["pod"], line["gateway"]) == ("info", "default/web-1", GATEWAY)
    assert line["cloudRequestId"]
    assert line["time"].endswith("+00:00")


def test_working_entries_are_reported_with_pod_and_gateway(world: World, lines: Lines) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    line = lines.saying("1 forward entry works")
    assert (line["pod"], line["gateway"]) == ("default/web-1", GATEWAY)


def test_what_a_hook_reports_has_the_id_of_its_call(world: World, lines: Lines) -> None:
    response = world.sync_pod(world.make_pod({**EXPOSE_80, PORTS: "http"}))
    assert lines.saying("InvalidAnnotation")["requestId"] == response.headers["X-Request-Id"]


def test_refusal_is_reported_once_with_the_pod(world: World, lines: Lines) -> None:
    pod = world.make_pod({**EXPOSE_80, PORTS: "http"})
    reported = answer(lambda: world.sync_pod(pod))["annotations"]
    world.sync_pod(world.annotate(pod, reported))
    line = lines.saying("InvalidAnnotation")
    assert (line["level"], line["pod"]) == ("warning", "default/web-1")


def test_nothing_is_logged_at_rest(world: World, lines: Lines) -> None:
    pod = world.make_pod(EXPOSE_80)
    poddnat = world.expose(pod)
    pod = world.annotate(pod, answer(lambda: world.sync_pod(pod, poddnat))["annotations"])
    before = lines.all()
    for _ in range(5):
        assert world.sync_pod(pod, poddnat).status_code == 200
        assert world.sync_poddnat(poddnat).status_code == 200
    assert lines.all() == before


def test_one_pod_exposed_and_gone_is_a_line_for_each_change(world: World, lines: Lines) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.finalized(poddnat)
    assert [line["message"].split(": ", 1)[1].split()[0] for line in lines.all()] == ["asked", "1", "gave"]


def test_bad_request_is_reported_in_one_line_that_can_be_found_by_its_id(world: World, lines: Lines) -> None:
    response = world.client.post("/pod/sync", data="nonsense")
    assert lines.saying("bad request")["requestId"] == response.headers["X-Request-Id"]


def test_fields_of_one_call_are_not_those_of_the_next(world: World, lines: Lines) -> None:
    world.sync_pod(world.make_pod(EXPOSE_80))
    world.client.post("/pod/sync", data="nonsense")
    assert "pod" not in lines.saying("bad request")
    assert logs.fields() == {}


def test_secret_is_in_no_line(world: World, lines: Lines) -> None:
    world.emulator.revoke_credential("key")
    pod = world.make_pod(EXPOSE_80)
    wait_until(lambda: world.sync_pod(pod).status_code == 200, 10, "the refusal to be reported")
    assert lines.all()
    assert SECRET not in json.dumps(lines.all())


def test_what_fails_again_and_again_is_reported_once_for_each_cause_and_when_it_works(lines: Lines) -> None:
    attempts = logs.Attempts(logging.getLogger("poddnat.test"), "reading")
    attempts.worked()
    for cause in ("away", "away", "denied"):
        attempts.failed(OSError(cause))
    attempts.worked()
    attempts.worked()
    attempts.failed(OSError("away"))
    reported = [line["message"] for line in lines.all()]
    assert reported == ["reading: away", "reading: denied", "reading: works again", "reading: away"]


def test_text_shows_the_fields_behind_the_message() -> None:
    record = logging.LogRecord("poddnat.x", logging.INFO, "", 0, "it %s", ("works",), None)
    with logs.about(pod="default/web-1", gateway=""):
        assert logs.TextFormatter().format(record).endswith("INFO poddnat.x: it works [pod=default/web-1]")


def test_traceback_stays_in_its_line() -> None:
    try:
        raise ValueError("a\nb")  # noqa: TRY301  # to be logged
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), __import__("sys").exc_info())
    written = logs.JsonFormatter().format(record)
    assert "\n" not in written
    assert "ValueError" in json.loads(written)["traceback"]
