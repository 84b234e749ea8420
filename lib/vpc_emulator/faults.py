"""What shall go wrong: faults that tests lay in the way of calls."""

import dataclasses
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from vpc_emulator import exceptions as errors

Kind = Literal["error", "throttle", "lose-request", "lose-answer", "delay", "stick", "fail-entry", "slip-row"]
_STATUS: Final = {
    "OperationConflict": 409,
    "ServiceUnavailable": 503,
    "UnknownError": 500,
    "NoPermission": 403,
}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong with the calls it fits.

    - ``error``: the call is refused with `code` (and `status`, `message`); nothing is done.
    - ``throttle``: as the account's rate limit; `seconds` is the time left to tell, 0 for not telling any.
    - ``lose-request``: the connection is closed; nothing was done.
    - ``lose-answer``: the call is done; the connection is closed without an answer.
    - ``delay``: the answer takes `seconds` (of real time) longer; with `after` the work is done before the
      wait, so that a client which gives up has called successfully.
    - ``stick``: the entry that the call creates stays Pending for `seconds` of the emulator's clock, or the one
      that it deletes stays Deleting; with 0, until `settle_entry`.
    - ``fail-entry``: the entry that the call creates disappears when it should become Available.
    - ``slip-row``: just before a page of DescribeForwardTableEntries after the first is read, a foreign row of
      an earlier page goes and a like one comes behind: one row is never shown, though the total is the same.
    """

    kind: Kind
    action: str = "*"
    code: str = ""
    status: int = 0
    message: str = ""
    seconds: float = 0.0
    after: bool = False
    gateway: str = ""
    table: str = ""
    times: int | None = 1
    """How many calls it hits; nothing for all to come."""
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            problem = f"unknown kind of fault: {self.kind}"
            raise ValueError(problem)
        if self.kind == "error" and not self.code:
            raise ValueError("a fault of kind error needs a code")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form: the same names."""
        unknown = set(data) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            problem = f"unknown keys of a fault: {', '.join(sorted(unknown))}"
            raise ValueError(problem)
        return cls(**data)

    def error(self) -> errors.ApiError:
        """Return the refusal of a fault of kind error."""
        status = self.status or _STATUS.get(self.code) or _known_status(self.code)
        return errors.InjectedError(self.code, status, self.message or f"{self.code}, as a fault asked for.")

    def fits(self, action: str, gateway: str, table: str, *, later_page: bool) -> bool:
        """Tell whether it is meant for such a call; `later_page`: one for a page after the first."""
        if self.kind == "slip-row" and not (later_page and action == "DescribeForwardTableEntries"):
            return False
        wanted = ((self.action, action), (self.gateway, gateway), (self.table, table))
        return all(mine in {"", "*", theirs} for mine, theirs in wanted)


def _known_status(code: str) -> int:
    return next((kind.status for kind in errors.ApiError.__subclasses__() if kind.code == code), 400)


class FaultBook:
    """The faults that lie ready; of those that fit a call, the first one laid hits it."""

    def __init__(self, rng: random.Random) -> None:
        self._lock = threading.Lock()
        self._random = rng
        self._faults: list[Fault] = []

    def lay(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._faults.append(dataclasses.replace(fault))

    def clear(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._faults.clear()

    def list(self) -> list[Fault]:
        """Return what is left."""
        with self._lock:
            return [dataclasses.replace(fault) for fault in self._faults]

    def pick(self, action: str, gateway: str, table: str, *, later_page: bool) -> Fault | None:
        """Return the fault that hits this call, and use it up."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                fits = fault.fits(action, gateway, table, later_page=later_page)
                if fits and self._random.random() < fault.probability:
                    self._use(fault)
                    return fault
        return None

    def _use(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._faults.remove(fault)
