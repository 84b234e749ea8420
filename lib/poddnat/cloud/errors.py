"""What the cloud's error codes mean to us: the one table, so that no caller ever looks at a code or a message.

Codes are those of Alibaba Cloud's VPC and ECS API references (2016-04-28 and 2014-05-26) and of reports from other
clients of the same calls; the misspellings are the API's own.
"""

import re
from enum import Enum


class Meaning(Enum):
    """What to do about a failed call."""

    BUSY = "busy"
    """Something it needs is being changed: try the same again later."""
    THROTTLED = "throttled"
    """Too many calls of this action on this account: its next call waits."""
    UNKNOWN = "unknown"
    """It may have been done: read before trying again."""
    TOKEN_MISMATCH = "token mismatch"  # noqa: S105  # the cloud's own word for it, no secret
    """The ClientToken was used with other parameters: read, then try again with a new one."""
    TAKEN = "taken"
    """Somebody holds this external or internal address and port: find out who."""
    FULL = "full"
    """The gateway's entry quota is used up."""
    GONE = "gone"
    """What should be deleted is not there."""
    ADDRESS = "address"
    """This external address can't serve: it has left the gateway, or SNAT holds it. Another one may."""
    WRONG = "wrong"
    """It can't succeed unchanged: the user's own request is refused."""
    UNUSABLE = "unusable"
    """This gateway can't be used: it is gone, or the configuration names it wrongly."""
    DENIED = "denied"
    """Our credentials are not accepted or don't allow it: only an operator can help."""
    UNLISTED = "unlisted"
    """Refused with a code that is not in this table: try again, ever more rarely, and tell an operator."""


class Scope(Enum):
    """What an error concerns: only that waits."""

    ENTRY = "entry"
    ADDRESS = "address"
    """One external address of the gateway."""
    GATEWAY = "gateway"
    ACTION = "action"
    """One action of the API: limits are per action, region and account."""
    ACCOUNT = "account"
    UNCLEAR = "unclear"
    """The entry, or all there is: whoever meets it next decides."""


_ENTRY_BUSY = (Meaning.BUSY, Scope.ENTRY)
_ADDRESS_BUSY = (Meaning.BUSY, Scope.ADDRESS)
_GATEWAY_BUSY = (Meaning.BUSY, Scope.GATEWAY)
_THROTTLED = (Meaning.THROTTLED, Scope.ACTION)
_UNKNOWN = (Meaning.UNKNOWN, Scope.UNCLEAR)
_TAKEN = (Meaning.TAKEN, Scope.ENTRY)
_FULL = (Meaning.FULL, Scope.GATEWAY)
_GONE = (Meaning.GONE, Scope.ENTRY)
_ADDRESS = (Meaning.ADDRESS, Scope.ADDRESS)
_WRONG = (Meaning.WRONG, Scope.ENTRY)
_UNUSABLE = (Meaning.UNUSABLE, Scope.GATEWAY)
_DENIED = (Meaning.DENIED, Scope.ACCOUNT)

