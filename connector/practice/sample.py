"""Sample worlds: an empty one for tests, and one with invented cases for the demo."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connector.practice.world import INTERNAL_PROPERTY, Deployment, Issue, World

CONNECTOR_TOKEN = "practice-token"  # noqa: S105  # the practice tracker's own, worth nothing elsewhere
SCOPED_TOKEN = "practice-scoped-token"  # noqa: S105  # as above, for Cloud's gateway
ADMIN_TOKEN = "practice-admin-token"  # noqa: S105  as above, of an administrator
ISSUE_TYPE = "USCIS inquiry"
CENTERS = (
    "California Service Center",
    "Vermont Service Center",
    "Nebraska Service Center",
    "Texas Service Center",
)
FIELDS = (
    ("Receipt Number", "text"),
    ("A-Number", "text"),
    ("Form Type", "text"),
    ("Date Filed", "date"),
    ("NCSC Representative", "text"),
    ("NCSC Called At", "datetime"),
    ("Service Request Number", "text"),
    ("Reason No Service Request", "text"),
    ("Promised Days", "number"),
    ("Service Center", "select"),
    ("Service Center Emailed At", "datetime"),
    ("HQ Emailed At", "datetime"),
    ("Answered At", "datetime"),
    ("Protected", "checkbox"),
)
OPTIONS = {"Service Center": CENTERS, "Protected": ("Yes",)}
STATUSES = (
    ("New", "new"),
    ("Collect Details", "indeterminate"),
    ("Call NCSC", "indeterminate"),
    ("Awaiting NCSC", "indeterminate"),
    ("E-mail Service Center", "indeterminate"),
    ("E-mailed Service Center", "indeterminate"),
    ("Awaiting Service Center", "indeterminate"),
    ("E-mail Headquarters", "indeterminate"),
    ("E-mailed Headquarters", "indeterminate"),
    ("Awaiting Headquarters", "indeterminate"),
    ("Headquarters Overdue", "indeterminate"),
    ("Separate Route", "indeterminate"),
    ("Done", "done"),
)


def blank_world(
    clock: Callable[[], datetime], deployment: Deployment = "cloud", *, project_type: str = "business"
) -> World:
    """Projects CASE and OTHER, fields (from customfield_10050 on), statuses, workflow, users; no tickets.

    The connector's account lives in another time zone than the office, and JQL speaks in its zone.
    """
    world = World(clock, deployment)
    world.human = world.add_user("dana.whitfield", "Dana Whitfield", "dana@office.example")
    world.connector = world.add_user(
        "inquiry-connector", "Inquiry connector", "connector@office.example", time_zone="America/Los_Angeles"
    )
    world.add_account(world.connector, CONNECTOR_TOKEN)
    if deployment == "cloud":
        world.add_account(world.connector, SCOPED_TOKEN, scoped=True)
    for name, kind in FIELDS:
        world.add_field(name, kind, options=OPTIONS.get(name, ()))
    for name, category in STATUSES:
        world.add_status(name, category)
    world.open_workflow()
    world.add_project("CASE", "Pending cases", project_type, [ISSUE_TYPE, "Task"])
    world.add_project("OTHER", "Other matters", "business", ["Task"], plain=True)
    return world


def bare_world(
    clock: Callable[[], datetime], deployment: Deployment = "cloud", *, project_type: str = "business"
) -> World:
    """A site where nothing is set up: project CASE with an everyday workflow and a screen of its own, no custom field.

    Besides the connector's account there is an administrator's, "admin".
    """
    world = World(clock, deployment)
    world.human = world.add_user("dana.whitfield", "Dana Whitfield", "dana@office.example")
    world.connector = world.add_user("inquiry-connector", "Inquiry connector", "connector@office.example")
    admin = world.add_user("admin", "Robin Alder", "admin@office.example", denied=set())
    world.add_account(world.connector, CONNECTOR_TOKEN)
    world.add_account(admin, ADMIN_TOKEN)
    for name, category in (("To Do", "new"), ("In Progress", "indeterminate"), ("Done", "done")):
        world.add_status(name, category)
    world.open_workflow()
    world.add_project("CASE", "Pending cases", project_type, [ISSUE_TYPE])
    world.add_screen("CASE: Edit/View Issue Screen", "CASE")
    return world


def sample_world(
    clock: Callable[[], datetime], deployment: Deployment = "cloud", *, project_type: str = "service_desk"
) -> World:
    """blank_world with eight invented cases at every stage, their contacts counted back from the clock's today.

    CASE-1 lacks details and has a receipt number that is too short · CASE-2 is ready for the call · CASE-3 was called
    30 days ago, due tomorrow · CASE-4 was called 29 days ago, its IOE receipt names no centre · CASE-5 was e-mailed 21
    days ago · CASE-6 went to Headquarters 10 days ago · CASE-7 is protected (I-918) · CASE-8 is answered.
    """
    world = blank_world(clock, deployment, project_type=project_type)
    office = ZoneInfo("America/New_York")
    today = world.now().astimezone(office).date()

    def at(ago: int, hour: int, minute: int) -> datetime:
        return datetime.combine(today - timedelta(days=ago), time(hour, minute), tzinfo=office)

    def case(status: str, summary: str, receipt: str, alien: str, form: str, filed: int, **more: Any) -> Issue:
        values: dict[str, Any] = {
            "Receipt_Number": receipt,
            "A-Number": alien,
            "Form_Type": form,
            "Date_Filed": today - timedelta(days=filed) if filed else None,
        }
        given = {name: value for name, value in (values | more).items() if value not in ("", None)}
        issue = world.add_issue("CASE", summary=summary, **given)
        if status != "New":
            world.move_to(issue, status)
        return issue

    case("New", "Okafor, Ngozi: naturalization, no decision yet", "WAC26901", "", "N-400", 410)
    case("New", "Lindqvist, Astrid: petition for husband", "WAC2590123456", "A200 555 013", "I-130", 395)
    case(
        "Awaiting NCSC",
        "Marchetti, Paolo: adjustment of status",
        "LIN2590011223",
        "A200555027",
        "I-485",
        520,
        NCSC_Representative="Ms. Rivera, ID 4471",
        NCSC_Called_At=at(30, 10, 15),
        Service_Request_Number="SR1220326001",
    )
    case(
        "Awaiting NCSC",
        "Haddad, Samir: replacement of permanent resident card",
        "IOE0900123457",
        "A200555038",
        "I-90",
        330,
        NCSC_Representative="ID 2208",
        NCSC_Called_At=at(29, 14, 40),
        Reason_No_Service_Request="Within posted processing time",
    )
    case(
        "Awaiting Service Center",
        "Tran, Thi Mai: removal of conditions",
        "EAC2490087654",
        "A200555049",
        "I-751",
        610,
        NCSC_Representative="Mr. Boyd, ID 3120",
        NCSC_Called_At=at(53, 9, 30),
        Service_Request_Number="SR1220326014",
        Service_Center_Emailed_At=at(21, 11, 5),
    )
    case(
        "Awaiting Headquarters",
        "Kowalczyk, Jan: petition for worker",
        "SRC2490045678",
        "none assigned",
        "I-140",
        700,
        NCSC_Representative="Ms. Ortega, ID 5093",
        NCSC_Called_At=at(65, 15, 20),
        Service_Request_Number="SR1220326020",
        Service_Center_Emailed_At=at(33, 10, 0),
        HQ_Emailed_At=at(10, 9, 45),
    )
    case("New", "Case 7: see the paper file", "EAC2590076543", "A200555050", "I-918", 480, Protected=["Yes"])
    answered = case(
        "Done",
        "Iyer, Meera: travel document",
        "WAC2590065432",
        "A200555061",
        "I-131",
        300,
        NCSC_Representative="Mr. Hale, ID 1187",
        NCSC_Called_At=at(40, 13, 10),
        Service_Request_Number="SR1220326033",
        Answered_At=at(6, 16, 30),
    )
    note = world.new_comment(
        answered,
        "The *travel document* was approved; the notice came by mail.",
        world.human,
        {INTERNAL_PROPERTY: {"internal": True}},
    )
    world.add_comment(answered, note)
    world.add_issue("OTHER", summary="Order toner for the second floor printer")
    return world
