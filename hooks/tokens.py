"""The bearer tokens that callers of the hooks have to show one of."""

import hmac
import logging
import re
from functools import partial
from pathlib import Path

from hooks.followed_files import FollowedFiles

log = logging.getLogger(__name__)

_SHORTEST = 16
# RFC 6750: what can stand behind "Bearer" in a header.
_FORM = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TokenFileError(ValueError):
    """The file can't be used; the text says why, and never what is in it."""


class Tokens:
    """The tokens of a file, one a line, read again when it changes. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Read them for the first time.

        Raises:
            TokenFileError: there is no token in it, or something that can't be one.
        """
        self._tokens = FollowedFiles("list of tokens", partial(_read, path), path)

    def accept(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header has one of them."""
        scheme, _, given = authorization.partition(" ")
        token_sent = given.strip().encode()
        # All are compared, each in a time that doesn't depend on how far it is right.
        matches = [hmac.compare_digest(token_sent, token) for token in self._tokens.current()]
        return scheme.lower() == "bearer" and any(matches)


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise TokenFileError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TokenFileError(f"{path} has a character at byte {error.start} that no token can have") from None
    tokens = []
    for number, line in enumerate(lines, 1):
        token = line.strip()
        if not token:
            continue
        if not _FORM.fullmatch(token):
            raise TokenFileError(
                f"{path}, line {number}: a token has letters, digits and -._~+/ only, one token a line"
            )
        if len(token) < _SHORTEST:
            made = "such as openssl rand -hex 32 makes"
            raise TokenFileError(f"{path}, line {number}: a token needs {_SHORTEST} characters or more, {made}")
        tokens.append(token.encode())
    if not tokens:
        raise TokenFileError(f"{path} has no token in it; put one in, such as openssl rand -hex 32 makes")
    log.info("tokens that %s has: %d", path, len(tokens))
    return tuple(tokens)
