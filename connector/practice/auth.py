"""Who is calling: the accounts of Cloud's site host, of Cloud's gateway, and of Data Center."""

import base64
import binascii
import hmac
from collections.abc import Iterable

from connector.practice.world import Account, Refused, User, World


def caller(world: World, authorization: str | None, *, through_gateway: bool) -> User:
    """The user the `Authorization` header proves, or Refused (401).

    Cloud's site host takes basic e-mail:token and no scoped token; its gateway takes scoped tokens, basic or
    bearer. Data Center takes a bearer personal access token, and basic name:secret.
    """
    scheme, _, rest = (authorization or "").partition(" ")
    account = None
    if scheme.lower() == "basic":
        account = _basic(world, rest, _usable(world, through_gateway))
    elif scheme.lower() == "bearer" and (world.deployment == "data-center" or through_gateway):
        account = _first(each for each in _usable(world, through_gateway) if _same(each.secret, rest.strip()))
    if account is None:
        raise _refusal(world, tried=bool(authorization))
    return account.user


def _usable(world: World, through_gateway: bool) -> list[Account]:
    return [each for each in world.accounts if each.scoped == through_gateway]


def _basic(world: World, encoded: str, accounts: list[Account]) -> Account | None:
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return _first(each for each in accounts if _same(world.auth_of(each)[0], name) and _same(each.secret, secret))


def _first(accounts: Iterable[Account]) -> Account | None:
    return next(iter(accounts), None)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _refusal(world: World, *, tried: bool) -> Refused:
    headers = {}
    if world.deployment == "data-center":
        headers["WWW-Authenticate"] = 'OAuth realm="https%3A%2F%2Fpractice.example"'
        if tried:
            headers["X-Seraph-LoginReason"] = "AUTHENTICATED_FAILED"
    return Refused(401, "Client must be authenticated to access this resource.", headers=headers)
