"""The cloud's error codes: what each one means to us, in one table."""

from __future__ import annotations

import pytest

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
        (400, "IncorrectStatus.VSwitch", "", Meaning.BUSY),
        (400, "LastTokenProcessing", "", Meaning.BUSY),
        (400, "OperationFailed.LastTokenProcessing", "", Meaning.BUSY),
        (400, "OperationFailed.NatGwRouteInMiddleStatus", "", Meaning.BUSY),
        (400, "IncorrectStatus", "", Meaning.BUSY),
        (400, "OperationUnsupported.EipInBinding", "", Meaning.BUSY),
        # The whole account is too fast.
        (400, "OperationFailed.Throttling", "", Meaning.THROTTLED),
        (400, "Throttling", "", Meaning.THROTTLED),
        (400, "Throttling.User", "", Meaning.THROTTLED),
        (400, "Throttling.Api", "", Meaning.THROTTLED),
        (503, "Throttling.User", "", Meaning.THROTTLED),
        # It may have been done: look first.
        (503, "ServiceUnavailable", "", Meaning.UNKNOWN),
        (500, "InternalError", "", Meaning.UNKNOWN),
        (400, "SystemBusy", "", Meaning.UNKNOWN),
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
        # Read, then try again with another ClientToken.
        (400, "IdempotentParameterMismatch", "", Meaning.TOKEN_MISMATCH),
        # Nobody knows: try again, ever more rarely.
        (400, "SomethingNeverHeardOf", "", Meaning.UNLISTED),
        (404, "SomethingNeverHeardOf", "", Meaning.UNLISTED),
        # The configuration is wrong, or the gateway is gone.
        (400, "Forbidden.FinancialLocked", "", Meaning.UNUSABLE),
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
        (403, "Forbidden", "", Meaning.DENIED),
        (403, "SomethingNeverHeardOf", "", Meaning.DENIED),
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


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        ("IncorrectStatus.NATGW", Scope.GATEWAY),
        ("OperationConflict", Scope.GATEWAY),
        ("IncorrectStatus.ForwardEntry", Scope.ENTRY),
        ("LastTokenProcessing", Scope.ENTRY),
        ("IdempotentParameterMismatch", Scope.ENTRY),
        ("InvalidInternalIp.Malformed", Scope.ENTRY),
        ("OperationUnsupported.ForwardEntry", Scope.ENTRY),
        ("OperationUnsupported.EipInBinding", Scope.ADDRESS),
        ("InvalidIp.NotInNatgw", Scope.ADDRESS),
        ("QuotaExceeded.ForwardEntry", Scope.GATEWAY),
        ("Invalid.natgwNotExist", Scope.GATEWAY),
        ("Throttling.User", Scope.ACTION),
        ("Forbidden.RAM", Scope.ACCOUNT),
        ("InternalError", Scope.UNCLEAR),
        ("SomethingNeverHeardOf", Scope.UNCLEAR),
    ],
)
def test_code_concerns(code: str, scope: Scope) -> None:
    assert meaning_of(code, "", 400)[1] is scope


@pytest.mark.parametrize("meaning", Meaning)
def test_only_what_passes_by_itself_is_kept_quiet_at_first(meaning: Meaning) -> None:
    quiet = {Meaning.BUSY, Meaning.THROTTLED, Meaning.UNKNOWN, Meaning.TOKEN_MISMATCH}
    error = CloudError(meaning, action="CreateForwardEntry", code="Code", message="")
    assert error.passes == (meaning in quiet)


@pytest.mark.parametrize("code", ["LastTokenProcessing", "IncorrectStatus.NATGW", "SystemBusy", "NeverHeardOf"])
def test_code_that_may_pass_by_itself_is_nothing_for_the_user_to_mend(code: str) -> None:
    meaning, scope = meaning_of(code, "", 400)
    error = CloudError(meaning, action="CreateForwardEntry", code=code, message="", scope=scope)
    assert "user" not in problem_of(error, "ngw-1").message
    assert problem_of(error, "ngw-1").retry_after <= 30.0


def test_error_reads_as_what_was_tried_and_what_was_answered() -> None:
    error = CloudError(Meaning.FULL, action="CreateForwardEntry", code="QuotaExceeded", message="Too many entries.")
    assert str(error) == "CreateForwardEntry: QuotaExceeded: Too many entries."
