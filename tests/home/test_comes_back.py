"""A control room that was behind another tab is right again within a second of being seen."""

import pytest
from django.test import Client
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from controlplane.runtime.models import ControlVersion
from tests.browser import in_chromium, in_database
from tests.factories import make_approval, make_user
from tests.home.making import make_heartbeat
from tests.tabs import Tab

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("services_down"),
]
HELD = "document.querySelector('#waiting .figure')?.textContent"
# Tells how long after the tab was seen again the figure was right.
WATCH = """
window.rightAfter = (figure) => new Promise((resolve) => {
  const look = () => document.querySelector('#waiting .figure').textContent === figure;
  document.addEventListener('visibilitychange', () => {
    const seenAt = performance.now();
    const watch = setInterval(() => {
      if (!look()) return;
      clearInterval(watch);
      resolve(performance.now() - seenAt);
    }, 10);
  }, {once: true});
});
window.updates = 0;
document.addEventListener('htmx:after:swap', ({target}) => { updates += target.id === 'room'; });
"""


def test_is_right_within_a_second(live_server: LiveServer, client: Client) -> None:
    ControlVersion.objects.get_or_create(pk=1)
    client.force_login(make_user("vera", "viewer"))
    make_heartbeat(age_s=-60)

    def job(browser: Browser) -> None:
        tab = Tab(browser, live_server.url, client)
        try:
            tab.wait_for(f"{HELD} === '0' && typeof htmx === 'object'")
            tab.says(WATCH)
            _straight_after_an_update(tab)
            _while_a_request_is_never_answered(tab)
        finally:
            tab.close()

    in_chromium(job)


def _straight_after_an_update(tab: Tab) -> None:
    """The next one would have come two seconds later."""
    tab.says("updates = 0")
    tab.wait_for("updates > 0")
    tab.go_behind()
    assert tab.says(HELD) == "0"
    _comes_back_right(tab, "1")


def _while_a_request_is_never_answered(tab: Tab) -> None:
    """As when a phone has changed its network meanwhile."""
    tab.says("""
      const real = window.fetch;
      window.hung = 0;
      window.fetch = (url, options) => String(url).includes('/room/') && !document.hidden && !window.hung++
        ? new Promise((_, reject) => options.signal.addEventListener('abort',
            () => reject(new DOMException('given up', 'AbortError'))))
        : real(url, options);
    """)
    tab.wait_for("hung === 1")
    tab.go_behind()
    tab.freeze()
    _comes_back_right(tab, "2")


def _comes_back_right(tab: Tab, figure: str) -> None:
    in_database(make_approval)
    tab.says(
        f"window.answer = rightAfter('{figure}').then((ms) => window.tookMs = ms), 0"
    )
    tab.says("window.tookMs = null")
    tab.come_back()
    tab.wait_for("tookMs !== null", timeout_s=5)
    assert tab.says("tookMs") < 1_000
