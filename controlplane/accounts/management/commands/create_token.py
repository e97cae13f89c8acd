"""Makes a bearer token for the API and prints it once."""

from argparse import ArgumentParser

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from controlplane.accounts import actions
from controlplane.accounts.models import ApiToken
from controlplane.audit.actions import at_the_shell


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="whose permissions it has")
        parser.add_argument(
            "--scope",
            required=True,
            action="append",
            help=f"what it may do, may be repeated: {', '.join(ApiToken.Scope.values)}",
        )
        parser.add_argument("--days", type=int, default=actions.DAYS)
        parser.add_argument("--name", default="", help="what it is for")

    def handle(
        self, *, user: str, scope: list[str], days: int, name: str, **_: object
    ) -> None:
        try:
            owner = User.objects.get_by_natural_key(user)
            token = actions.create_token(
                owner,
                scopes=scope,
                name=name,
                days=days,
                actor=at_the_shell(),
            )
        except User.DoesNotExist:
            raise CommandError(f"there is no user {user!r}") from None
        except actions.TokenError as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"Valid for {days} days. It is not shown again:")
        self.stdout.write(token)
