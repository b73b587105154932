"""Settings from the environment."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.settings import Settings, SettingsError

NAMES = [
    "CONNECTOR_MAPPINGS",
    "CONNECTOR_DATABASE_URL",
    "CONNECTOR_LISTEN",
    "CONNECTOR_POLL_SECONDS",
    "CONNECTOR_LOG_FORMAT",
    "CONNECTOR_WORKERS",
    "CONNECTOR_PUBLIC_URL",
    "CONNECTOR_HEARTBEAT_URL",
    "CONNECTOR_SENTRY_DSN",
]


def mistakes(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def test_without_any_variable_the_documented_defaults_hold() -> None:
    settings = Settings.from_environment({"PATH": "/bin"})
    assert settings.mappings == Path("field_mappings")
    assert settings.database_url == "sqlite:///connector.sqlite3"
    assert settings.listen == ("127.0.0.1", 8080)
    assert settings.poll_seconds == 300
    assert settings.workers == 4
    assert settings.public_url is None
    assert settings.heartbeat_url is None
    assert settings.sentry_dsn is None


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, "console"), (False, "json")])
def test_the_log_is_for_people_only_where_people_look(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, expected: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    assert Settings.from_environment({}).log_format == expected


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "CONNECTOR_MAPPINGS": "/etc/connector/case.yaml",
            "CONNECTOR_DATABASE_URL": "sqlite:////var/lib/connector/x.sqlite3",
            "CONNECTOR_LISTEN": "[::1]:0",
            "CONNECTOR_POLL_SECONDS": " 60 ",
            "CONNECTOR_LOG_FORMAT": "JSON",
            "CONNECTOR_WORKERS": "16",
            "CONNECTOR_PUBLIC_URL": "https://connector.example.org/inquiry/",
            "CONNECTOR_HEARTBEAT_URL": "https://hc.example.org/ping/5ecret-5ecret",
            "CONNECTOR_SENTRY_DSN": "https://5ecret@sentry.example.org/team/42",
        }
    )
    assert settings == Settings(
        mappings=Path("/etc/connector/case.yaml"),
        database_url="sqlite:////var/lib/connector/x.sqlite3",
        listen=settings.listen,
        poll_seconds=60,
        log_format="json",
        workers=16,
        public_url="https://connector.example.org/inquiry",
        heartbeat_url="https://hc.example.org/ping/5ecret-5ecret",
        sentry_dsn="https://5ecret@sentry.example.org/team/42",
    )
    assert settings.listen == ("::1", 0)


def test_settings_that_are_shown_show_no_secret() -> None:
    given = {
        "CONNECTOR_DATABASE_URL": "postgresql://connector:hunter2@db/connector",
        "CONNECTOR_HEARTBEAT_URL": "https://hc.example.org/ping/hunter2",
        "CONNECTOR_SENTRY_DSN": "https://hunter2@sentry.example.org/42",
    }
    assert "hunter2" not in repr(Settings.from_environment(given))


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Settings.from_environment(dict.fromkeys(NAMES, " ")) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("CONNECTOR_DATABASE_URL", "postgres://user:hunter2@db/x", "write PostgreSQL's address as postgresql://"),
        ("CONNECTOR_DATABASE_URL", "postgresql+psycopg2://user:hunter2@db/x", "as postgresql://user@host/database"),
        ("CONNECTOR_DATABASE_URL", "mysql://user:hunter2@db/x", "write sqlite:///"),
        ("CONNECTOR_DATABASE_URL", "sqlite://", "write sqlite:///"),
        ("CONNECTOR_DATABASE_URL", "sqlite:///", "write sqlite:///"),
        ("CONNECTOR_DATABASE_URL", "sqlite://user:hunter2@/x", "write sqlite:///"),
        ("CONNECTOR_DATABASE_URL", "connector.sqlite3", "write sqlite:///"),
        ("CONNECTOR_LISTEN", "8080", "write host:port"),
        ("CONNECTOR_LISTEN", ":8080", "write host:port"),
        ("CONNECTOR_LISTEN", "localhost", "write host:port"),
        ("CONNECTOR_LISTEN", "::1:8080", "write host:port"),
        ("CONNECTOR_LISTEN", "127.0.0.1:65536", "write host:port"),
        ("CONNECTOR_LISTEN", "http://127.0.0.1:8080", "write host:port"),
        ("CONNECTOR_LISTEN", "[1:2]:8080", "IPv6"),
        ("CONNECTOR_POLL_SECONDS", "4", "from 5 to 86400"),
        ("CONNECTOR_POLL_SECONDS", "86401", "from 5 to 86400"),
        ("CONNECTOR_POLL_SECONDS", "5m", "from 5 to 86400"),
        ("CONNECTOR_POLL_SECONDS", "٣٠٠", "from 5 to 86400"),
        ("CONNECTOR_WORKERS", "0", "from 1 to 64"),
        ("CONNECTOR_WORKERS", "65", "from 1 to 64"),
        ("CONNECTOR_WORKERS", "-1", "from 1 to 64"),
        ("CONNECTOR_LOG_FORMAT", "text", "write console or json"),
        ("CONNECTOR_MAPPINGS", "a\0b", "write the path"),
        ("CONNECTOR_PUBLIC_URL", "connector.example.org", "such as https://connector.example.org"),
        ("CONNECTOR_PUBLIC_URL", "https://", "such as https://connector.example.org"),
        ("CONNECTOR_PUBLIC_URL", "https://x.example:99999", "such as https://connector.example.org"),
        ("CONNECTOR_PUBLIC_URL", "ftp://x.example", "such as https://connector.example.org"),
        ("CONNECTOR_PUBLIC_URL", "https://user:hunter2@x.example", "no user"),
        ("CONNECTOR_PUBLIC_URL", "https://x.example?secret=hunter2", "no question mark"),
        ("CONNECTOR_PUBLIC_URL", "https://x.example/webhooks/cases/hunter2", "without /webhooks"),
        ("CONNECTOR_PUBLIC_URL", "http://x.example", "only https"),
        ("CONNECTOR_HEARTBEAT_URL", "hc.example.org/hunter2", "such as https://hc.example.org/ping/..."),
        ("CONNECTOR_HEARTBEAT_URL", "http://hc.example.org/hunter2", "only https"),
        ("CONNECTOR_HEARTBEAT_URL", "https://[::1/hunter2", "write the address to ask for"),
        ("CONNECTOR_HEARTBEAT_URL", "https://hc.example.org/hunter2 hunter2", "write the address to ask for"),
        ("CONNECTOR_SENTRY_DSN", "https://sentry.example.org/42", "https://KEY@sentry.example.org/42"),
        ("CONNECTOR_SENTRY_DSN", "https://hunter2@sentry.example.org", "https://KEY@sentry.example.org/42"),
        ("CONNECTOR_SENTRY_DSN", "https://hunter2@sentry.example.org/x", "https://KEY@sentry.example.org/42"),
        ("CONNECTOR_SENTRY_DSN", "http://hunter2@sentry.example.org/42", "only https"),
        ("CONNECTOR_SENTRY_DSN", "hunter2", "https://KEY@sentry.example.org/42"),
    ],
)
def test_a_mistake_is_told_with_the_variable_and_what_to_write(name: str, value: str, advice: str) -> None:
    (mistake,) = mistakes(**{name: value})
    assert mistake.startswith(f"{name}: ")
    assert advice in mistake
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTOR_POLL_SECONDS", "5"),
        ("CONNECTOR_POLL_SECONDS", "86400"),
        ("CONNECTOR_WORKERS", "64"),
        ("CONNECTOR_PUBLIC_URL", "http://127.0.0.1:8080"),
        ("CONNECTOR_DATABASE_URL", "postgresql://user:hunter2@db/x"),
        ("CONNECTOR_DATABASE_URL", "postgresql+psycopg://user@/x?host=/run/postgresql"),
        ("CONNECTOR_HEARTBEAT_URL", "http://127.0.0.1:8000/ping"),
        ("CONNECTOR_SENTRY_DSN", "http://key@127.0.0.1:9000/1"),
    ],
)
def test_what_is_just_allowed(name: str, value: str) -> None:
    Settings.from_environment({name: value})


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(CONNECTOR_LISTN="x", CONNECTOR_LISTEN="8080", CONNECTOR_WORKERS="many", CONNECTOR_LOG_FORMAT="xml")
    assert [mistake.partition(":")[0] for mistake in found] == [
        "CONNECTOR_LISTN",
        "CONNECTOR_LISTEN",
        "CONNECTOR_LOG_FORMAT",
        "CONNECTOR_WORKERS",
    ]


def test_a_misspelt_variable_gets_a_suggestion() -> None:
    assert mistakes(CONNECTOR_DATABASE_URI="x") == [
        "CONNECTOR_DATABASE_URI: there is no such setting; CONNECTOR_DATABASE_URL may be meant"
    ]


def test_an_unknown_variable_lists_the_settings_and_keeps_its_value_to_itself() -> None:
    (mistake,) = mistakes(CONNECTOR_JIRA_TOKEN="hunter2")
    assert all(name in mistake for name in NAMES)
    assert "hunter2" not in mistake


def test_what_kubernetes_adds_beside_a_service_of_that_name_is_no_mistake() -> None:
    # Regression: a Service named "connector" would have kept its own pods from starting.
    Settings.from_environment(
        {
            "CONNECTOR_SERVICE_HOST": "10.0.0.11",
            "CONNECTOR_SERVICE_PORT": "8080",
            "CONNECTOR_SERVICE_PORT_HTTP": "8080",
            "CONNECTOR_PORT": "tcp://10.0.0.11:8080",
            "CONNECTOR_PORT_8080_TCP": "tcp://10.0.0.11:8080",
            "CONNECTOR_PORT_8080_TCP_ADDR": "10.0.0.11",
        }
    )
    assert mistakes(CONNECTOR_PORT="8080")


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)))
def test_no_value_does_anything_but_settings_or_told_mistakes(environ: dict[str, str]) -> None:
    told = set()
    try:
        Settings.from_environment(environ)
    except SettingsError as error:
        told = {mistake.partition(":")[0] for mistake in error.mistakes}
    assert told <= set(environ)
