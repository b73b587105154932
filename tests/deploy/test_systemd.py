"""The systemd units: verified by systemd, their exposure bounded, their sandbox the same, each truly started by it."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.cli import main
from connector.mapping.loading import load_mapping
from tests.deploy.tools import DEPLOY, SECRETS, run, see_settings, tool

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXPOSURE = 20  # of 100; systemd-analyze shows it as 2.0

each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


def settings_of(unit: Path, name: str) -> list[str]:
    """Every value of a setting of the unit, in order."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.mark.deploy
@each_unit
def test_systemd_finds_no_mistake(unit: Path, tmp_path: Path) -> None:
    # What it starts is not installed here; env is on every machine.
    text = unit.read_text().replace(
        "ExecStart=/opt/inquiry-connector/bin/connector", "ExecStart=/usr/bin/env connector"
    )
    (tmp_path / unit.name).write_text(text)
    said = run(tool("systemd-analyze", "systemd"), "verify", "--man=no", tmp_path / unit.name)
    assert [line for line in said.splitlines() if "inquiry-connector" in line] == []


@pytest.mark.deploy
@each_unit
def test_it_is_exposed_to_little(unit: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    run(analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit)


def test_all_units_have_the_same_sandbox() -> None:
    """Three files rather than one and drop-ins, so that each can be read by itself; this keeps them together."""

    def sandbox(unit: Path) -> list[str]:
        lines = unit.read_text().partition("UMask=")[2].splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    assert len({tuple(sandbox(unit)) for unit in UNITS}) == 1
    assert len(sandbox(UNITS[0])) > 30


@each_unit
def test_its_command_exists(unit: Path) -> None:
    (start,) = settings_of(unit, "ExecStart")
    assert start.split()[-1] in main.commands


@each_unit
def test_credentials_are_files_of_root_s_and_seen_in_their_place(unit: Path) -> None:
    for credential in settings_of(unit, "LoadCredential"):
        name, path = credential.split(":")
        assert Path(path) == SECRETS / name
    assert settings_of(unit, "BindReadOnlyPaths") == [f"%d:{SECRETS}"]


@each_unit
def test_the_example_mapping_finds_its_secrets_and_web_has_no_token(unit: Path) -> None:
    tracker = load_mapping(DEPLOY / "kubernetes" / "mappings" / "cases.yaml").tracker
    loaded = {SECRETS / credential.split(":")[0] for credential in settings_of(unit, "LoadCredential")}

    assert (tracker.token.file in loaded) == ("web" not in unit.name)
    assert {secret.file for secret in tracker.webhook_secrets} <= loaded
    assert (SECRETS / "pg-service" in loaded) == ("@" in unit.name)


def test_the_example_settings_exist_with_either_database() -> None:
    text = (DEPLOY / "connector.env.example").read_text()
    for kind in ("sqlite", "postgresql"):
        lines = re.findall(r"^#?((?:CONNECTOR|PG)\w+)=(.*)$", text, re.MULTILINE)
        chosen = {
            name: value
            for name, value in lines
            if name.startswith("CONNECTOR") and (name != "CONNECTOR_DATABASE_URL" or value.startswith(kind))
        }
        assert see_settings(chosen).database_url.startswith(kind)
    assert f"PGSERVICEFILE={SECRETS}/pg-service" in text


# ---- A real systemd

# As the first process of namespaces of its own, ended by the test with all that it started. It must not do to this
# machine what a systemd does at boot: the root is read-only for it, what must be writable is its own, and of this
# machine's units and generators it sees none.
BOOT = """
set -e
mount --make-rprivate /
mount --make-rshared /
mount -t tmpfs tmpfs /run
for place in etc opt; do
  mkdir -p /run/overlay/$place /run/scratch/$place
  mount -t overlay overlay -o lowerdir=/$place,upperdir=/run/overlay/$place,workdir=/run/scratch/$place /$place
done
mkdir -p /etc/inquiry-connector /opt/inquiry-connector
cp -rp "$1"/etc/. /etc/inquiry-connector/
mkdir /run/overlay/built /run/scratch/built /run/units
mount -t overlay overlay -o lowerdir="$2",upperdir=/run/overlay/built,workdir=/run/scratch/built /opt/inquiry-connector
sed -i '1s,.*,#!/opt/inquiry-connector/bin/python,' /opt/inquiry-connector/bin/connector  # as if it was installed there
cp "$1"/system/* /run/units/
for place in /tmp /var /etc/systemd /lib/systemd/system /lib/systemd/system-generators; do
  mount -t tmpfs tmpfs "$place"
done
mkdir -p /var/lib /var/tmp /etc/systemd/system
mv /run/units/* /etc/systemd/system/
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
mount --bind /proc/sys /proc/sys
for place in / /dev /proc/sys /opt/inquiry-connector; do
  mount -o remount,bind,ro "$place"
done
export container=other
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
"""
# What every unit waits for, empty here.
TARGETS = ["sysinit", "basic", "shutdown", "network-online"]
TARGET = "[Unit]\nDefaultDependencies=no\n"
UNSHARE = [
    *("unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc"),
]
# There is no journal either.
SHOWN = "[Service]\nStandardOutput=file:/run/shown\nStandardError=file:/run/shown\n"


@pytest.fixture
def machine(tmp_path: Path, built: Path, stranger: int) -> Iterator["Machine"]:
    """A systemd of its own with the unit installed as deploy/README.md says."""
    tool("unshare", "util-linux")
    tool("ip", "iproute2")
    if not Path("/lib/systemd/systemd").exists():
        pytest.skip("systemd is not here (install systemd)")
    probe = [*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /run && mount -t overlay overlay -o lowerdir=/etc:/opt /run"]
    if subprocess.run(probe, capture_output=True, check=False, timeout=20).returncode:
        pytest.skip("namespaces cannot be made here (be root, outside of a container)")
    one = Machine(tmp_path, built)
    yield one
    one.stop()


class Machine:
    """Namespaces with a systemd in them."""

    def __init__(self, folder: Path, built: Path) -> None:
        self.folder, self.built = folder, built
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("system", "etc", "etc/mappings", "etc/secrets"):
            (folder / name).mkdir()
        (folder / "etc" / "secrets").chmod(0o700)
        for name in ("jira-token", "jira-webhook-secret", "pg-service"):
            (folder / "etc" / "secrets" / name).write_text("a-secret\n")
            (folder / "etc" / "secrets" / name).chmod(0o600)
        shutil.copy(DEPLOY / "connector.env.example", folder / "etc" / "connector.env")
        shutil.copy(DEPLOY / "kubernetes" / "mappings" / "cases.yaml", folder / "etc" / "mappings" / "cases.yaml")
        for path in folder.rglob("*"):
            if path.is_dir() and path.name != "secrets":
                path.chmod(0o755)

    def start(self, unit: Path, text: str, instance: str = "") -> None:
        """Boot, with that unit wanted, which says `text`."""
        for standard in TARGETS:
            (self.folder / "system" / f"{standard}.target").write_text(TARGET)
        (self.folder / "system" / unit.name).write_text(text)
        name = unit.name.replace("@.", f"@{instance}.")
        (self.folder / "system" / "test.target").write_text(f"{TARGET}Wants={name}\nAfter={name}\n")
        with (self.folder / "log").open("wb") as log:
            words = [*UNSHARE, "sh", "-c", BOOT, "boot", str(self.folder), str(self.built)]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in the namespaces, as root."""
        first = self._first()
        if first is None:
            return subprocess.CompletedProcess(words, 1, "", "not booted")
        enter = ["nsenter", f"--target={first}", "--mount", "--pid", "--net", "--uts", "--ipc"]
        return subprocess.run([*enter, *words], capture_output=True, text=True, timeout=20, check=False)

    def eventually(self, *words: str) -> str:
        """What a command says once it succeeds. Fails with systemd's log if it never does."""
        for _ in range(100):
            if (result := self.inside(*words)).returncode == 0:
                return result.stdout
            time.sleep(0.1)
        shown = self.inside("cat", "/run/shown").stdout + (self.folder / "log").read_text()
        raise AssertionError(f"{words}: {result.stdout}{result.stderr}\n{shown[-3000:]}")

    def stop(self) -> None:
        """End the namespaces and all that is in them, and take away the control groups that it made."""
        if self.process is None:
            return
        first = self._first()
        groups = _control_groups(first) if first else []
        self.process.kill()
        self.process.wait()
        for group in groups:
            _remove(group)

    def _first(self) -> str | None:
        """The number, seen from here, of the first process in the namespaces."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None


def _remove(group: Path) -> None:
    for _ in range(40):
        with contextlib.suppress(OSError):  # the last processes are just ending
            group.rmdir()
            return
        time.sleep(0.05)


def _control_groups(first: str) -> list[Path]:
    """The control groups below that of this process, which only that systemd can have made; inner ones first."""
    (mount,) = re.findall(r"^\S+ (\S+) cgroup2 ", Path("/proc/self/mounts").read_text(), re.MULTILINE)[:1] or [""]
    (own,) = re.findall(r"^0::(\S+)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)[:1] or [""]
    (its,) = re.findall(r"^0::(\S+)$", Path(f"/proc/{first}/cgroup").read_text(), re.MULTILINE)[:1] or [""]
    if not mount or Path(its) != Path(own) / "init.scope":
        return []
    here = Path(mount + own)
    return [
        group
        for name in ("init.scope", "system.slice")
        for group in sorted([here / name, *(here / name).rglob("*/")], key=lambda one: -len(one.parts))
    ]


@pytest.mark.deploy
def test_a_real_systemd_runs_the_service_and_gives_it_its_secrets(machine: Machine) -> None:
    (unit,) = [unit for unit in UNITS if "@" not in unit.name]
    machine.start(unit, unit.read_text() + SHOWN)

    machine.eventually("curl", "-sf", "http://127.0.0.1:8080/livez")
    main_process = machine.eventually("pgrep", "-f", "inquiry-connector/bin/connector run").split()[0]
    status = Path("/proc") / main_process
    shown = machine.eventually("nsenter", f"--target={main_process}", "--mount", "ls", "-lan", str(SECRETS))
    files = {words[8]: (words[0], words[2]) for line in shown.splitlines() if len(words := line.split()) > 8}
    uid = re.search(r"^Uid:\s+(\d+)", machine.eventually("cat", str(status / "status")), re.MULTILINE)

    assert uid is not None
    assert int(uid[1]) >= 61184  # of DynamicUser=: https://www.freedesktop.org/software/systemd/man/systemd.exec.html
    assert files["jira-token"][1] == uid[1]
    assert files["jira-token"][0].startswith("-r--")
    assert "pg-service" not in files
    # It ends in order on systemd's signal.
    machine.inside("kill", "-TERM", main_process)
    machine.eventually("sh", "-c", f"! kill -0 {main_process} 2>/dev/null")


@pytest.mark.deploy
@pytest.mark.parametrize("role", ["web", "work"])
def test_an_instance_listens_on_its_own_port_and_reads_the_service_file(machine: Machine, role: str) -> None:
    """There is no PostgreSQL here, so it ends; what it would have started with is what its unit gives it."""
    (unit,) = [unit for unit in UNITS if f"-{role}@" in unit.name]
    print_all = "printenv CONNECTOR_LISTEN; cat ${PGSERVICEFILE}; exec sleep 60"
    start = f"/opt/inquiry-connector/bin/connector {role}"
    assert f" {start}\n" in unit.read_text()
    shown = unit.read_text().replace(start, f"/bin/sh -c '{print_all}'") + SHOWN
    env = machine.folder / "etc" / "connector.env"
    env.write_text(env.read_text().replace("#PGSERVICEFILE", "PGSERVICEFILE"))
    machine.start(unit, shown, "8099")

    assert machine.eventually("grep", "-z", "a-secret", "/run/shown").strip("\0\n") == "127.0.0.1:8099\na-secret"
