"""What PostgreSQL and the way to it do to a store: restarts, cuts, silence, deadlocks, a COMMIT in doubt."""

import signal
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection, text, update

from connector.store import Store, errors, open_database
from connector.store import postgresql as postgresql_module
from connector.store.compiled import driver_of
from connector.store.postgresql import PatientConnection
from connector.store.tables import tickets
from tests.postgres import Server, postgresql_server
from tests.store.helpers import Sighting, at, claim, claim_one, settle, start, state
from tests.store.proxy import Proxy

pytestmark = pytest.mark.postgres

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'inquiry-connector' AND pid <> pg_backend_pid()"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql_server() as running:
        yield running


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    opened = Store(open_database(server.url, exclusive=True))
    opened._database.write(lambda connection: connection.execute(text("TRUNCATE tickets, acts, sources")))
    yield opened
    opened.close()


@pytest.fixture
def proxy(server: Server, store: Store) -> Iterator[Proxy]:
    with Proxy(server.url) as running:
        yield running


@pytest.fixture
def far(proxy: Proxy) -> Iterator[Store]:
    """A store that reaches the database through the proxy."""
    opened = Store(open_database(f"{proxy.url}?connect_timeout=2", exclusive=False))
    yield opened
    opened.close()


def cut_sessions(server: Server) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(CUT)


