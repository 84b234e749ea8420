# ruff: noqa: N818 - the classes are named after what happened, as the API names its codes
"""The errors of the API: one class for each code, with its HTTP status and message.

Codes and statuses are those of Alibaba Cloud's API reference (VPC 2016-04-28, ECS 2014-05-26, and the common
errors of all its OpenAPIs), misspellings included. The few codes that the reference does not give are marked.
"""


class ApiError(Exception):
    """What a call is answered with instead of a result."""

    code: str = "InternalError"
    status: int = 500
    message: str = "The request processing has failed due to some unknown error."

    def __init__(self, *subject: object) -> None:
        about = " ".join(str(part) for part in subject if part)
        super().__init__(f"{self.message} ({about})" if about else self.message)


class InternalError(ApiError):
    """A bug in the emulator, shaped as the API shapes its own."""


class InjectedError(ApiError):
    """An error that a fault asked for."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__()
        self.args = (message,)
        self.code, self.status = code, status


# -- the door: signature, credentials, rate --------------------------------------------------------


class IncompleteSignature(ApiError):
    """No usable Authorization header."""

    code, status = "IncompleteSignature", 400
    message = "The request signature does not conform to Aliyun standards."


class SignatureDoesNotMatch(ApiError):
    """Signed with another secret, or changed on the way."""

    code, status = "SignatureDoesNotMatch", 400
    message = "The request signature does not match what the server calculated from the request."


class AccessKeyNotFound(ApiError):
    """Nobody has this key."""

    code, status = "InvalidAccessKeyId.NotFound", 404
    message = "Specified access key is not found."


class SecurityTokenMissing(ApiError):
    """A temporary key came without its token."""

    code, status = "MissingSecurityToken", 400
    message = "SecurityToken is mandatory for this action."


class SecurityTokenMismatch(ApiError):
    """The token belongs to another key, or is a former one."""

    code, status = "InvalidSecurityToken.MismatchWithAccessKey", 400
    message = "Specified SecurityToken mismatch with the AccessKey."


class ActionNotFound(ApiError):
    """No such action, or one that is not emulated."""

    code, status = "InvalidAction.NotFound", 404
    message = "Specified api is not found, please check your url and method."


class InvalidVersion(ApiError):
    """The action does not belong to that version."""

    code, status = "InvalidVersion", 400
    message = "Specified parameter Version is not valid."


class ForbiddenByRam(ApiError):
    """The policy of the key does not have this action."""

    code, status = "Forbidden.RAM", 403
    message = "User not authorized to operate on the specified resource, or this API doesn't support RAM."


class ThrottlingUser(ApiError):
    """The account's calls in the window are used up."""

    code, status = "Throttling.User", 400
    message = "Request was denied due to user flow control."

    def __init__(self, time_left: float = 0.0) -> None:
        super().__init__()
        self.time_left = time_left
        """Seconds after which a call will be granted, told to the client; 0 tells nothing."""


# -- any call --------------------------------------------------------------------------------------


class MissingParameter(ApiError):
    """A parameter that the action cannot do without."""

    code, status = "MissingParameter", 400
    message = "The input parameter that is mandatory for processing this request is not supplied."


class InvalidParameter(ApiError):
    """A value that has no code of its own."""

    code, status = "InvalidParameter", 400
    message = "The specified parameter is not valid."


class RegionNotFound(ApiError):
    """No such region in this world."""

    code, status = "InvalidRegionId.NotFound", 404
    message = "The specified RegionId does not exist."


class VpcNotFound(ApiError):
    """No such VPC in the region."""

    code, status = "InvalidVpcId.NotFound", 404
    message = "Specified VPC does not exist."


class RouteTableNotFound(ApiError):
    """No such route table in the region."""

    code, status = "InvalidRouteTableId.NotFound", 404
    message = "Specified route table does not exist."


class TokenMismatch(ApiError):
    """The token was used for another request (reference: "Ensure idempotence")."""

    code, status = "IdempotentParameterMismatch", 400
    message = "The request uses the same client token as a previous, but non-identical request."


class TokenMalformed(ApiError):
    """A token is 1 to 64 ASCII characters. The code is in the API's manner, not from the reference."""

    code, status = "InvalidClientToken.Malformed", 400
    message = "The specified ClientToken is not valid."


class DryRunPassed(ApiError):
    """How a dry run says that the call would have worked."""

    code, status = "DryRunOperation", 400
    message = "Request validation has been passed with DryRun flag set."


# -- DNAT entries ----------------------------------------------------------------------------------


class ExternalIpMalformed(ApiError):
    """Not an IPv4 address."""

    code, status = "InvalidExternalIp.Malformed", 400
    message = "The specified ExternalIp is not a valid IP address."


