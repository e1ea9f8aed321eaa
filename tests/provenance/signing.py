"""Certificates made on the spot, and pictures signed with them by c2pa-python."""

import datetime
import io
import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SHORT = 2  # seconds that the certificate holds that shall be expired

Picture = bytes
DRAWN = {
    "action": "c2pa.created",
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation",
}


class Signer(NamedTuple):
    """A certificate with its key, and the one that it was issued with."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuer: x509.Certificate

    @property
    def chain(self) -> str:
        return _pem(self.certificate) + _pem(self.issuer)


@cache
def root() -> Signer:
    return _issued("Root of the test", None, days=300)


@cache
def signer() -> Signer:
    return _issued("Signer of the test", root(), days=300)


@cache
def stranger() -> Signer:
    """Of a root that nobody trusts."""
    return _issued("A stranger", _issued("Root of a stranger", None, days=300), days=300)


@cache
def trusted() -> str:
    """The certificates that are trusted, as PEM."""
    return _pem(root().certificate)


@cache
def trusted_by_strangers() -> str:
    """The certificates on a stranger's list, as PEM."""
    return _pem(stranger().issuer)


def signed(data: Picture, media: str = "image/jpeg", **options: Any) -> Picture:
    """The picture with a manifest; the options are those of `_signed`."""
    return _signed(data, media, **options)[0]


def with_sidecar(data: Picture, media: str = "image/jpeg", **options: Any) -> tuple[Picture, bytes]:
    """The picture as it is, and credentials to be laid beside it."""
    return _signed(data, media, embed=False, **options)


def _signed(
    data: Picture,
    media: str,
    *,
    by: Signer | None = None,
    actions: list[Mapping[str, Any]] | None = None,
    generator: str = "test 1.0",
    ingredient: Picture | None = None,
    thumbnail: bytes | None = None,
    relationship: str = "componentOf",
    assertions: Sequence[Mapping[str, Any]] = (),
    claim: int = 2,
    trust: str | None = None,
    embed: bool = True,
) -> tuple[Picture, bytes]:
    """The picture with a manifest of these actions, and the manifest; the thumbnail is the
    ingredient's.

    `trust` is the list that the signing program has, by which it records what it thinks of an
    ingredient; `claim` is the version of the claim.
    """
    by = by or signer()
    name, _, version = generator.rpartition(" ")
    acted = {"label": "c2pa.actions", "data": {"actions": actions or [DRAWN]}}
    manifest = {
        "claim_version": claim,
        "claim_generator_info": [{"name": name, "version": version}],
        "assertions": [acted, *assertions],
    }
    settings = {
        "verify": {"verify_after_sign": False},
        "builder": {"thumbnail": {"enabled": False}},
        **({"trust": {"user_anchors": trust}} if trust else {}),
    }
    key = by.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    builder = c2pa.Builder(manifest, context=c2pa.Context.from_dict(settings))
    if not embed:
        builder.set_no_embed()
    if ingredient is not None:
        about: dict[str, Any] = {"title": "the original", "relationship": relationship}
        if thumbnail is not None:
            builder.add_resource("thumbnail", io.BytesIO(thumbnail))
            about["thumbnail"] = {"format": "image/jpeg", "identifier": "thumbnail"}
        builder.add_ingredient(json.dumps(about), "image/jpeg", io.BytesIO(ingredient))
    options = c2pa.C2paSignerInfo(b"es256", by.chain.encode(), key, None)
    target = io.BytesIO()
    table = builder.sign(c2pa.Signer.from_info(options), media, io.BytesIO(data), target)
    return target.getvalue(), bytes(table)


@cache
def signed_and_expired(data: Picture) -> Picture:
    """Signed by a certificate that does not hold any more when this comes back."""
    signed_file = signed(data, by=_issued("An old signer", root(), seconds=SHORT))
    time.sleep(SHORT + 1)
    return signed_file


def _issued(name: str, issuer: Signer | None, days: int = 0, seconds: int = 0) -> Signer:
    """A certificate of authority without an issuer, else one to sign with."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    is_root = issuer is None
    above = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days, seconds=seconds))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False
        )
        .add_extension(_usage(is_root), critical=True)
    )
    if not is_root:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=False)
    certificate = builder.sign(above, hashes.SHA256())
    return Signer(certificate, key, issuer.certificate if issuer else certificate)


def _usage(is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root,
        key_cert_sign=is_root,
        crl_sign=is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
