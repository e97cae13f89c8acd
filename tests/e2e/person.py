"""Somebody who is signed in and looks at pages."""

import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from http.cookiejar import CookieJar

TIMEOUT_S = 10.0
EVERY_S = 0.5


@dataclass(frozen=True)
class Look:
    """What a page said; status 0: nothing in time."""

    asked_s: float
    took_s: float
    status: int
    text: str

    @property
    def until_s(self) -> float:
        return self.asked_s + self.took_s


class Person:
    def __init__(self, base_url: str, *, name: str, password: str) -> None:
        self._base_url = base_url
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self._sign_in(name, password)

    def look(self, path: str) -> Look:
        started_s, started = time.time(), time.perf_counter()
        status, text = self._get(path)
        return Look(started_s, time.perf_counter() - started, status, text)

    @contextmanager
    def watching(self, path: str) -> Iterator[list[Look]]:
        """Look at the page again and again; the list grows meanwhile.

        In two tabs: of one that hangs, as all do that a service freezes under, a person opens another.
        """
        looks: list[Look] = []
        done = threading.Event()

        def watch(after_s: float) -> None:
            done.wait(after_s)
            while not done.wait(EVERY_S):
                looks.append(self.look(path))

        tabs = [
            threading.Thread(target=watch, args=[after_s], name="onlooker")
            for after_s in (0.0, EVERY_S / 2)
        ]
        for tab in tabs:
            tab.start()
        try:
            yield looks
        finally:
            done.set()
            for tab in tabs:
                tab.join()

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with self._opener.open(self._base_url + path, timeout=TIMEOUT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, HTTPException) as error:
            return 0, str(error)

    def _sign_in(self, name: str, password: str) -> None:
        self._get("/accounts/login/")
        [token] = [c.value for c in self._cookies if c.name == "csrftoken"]
        form = {"login": name, "password": password, "csrfmiddlewaretoken": token}
        data = urllib.parse.urlencode(form).encode()
        url = f"{self._base_url}/accounts/login/"
        with self._opener.open(url, data, TIMEOUT_S) as answer:
            assert "Sign out" in answer.read().decode()
