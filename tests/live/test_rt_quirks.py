"""What Request Tracker does, as the adapter takes for given. Each of these once surprised somebody.

If a newer RT fails one, the adapter's reason for a piece of caution is gone, or a new one has come.
"""

import json
from typing import Any

import pytest
import requests

from tests.live.request_tracker import Receiver, Rt

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.usefixtures("receiver")]
CALLED = "NCSC Called At"
AT = "2026-03-02T15:00:00Z"


def put_as_connector(rt: Rt, ticket_id: str, field: str, value: Any) -> list[Any]:
    rt.put(ticket_id, "connector", CustomFields={field: value})
    return rt.values(ticket_id, field)


def test_a_refused_change_is_answered_with_200(rt: Rt) -> None:
    ticket_id = rt.create(Service_Center="California")
    assert "nonsense" in rt.put(ticket_id, Status="nonsense")[0]
    assert rt.status(ticket_id) == "New"
    assert rt.fill(ticket_id, Service_Center="Nowhere") == ["Invalid value for custom field"]
    assert rt.values(ticket_id, "Service Center") == ["California"]
    assert rt.fill(ticket_id, No_Such_Field="x") == []


def test_a_comment_is_stored_although_its_status_was_refused(rt: Rt) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, "Some words", Status="nonsense")
    assert rt.comments(ticket_id) == ["Some words"]
    assert rt.status(ticket_id) == "New"


def test_a_moment_in_another_spelling_loses_its_time(rt: Rt) -> None:
    ticket_id = rt.create()
    assert put_as_connector(rt, ticket_id, CALLED, "2026-03-02 15:00:00") == [AT]
    assert put_as_connector(rt, ticket_id, CALLED, "2026-03-02T16:00:00Z") == ["2026-03-02T00:00:00Z"]
    assert put_as_connector(rt, ticket_id, CALLED, "soon") == ["1970-01-01T00:00:00Z"]


@pytest.mark.parametrize("spelling", ["2026-04-02T21:00:00Z", "2026-04-02", "soon"])
def test_a_due_date_in_another_spelling_is_erased(rt: Rt, spelling: str) -> None:
    ticket_id = rt.create()
    rt.put(ticket_id, "connector", Due="2026-04-02 21:00:00")
    assert rt.ticket(ticket_id)["Due"] == "2026-04-02T21:00:00Z"
    rt.put(ticket_id, "connector", Due=spelling)
    assert rt.ticket(ticket_id)["Due"] == "1970-01-01T00:00:00Z"


def test_the_same_moment_in_another_spelling_erases_itself(rt: Rt) -> None:
    ticket_id = rt.create()
    field = "Several Dates"
    assert put_as_connector(rt, ticket_id, field, "2026-03-02 15:00:00") == [AT]
    assert put_as_connector(rt, ticket_id, field, "2026-03-02 15:00:00") == [AT]
    assert put_as_connector(rt, ticket_id, field, "2026-03-02T15:00:00+00:00") == []


def test_what_is_not_set_has_several_forms(rt: Rt) -> None:
    ticket_id = rt.create()
    assert rt.values(ticket_id, CALLED) == []
    put_as_connector(rt, ticket_id, CALLED, "2026-03-02 15:00:00")
    assert put_as_connector(rt, ticket_id, CALLED, []) == ["1970-01-01T00:00:00Z"]
    put_as_connector(rt, ticket_id, "Date Filed", "2026-03-02")
    assert put_as_connector(rt, ticket_id, "Date Filed", []) == ["1970-01-01"]
    rt.fill(ticket_id, Date_Filed="2026-03-02")
    rt.fill(ticket_id, Date_Filed=[])
    assert rt.values(ticket_id, "Date Filed") == ["1969-12-31"]  # emptied by Maria, in New York
    assert put_as_connector(rt, ticket_id, "Several Dates", None) == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]


def test_the_history_tells_statuses_in_small_letters_and_fields_by_id(rt: Rt) -> None:
    ticket_id = rt.create()
    rt.put(ticket_id, Status="Call NCSC")
    rt.fill(ticket_id, Receipt_Number="WAC2590123456")
    assert [row["NewValue"] for row in rt.rows(ticket_id, "Status")] == ["call ncsc"]
    [changed] = rt.rows(ticket_id, "CustomField")
    [field_id] = [each["id"] for each in rt.ticket(ticket_id)["CustomFields"] if each["name"] == "Receipt Number"]
    assert changed["Field"] == field_id


def test_a_date_of_several_values_tells_of_the_old_ones_end_after_the_new_one(rt: Rt) -> None:
    ticket_id = rt.create()
    for value in ("2026-03-02 15:00:00", "2026-03-03 15:00:00"):
        put_as_connector(rt, ticket_id, "Several Dates", value)
    changes = [(row["OldValue"], row["NewValue"]) for row in rt.rows(ticket_id, "CustomField")]
    assert changes == [
        ("", "2026-03-02 15:00:00"),
        ("", "2026-03-03 15:00:00"),
        ("2026-03-02 15:00:00", ""),
    ]


def test_what_the_account_may_not_see_shortens_a_page_and_is_not_counted(rt: Rt) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, "Some words")
    params: dict[str, Any] = {"query": f"TicketId = {ticket_id} AND (Type = 'Create' OR Type = 'Comment')"}
    seen = rt.call("GET", "transactions", who="blind", params=params).json()
    assert (seen["count"], seen["total"], seen["pages"]) == (1, None, None)


