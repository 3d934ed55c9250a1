"""Certificates for tests with TLS."""

import ssl
import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Make a self-signed certificate of 127.0.0.1; give a server's context with it, and its file."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