_BY_CODE = {
    "OperationConflict": _GATEWAY_BUSY,
    "TaskConflict": _GATEWAY_BUSY,
    "IncorretForwardEntryStatus": _GATEWAY_BUSY,
    "IncorrectStatus": _GATEWAY_BUSY,
    "IncorrectStatus.NATGW": _GATEWAY_BUSY,
    "OperationFailed.NatGwRouteInMiddleStatus": _GATEWAY_BUSY,
    "LastTokenProcessing": _ENTRY_BUSY,
    "OperationFailed.LastTokenProcessing": _ENTRY_BUSY,
    "OperationUnsupported.EipInBinding": _ADDRESS_BUSY,
    "OperationUnsupported.EipNatGWCheck": _ADDRESS_BUSY,
    "OperationUnsupported.EipNatBWPCheck": _ADDRESS_BUSY,
    "EIP_NOT_IN_GATEWAY": _ADDRESS_BUSY,
    "OperationFailed.Throttling": _THROTTLED,
    "Rejected.Throttling": _THROTTLED,
    "IdempotentParameterMismatch": (Meaning.TOKEN_MISMATCH, Scope.ENTRY),
    "OperationUnsupported.ForwardEntry": _TAKEN,
    "InvalidIp.NotInNatgw": _ADDRESS,
    "InvalidExternalIp.NotFound": _ADDRESS,
    "Forbidden.ExternalIp.UsedInSnatTable": _ADDRESS,
    "Forbidden.ExternalIp.UsedInForwardTable": _ADDRESS,
    "InvalidForwardEntryId.NotFound": _GONE,
    "ResourceNotFound.ForwardEntry": _GONE,
    "InvalidForwardTableId.NotFound": _UNUSABLE,
    "Invalid.natgwNotExist": _UNUSABLE,
    "InvalidNatGatewayId.NotFound": _UNUSABLE,
    "INSTANCE_NOT_EXISTS": _UNUSABLE,
    "InvalidRegionId.NotFound": _UNUSABLE,
    "Forbidden.FinancialLocked": _UNUSABLE,
    "Forbidden.DestnationIpOutOfVpcCIDR": _WRONG,
    "Forbidden.InternalIpOutOfVpcCIDR": _WRONG,
    "Forbindden": _WRONG,
    "InvalidProtocal.ValueNotSupported": _WRONG,
    "MissingParameter": _WRONG,
    "InvalidParameter.Name.Malformed": _WRONG,
    "Forbidden.RAM": _DENIED,
    "NoPermission": _DENIED,
    "Forbidden": _DENIED,
    "SignatureDoesNotMatch": _DENIED,
    "SignatureNonceUsed": _DENIED,
    "IncompleteSignature": _DENIED,
    "InvalidTimeStamp.Expired": _DENIED,
    "AccessKeyDisabled": _DENIED,
    "MissingSecurityToken": _DENIED,
    "InvalidSecurityToken.Expired": _DENIED,
    "InvalidSecurityToken.Malformed": _DENIED,
    "InvalidSecurityToken.MismatchWithAccessKey": _DENIED,
    "InvalidCredentials": _DENIED,
    "ServiceUnavailable": _UNKNOWN,
    "SystemBusy": _UNKNOWN,
    "InternalError": _UNKNOWN,
    "UnknownError": _UNKNOWN,
}
_BY_PREFIX = {
    "Throttling": _THROTTLED,
    "IncorrectStatus.": _ENTRY_BUSY,
    "QuotaExceeded": _FULL,
    "InvalidAccessKeyId": _DENIED,
}
_MALFORMED = re.compile(r"Invalid\w+\.Malformed")
_NO_PERMISSION = frozenset({"Forbidden.RAM", "NoPermission", "Forbidden"})
# A delete of an entry that has gone says so with the code that otherwise means "busy"; only the text differs.
_GONE_AS_BUSY = ("IncorretForwardEntryStatus", "not exist")
_FORBIDDEN = 403
_SERVER_ERROR = 500

NO_ANSWER = "NoAnswer"
"""Our own code for a call that was cut off, timed out, or refused a connection."""

NO_CREDENTIALS = "NoCredentials"
"""Our own code for a call that was not made, as there is nothing to sign it with."""

_LONGEST_QUOTE = 160


def meaning_of(code: str, message: str, status: int | None) -> tuple[Meaning, Scope]:
    """Sort an answer by what to do about it, and by what it concerns; ``status`` is its HTTP status."""
    if code == _GONE_AS_BUSY[0] and _GONE_AS_BUSY[1] in message:
        return _GONE
    if code in _BY_CODE:
        return _BY_CODE[code]
    for prefix, found in _BY_PREFIX.items():
        if code.startswith(prefix):
            return found
    if "Duplicat" in code:
        return _TAKEN
    if _MALFORMED.fullmatch(code):
        return _WRONG
    if status is None or status >= _SERVER_ERROR:
        return _UNKNOWN
    return _DENIED if status == _FORBIDDEN else (Meaning.UNLISTED, Scope.UNCLEAR)


_PASSES = frozenset({Meaning.BUSY, Meaning.THROTTLED, Meaning.UNKNOWN, Meaning.TOKEN_MISMATCH})


class CloudError(Exception):
    """A call to the cloud that did not succeed."""

    def __init__(
        self,
        meaning: Meaning,
        *,
        action: str,
        code: str,
        message: str,
        scope: Scope = Scope.UNCLEAR,
        retry_after: float | None = None,
    ) -> None:
        answer = f"no answer: {message}" if code == NO_ANSWER else f"{code}: {message}"
        super().__init__(f"{action}: {answer}")
        self.meaning = meaning
        self.scope = scope
        self.action = action
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds after which the cloud wants to be called again, where it said so."""

    @property
    def passes(self) -> bool:
        """Whether it is of a kind that usually passes by itself: told only once it has lasted."""
        return self.meaning in _PASSES

    @property
    def refuses_request(self) -> bool:
        """Whether it may be about what this one request asks for: another one may pass."""
        return self.meaning in (Meaning.WRONG, Meaning.UNLISTED)

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
