"""docs/accounts.md says of roles and scopes what the pages say."""

from pathlib import Path

from controlplane.accounts.people_forms import SCOPE_WORDS
from controlplane.accounts.roles import ROLES, WORDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "accounts.md"


def rows(title: str) -> dict[str, str]:
    """Return the first two columns of the table below a heading."""
    part = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip(" `") for cell in line.split("|")] for line in lines]
    return {name: said for _, name, said, _ in cells}


def test_the_roles() -> None:
    assert rows("Roles") == WORDS
    assert list(WORDS) == list(ROLES)


def test_the_scopes() -> None:
    assert rows("Tokens") == SCOPE_WORDS
