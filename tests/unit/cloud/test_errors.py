"""The cloud's error codes: what each one means to us, in one table."""

from __future__ import annotations

import pytest

from poddnat.api import CLOUD
from poddnat.cloud import CloudError, Meaning, Scope, problem_of
from poddnat.cloud.errors import meaning_of

PENDING = "The status of the forward entry does not allow this."
NOT_EXIST = "The Specified forwardEntry is not exist"


@pytest.mark.parametrize(
    ("status", "code", "message", "meaning"),
    [
        # Try the same again, backing off.
        (409, "OperationConflict", "operation against this instance is too frequent", Meaning.BUSY),
        (400, "TaskConflict", "", Meaning.BUSY),
        (400, "IncorretForwardEntryStatus", PENDING, Meaning.BUSY),
        (400, "IncorrectStatus.NATGW", "", Meaning.BUSY),
        (400, "IncorrectStatus.ForwardEntry", "", Meaning.BUSY),
        (400, "IncorrectStatus", "", Meaning.BUSY),
        (400, "OperationUnsupported.EipInBinding", "", Meaning.BUSY),
        # The whole account is too fast.
        (400, "OperationFailed.Throttling", "", Meaning.THROTTLED),
        (400, "Throttling", "", Meaning.THROTTLED),
        (400, "Throttling.User", "", Meaning.THROTTLED),
        (400, "Throttling.Api", "", Meaning.THROTTLED),
        (503, "Throttling.User", "", Meaning.THROTTLED),
        # It may have been done: read first.
        (503, "ServiceUnavailable", "", Meaning.UNKNOWN),
        (500, "InternalError", "", Meaning.UNKNOWN),
        (400, "UnknownError", "", Meaning.UNKNOWN),
        (502, "SomethingNeverHeardOf", "", Meaning.UNKNOWN),
        (None, "", "timed out", Meaning.UNKNOWN),
        # Somebody holds it.
        (400, "OperationUnsupported.ForwardEntry", "Duplicated destination ip port is unsupported", Meaning.TAKEN),
        (400, "InvalidParameter.ForwardEntry.Duplicated", "", Meaning.TAKEN),
        (409, "ForwardEntry.Duplicate", "", Meaning.TAKEN),
        # This table is full.
        (400, "QuotaExceeded", "", Meaning.FULL),
        (400, "QuotaExceeded.ForwardEntry", "", Meaning.FULL),
        # This external address can't serve.
        (400, "Forbidden.ExternalIp.UsedInSnatTable", "", Meaning.ADDRESS),
        (400, "Forbidden.ExternalIp.UsedInForwardTable", "", Meaning.ADDRESS),
        (400, "InvalidIp.NotInNatgw", "", Meaning.ADDRESS),
        (404, "InvalidExternalIp.NotFound", "", Meaning.ADDRESS),
        # It never succeeds unchanged.
        (400, "Forbidden.DestnationIpOutOfVpcCIDR", "", Meaning.WRONG),
        (400, "Forbidden.InternalIpOutOfVpcCIDR", "", Meaning.WRONG),
        (400, "Forbindden", "The specified Instance already bind eip", Meaning.WRONG),
        (400, "InvalidExternalIp.Malformed", "", Meaning.WRONG),
        (400, "InvalidExternalPort.Malformed", "", Meaning.WRONG),
        (400, "InvalidInternalIp.Malformed", "", Meaning.WRONG),
        (400, "InvalidInternalPort.Malformed", "", Meaning.WRONG),
        (400, "InvalidProtocal.ValueNotSupported", "", Meaning.WRONG),
        (400, "MissingParameter", "", Meaning.WRONG),
        (400, "InvalidParameter.Name.Malformed", "", Meaning.WRONG),
        # The token was used for something else.
        (400, "IdempotentParameterMismatch", "", Meaning.TOKEN_MISMATCH),
        # Nobody knows: neither the user's fault, nor a reason to give up.
        (400, "SomethingNeverHeardOf", "", Meaning.UNLISTED),
        (404, "SomethingNeverHeardOf", "", Meaning.UNLISTED),
        # The configuration is wrong, or the gateway is gone.
        (404, "InvalidForwardTableId.NotFound", "", Meaning.UNUSABLE),
        (404, "InvalidRegionId.NotFound", "", Meaning.UNUSABLE),
        (400, "Invalid.natgwNotExist", "", Meaning.UNUSABLE),
        # Gone already.
        (404, "InvalidForwardEntryId.NotFound", "", Meaning.GONE),
        (404, "ResourceNotFound.ForwardEntry", "", Meaning.GONE),
        (400, "IncorretForwardEntryStatus", NOT_EXIST, Meaning.GONE),
        # Credentials.
        (403, "Forbidden.RAM", "", Meaning.DENIED),
        (403, "NoPermission", "", Meaning.DENIED),
        (404, "InvalidAccessKeyId.NotFound", "", Meaning.DENIED),
        (400, "InvalidAccessKeyId.Inactive", "", Meaning.DENIED),
        (400, "SignatureDoesNotMatch", "", Meaning.DENIED),
        (400, "IncompleteSignature", "", Meaning.DENIED),
        (400, "MissingSecurityToken", "", Meaning.DENIED),
        (400, "InvalidSecurityToken.Expired", "", Meaning.DENIED),
        (400, "InvalidSecurityToken.MismatchWithAccessKey", "", Meaning.DENIED),
    ],
)
def test_code_means(status: int | None, code: str, message: str, meaning: Meaning) -> None:
    assert meaning_of(code, message, status)[0] is meaning


def test_error_reads_as_what_was_tried_and_what_was_answered() -> None:
    error = CloudError(Meaning.FULL, action="CreateForwardEntry", code="QuotaExceeded", message="Too many entries.")
    assert str(error) == "CreateForwardEntry: QuotaExceeded: Too many entries."


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        ("IncorretForwardEntryStatus", Scope.GATEWAY),
        ("IncorrectStatus.NATGW", Scope.GATEWAY),
        ("IncorrectStatus.ForwardEntry", Scope.ENTRY),
        ("LastTokenProcessing", Scope.ENTRY),
        ("OperationUnsupported.EipInBinding", Scope.ADDRESS),
        ("InvalidIp.NotInNatgw", Scope.ADDRESS),
        ("QuotaExceeded.ForwardEntry", Scope.GATEWAY),
        ("OperationUnsupported.ForwardEntry", Scope.ENTRY),
        ("Throttling.User", Scope.ACTION),
        ("Forbidden.RAM", Scope.ACCOUNT),
        ("ServiceUnavailable", Scope.UNCLEAR),
        ("SomethingNeverHeardOf", Scope.UNCLEAR),
    ],
)
def test_code_concerns(code: str, scope: Scope) -> None:
    assert meaning_of(code, "", 400)[1] is scope


def test_code_that_is_not_in_the_table_is_for_an_operator_and_not_the_user() -> None:
    error = CloudError(Meaning.UNLISTED, action="CreateForwardEntry", code="SomethingNeverHeardOf", message="No.")
    problem = problem_of(error, "ngw-1")
    assert problem.reason == CLOUD
    assert "an operator has to" in problem.message
