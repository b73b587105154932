"""Certificates of an authority of the test's own, by the openssl command, for a tracker on 127.0.0.1."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


@dataclass(frozen=True)
class Certificate:
    """Two files in PEM form."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """For a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def authority(folder: Path, name: str) -> Certificate:
    """Signed by itself, and so is whoever is given one to show."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *_KEY, "-keyout", made.key, "-out", made.certificate, "-subj", f"/CN={name}", "-days", "2")
    return made


def issued(by: Certificate, folder: Path, name: str, *, of: str = "IP:127.0.0.1", days: int = 2) -> Certificate:
    """For the host `of`. With -1 day it has ended before it was made."""
    made, asked, extensions = (
        Certificate(folder / f"{name}.pem", folder / f"{name}.key"),
        folder / "csr",
        folder / "ext",
    )
    extensions.write_text(f"subjectAltName = {of}\n")
    _openssl("req", *_KEY, "-keyout", made.key, "-out", asked, "-subj", f"/CN={name}")
    signer = ["-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial", "-days", str(days)]
    _openssl("x509", "-req", "-in", asked, *signer, "-extfile", extensions, "-out", made.certificate)
    return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
