"""A tab that can really go behind another one: pages of Playwright always count as seen.

It speaks the browser's own protocol, to a page that Playwright does not know of.
"""

import json
from typing import Any

from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser

from tests.waiting import wait_for


class Tab:
    def __init__(self, browser: Browser, server: str, client: Client) -> None:
        self._browser = browser.new_browser_cdp_session()
        self._browser.on("Target.receivedMessageFromTarget", self._note)
        self._answers: dict[int, dict[str, Any]] = {}
        self._sent = 0
        made = self._browser.send("Target.createBrowserContext")
        self._context = made["browserContextId"]
        self._target = self._open_target()
        attached = self._browser.send(
            "Target.attachToTarget", {"targetId": self._target, "flatten": False}
        )
        self._session = attached["sessionId"]
        session = client.cookies[settings.SESSION_COOKIE_NAME]
        self.send(
            "Network.setCookie", name=session.key, value=session.value, url=server
        )
        self.send("Page.navigate", url=f"{server}/")

    def _open_target(self) -> str:
        asked = {"url": "about:blank", "browserContextId": self._context}
        return str(self._browser.send("Target.createTarget", asked)["targetId"])

    def _note(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message

    def send(self, method: str, **params: Any) -> Any:
        self._sent += 1
        number = self._sent
        message = json.dumps({"id": number, "method": method, "params": params})
        self._browser.send(
            "Target.sendMessageToTarget",
            {"sessionId": self._session, "message": message},
        )
        while number not in self._answers:
            self._browser.send("Browser.getVersion")  # lets its events come
        return self._answers.pop(number)["result"]

    def says(self, expression: str) -> Any:
        """Return what an expression is in the page; a promise is waited for."""
        found = self.send(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = 10) -> None:
        wait_for(lambda: self.says(expression), timeout_s=timeout_s, what=expression)

    def go_behind(self) -> None:
        other = self._open_target()
        self._browser.send("Target.activateTarget", {"targetId": other})
        self.wait_for("document.hidden")

    def freeze(self) -> None:
        """What phones do with tabs that nobody looks at."""
        self.send("Page.setWebLifecycleState", state="frozen")

    def come_back(self) -> None:
        self.send("Page.setWebLifecycleState", state="active")
        self._browser.send("Target.activateTarget", {"targetId": self._target})

    def close(self) -> None:
        self._browser.send(
            "Target.disposeBrowserContext", {"browserContextId": self._context}
        )
        self._browser.detach()