def work_in_three_threads(store: Store) -> None:
    """So that the pool holds several connections."""
    together = threading.Barrier(3)

    def look(_connection: Connection) -> None:
        together.wait(5)

    threads = [threading.Thread(target=store._database.write, args=(look,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_sessions_that_the_server_closed_fail_no_call(server: Server, store: Store) -> None:
    work_in_three_threads(store)
    cut_sessions(server)
    store.attention.notice("office", "1", "CASE-1", at(0))
    cut_sessions(server)
    held = claim_one(store, 0)
    cut_sessions(server)
    assert settle(store, held, 0)
    cut_sessions(server)
    assert state(store).stage == "call_ncsc"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_was_restarted_fails_no_call_and_has_all_that_was_told(
    server: Server, store: Store, how: signal.Signals
) -> None:
    work_in_three_threads(store)
    store.attention.notice("office", "1", "CASE-1", at(0))
    server.stop(how)
    failures: list[errors.DatabaseError] = []
    store.count_errors(failures.append)
    for call in (lambda: store.attention.notice("office", "2", None, at(0)), lambda: claim_one(store, 0)):
        with pytest.raises(errors.Unreachable, match="see that it runs"):
            call()
    assert [type(failure) for failure in failures] == [errors.Unreachable] * 2
    server.start()
    assert claim_one(store, 0).ticket_id == "1"


def test_a_transaction_that_is_cut_half_way_is_done_again(server: Server, store: Store) -> None:
    store.attention.notice("office", "1", "CASE-1", at(0))
    runs = []

    def raise_attempts(connection: Connection) -> None:
        runs.append(connection.execute(update(tickets).values(attempts=tickets.c.attempts + 1)))
        if len(runs) == 1:
            cut_sessions(server)
            connection.execute(text("SELECT 1"))

    store._database.write(raise_attempts)
    assert (len(runs), state(store).attempts) == (2, 1)


def test_one_that_is_cut_again_is_given_up(server: Server, store: Store) -> None:
    runs = []

    def always_cut(connection: Connection) -> None:
        runs.append(1)
        cut_sessions(server)
        connection.execute(text("SELECT 1"))

    with pytest.raises(errors.Unreachable):
        store._database.write(always_cut)
    assert len(runs) == 2


def test_a_cut_during_commit_is_told_and_not_done_again(proxy: Proxy, far: Store, store: Store) -> None:
    far.attention.notice("office", "1", "CASE-1", at(0))
    held = claim_one(far, 0)
    proxy.cuts_at = b"COMMIT"
    with pytest.raises(errors.Unreachable):
        start(far, held, "r1", 0)
    until = time.monotonic() + 5
    while not store.acts.started("office", "1") and time.monotonic() < until:
        time.sleep(0.01)
    assert store.acts.started("office", "1") == {"r1": at(0)}, "this time the server had got it"
    assert start(far, held, "r1", 1), "to say it again is harmless"


def test_a_result_whose_answer_is_lost_is_noted_once(proxy: Proxy, far: Store, store: Store) -> None:
    far.attention.notice("office", "1", "CASE-1", at(0))
    held = claim_one(far, 0)
    proxy.cuts_at = b"c77"
    settle(far, held, 0, attend_at=at(50), config_hash="c77")
    assert (state(store).config_hash, state(store).attend_at) == ("c77", at(50))
    assert claim(store, 49) == []
    assert not settle(far, held, 1), "whoever says so later is refused"


def test_a_notice_whose_answer_is_lost_is_made_again_and_counts_once(proxy: Proxy, far: Store) -> None:
    far.attention.notice("office", "1", "CASE-1", at(0))
    proxy.cuts_at = b"CASE-2"
    far.attention.notice("office", "2", "CASE-2", at(0))
    assert {claim.ticket_id for claim in far.attention.claim(at(0), {"office": 9}, at(1) - at(0))} == {"1", "2"}


@pytest.mark.parametrize("silent", ["server", "way"])
def test_silence_is_noticed(
    server: Server, proxy: Proxy, far: Store, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    far.attention.notice("office", "1", "CASE-1", at(0))
    monkeypatch.setattr(PatientConnection, "patience", 0.3)
    if silent == "way":
        proxy.is_dead = True
    else:
        server.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(errors.Unreachable):
            far._database.write(lambda connection: connection.execute(text("SELECT 1")))
        assert 0.2 < time.monotonic() - began < 4
    finally:
        server.send(signal.SIGCONT)
        proxy.is_dead = False
        proxy.cut()
    assert claim_one(far, 0).ticket_id == "1"


def test_writers_that_wait_for_each_other_both_succeed(store: Store) -> None:
    for number in ("1", "2"):
        store.attention.notice("office", number, None, at(0))
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def in_order(*numbers: str) -> None:
        def work(connection: Connection) -> None:
            runs.append(numbers[0])
            for position, number in enumerate(numbers):
                mine = update(tickets).where(tickets.c.ticket_id == number)
                connection.execute(mine.values(attempts=tickets.c.attempts + 1))
                if position == 0 and len(runs) <= 2:
                    both_hold_one.wait(5)

        store._database.write(work)

    threads = [threading.Thread(target=in_order, args=order) for order in (("1", "2"), ("2", "1"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 3, "one of them was the victim and was run again"
    assert [state(store, number).attempts for number in ("1", "2")] == [2, 2]


def test_connections_that_are_all_in_use_are_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_module, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(postgresql_module, "POOL_SIZE", 1)
    monkeypatch.setattr(postgresql_module, "POOL_OVERFLOW", 0)
    store = Store(open_database(server.url, exclusive=True))

    def notice(_connection: Connection) -> None:
        with pytest.raises(errors.Busy, match="all connections to the database are in use"):
            store.attention.notice("office", "1", None, at(0))

    store._database.read(notice)
    store.close()


@pytest.mark.parametrize(
    ("statement", "kind", "advice"),
    [
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)", errors.Busy, "took too long"),
        ("SET LOCAL transaction_read_only = on; DELETE FROM acts", errors.ReadOnly, "name the primary"),
        ("SET ROLE pg_monitor; DELETE FROM acts", errors.ReadOnly, "make it the owner"),
    ],
)
def test_what_the_server_refuses(store: Store, statement: str, kind: type[Exception], advice: str) -> None:
    with pytest.raises(kind, match=advice):
        store._database.write(lambda connection: connection.exec_driver_sql(statement))
    store._database.engine.dispose()  # the role


def test_a_row_that_somebody_keeps_locked_is_waited_for_only_so_long(server: Server, store: Store) -> None:
    store.attention.notice("office", "1", None, at(0))

    def blocked(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        connection.execute(update(tickets).values(attempts=1))

    with psycopg.connect(server.url) as other:
        other.execute("SELECT * FROM tickets FOR UPDATE")
        assert store.attention.claim(at(0), {"office": 1}, at(1) - at(0)) == [], "a claim goes on to the next"
        with pytest.raises(errors.Busy, match="keeps a table or a ticket locked"):
            store._database.write(blocked)


def test_a_session_is_set_up_to_notice_trouble_and_the_url_has_the_last_word(server: Server) -> None:
    def asked(connection: Connection) -> list[str]:
        names = "statement_timeout", "lock_timeout", "transaction_isolation", "application_name"
        return [str(connection.scalar(text(f"SHOW {name}"))) for name in names]

    for query, name in (("", "inquiry-connector"), ("?application_name=mine", "mine")):
        database = open_database(server.url + query, exclusive=True)
        assert database.write(asked) == ["10s", "5s", "read committed", name]
        database.close()


@pytest.mark.parametrize("change", ["wrong-user", "wrong-database", "wrong-port"])
def test_a_server_that_refuses_is_told_without_the_password(server: Server, change: str) -> None:
    url = {
        "wrong-user": f"postgresql://nobody:hunter2@127.0.0.1:{server.port}/connector",
        "wrong-database": f"postgresql://connector:hunter2@127.0.0.1:{server.port}/none",
        "wrong-port": "postgresql://connector:hunter2@127.0.0.1:1/connector",
    }[change]
    with pytest.raises(errors.Unreachable, match="its URL, user and password are right") as raised:
        open_database(url, exclusive=True)
    assert "hunter2" not in f"{raised.value} {raised.value.__cause__}"


def test_a_claim_planned_on_an_empty_table_reads_a_large_one_in_order(store: Store) -> None:
    """It is planned once for a connection, and a plan for no rows would read them all and sort them."""
    plans: list[str] = []

    def explained(driver: PatientConnection) -> None:
        driver.execute("LOAD 'auto_explain'")
        driver.execute("SET auto_explain.log_min_duration = 0; SET client_min_messages = log")
        driver.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))

    store._database._kept.use(explained)
    assert claim(store, 0) == []
    store.attention.notice_many("office", (Sighting(str(n), f"CASE-{n}", None) for n in range(20_000)), at(0))
    for _ in range(10):
        assert len(claim(store, 0, limit=7)) == 7
    assert len(plans) == 11
    for plan in plans:
        assert "Index Scan using ix_tickets_waits" in plan, plan
        assert "Index Scan using ix_tickets_attend_at" in plan, plan
        assert "Seq Scan on tickets" not in plan, plan
        assert "Sort" not in plan, plan


def test_a_claim_is_planned_once(store: Store) -> None:
    """Planning costs more than the claim itself when nothing is due."""
    for _ in range(3):
        claim(store, 0)
    count = "SELECT count(*), sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '%SKIP LOCKED%'"
    assert store._database._kept.use(lambda driver: driver.execute(count).fetchall()) == [(1, 3)]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "pooled"])
def test_no_statement_is_compiled_and_a_silent_node_is_given_up(store: Store, kept: bool) -> None:
    names = ("jit", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")

    def settings(driver: PatientConnection) -> list[str]:
        return [driver.execute(f"SHOW {name}".encode()).fetchone()[0] for name in names]  # type: ignore[index]  # SHOW has a row

    database = store._database
    found = database._kept.use(settings) if kept else database.read(lambda each: settings(driver_of(each)))
    assert found == ["off", "10", "5", "3"]


def test_a_lease_changes_no_index(store: Store) -> None:
    """What PostgreSQL calls a heap-only update: the row has room for a second version in its page."""
    store.attention.notice_many("office", (Sighting(str(n), f"CASE-{n}", None) for n in range(200)), at(0))
    store._database.write(lambda connection: connection.execute(text("UPDATE tickets SET claimed_news = news")))
    store._database._kept.use(lambda driver: driver.execute("VACUUM tickets"))
    before = _updates(store)
    assert len(claim(store, 0, limit=60)) == 60
    updates, without_index = (now - then for now, then in zip(_updates(store), before, strict=True))
    assert updates == 60
    assert without_index >= 40


def _updates(store: Store) -> tuple[int, int]:
    """How many rows of the tickets were updated so far, and how many of them without an entry in any index."""
    count = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'tickets'"

    def ask(driver: PatientConnection) -> tuple[int, int]:
        driver.execute("SELECT pg_stat_force_next_flush()")
        driver.execute("SELECT pg_stat_clear_snapshot()")
        return driver.execute(count).fetchone() or (0, 0)

    return store._database._kept.use(ask)


# The clocks of nodes


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """machine(seconds): this machine's clock is so much ahead from now on."""
    genuine = time.time
    yield lambda seconds: monkeypatch.setattr(time, "time", lambda: genuine() + seconds)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("seconds", "told"), [(3600.0, "36.. s ahead of"), (-3600.0, "(3599|36..) s behind"), (35.0, "3. s ahead of")]
)
def test_a_clock_that_is_not_the_servers_is_told_and_mended(
    store: Store, machine: Callable[[float], None], seconds: float, told: str
) -> None:
    store.check_clock()
    machine(seconds)
    for _ in range(2):
        with pytest.raises(
            errors.ClocksDiffer, match=f"clock is {told} that of the database's server: set both by NTP"
        ):
            store.check_clock()
    machine(0)
    store.check_clock()


@pytest.mark.parametrize("seconds", [25.0, -25.0])
def test_clocks_may_differ_by_less_than_half_a_minute(
    store: Store, machine: Callable[[float], None], seconds: float
) -> None:
    machine(seconds)
    store.check_clock()


def test_the_server_is_asked_for_its_clock_every_ten_seconds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    head = store._database.head
    monkeypatch.setattr(store._database, "head", lambda *args, **more: (asked.append("asked"), head(*args, **more))[1])
    now, wall = time.monotonic(), time.time()
    for later in (0.0, 5.0, 9.9, 10.1, 11.0):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        monkeypatch.setattr(time, "time", lambda later=later: wall + later)
        store.check_clock()
    assert len(asked) == 2


def test_a_server_that_cannot_be_asked_is_no_clock_that_differs(server: Server, store: Store) -> None:
    store.check_clock()
    server.stop()
    try:
        store._server_clock._asked_at = None
        with pytest.raises(errors.Unreachable):
            store.check_clock()
    finally:
        server.start()
    store.check_clock()
