"""Settings: what the environment says about how the connector runs. Everything else is in the mappings."""

import difflib
import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

LogFormat = Literal["console", "json"]

PREFIX = "CONNECTOR_"
# Kubernetes and old Docker links put such variables into every container beside a service named "connector":
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(r"CONNECTOR_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


class SettingsError(Exception):
    """The environment cannot be used. `mistakes` are all of them, each with the variable's name and what to write.

    A message never repeats a value: a database URL or a misspelt variable may hold a password.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Address(NamedTuple):
    """Where to listen: a name or an address (IPv6 without brackets), and a port (0: any free one)."""

    host: str
    port: int


_DEFAULT_ADDRESS = Address("127.0.0.1", 8080)


def _log_format_for_stderr() -> LogFormat:
    return "console" if sys.stderr.isatty() else "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the connector runs. The defaults are those of `connector run` in a fresh folder."""

    mappings: Path = Path("field_mappings")  # a file, or a folder of them
    # SQLAlchemy's; a SQLite file is relative to the working directory. May hold a password.
    database_url: str = field(default="sqlite:///connector.sqlite3", repr=False)
    listen: Address = _DEFAULT_ADDRESS
    poll_seconds: int = 300
    log_format: LogFormat = field(default_factory=_log_format_for_stderr)
    workers: int = 4  # threads attending to tickets
    public_url: str | None = None  # where trackers reach the webhooks, without a slash at its end
    # Whoever knows these may speak in our name.
    heartbeat_url: str | None = field(default=None, repr=False)  # asked for every minute while all is well
    sentry_dsn: str | None = field(default=None, repr=False)  # where errors are sent

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the CONNECTOR_* variables; an empty one is as good as none. Raises SettingsError with every mistake."""
        given = {name: value.strip() for name, value in environ.items() if name.startswith(PREFIX)}
        mistakes = [_unknown(name) for name, value in sorted(given.items()) if not _is_known(name, value)]
        values: dict[str, Any] = {}
        for name, (field_name, read) in _READERS.items():
            if given.get(name):
                try:
                    values[field_name] = read(given[name])
                except ValueError as error:
                    mistakes.append(f"{name}: {error}")
        if mistakes:
            raise SettingsError(mistakes)
        return cls(**values)


def _is_known(name: str, value: str) -> bool:
    is_link = _SERVICE_LINK.fullmatch(name) or (name == "CONNECTOR_PORT" and "://" in value)
    return name in _READERS or bool(is_link)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [known.removeprefix(PREFIX) for known in _READERS], 1)
    if near:
        return f"{name}: there is no such setting; {PREFIX}{near[0]} may be meant"
    return (
        f"{name}: there is no such setting. The settings are {', '.join(_READERS)}; "
        f"give a variable that a mapping names for a secret a name that does not begin with {PREFIX}"
    )


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError("write the path of a mapping file or of a folder of them")
    return Path(text)


# What libpq reads by itself: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_HOW_TO_LOG_IN = ", with the password in a file: ?passfile=/run/secrets/pgpass behind it, or ?service=, or PGPASSFILE"


def _database_url(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in {"postgresql", "postgresql+psycopg"}:
        return text
    if separator and scheme.lower().startswith("postgres"):
        raise ValueError("write PostgreSQL's address as postgresql://user@host/database" + _HOW_TO_LOG_IN)
    if scheme.lower().partition("+")[0] != "sqlite" or not rest.startswith("/") or not rest.strip("/"):
        raise ValueError(
            "write sqlite:/// and the path of a file: sqlite:///connector.sqlite3 in the working directory, "
            "sqlite:////var/lib/connector/connector.sqlite3 (four slashes) anywhere else; or, for several nodes, "
            "postgresql://user@host/database" + _HOW_TO_LOG_IN
        )
    return text


def _address(text: str) -> Address:
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})", text)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("write host:port, such as 127.0.0.1:8080 or [::1]:8080 (port 0 takes any free one)")
    if match["six"]:
        try:
            ipaddress.IPv6Address(match["six"])
        except ValueError:
            raise ValueError("what stands in brackets must be an IPv6 address, such as [::1]:8080") from None
    return Address(match["six"] or match["name"], int(match["port"]))


def _public_url(text: str) -> str:
    written = "write the address under which trackers reach the connector, such as https://connector.example.org"
    _check_address(text, written, "only https keeps webhooks from being read on their way")
    parts = urlsplit(text)
    if parts.query or parts.fragment or "@" in parts.netloc or "/webhooks" in parts.path:
        raise ValueError(f"{written}: no user, no question mark, no #, and without /webhooks/...")
    return text.rstrip("/")


def _heartbeat_url(text: str) -> str:
    written = "write the address to ask for while all is well, such as https://hc.example.org/ping/..."
    _check_address(text, written, "only https keeps it from being read on its way")
    return text


def _sentry_dsn(text: str) -> str:
    written = "write the DSN of a Sentry project, such as https://KEY@sentry.example.org/42"
    _check_address(text, written, "only https keeps errors from being read on their way")
    parts = urlsplit(text)
    if not parts.username or not re.fullmatch(r"/(.+/)?[0-9]+", parts.path) or parts.query or parts.fragment:
        raise ValueError(written)
    return text


def _check_address(text: str, written: str, why_https: str) -> None:
    """Raises ValueError, beginning with `written`, unless this is an http address, over TLS or on this machine."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(written) from None
    if not host or port == 0 or parts.scheme not in {"http", "https"} or not text.isprintable() or " " in text:
        raise ValueError(written)
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(f"{written}: {why_https}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number(least: int, most: int, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"write a whole number of {what} from {least} to {most}")
        return int(text)

    return read


def _log_format(text: str) -> LogFormat:
    match text.lower():
        case "console":
            return "console"
        case "json":
            return "json"
    raise ValueError("write console or json")


# Variable -> the field of Settings, and how its text is read. A reader's ValueError says what to write.
_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "CONNECTOR_MAPPINGS": ("mappings", _path),
    "CONNECTOR_DATABASE_URL": ("database_url", _database_url),
    "CONNECTOR_LISTEN": ("listen", _address),
    "CONNECTOR_POLL_SECONDS": ("poll_seconds", _number(5, 86_400, "seconds")),
    "CONNECTOR_LOG_FORMAT": ("log_format", _log_format),
    "CONNECTOR_WORKERS": ("workers", _number(1, 64, "threads")),
    "CONNECTOR_PUBLIC_URL": ("public_url", _public_url),
    "CONNECTOR_HEARTBEAT_URL": ("heartbeat_url", _heartbeat_url),
    "CONNECTOR_SENTRY_DSN": ("sentry_dsn", _sentry_dsn),
}
