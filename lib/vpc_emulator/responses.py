"""HTTP in, HTTP out: turns a request into a call of the model, and what comes of it into an answer."""

import json
import math
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from vpc_emulator import exceptions as errors
from vpc_emulator.calls import LOST, OK, Call
from vpc_emulator.control import PREFIX, Control
from vpc_emulator.faults import Fault
from vpc_emulator.models import Emulator
from vpc_emulator.signature import Request, authenticate
from vpc_emulator.values import Parameters

_VPC: Final = "2016-04-28"
_ECS: Final = "2014-05-26"
_HOSTS: Final = {_VPC: "vpc", _ECS: "ecs"}

_VERSIONS: Final = {
    "DescribeNetworkInterfaces": _ECS,
    "DescribeNatGateways": _VPC,
    "DescribeForwardTableEntries": _VPC,
    "CreateForwardEntry": _VPC,
    "DeleteForwardEntry": _VPC,
    "DescribeEipAddresses": _VPC,
    "DescribeRouteTableList": _VPC,
    "DescribeRouteEntryList": _VPC,
}
_WRITES: Final = frozenset({"CreateForwardEntry", "DeleteForwardEntry"})
_METHODS: Final = {action: re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower() for action in _VERSIONS}


class NoAnswer(Exception):  # noqa: N818 - nothing is wrong with it; it ends the connection
    """The connection shall be closed without an answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer with a JSON body."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Responder:
    """Answers the requests of one server."""

    def __init__(self, emulator: Emulator, wait: Callable[[float], object] | None = None) -> None:
        self.emulator = emulator
        self._control = Control(emulator)
        self._wait = wait or threading.Event().wait

    def answer(self, request: Request) -> Response:
        """Answer a request, whatever it is; raise NoAnswer for one that a fault leaves unanswered."""
        if request.path.startswith(PREFIX):
            return Response(*self._control.answer(request))
        request_id = str(uuid.uuid4()).upper()
        try:
            body = self._call(request)
        except NoAnswer:
            raise
        except errors.ApiError as error:
            return _refusal(error, request_id, request)
        except Exception as error:  # noqa: BLE001 - a bug of ours must look like one of the cloud's
            self.emulator.note_bug(error)
            return _refusal(errors.InternalError(), request_id, request)
        return Response(200, json.dumps({**body, "RequestId": request_id}).encode())

    def _call(self, request: Request) -> dict[str, Any]:
        action = request.headers.get("x-acs-action", "")
        return self.perform(action, _parameters(request), admit=lambda: self._admit(action, request))

    def perform(
        self, action: str, parameters: Parameters, *, admit: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Carry out a call and note it: for who wants the cloud without HTTP, with a key that may do everything.

        Raises:
            ApiError: the call is refused, by ``admit`` or later.
            NoAnswer: a fault leaves it unanswered.
        """
        fault: Fault | None = None
        outcome = "InternalError"
        try:
            admit()
            self.emulator.ask_rate(action)
            fault = self.emulator.pick_fault(action, parameters)
            self._before(fault)
            answer = self._perform(action, parameters, fault)
            outcome = OK
        except NoAnswer:
            outcome = LOST
            raise
        except errors.ApiError as error:
            outcome = error.code
            raise
        finally:
            answered = outcome != LOST and (fault is None or fault.kind != "lose-answer")
            self.emulator.calls.add(Call(self.emulator.clock(), action, parameters, outcome, answered))
            self._after(fault)
        return answer

    def _admit(self, action: str, request: Request) -> None:
        """Let the call in: signed by a known key, for an action that there is and that the key may take."""
        credential = authenticate(request, self.emulator.credentials)
        version = request.headers.get("x-acs-version")
        if not action or not version:
            raise errors.MissingParameter("x-acs-version" if action else "x-acs-action")
        if version not in _HOSTS:
            raise errors.InvalidVersion(version)
        if _VERSIONS.get(action, version) != version:
            raise errors.ActionNotFound(action, "of version", version)
        permission = f"{_HOSTS[version]}:{action}"
        if permission not in credential.actions:
            raise errors.ForbiddenByRam(permission)
        if action not in _VERSIONS:
            raise errors.ActionNotFound(action, "is not emulated")

    def _before(self, fault: Fault | None) -> None:
        """Let go wrong what goes wrong before anything is done."""
        if fault is None:
            return
        if fault.kind == "error":
            raise fault.error()
        if fault.kind == "throttle":
            raise errors.ThrottlingUser(time_left=fault.seconds)
        if fault.kind == "lose-request":
            raise NoAnswer
        if fault.kind == "delay" and not fault.after:
            self._wait(fault.seconds)

    def _after(self, fault: Fault | None) -> None:
        """Let go wrong what goes wrong on the way back, whatever the answer is."""
        if fault is None:
            return
        if fault.kind == "lose-answer":
            raise NoAnswer
        if fault.kind == "delay" and fault.after:
            self._wait(fault.seconds)

    def _perform(self, action: str, parameters: Parameters, fault: Fault | None) -> dict[str, Any]:
        work = getattr(self.emulator, _METHODS[action])
        with self.emulator.lock:
            if fault is not None and fault.kind == "slip-row":
                self.emulator.slip_row(parameters)
            answer: dict[str, Any] = self.emulator.once(action, parameters, work)
            if fault is not None and fault.kind in {"stick", "fail-entry"} and action in _WRITES:
                self.emulator.spoil_entry({**parameters, **answer}["ForwardEntryId"], fault)
        return answer


def _parameters(request: Request) -> dict[str, str]:
    """Read the parameters: the SDKs put them into the query, other clients may send a form."""
    parameters = dict(parse_qsl(request.query, keep_blank_values=True))
    if request.body and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        parameters.update(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    return parameters


def _refusal(error: errors.ApiError, request_id: str, request: Request) -> Response:
    body = {
        "Code": error.code,
        "Message": str(error),
        "RequestId": request_id,
        "HostId": request.headers.get("host", ""),
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={error.code}",
    }
    headers = {}
    if isinstance(error, errors.ThrottlingUser) and error.time_left > 0:
        # The SDK turns this header into ThrottlingException.retry_after. It sleeps so many milliseconds when
        # it is set to retry by itself.
        headers["x-acs-retry-after"] = str(math.ceil(error.time_left * 1000))
    return Response(error.status, json.dumps(body).encode(), headers)
