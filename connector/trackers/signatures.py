"""Who sent a webhook: a signature over the bytes as they came, or else the secret itself.

X-Hub-Signature      <method>=<hex>, the HMAC of the raw body; where it is there, it decides alone
X-Connector-Secret   the secret itself, from senders that cannot sign
the URL's last part  the same, from senders that cannot set a header either
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SIGNATURE = "x-hub-signature"
_SHARED_SECRET = "x-connector-secret"  # noqa: S105  the name of a header


def verify(
    headers: Mapping[str, str],
    raw: bytes,
    secrets: Sequence[str],
    *,
    path_secret: str | None,
    methods: Mapping[str, Callable[[], Any]],
) -> bool:
    """Whether the sender knows one of the secrets (two are valid while one replaces the other).

    `methods` are the hash functions a signature may name, by their names in small letters; others are refused.
    No secrets, no entry. Every comparison takes the same time whatever the secret, and all are made.
    """
    known = [secret.encode("utf-8", "surrogateescape") for secret in secrets if secret]
    sent = {name.lower(): value for name, value in headers.items()}
    if _SIGNATURE in sent:
        return _is_signed(sent[_SIGNATURE], raw, known, methods)
    shown = []
    if _SHARED_SECRET in sent:
        shown.append(_header_bytes(sent[_SHARED_SECRET]))
    if path_secret is not None:
        shown.append(path_secret.encode("utf-8", "surrogateescape"))
    # A sum, as `any` would stop at the first that fits.
    return sum(hmac.compare_digest(each, secret) for each in shown for secret in known) > 0


def _is_signed(signature: str, raw: bytes, secrets: Sequence[bytes], methods: Mapping[str, Callable[[], Any]]) -> bool:
    name, _, digest = signature.strip().partition("=")
    method = methods.get(name.lower())
    if method is None:
        return False
    given = _header_bytes(digest.lower())
    return sum(hmac.compare_digest(hmac.new(each, raw, method).hexdigest().encode(), given) for each in secrets) > 0


def _header_bytes(value: str) -> bytes:
    """A header's value as it was sent: WSGI hands bytes over as if they were Latin-1 (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")
