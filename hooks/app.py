"""The Flask application: which path is which hook, and how failures are answered."""

import logging
from collections.abc import Callable
from functools import partial

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from hooks.border import BadRequestError, Border
from hooks.observation import observe
from hooks.pod_opt_out import pod_opt_out
from hooks.pod_sync import pod_sync
from hooks.poddnat_finalize import poddnat_finalize
from hooks.poddnat_sync import poddnat_sync
from hooks.server import LARGEST_REQUEST
from hooks.tokens import Tokens
from poddnat.kube import KubeError, NoSuchObjectError
from poddnat.service import Service
from poddnat.telemetry import CONTENT_TYPE

log = logging.getLogger(__name__)

_CLUSTER_AWAY_SECONDS = 5


def create_app(service: Service, *, active: Callable[[], str] = lambda: "", tokens: Tokens | None = None) -> Flask:
    """Make the application around a service that is, or will be, started.

    ``active`` names the active replica; hooks want one of the ``tokens``.
    """
    app = Flask("poddnat")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    hooks = {
        "/pod/sync": Border("pod-sync", partial(pod_sync, service.pod_reconciler, service.live)),
        "/pod/opt-out": Border("pod-opt-out", partial(pod_opt_out, service.pod_reconciler, service.live)),
        "/poddnat/sync": Border("poddnat-sync", partial(poddnat_sync, service.poddnat_reconciler, service.live)),
        "/poddnat/finalize": Border(
            "poddnat-finalize", partial(poddnat_finalize, service.poddnat_reconciler, service.live)
        ),
    }
    for path, border in hooks.items():
        app.add_url_rule(path, endpoint=path, view_func=partial(_when_ready, service, border), methods=["POST"])
    # First of all, so that refused calls are counted too.
    observe(app, {path: border.name for path, border in hooks.items()}, service.metrics)
    if tokens is not None:
        app.before_request(partial(_authenticate, tokens, frozenset(hooks)))
    # Probes carry no token, nor do most scrapers; none of these tells a secret.
    app.add_url_rule("/healthz", endpoint="healthz", view_func=lambda: _text("ok"))
    app.add_url_rule("/readyz", endpoint="readyz", view_func=lambda: _readiness(service, active()))
    app.add_url_rule("/metrics", endpoint="metrics", view_func=lambda: _metrics(service))
    app.register_error_handler(BadRequestError, _bad_request)
    app.register_error_handler(KubeError, _cluster_away)
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


def _when_ready(service: Service, border: Border) -> Response:
    if not service.ready:
        # The next request may have to go to another replica; a connection that is kept open would lead here again.
        return Response(status=429, headers={"Retry-After": "1", "Connection": "close"})
    return border()


def _readiness(service: Service, active: str) -> Response:
    """Tell whether hooks are answered; with ``?standbyok``, whether they could be as soon as it is this one's turn."""
    if not service.warm:
        return _text("not ready: the PodDNATs have not been listed yet", 503)
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


def _cluster_away(error: KubeError) -> Response:
    log.warning("the API server can't be asked: %s", error)
    return Response(status=429, headers={"Retry-After": str(_CLUSTER_AWAY_SECONDS)})


def _no_such_object(error: NoSuchObjectError) -> Response:
    # Metacontroller's picture may be a moment old, which is no reason for an event.
    log.info("not done for %s: %s", request.path, error)
    answer = _text(str(error), 429)
    answer.headers["Retry-After"] = "1"
    return answer


def _http_error(error: HTTPException) -> Response:
    return _text(f"{error.name}: {error.description}", error.code or 500)


def _unexpected(error: Exception) -> Response:
    # The answer becomes an event that users see; what went wrong inside is for the log.
    log.error("unexpected failure", exc_info=error)
    return _text("poddnat failed unexpectedly; its log has the details", 500)
