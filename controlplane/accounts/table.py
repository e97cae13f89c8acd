"""Who may do what: a row for each route and each socket. What has no row is open to nobody.

Roles stand in roles.py, as the permissions that are named here.
"""

PUBLIC = "public"  # the view itself says what it tells to whom
SIGNED_IN = "signed in"  # whoever they are: what is about themselves
SCOPE = "scope "  # of a token; the permission that goes with it is in SCOPES

Row = dict[str, str]  # by method; HEAD is GET, but not in the API

_STOPS = {"GET": f"{SCOPE}stops:read", "POST": f"{SCOPE}stops:write"}
ROUTES: dict[str, Row] = {
    "home:index": {"GET": "runtime.view_heartbeat"},
    "home:room": {"GET": "runtime.view_heartbeat"},
    "home:shell": {"GET": PUBLIC},
    "home:jump": {"GET": "traces.view_tracerecord"},
    "home:styleguide": {"GET": PUBLIC},
    "home:healthz": {"GET": PUBLIC},
    "home:readyz": {"GET": PUBLIC},
    "home:metrics": {"GET": PUBLIC},
    "moderation:queue": {"GET": "moderation.view_approval"},
    "moderation:item": {
        "GET": "moderation.view_approval",
        "POST": "moderation.decide_approval",
    },
    "traces:trace": {"GET": "traces.view_tracerecord"},
    "traces:hops": {"GET": "traces.view_tracerecord"},
    "traces:payload": {"GET": "traces.view_tracepayload"},
    "deadletters:list": {
        "GET": "deadletters.view_letter",
        "POST": "deadletters.decide_letter",
    },
    "deadletters:letter": {
        "GET": "deadletters.view_letter",
        "POST": "deadletters.decide_letter",
    },
    "deadletters:job": {"GET": "deadletters.view_letter"},
    "deadletters:cancel": {"POST": "deadletters.decide_letter"},
    "effects:list": {"GET": "effects.view_effect"},
    "effects:effect": {"GET": "effects.view_effect"},
    "effects:preview": {"POST": "effects.decide_effect"},
    "effects:decide": {"POST": "effects.decide_effect"},
    "stops:index": {"GET": "stops.view_stop", "POST": "stops.add_stop"},
    "stops:affected": {"GET": "stops.add_stop"},
    "stops:stop": {"GET": "stops.view_stop"},
    "stops:prove": {"POST": "stops.add_stop"},
    "stops:extend": {"POST": "stops.add_stop"},
    "stops:release": {"POST": "stops.change_stop"},
    "stops:lift": {"POST": "stops.change_stop"},
    "stops:rule": {"GET": "stops.view_stop", "POST": "stops.change_stoprule"},
    "incidents:report": {"GET": "stops.view_stop"},
    "incidents:print": {"GET": "stops.view_stop"},
    "incidents:export": {"GET": "stops.view_stop"},
    "incidents:correct": {"GET": "chat.add_correction", "POST": "chat.add_correction"},
    "incidents:send": {"POST": "chat.add_correction"},
    "incidents:correction": {"GET": "stops.view_stop"},
    "incidents:confirm": {"POST": "chat.add_correction"},
    "rules:list": {"GET": "guardrails.view_rule"},
    "rules:published": {"GET": "guardrails.view_rule"},
    "rules:review": {
        "GET": "guardrails.view_rule",
        "POST": "guardrails.add_publication",
    },
    "rules:history": {"GET": "guardrails.view_publication"},
    "rules:publication": {
        "GET": "guardrails.view_publication",
        "POST": "guardrails.add_publication",
    },
    "rules:import": {
        "GET": "guardrails.change_rule",
        "POST": "guardrails.change_rule",
    },
    "rules:export": {"GET": "guardrails.view_rule"},
    "rules:add": {"GET": "guardrails.add_rule", "POST": "guardrails.add_rule"},
    "rules:try": {"POST": "guardrails.change_rule"},
    "rules:rule": {"GET": "guardrails.view_rule", "POST": "guardrails.change_rule"},
    "rules:delete": {"POST": "guardrails.delete_rule"},
    "rules:backtests": {
        "GET": "guardrails.view_rule",
        "POST": "guardrails.change_rule",
    },
    "rules:backtest-rule": {"POST": "guardrails.change_rule"},
    "rules:backtest": {"GET": "guardrails.view_rule"},
    "rules:cancel-backtest": {"POST": "guardrails.change_rule"},
    "rules:repeat-backtest": {"POST": "guardrails.change_rule"},
    "rules:backtest-samples": {"GET": "backtests.view_sample"},
    "rules:evaluations": {
        "GET": "evaluations.view_evaluation",
        "POST": "evaluations.add_evaluation",
    },
    "rules:evaluation": {"GET": "evaluations.view_evaluation"},
    "rules:evaluation-report": {"GET": "evaluations.view_evaluation"},
    "rules:cancel-evaluation": {"POST": "evaluations.add_evaluation"},
    "rules:delete-evaluation": {"POST": "evaluations.delete_evaluation"},
    "chat:demo": {"GET": PUBLIC},
    "accounts:people": {"GET": "auth.view_user"},
    "accounts:add": {"GET": "auth.add_user", "POST": "auth.add_user"},
    "accounts:person": {"GET": "auth.view_user", "POST": "auth.change_user"},
    "accounts:role": {"POST": "auth.change_user"},
    "accounts:teams-of": {"POST": "accounts.change_team"},
    "accounts:disable": {"POST": "auth.change_user"},
    "accounts:enable": {"POST": "auth.change_user"},
    "accounts:sign-out": {"POST": "auth.change_user"},
    "accounts:factors": {"POST": "auth.change_user"},
    "accounts:link": {"POST": "auth.change_user"},
    "accounts:enrol": {"GET": PUBLIC, "POST": PUBLIC},  # the link says who it is
    "teams:list": {"GET": "accounts.view_team", "POST": "accounts.add_team"},
    "teams:team": {"GET": "accounts.view_team", "POST": "accounts.change_team"},
    "teams:join": {"POST": "accounts.change_team"},
    "teams:leave": {"POST": "accounts.change_team"},
    "teams:delete": {"POST": "accounts.delete_team"},
    "accounts:tokens": {
        "GET": "accounts.view_apitoken",
        "POST": "accounts.add_apitoken",
    },
    "accounts:revoke": {"POST": "accounts.change_apitoken"},
    "account_login": {"GET": PUBLIC, "POST": PUBLIC},
    "account_logout": {"POST": PUBLIC},
    "account_inactive": {"GET": PUBLIC},
    "mfa_authenticate": {"GET": PUBLIC, "POST": PUBLIC},
    "mfa_login_webauthn": {"GET": PUBLIC, "POST": PUBLIC},
    "openid_connect_login": {"GET": PUBLIC},
    "openid_connect_callback": {"GET": PUBLIC},
    "account_reauthenticate": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_reauthenticate": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_reauthenticate_webauthn": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_go_on": {"GET": SIGNED_IN},
    "account_me": {"GET": SIGNED_IN},
    "account_end_sessions": {"POST": SIGNED_IN},
    "account_change_password": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_set_password": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_activate_totp": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_deactivate_totp": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_add_webauthn": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_edit_webauthn": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_remove_webauthn": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_view_recovery_codes": {"GET": SIGNED_IN},
    "mfa_generate_recovery_codes": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "api-unknown": dict.fromkeys(
        ("GET", "POST", "PUT", "PATCH", "DELETE"), PUBLIC
    ),  # there is nothing, as a problem
    "api:openapi-json": {"GET": PUBLIC},
    "api:openapi-view": {"GET": PUBLIC},
    "api:api-root": {"GET": PUBLIC},
    "api:send_event": {"POST": f"{SCOPE}events:write"},
    "api:read_trace": {"GET": f"{SCOPE}traces:read"},
    "api:list_approvals": {"GET": f"{SCOPE}approvals:read"},
    "api:decide": {"POST": f"{SCOPE}approvals:decide"},
    "api:read_runtime": {"GET": f"{SCOPE}runtime:read"},
    "api:list_stops": _STOPS,
    "api:engage": _STOPS,  # the same address by another name
    "api:release": {"POST": f"{SCOPE}stops:release"},
}
# What is dangerous asks again who it is, unless they have said so within five minutes: recent.py.
RECENT: dict[str, set[str]] = {
    "stops:release": {"POST"},
    "stops:lift": {"POST"},
    "stops:rule": {"POST"},
    "rules:review": {"POST"},
    "rules:publication": {"POST"},
    "incidents:send": {"POST"},
    "incidents:confirm": {"POST"},
    "account_go_on": {"GET"},
    "account_set_password": {"GET", "POST"},
    "mfa_activate_totp": {"GET", "POST"},
    "mfa_deactivate_totp": {"GET", "POST"},
    "mfa_add_webauthn": {"GET", "POST"},
    "mfa_edit_webauthn": {"GET", "POST"},
    "mfa_remove_webauthn": {"GET", "POST"},
    "mfa_view_recovery_codes": {"GET"},
    "mfa_generate_recovery_codes": {"GET", "POST"},
    "accounts:add": {"GET", "POST"},
    "accounts:person": {"POST"},
    "accounts:role": {"POST"},
    "accounts:disable": {"POST"},
    "accounts:enable": {"POST"},
    "accounts:factors": {"POST"},
    "accounts:link": {"POST"},
    "accounts:tokens": {"POST"},
    "accounts:revoke": {"POST"},
}
# Whole apps of others: Django's admin asks for a permission for each thing by itself.
NAMESPACES = {"admin"}

