"""The certificate that the server shows to callers who use TLS."""

import ssl
from pathlib import Path

from hooks.followed_files import FollowedFiles


class CertificateError(ValueError):
    """Certificate or key can't be used; the text says why."""


class Certificate:
    """A certificate and its key, read again when they change. Safe to use from several threads."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both (PEM; the certificate may be followed by its chain).

        Raises:
            CertificateError: they can't be read, or don't belong together.
        """
        self._certificate = certificate
        self._key = key
        self._context = FollowedFiles("certificate", self._load, certificate, key)

    def context(self) -> ssl.SSLContext:
        """Give what a new connection is wrapped with."""
        return self._context.current()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password here, an encrypted key would be asked for on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            why = error.reason or "an encrypted key can't be used"
            what = f"{self._certificate} and {self._key} are not a PEM certificate and its key"
            raise CertificateError(f"{what}: {why.lower().replace('_', ' ')}") from error
        except OSError as error:
            raise CertificateError(f"{self._unreadable()} can't be read: {error.strerror}") from error
        return context

    def _unreadable(self) -> Path:
        for path in (self._certificate, self._key):
            try:
                path.read_bytes()
            except OSError:
                return path
        return self._certificate
