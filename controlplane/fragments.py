"""What htmx asks for: a part of a page, or all of it."""

from django.http import HttpRequest


def wants_fragment(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request-Type") == "partial"