def test_a_search_reads_moments_in_the_accounts_time_zone_and_loses_the_time_of_other_spellings(rt: Rt) -> None:
    ticket_id = rt.create()
    updated = rt.ticket(ticket_id)["LastUpdated"]

    def finds(who: str, moment: str) -> bool:
        query = {"query": f"id = {ticket_id} AND LastUpdated >= '{moment}'"}
        return bool(rt.call("GET", "tickets", who=who, params=query).json()["total"])

    assert finds("connector", updated.replace("T", " ").removesuffix("Z"))
    assert not finds("staff", updated.replace("T", " ").removesuffix("Z"))
    assert finds("connector", f"{updated[:11]}23:59:59Z")


def test_a_search_with_a_misspelt_queue_or_field_finds_nothing_and_says_nothing(rt: Rt) -> None:
    for query in ("Queue = 'Nowhere'", "CF.{Nothing} = 'x'"):
        answer = rt.call("GET", "tickets", who="connector", params={"query": query})
        assert (answer.status_code, answer.json()["total"]) == (200, 0)


def test_a_comment_is_found_by_its_transactions_field(rt: Rt) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, "Ours", who="connector", TxnCustomFields={"Connector Refs": "7c3e19a2 00000001"})
    rt.comment(ticket_id, "Another")
    query = f"TicketId = {ticket_id} AND CF.{{Connector Refs}} LIKE '00000001'"
    items = rt.call("GET", "transactions", who="connector", params={"query": query}).json()["items"]
    assert [each["id"] for each in items] == [rt.rows(ticket_id, "Comment")[0]["id"]]


def test_staff_do_not_see_the_connectors_own_field(rt: Rt) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, "Ours", who="connector", TxnCustomFields={"Connector Refs": "7c3e19a2"})
    params = {"query": f"TicketId = {ticket_id} AND Type = 'Comment'", "fields": "CustomFields"}
    [item] = rt.call("GET", "transactions", who="staff", params=params).json()["items"]
    assert not item["CustomFields"]


def test_a_comment_on_a_ticket_that_is_not_there_is_refused_as_forbidden(rt: Rt) -> None:
    sent = {"Content": "x", "ContentType": "text/plain"}
    answer = rt.call("POST", "ticket/999999/comment", who="connector", json=sent)
    assert (answer.status_code, answer.json()) == (400, {"message": "Permission Denied"})


def test_a_comment_that_is_not_json_dies_with_an_empty_body(rt: Rt) -> None:
    ticket_id = rt.create()
    headers = {"Authorization": f"token {rt.tokens['connector']}", "Content-Type": "application/json"}
    url = f"{rt.url}/REST/2.0/ticket/{ticket_id}/comment"
    answer = requests.post(url, data="{", headers=headers, timeout=30)
    assert (answer.status_code, answer.content) == (500, b"")


def test_who_is_let_in(rt: Rt) -> None:
    def status(**headers: str) -> int:
        return requests.get(f"{rt.url}/REST/2.0/rt", headers=headers, timeout=30, allow_redirects=False).status_code

    token = rt.tokens["connector"]
    assert status(Authorization=f"token {token}") == 200
    assert status(Authorization=f"Bearer {token}") == 401
    assert status(Authorization="token 1-2-3") == 401
    assert status(Authorization="token 1-2-3", **{"User-Agent": "Mozilla/5.0"}) == 302


def test_a_cookie_is_believed_before_the_token(rt: Rt) -> None:
    headers = {"Authorization": f"token {rt.tokens['staff']}"}
    with requests.Session() as session:
        session.get(f"{rt.url}/", headers=headers, timeout=30)
        assert session.cookies
        login = {"user": "maria", "pass": "a password of maria"}
        session.post(f"{rt.url}/NoAuth/Login.html", data=login, timeout=30)
        answer = session.get(f"{rt.url}/REST/2.0/rt", headers={"Authorization": "token 1-2-3"}, timeout=30)
        assert answer.status_code == 200


def test_a_ticket_that_was_merged_leads_to_the_other_one_but_is_not_found(rt: Rt) -> None:
    merged, kept = rt.create(), rt.create()
    rt.put(merged, MergeInto=kept)
    assert str(rt.ticket(merged)["id"]) == kept
    query = {"query": f"id = {merged}"}
    assert rt.call("GET", "tickets", who="connector", params=query).json()["total"] == 0


def test_texts_of_several_comments_come_by_one_search_without_files(rt: Rt) -> None:
    ticket_id = rt.create()
    rt.comment(ticket_id, "One")
    file = {"FileName": "x.txt", "FileType": "text/plain", "FileContent": "aGFsbG8="}
    rt.comment(ticket_id, "<p>Two</p>", "text/html", Attachments=[file])
    ids = [row["id"] for row in rt.rows(ticket_id, "Comment")]
    query: list[dict[str, str]] = [{"field": "TransactionId", "value": each} for each in ids]
    query.append({"field": "ContentType", "operator": "STARTSWITH", "value": "text/"})
    query.append({"field": "Filename", "operator": "IS", "value": "NULL"})
    params = {"query": json.dumps(query), "fields": "Content,TransactionId"}
    items = rt.call("GET", "attachments", who="connector", params=params).json()["items"]
    assert [(item["TransactionId"], item["Content"]) for item in items] == [(ids[0], "One"), (ids[1], "<p>Two</p>")]


def test_the_webhook_tells_nothing_but_the_ticket(rt: Rt, receiver: Receiver) -> None:
    ticket_id = rt.create(Receipt_Number="WAC2590123456")
    [hook] = receiver.hooks
    body = json.loads(hook.body)
    assert body.pop("delivery") == hook.headers["X-RT-Delivery"]
    assert body == {"event": "ticket.created", "ticket": {"id": int(ticket_id)}}
