"""Lists the API's bearer tokens, and ends those that are named."""

from argparse import ArgumentParser
from datetime import datetime

from django.core.management.base import BaseCommand, CommandError

from controlplane.accounts import actions
from controlplane.accounts.models import ApiToken
from controlplane.audit.actions import at_the_shell

COLUMNS = ("id", "user", "name", "state", "last used", "expires", "scopes")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listing = verbs.add_parser("list", help="say which there are")
        listing.add_argument("--user", default="", help="only this user's")
        listing.add_argument("--all", action="store_true", help="also those that ended")
        revoking = verbs.add_parser("revoke", help="end tokens now")
        revoking.add_argument("ids", nargs="+", type=int, metavar="ID")

    def handle(self, *, verb: str, **options: object) -> None:
        if verb == "list":
            self._list(user=str(options["user"]), ended=bool(options["all"]))
        else:
            ids = options["ids"]
            assert isinstance(ids, list)
            self._revoke(ids)

    def _list(self, *, user: str, ended: bool) -> None:
        tokens = ApiToken.objects.all() if ended else ApiToken.objects.usable()
        if user:
            tokens = tokens.filter(user__username=user)
        rows = [_row(one) for one in tokens.select_related("user").order_by("pk")]
        for line in _aligned([COLUMNS, *rows]):
            self.stdout.write(line)

    def _revoke(self, ids: list[int]) -> None:
        known = set(ApiToken.objects.filter(pk__in=ids).values_list("pk", flat=True))
        unknown = [str(one) for one in ids if one not in known]
        if unknown:
            raise CommandError(
                f"there is no token {', '.join(unknown)}; nothing was ended"
            )
        for one in ids:
            ended = actions.revoke_token(one, actor=at_the_shell())
            said = "has ended" if ended else "had ended before"
            self.stdout.write(f"token {one} {said}")


def _row(token: ApiToken) -> tuple[str, ...]:
    return (
        str(token.pk),
        token.user.get_username(),
        token.name or "-",
        token.state,
        _day(token.last_used_at) if token.last_used_at else "never",
        _day(token.expires_at),
        " ".join(token.scopes),
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
