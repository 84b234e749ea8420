"""What the cloud's error codes mean to us: the one table, so that no caller ever looks at a code or a message.

Codes are those of Alibaba Cloud's VPC and ECS API references (2016-04-28 and 2014-05-26) and of reports from other
clients of the same calls; the misspellings are the API's own.
"""

import re
from enum import Enum


class Meaning(Enum):
    """What to do about a failed call."""

    BUSY = "busy"
    """Something else on this gateway is under way: try the same again later."""
    THROTTLED = "throttled"
    """Too many calls on this account: everybody waits."""
    UNKNOWN = "unknown"
    """It may have been done: read before trying again."""
    TAKEN = "taken"
    """Somebody holds this external or internal address and port: find out who."""
    FULL = "full"
    """The gateway's entry quota is used up."""
    GONE = "gone"
    """What should be deleted is not there."""
    ADDRESS = "address"
    """This external address can't serve: it has left the gateway, or SNAT holds it. Another one may."""
    WRONG = "wrong"
    """It can't succeed unchanged: the request's own content is refused."""
    UNUSABLE = "unusable"
    """This gateway can't be used: it is gone, or the configuration names it wrongly."""
    DENIED = "denied"
    """Our credentials are not accepted or don't allow it: only an operator can help."""


_BY_CODE = {
    "OperationConflict": Meaning.BUSY,
    "TaskConflict": Meaning.BUSY,
    "IncorretForwardEntryStatus": Meaning.BUSY,
    "IncorrectStatus.NATGW": Meaning.BUSY,
    "IncorrectStatus.ForwardEntry": Meaning.BUSY,
    "IncorrectStatus": Meaning.BUSY,
    "OperationUnsupported.EipInBinding": Meaning.BUSY,
    "OperationFailed.Throttling": Meaning.THROTTLED,
    "OperationUnsupported.ForwardEntry": Meaning.TAKEN,
    "QuotaExceeded": Meaning.FULL,
    "QuotaExceeded.ForwardEntry": Meaning.FULL,
    "InvalidIp.NotInNatgw": Meaning.ADDRESS,
    "InvalidExternalIp.NotFound": Meaning.ADDRESS,
    "Forbidden.ExternalIp.UsedInSnatTable": Meaning.ADDRESS,
    "Forbidden.ExternalIp.UsedInForwardTable": Meaning.ADDRESS,
    "InvalidForwardEntryId.NotFound": Meaning.GONE,
    "ResourceNotFound.ForwardEntry": Meaning.GONE,
    "InvalidForwardTableId.NotFound": Meaning.UNUSABLE,
    "Invalid.natgwNotExist": Meaning.UNUSABLE,
    "InvalidRegionId.NotFound": Meaning.UNUSABLE,
    "Forbidden.RAM": Meaning.DENIED,
    "NoPermission": Meaning.DENIED,
    "Forbidden": Meaning.DENIED,
    "SignatureDoesNotMatch": Meaning.DENIED,
    "IncompleteSignature": Meaning.DENIED,
    "MissingSecurityToken": Meaning.DENIED,
    "InvalidSecurityToken.Expired": Meaning.DENIED,
    "InvalidSecurityToken.Malformed": Meaning.DENIED,
    "InvalidSecurityToken.MismatchWithAccessKey": Meaning.DENIED,
    "InvalidCredentials": Meaning.DENIED,
    "ServiceUnavailable": Meaning.UNKNOWN,
    "InternalError": Meaning.UNKNOWN,
    "UnknownError": Meaning.UNKNOWN,
}
_BY_PREFIX = {
    "Throttling": Meaning.THROTTLED,
    "InvalidAccessKeyId": Meaning.DENIED,
}
_NO_PERMISSION = frozenset({"Forbidden.RAM", "NoPermission", "Forbidden"})
# A delete of an entry that has gone says so with the code that otherwise means "busy"; only the text differs.
_GONE_AS_BUSY = ("IncorretForwardEntryStatus", "not exist")
_SERVER_ERROR = 500

NO_ANSWER = "NoAnswer"
"""Our own code for a call that was cut off, timed out, or refused a connection."""

NO_CREDENTIALS = "NoCredentials"
"""Our own code for a call that was not made, as there is nothing to sign it with."""

_LONGEST_QUOTE = 160


def meaning_of(code: str, message: str, status: int | None) -> Meaning:
    """Sort an answer by what to do about it; ``status`` is its HTTP status."""
    if code == _GONE_AS_BUSY[0] and _GONE_AS_BUSY[1] in message:
        return Meaning.GONE
    if code in _BY_CODE:
        return _BY_CODE[code]
    for prefix, meaning in _BY_PREFIX.items():
        if code.startswith(prefix):
            return meaning
    if "Duplicat" in code:
        return Meaning.TAKEN
    if status is None or status >= _SERVER_ERROR:
        return Meaning.UNKNOWN
    return Meaning.WRONG


class CloudError(Exception):
    """A call to the cloud that did not succeed."""

    def __init__(
        self,
        meaning: Meaning,
        *,
        action: str,
        code: str,
        message: str,
        retry_after: float | None = None,
    ) -> None:
        answer = f"no answer: {message}" if code == NO_ANSWER else f"{code}: {message}"
        super().__init__(f"{action}: {answer}")
        self.meaning = meaning
        self.action = action
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds after which the cloud wants to be called again, where it said so."""

    @property
    def lacks_permission(self) -> bool:
        """Whether the credentials are accepted, but don't allow this call."""
        return self.code in _NO_PERMISSION

    @property
    def quote(self) -> str:
        """Quote it in a text that is to be the same each time: what is about this one call is left out.

        The cloud's messages may go on, after their first sentence, with what was signed or with a diagnosis.
        """
        if self.code == NO_ANSWER:
            return f"{self.action} got no answer ({self.message})"
        if self.code == NO_CREDENTIALS:
            return f"there are none to call {self.action} with ({self.message})"
        sentence = re.split(r"(?<=[.!])\s|\n| server string to sign", self.message, maxsplit=1)[0]
        quote = sentence if len(sentence) <= _LONGEST_QUOTE else f"{sentence[:_LONGEST_QUOTE]}..."
        return f'{self.action} answered {self.code}, "{quote}"'
