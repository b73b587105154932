"""Help that teaches: every command says what it is for, with an example that is true."""

import re
import shlex

import click
import pytest

from connector import __version__
from connector.cli import main
from tests.commands.conftest import Invoke

COMMANDS = [
    *("provision", "discover", "check", "simulate", "backfill", "run", "web", "work", "db"),
    *("explain", "tickets", "poll", "retry", "release", "demo"),
]
WITHOUT_JSON = {"discover", "run", "web", "work", "demo"}


def test_the_commands_in_the_order_in_which_one_needs_them(invoke: Invoke) -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert list(main.commands) == COMMANDS
    assert all(re.search(rf"^  {name} +[A-Z].+\.$", result.stdout, re.MULTILINE) for name in COMMANDS)
    assert "..." not in result.stdout.partition("Commands:")[2]  # no line is cut short
    for name in ("MAPPINGS", "DATABASE_URL", "LISTEN", "PUBLIC_URL", "POLL_SECONDS", "WORKERS", "LOG_FORMAT"):
        assert f"CONNECTOR_{name}" in result.stdout
    assert invoke("--version").stdout == f"connector, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches(invoke: Invoke, name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"connector {name}" in result.stdout.partition("Example")[2]
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    assert ("--json" in result.stdout) is (name not in WITHOUT_JSON)
    assert invoke(name, "-h").stdout == result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_can_be_typed(name: str) -> None:
    """Each example is parsed by the command itself, without running it."""
    command = main.commands[name]
    told = (command.help or "").partition("Example")[2].replace("\\\n", " ")
    examples = re.findall(rf"^ *connector {name}\b([^>\n]*)", told, re.MULTILINE)
    assert examples or name in {"run", "web", "work"}
    for line in examples:
        command.make_context(name, shlex.split(line))


def test_calling_it_wrongly_ends_with_status_2(invoke: Invoke) -> None:
    for words in (
        ["nonsense"],
        ["check", "--nonsense"],
        ["check", "--webhook-url", "https://x.example"],
        ["retry"],
        ["retry", "A-1", "--all-stuck"],
        ["simulate"],
    ):
        result = invoke(*words)
        assert result.exit_code == 2
        assert "Usage: " in result.stderr
    assert isinstance(main, click.Group)
