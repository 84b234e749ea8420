"""Short texts, without secrets, for the errors of the SDK and of the Kubernetes client: for logs and users.

Both wrap the reason in the whole call, whose address may have a token in it, and is another one each time.
"""

import re

_REASON = re.compile(
    r"\[Errno -?\d+\] (?P<system>[\w ]+)|(?:Error\(\d+, |Disconnected\()\W*(?P<socket>[\w ]+)"
    r"|(?P<other>timed out|certificate verify failed)"
)
_CODE = re.compile(r'"Code"\s*:\s*"([\w.]+)"')
_URL_QUERY = re.compile(r"\?[^\s'\"]+=[^\s'\"]*")
_SECRET_VALUE = re.compile(r"((?:secret|token)\w*\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\s\"',}&]+", re.IGNORECASE)
_LONGEST = 160

_TRIED = re.compile(r"(\w+?)CredentialsProvider: (.*?)(?=['\"], ['\"]\w+CredentialsProvider: |['\"]\]$)", re.DOTALL)
# The SDK's other sources are for people's own machines.
_SOURCES = {"OIDCRoleArn": "the service account's RAM role", "EcsRamRole": "the node's RAM role"}


def why_no_answer(text: str) -> str:
    """Give the reason why a call got no answer."""
    return _reason(text) or "none that can be read"


def why_no_credentials(text: str) -> str:
    """Give for each source of credentials that a pod has the reason why it gave none."""
    tried = dict(_TRIED.findall(text))
    reasons = [f"{name}: {_brief(tried[source])}" for source, name in _SOURCES.items() if source in tried]
    return "; ".join(reasons) or _brief(text)


def _reason(text: str) -> str:
    found = _REASON.search(text)
    return str(found[found.lastgroup]).lower() if found and found.lastgroup else ""


def _brief(text: str) -> str:
    if code := _CODE.search(text):
        return f"refused with {code[1]}"
    redacted = _SECRET_VALUE.sub(r"\1...", _URL_QUERY.sub("", text))
    return _reason(text) or redacted[:_LONGEST]
