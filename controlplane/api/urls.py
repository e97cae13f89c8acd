"""The API: its parts, and where they are."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from controlplane.api import approvals, events, problems, runtime, stops, traces
from controlplane.api.document import DocumentedAPI

api = DocumentedAPI(
    title="Interlock",
    version="1",
    description="The control plane for programs. Tokens: `manage.py create_token`.",
    urls_namespace="api",
)
problems.install(api)
api.add_router("/traces", traces.router)
api.add_router("/approvals", approvals.router)
api.add_router("/stops", stops.router)
api.add_router("/runtime", runtime.router)
api.add_router("/events", events.router)


@csrf_exempt  # programs have no cookie, and nothing is done here
def unknown(request: HttpRequest, rest: str) -> HttpResponse:
    return problems.not_found().response()


urlpatterns = [path("", api.urls), path("<path:rest>", unknown, name="api-unknown")]
