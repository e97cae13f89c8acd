"""The types of personal data. A new one is a line here, and a finder."""

from guardrails.pii import ids, numbers, secrets, web
from guardrails.pii.finding import Finder

TYPES: dict[str, Finder] = {
    "card": numbers.CARD,
    "iban": numbers.IBAN,
    "phone": numbers.PHONE,
    "email": web.EMAIL,
    "ip": web.IP,
    "ssn": ids.SSN,
    "national_id": ids.NATIONAL_ID,
    "secret": secrets.SECRET,
}
