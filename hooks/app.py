"""The Flask application: which path is which hook, and how failures are answered."""

import logging
from collections.abc import Callable
from functools import partial

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from hooks.intervals import API_SERVER_AWAY_RETRY, NO_SUCH_OBJECT_RETRY, STANDBY_RETRY
from hooks.observation import observe
from hooks.pod_opt_out import pod_opt_out
from hooks.pod_sync import pod_sync
from hooks.poddnat_finalize import poddnat_finalize
from hooks.poddnat_sync import poddnat_sync
from hooks.server import LARGEST_REQUEST
from hooks.tokens import Tokens
from hooks.validation import BadRequestError, ValidatedHook
from poddnat.kube import KubeError, NoSuchObjectError
from poddnat.service import Service
from poddnat.telemetry import CONTENT_TYPE

log = logging.getLogger(__name__)


def create_app(
    service: Service,
    *,
    active: Callable[[], str] = lambda: "",
    ended_thread: Callable[[], str] = lambda: "",
    tokens: Tokens | None = None,
) -> Flask:
    """Make the application around a service that is, or will be, started.

    ``active`` names the active replica, ``ended_thread`` a thread that has ended unexpectedly, if any.
    Callers of hooks have to send one of the ``tokens``.
    """
    app = Flask("poddnat")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    pods, poddnats, live = service.pod_reconciler, service.poddnat_reconciler, service.live
    called = service.reminder.called
    hooks = {
        "/pod/sync": ValidatedHook("pod-sync", partial(pod_sync, pods, live), called),
        "/pod/opt-out": ValidatedHook("pod-opt-out", partial(pod_opt_out, pods, live), called),
        "/poddnat/sync": ValidatedHook("poddnat-sync", partial(poddnat_sync, service.poddnat_queue, live), called),
        "/poddnat/finalize": ValidatedHook("poddnat-finalize", partial(poddnat_finalize, poddnats, live), called),
    }
    for path, hook in hooks.items():
        app.add_url_rule(path, endpoint=path, view_func=partial(_when_ready, service, hook), methods=["POST"])
    # First of all, so that refused calls are counted too.
    observe(app, {path: hook.name for path, hook in hooks.items()}, service.metrics)
    if tokens is not None:
        app.before_request(partial(_authenticate, tokens, frozenset(hooks)))
    # Probes carry no token, nor do most scrapers; none of these tells a secret.
    app.add_url_rule("/healthz", endpoint="healthz", view_func=lambda: _liveness(ended_thread()))
    app.add_url_rule("/readyz", endpoint="readyz", view_func=lambda: _readiness(service, active()))
    app.add_url_rule("/metrics", endpoint="metrics", view_func=lambda: _metrics(service))
    app.register_error_handler(BadRequestError, _bad_request)
    app.register_error_handler(KubeError, _api_server_away)
    app.register_error_handler(NoSuchObjectError, _no_such_object)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    return app


def _authenticate(tokens: Tokens, hooks: frozenset[str]) -> Response | None:
    if request.endpoint not in hooks or tokens.accept(request.headers.get("Authorization", "")):
        return None
    log.warning("refused a call of %s from %s: it has no valid bearer token", request.path, request.remote_addr)
    answer = _text("no valid bearer token: Metacontroller sends the one that its webhook's authorization names", 401)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _when_ready(service: Service, hook: ValidatedHook) -> Response:
    if not service.ready:
        # The next request may have to go to another replica; over a connection that is kept open it would come here.
        return Response(status=429, headers={"Retry-After": str(STANDBY_RETRY), "Connection": "close"})
    return hook()


def _liveness(ended_thread: str) -> Response:
    if ended_thread:
        return _text(f"not healthy: the thread {ended_thread} has ended unexpectedly", 503)
    return _text("ok")


def _readiness(service: Service, active: str) -> Response:
    """Tell whether hooks are answered; with ``?standbyok``, whether they could be as soon as this replica is active."""
    if not service.warm:
        return _text("not ready: the PodDNATs and pods have not been listed yet", 503)
    if service.ready:
        return _text("ok")
    return _text(f"standby: {active or 'nobody yet'} is active", 200 if "standbyok" in request.args else 503)


def _metrics(service: Service) -> Response:
    return Response(service.metrics.render(), content_type=CONTENT_TYPE)


def _text(text: str, status: int = 200) -> Response:
    return Response(f"{text}\n", status=status, mimetype="text/plain")


def _bad_request(error: BadRequestError) -> Response:
    log.warning("bad request: %s", error)
    return _text(str(error), 400)


def _api_server_away(error: KubeError) -> Response:
    if error.refused:
        log.error("the API server refuses what it was asked for %s: %s", request.path, error)
    else:
        log.warning("the API server can't be asked: %s", error)
    return Response(status=429, headers={"Retry-After": str(API_SERVER_AWAY_RETRY)})


def _no_such_object(error: NoSuchObjectError) -> Response:
    # Metacontroller's cache may be a moment old, which is no reason for an event.
    log.info("not done for %s: %s", request.path, error)
    answer = _text(str(error), 429)
    answer.headers["Retry-After"] = str(NO_SUCH_OBJECT_RETRY)
    return answer


def _http_error(error: HTTPException) -> Response:
    return _text(f"{error.name}: {error.description}", error.code or 500)


def _unexpected(error: Exception) -> Response:
    # The answer becomes an event that users see; what went wrong inside is for the log.
    log.error("unexpected failure", exc_info=error)
    return _text("poddnat failed unexpectedly; its log has the details", 500)
