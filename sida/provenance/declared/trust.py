"""Certificates of issuers whose content credentials somebody trusts."""

import binascii
import re
import ssl
from pathlib import Path

from sida.errors import InputError

__all__ = ["read_trust"]

MAX_BYTES = 16 << 20
_BLOCK = re.compile(r"-----BEGIN (X509 )?CERTIFICATE-----(.*?)-----END \1?CERTIFICATE-----", re.S)
_HEADING = re.compile(r"-----BEGIN [A-Z0-9 ]*CERTIFICATE-----")


def read_trust(file: str | Path) -> str:
    """Certificates of trusted issuers out of a file, as PEM and nothing else.

    Takes PEM with comments and byte order marks of any encoding, and one certificate as DER.

    Raises InputError where it cannot be read, holds none, or a broken one.
    """
    name = f"--trust {str(file)!r}"
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name} cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} is longer than {MAX_BYTES:,} bytes, expected certificates")
    try:
        certificates = [ssl.DER_cert_to_PEM_cert(der) for der in _certificates(data)]
        for certificate in certificates:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"{name} holds no certificate, or a broken one, expected PEM or DER"
        ) from error
    return "".join(certificates)


def _certificates(data: bytes) -> list[bytes]:
    """DER of each certificate. Raises ValueError where there is none, or one is cut off."""
    if data[:1] == b"\x30":  # how DER begins, and no text of a person
        return [data]
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # Windows' editors store text so
    text = data.decode("utf-16" if wide else "latin-1", "replace")
    blocks = [match[2] for match in _BLOCK.finditer(text)]
    if not blocks or len(blocks) < len(_HEADING.findall(text)):
        raise ValueError("no whole certificate")
    return [binascii.a2b_base64("".join(block.split()), strict_mode=True) for block in blocks]
