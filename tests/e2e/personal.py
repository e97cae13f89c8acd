"""Personal data that nobody has: valid in form, made by numbers, each value once."""

from collections.abc import Callable

from stdnum import luhn
from stdnum.iso7064 import mod_97_10

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def card(number: int) -> str:
    digits = f"4000{number:011d}"
    digits += luhn.calc_check_digit(digits)
    return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def iban(number: int) -> str:
    account = f"99999999{number:010d}"
    check = 98 - int(mod_97_10.checksum(f"{account}DE00"))
    return f"DE{check:02d} {account[:4]} {account[4:8]} {account[8:12]} {account[12:16]} {account[16:]}"


def phone(number: int) -> str:
    return f"+49 1511 {number:07d}"


def email(number: int) -> str:
    return f"customer.{number}@mail-{number}.example"


def national_id(number: int) -> str:
    """Of Spain."""
    digits = 10_000_000 + number
    return f"{digits}{_DNI_LETTERS[digits % 23]}"


KINDS: dict[str, Callable[[int], str]] = {
    "My card is {}.": card,
    "My account is {}.": iban,
    "Call me at {}.": phone,
    "Write to {}.": email,
    "My DNI is {}.": national_id,
}


def squeezed(text: str) -> str:
    """Without what people put between digits, so that a value is found however it is written."""
    return "".join(char for char in text if char.isalnum() or char == "@").lower()
