"""Metrics of every hook call, whatever its outcome: how often, with which HTTP status, how long it took.

Each call has an id: what is logged on its way carries it, and so does the answer, in X-Request-Id.
"""

import itertools
import time
import uuid
from collections.abc import Mapping

from flask import Flask, Response, g, request

from poddnat.logs import about
from poddnat.telemetry import Metrics


def observe(app: Flask, hooks: Mapping[str, str], metrics: Metrics) -> None:
    """Count and time the calls of these hooks, given by path; others, such as probes, are not counted."""
    metrics.expect_hooks(hooks.values())
    # A number drawn for each call would cost more than all else here.
    drawn, calls = uuid.uuid4().hex[:16], itertools.count(1)

    def begin() -> None:
        g.started_at = time.perf_counter()
        g.request_id = f"{drawn}-{next(calls)}"
        g.log = about(requestId=g.request_id)
        g.log.__enter__()

    def end(response: Response) -> Response:
        if request.method == "POST" and (hook := hooks.get(request.path)) is not None:
            metrics.hook_called(hook, response.status_code, time.perf_counter() - g.started_at)
        response.headers["X-Request-Id"] = g.request_id
        return response

    def leave(_error: BaseException | None) -> None:
        if (log := g.pop("log", None)) is not None:
            log.__exit__(None, None, None)

    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(leave)