class InternalIpMalformed(ApiError):
    """Not an IPv4 address."""

    code, status = "InvalidInternalIp.Malformed", 400
    message = "The specified InternalIp is not a valid IP address."


class ExternalPortMalformed(ApiError):
    """Neither a port nor a range, or a range of another length than the internal one."""

    code, status = "InvalidExternalPort.Malformed", 400
    message = "The specified ExternalPort is not a valid port."


class InternalPortMalformed(ApiError):
    """Neither a port nor a range."""

    code, status = "InvalidInternalPort.Malformed", 400
    message = "The specified InternalPort is not a valid port."


class ProtocolNotSupported(ApiError):
    """Neither TCP, UDP nor Any. The misspelling is the API's."""

    code, status = "InvalidProtocal.ValueNotSupported", 400
    message = "The specified IpProtocol does not support."


class NameMalformed(ApiError):
    """The name of an entry breaks its rule."""

    code, status = "InvalidParameter.Name.Malformed", 400
    message = "The specified Name is not valid."


class ForwardTableNotFound(ApiError):
    """No such table, or its gateway is gone."""

    code, status = "InvalidForwardTableId.NotFound", 404
    message = "Specified forward table does not exist."


class GatewayNotExist(ApiError):
    """No such NAT gateway."""

    code, status = "Invalid.natgwNotExist", 400
    message = "The specified NAT gateway does not exist."


class GatewayStatus(ApiError):
    """The NAT gateway is being changed, or deleted."""

    code, status = "IncorrectStatus.NATGW", 400
    message = "The NAT gateway is not in a status that supports this operation."


class FinancialLocked(ApiError):
    """The NAT gateway is not paid for.

    The reference gives this code for EIPs and router interfaces, not for NAT gateways.
    """

    code, status = "Forbidden.FinancialLocked", 400
    message = "The NAT gateway is financially locked because of bills outstanding."


class TableBusy(ApiError):
    """The entry itself is Pending, or as many are unsettled as the gateway bears. The misspelling is the API's."""

    code, status = "IncorretForwardEntryStatus", 400
    message = "Some Forward entry status blocked this operation."


class EntryStatus(ApiError):
    """The entry itself is being deleted."""

    code, status = "IncorrectStatus.ForwardEntry", 400
    message = "The forward entry is not in a status that supports this operation."


class EntryNotFound(ApiError):
    """No such entry in the table."""

    code, status = "InvalidForwardEntryId.NotFound", 404
    message = "Specified forward entry ID does not exist."


class ExternalDuplicate(ApiError):
    """Somebody has this external address, port and protocol. The reference does not give the code."""

    code, status = "InvalidParameter.ForwardEntry.Duplicated", 400
    message = "The combination of ExternalIp, ExternalPort and IpProtocol is already in use."


class InternalDuplicate(ApiError):
    """Somebody has this internal address, port and protocol."""

    code, status = "OperationUnsupported.ForwardEntry", 400
    message = "Duplicated destination ip port is unsupported."


class QuotaExceeded(ApiError):
    """The table is full."""

    code, status = "QuotaExceeded.ForwardEntry", 400
    message = "The forward entry quota of the table is exceeded."


class ExternalIpNotFound(ApiError):
    """The account has no such EIP."""

    code, status = "InvalidExternalIp.NotFound", 404
    message = "The specified ExternalIp does not exist."


class ExternalIpNotInGateway(ApiError):
    """The EIP is not bound to this gateway."""

    code, status = "InvalidIp.NotInNatgw", 400
    message = "The specified Ip is not in the NAT gateway."


class EipInBinding(ApiError):
    """The EIP is still being bound to the gateway."""

    code, status = "OperationUnsupported.EipInBinding", 400
    message = "The specified EIP is in binding; try again later."


class ExternalIpUsedInSnat(ApiError):
    """SNAT has the EIP, and the entry would need it for itself or above port 1024."""

    code, status = "Forbidden.ExternalIp.UsedInSnatTable", 400
    message = "The specified ExternalIp is used in a SNAT table."


class ExternalIpUsedInDnat(ApiError):
    """IP mapping shares its EIP with nobody. The code is in the API's manner, not from the reference."""

    code, status = "Forbidden.ExternalIp.UsedInForwardTable", 400
    message = "The specified ExternalIp is used by another forward entry."


class InternalIpOutsideVpc(ApiError):
    """The target is not in the gateway's VPC."""

    code, status = "Forbidden.InternalIpOutOfVpcCIDR", 400
    message = "The specified Internal Ip is out of the VPC CIDR."


class InstanceHasEip(ApiError):
    """The target can be reached from outside by itself. The misspelling is the API's."""

    code, status = "Forbindden", 400
    message = "The specified Instance already bind eip."
