"""The page that shows every component in every state, for those who build pages."""

import re
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from moderation import marks

SAID = "We can take 25 % off\u200b the E-Class \u202eestate\u202c if you sign today."
SENT = "We can take 12 % off the E-Class estate if you sign today."
STATES = {
    "go": "runs",
    "hold": "waits for a person",
    "soft": "soft stop, or a deadline near",
    "stop": "hard stop, or a danger",
    "work": "a colleague at work",
    "plain": "none of these",
}
SPRITE = "static/icons/lucide-1.62.0.svg"


def styleguide(request: HttpRequest) -> HttpResponse:
    if not settings.DEBUG:
        raise Http404("The styleguide is for those who build pages.")
    sprite = Path(settings.BASE_DIR, SPRITE).read_text()
    context = {
        "marked": marks.marked(SAID, [(12, 20, "Discount above the limit")]),
        "changes": marks.changes(marks_less(SAID), SENT),
        "states": STATES,
        "icons": re.findall(r'symbol id="([^"]+)"', sprite),
    }
    return render(request, "home/styleguide.html", context)


def marks_less(text: str) -> str:
    return re.sub("[\u200b\u202e\u202c]", "", text)