SOCKETS: dict[str, str] = {
    "ws/chat/": PUBLIC,  # the widget's token says who it is
    "ws/queue/": "moderation.view_approval",
}

# Things that are of a team are for its members, and for who holds this permission.
OF_TEAMS: dict[str, str] = {"moderation.approval": "moderation.view_every_team"}

# What a token with a scope may do is what its user may do, and no more.
SCOPES: dict[str, str] = {
    "events:write": "",  # what an end user may: write a message
    "traces:read": "traces.view_tracerecord",
    "approvals:read": "moderation.view_approval",
    "approvals:decide": "moderation.decide_approval",
    "runtime:read": "runtime.view_heartbeat",
    "stops:read": "stops.view_stop",
    "stops:write": "stops.add_stop",
    "stops:release": "stops.change_stop",
}


def needs_of(row: Row, method: str) -> str | None:
    """Return what a method needs, or nothing if the route does not answer to it."""
    is_page = not row.get("GET", SCOPE).startswith(SCOPE)
    return row.get("GET" if method == "HEAD" and is_page else method)


def needs_recent(route: str, method: str) -> bool:
    return ("GET" if method == "HEAD" else method) in RECENT.get(route, ())


def methods(row: Row) -> list[str]:
    """Return what a route answers to, for the Allow header."""
    return sorted(name for name in ("HEAD", *row) if needs_of(row, name) is not None)
