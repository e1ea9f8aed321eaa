"""Certificates of trusted issuers, as people have them."""

import ssl
from pathlib import Path

import pytest

from sida.errors import InputError
from sida.provenance.declared.credentials import credentials
from sida.provenance.declared.trust import read_trust
from tests.provenance import signing
from tests.provenance.made_files import signed

COMMENT = "# Stammzertifikat für Prüfungen, 2026 · vertraulich\nsubject=CN = Prüfer\n"


def forms() -> dict[str, bytes]:
    pem = signing.trusted()
    return {
        "plain": pem.encode(),
        "comments in UTF-8": (COMMENT + pem + COMMENT).encode(),
        "comments in Latin-1": (COMMENT + pem).encode("latin-1"),
        "UTF-8 with a mark": pem.encode("utf-8-sig"),
        "UTF-8 with a mark and comments": (COMMENT + pem).encode("utf-8-sig"),
        "UTF-16, as Windows has it": ("\ufeff" + COMMENT + pem).encode("utf-16-le"),
        "UTF-16, the other way round": ("\ufeff" + pem).encode("utf-16-be"),
        "Windows' line ends": pem.replace("\n", "\r\n").encode(),
        "indented": pem.replace("\n", "\n  ").encode(),
        "old label": pem.replace("BEGIN CERT", "BEGIN X509 CERT")
        .replace("END CERT", "END X509 CERT")
        .encode(),
        "twice": 2 * pem.encode(),
        "with others": (COMMENT + signing.trusted_by_strangers() + COMMENT + pem).encode(),
        "DER": ssl.PEM_cert_to_DER_cert(pem),
    }


@pytest.mark.parametrize("form", forms())
def test_certificates_are_read_in_each_form(form: str, tmp_path: Path) -> None:
    file = tmp_path / "trust"
    file.write_bytes(forms()[form])
    trust = read_trust(file)
    assert trust.isascii()
    (state,) = {item.state for item in credentials(signed(), trust)}
    assert state == "signed, valid"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no certificate",
        COMMENT.encode(),
        signing.trusted()[:200].encode(),
        (signing.trusted() + signing.trusted()[:200]).encode(),
        signing.trusted().replace("M", "!", 1).encode(),
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        ssl.PEM_cert_to_DER_cert(signing.trusted())[:-10],
        b"0 is no certificate",
        b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n",
        bytes(100),
    ],
)
def test_what_is_no_certificate_is_refused_in_our_words(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "trust.pem"
    file.write_bytes(data)
    with pytest.raises(InputError, match="holds no certificate, or a broken one") as caught:
        read_trust(file)
    assert "codec" not in str(caught.value)


def test_what_cannot_be_opened_is_refused_in_our_words(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(InputError, match=reason) as caught:
            read_trust(path)
        assert "Errno" not in str(caught.value)
