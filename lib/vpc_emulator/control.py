"""The control address: what tests and trials in other processes may ask for under ``/_emulator/``.

- ``GET state``: the gateways with their entries, the faults that are left, and the emulator's bugs.
- ``GET calls``: how many calls there were of each action and outcome; with ``?full=true`` each of them.
- ``POST faults``: a fault (see `faults.Fault`) or a list of them; ``DELETE faults`` takes all away.
- ``POST world``: ``{"do": "set_quota", "with": {"gateway_id": "ngw-1", "quota": 5}}``, or a list of such.
- ``POST reset``: everything as at the start; ``POST reset-calls``: only the calls.
"""

import dataclasses
import ipaddress
import json
from collections.abc import Callable
from typing import Any, Final

from vpc_emulator.assets import RateLimit
from vpc_emulator.faults import Fault
from vpc_emulator.models import Emulator
from vpc_emulator.signature import Request

PREFIX: Final = "/_emulator/"

CHANGES: Final = frozenset(
    {
        "add_entry",
        "edit_entry",
        "rename_entry",
        "delete_entry",
        "settle_entry",
        "stick_entry",
        "set_quota",
        "set_writes_at_once",
        "set_settle",
        "set_gateway_status",
        "set_business_status",
        "set_churn",
        "set_listing_order",
        "remove_gateway",
        "add_eip",
        "add_snat_entry",
        "remove_snat_entry",
        "set_eip_in_binding",
        "remove_eip",
        "revoke_credential",
        "restore_credential",
        "set_allowed_actions",
        "set_default_route",
        "set_rate_limit",
        "use_up_rate",
    }
)

Answer = tuple[int, Any]
Route = Callable[[Request], Any]


class Control:
    """Answers requests to the control address; only from this machine, as they are not signed."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "state"): self._state,
            ("GET", "calls"): self._calls,
            ("POST", "faults"): self._lay_faults,
            ("DELETE", "faults"): lambda _: self.emulator.clear_faults(),
            ("POST", "world"): self._change,
            ("POST", "reset"): lambda _: self.emulator.reset(),
            ("POST", "reset-calls"): lambda _: self.emulator.reset_calls(),
        }

    def answer(self, request: Request) -> tuple[int, bytes]:
        """Do what the request asks and return the status and the JSON body."""
        status, body = self._answer(request)
        return status, json.dumps(body, default=str).encode()

    def _answer(self, request: Request) -> Answer:
        if not ipaddress.ip_address(request.peer).is_loopback:
            return 403, {"error": "the control address answers loopback only"}
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX).rstrip("/")))
        if route is None:
            return 404, {
                "error": f"nothing to {request.method} here",
                "known": sorted(map(" ".join, self._routes)),
            }
        try:
            result = route(request)
        except (ValueError, TypeError, KeyError) as error:
            return 400, {"error": f"{type(error).__name__}: {error}"}
        except Exception as error:  # noqa: BLE001 - whoever asks shall hear of it, and a test fail
            self.emulator.note_bug(error)
            return 500, {"error": f"{type(error).__name__}: {error}"}
        return 200, {"ok": True} if result is None else result

    def _state(self, _: Request) -> dict[str, Any]:
        emulator = self.emulator
        with emulator.lock:
            for gateway in emulator.gateways.values():
                emulator.settle(gateway)
            gateways = {
                gateway.spec.id: {
                    "status": gateway.status,
                    "business_status": gateway.business_status,
                    "quota": gateway.quota,
                    "writes_at_once": gateway.writes_at_once,
                    "unsettled": gateway.unsettled(),
                    "eips": [eip.address for eip in emulator.eips.values() if eip.gateway == gateway.spec.id],
                    "entries": [entry.answer() for entry in emulator.forward_entries(gateway.spec.id)],
                }
                for gateway in emulator.gateways.values()
            }
        faults = [dataclasses.asdict(fault) for fault in emulator.faults.list()]
        return {"gateways": gateways, "faults": faults, "bugs": list(emulator.bugs)}

    def _calls(self, request: Request) -> dict[str, Any]:
        counts: dict[str, dict[str, int]] = {}
        for (action, outcome), number in sorted(self.emulator.calls.counts.items()):
            counts.setdefault(action, {})[outcome] = number
        answer: dict[str, Any] = {"counts": counts, "total": len(self.emulator.calls)}
        if request.query == "full=true":
            answer["calls"] = [dataclasses.asdict(call) for call in self.emulator.calls]
        return answer

    def _lay_faults(self, request: Request) -> None:
        faults = [Fault.from_dict(item) for item in _items(request)]
        for fault in faults:
            self.emulator.add_fault(fault)

    def _change(self, request: Request) -> dict[str, Any]:
        results = []
        for item in _items(request):
            name, arguments = item.get("do"), dict(item.get("with", {}))
            if name not in CHANGES:
                problem = f"do: {name} is not one of {', '.join(sorted(CHANGES))}"
                raise ValueError(problem)
            if name == "set_rate_limit":
                arguments = {"limit": RateLimit(**arguments) if arguments else None}
            result = getattr(self.emulator, name)(**arguments)
            results.append(dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result)  # type: ignore[arg-type]
        return {"results": results}


def _items(request: Request) -> list[dict[str, Any]]:
    """Return the body's object, or the objects of its list."""
    data = json.loads(request.body or b"{}")
    items = data if isinstance(data, list) else [data]
    if not all(isinstance(item, dict) for item in items):
        raise TypeError("the body is neither an object nor a list of them")
    return items
