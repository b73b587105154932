"""From a mapping to what its tracker must have: a field of the right kind for each fact, statuses, the webhook.

Kinds and help texts follow the table of facts in field_mappings/README.md.
"""

from collections.abc import Mapping as AbstractMapping
from types import MappingProxyType

from connector.inquiry.case import FACTS
from connector.mapping.schema import Mapping, SecretError
from connector.trackers.setup_port import FieldType, Wanted, WantedField

# Fact -> (the kind of field it is at home in, one sentence for staff, shown beside the field).
FIELDS: AbstractMapping[str, tuple[FieldType, str]] = MappingProxyType(
    {
        "receipt_number": ("text", "The number on the receipt notice: three letters and ten digits."),
        "alien_number": ("text", 'The A-number, seven to nine digits. If the person has none: "none assigned".'),
        "form_type": ("text", "The form that was filed, such as I-130."),
        "filed_on": ("date", "The date filed, as on the receipt notice."),
        "ncsc_representative": ("text", "Name or ID number of the NCSC representative who took the call."),
        "called_at": ("datetime", "When the NCSC was called. The first wait counts from here."),
        "service_request_number": ("text", "The number of the service request, if the NCSC issued one."),
        "no_service_request_reason": ("text", "Why no service request was issued. It goes into the letter."),
        "promised_days": ("number", "How many days the NCSC said to wait, if it said so."),
        "service_center": (
            "select",
            "The Service Center that has the case, if the receipt number does not tell or the case was transferred.",
        ),
        "service_center_emailed_at": (
            "datetime",
            "When the letter to the Service Center was sent. The second wait counts from here.",
        ),
        "headquarters_emailed_at": (
            "datetime",
            "When the letter to Headquarters was sent. The third wait counts from here.",
        ),
        "answered_at": ("datetime", "When a real answer came, not an automatic reply. All waits stop."),
        "protected": ("boolean", "Tick it if the case takes the office's separate route."),
    }
)


def wanted_of(mapping: Mapping, webhook_url: str | None = None) -> Wanted:
    """What the source needs. `webhook_url`: where its tracker reaches the connector (.../webhooks/SOURCE), if known."""
    fields = tuple(_wanted_field(mapping, fact) for fact in FACTS if fact in mapping.fields)
    # Each once, however it is written; `statuses` and `records` may name the same.
    statuses = {" ".join(each.split()).casefold(): each for each in (*mapping.statuses.values(), *mapping.records)}
    return Wanted(
        fields=fields,
        statuses=tuple(statuses.values()),
        webhook_url=webhook_url.rstrip("/") if webhook_url else None,
        webhook_secret=lambda: _first_secret(mapping),
    )


def webhook_of(source: str, public_url: str | None) -> str | None:
    """Where the source's tracker reaches the connector, from CONNECTOR_PUBLIC_URL; None if that is not set."""
    return f"{public_url}/webhooks/{source}" if public_url else None


def _wanted_field(mapping: Mapping, fact: str) -> WantedField:
    kind, help_text = FIELDS[fact]
    ref = mapping.fields[fact]
    # An office with words of its own for the centres chooses among those.
    options: tuple[str, ...] = ()
    if fact == "service_center":
        options = ref.choices or tuple(center.name for center in mapping.procedure.service_centers.values())
    return WantedField(fact, ref.field, kind, help_text, options)


def _first_secret(mapping: Mapping) -> str | None:
    """The secret that new webhooks get: the first of those that are valid. None if it cannot be read."""
    for secret in mapping.tracker.webhook_secrets[:1]:
        try:
            return secret.read()
        except SecretError:
            return None
    return None
