"""The certificate that the server shows to callers who use TLS."""

import logging
import ssl
import threading
from pathlib import Path

from hooks.file_changes import FileChanges

log = logging.getLogger(__name__)


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
        self._lock = threading.Lock()
        self._changes = FileChanges(certificate, key)
        self._changes.noticed()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Give what a new connection is wrapped with."""
        with self._lock:
            if self._changes.noticed():
                try:
                    self._context = self._load()
                except CertificateError as error:
                    # The two files are replaced one after the other, perhaps: then the next look finds both.
                    log.error("%s; the certificate read before stays in use", error)  # noqa: TRY400
                else:
                    log.info("read %s again", self._certificate)
            return self._context

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
