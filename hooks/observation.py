"""What is noted of every hook call, whatever comes of it: how often, with which answer, how long it took."""

import time
from collections.abc import Mapping

from flask import Flask, Response, g, request

from poddnat.metrics import Metrics


def observe(app: Flask, hooks: Mapping[str, str], metrics: Metrics) -> None:
    """Note the calls of these hooks, given by path; others, such as probes, are not counted."""

    def begin() -> None:
        g.started_at = time.perf_counter()

    def end(response: Response) -> Response:
        if request.method == "POST" and (hook := hooks.get(request.path)) is not None:
            metrics.hook_called(hook, response.status_code, time.perf_counter() - g.started_at)
        return response

    app.before_request(begin)
    app.after_request(end)
