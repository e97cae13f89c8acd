"""Adds a person, or one who has lost the password, and prints a link to choose one."""

import getpass
from argparse import ArgumentParser

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.urls import reverse

from controlplane.accounts import enrolments, people
from controlplane.accounts.roles import ROLES


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--role", choices=[*ROLES], help="what the person may do")
        parser.add_argument("--name", default="", help="of who is added")
        parser.add_argument("--email", default="", help="of who is added")
        origins = settings.CSRF_TRUSTED_ORIGINS
        parser.add_argument(
            "--site",
            default=origins[0] if origins else "http://127.0.0.1:8000",
            help="where people open the product",
        )

    def handle(
        self,
        *,
        username: str,
        role: str | None,
        site: str,
        name: str,
        email: str,
        **_: object,
    ) -> None:
        actor = f"shell:{getpass.getuser()}"
        try:
            found = User.objects.filter(username=username).first()
            if found is None:
                _check(username)
                about = enrolments.About(role=role or "", name=name, email=email)
                _new, code = enrolments.enrol(username, about=about, actor=actor)
            else:
                code = _again(found, role, actor=actor)
        except (people.PeopleError, enrolments.LinkError) as error:
            raise CommandError(str(error)) from error
        self.stderr.write(
            f"Valid once, for {enrolments.HOURS} hours. It is not shown again:"
        )
        self.stdout.write(f"{site.rstrip('/')}{reverse('accounts:enrol')}#{code}")


@transaction.atomic
def _again(person: User, role: str | None, *, actor: str) -> str:
    if role is not None:
        people.set_role(person.pk, role, actor=actor)
    return enrolments.make_link(person.pk, actor=actor)


def _check(username: str) -> None:
    try:
        User.username_validator(username)
    except ValidationError as error:
        raise CommandError(error.messages[0]) from error
