"""What every call of a hook gets, many at the same moment."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from hooks.observation import observe
from poddnat.telemetry import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def _threads_that_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_that_change_often")
def test_calls_at_the_same_moment_have_ids_of_their_own() -> None:
    app = Flask(__name__)
    observe(app, {}, Metrics())

    def call(_number: int) -> str:
        with app.test_request_context("/"):
            return str(app.process_response(app.make_response(app.preprocess_request() or "")).headers["X-Request-Id"])

    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(call, range(4000)))
    assert len(set(ids)) == len(ids)
