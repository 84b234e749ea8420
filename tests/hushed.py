"""The secrets of the tests. Whatever is written while they run, none of these may be in it."""

import re

_MARK = "hush"

KEY_SECRET = f"{_MARK}-the-secret-of-an-access-key"
STS_SECRET = f"{_MARK}-the-secret-of-a-temporary-key"
STS_TOKEN = f"{_MARK}-the-token-of-a-temporary-key"
OIDC_TOKEN = f"{_MARK}-the-token-of-a-service-account"
TOKEN = f"{_MARK}-the-token-that-hooks-want"
OTHER_TOKEN = f"{_MARK}-another-token-for-hooks"

# The API server makes tokens of this form for service accounts.
_SECRET = re.compile(rf"{_MARK}-|eyJhbGciOi[\w-]+\.")


def leaks(text: str) -> list[str]:
    """List the lines with a secret in them."""
    return [line for line in text.splitlines() if _SECRET.search(line)]
