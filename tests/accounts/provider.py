"""A small provider of OpenID Connect on this machine: discovery, tokens by code, keys, userinfo."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT = {"client_id": "interlock", "client_secret": "a secret of the client's"}


class Provider(ThreadingHTTPServer):
    """Says of everybody who comes what `claims` says, until told otherwise."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.key = self.signing_key = new_key()
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}  # where it differs
        self.audience, self.is_broken = CLIENT["client_id"], False
        self.asked: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}

    def allow(self, url: str) -> str:
        """What a browser does that is sent here: sign in, and be sent back. Return where to."""
        asked = {
            key: values[0] for key, values in parse_qs(urlsplit(url).query).items()
        }
        self.asked.append(asked)
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"]}
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def id_token(self) -> str:
        now = int(time.time())
        given = {"iss": self.url, "aud": self.audience, "iat": now, "exp": now + 60}
        asked = self.asked[-1]
        if "max_age" in asked:
            given["auth_time"] = now
        claims = given | self.claims
        headers = {"kid": "one"}
        return jwt.encode(claims, self.signing_key, algorithm="RS256", headers=headers)

    def is_right(self, form: dict[str, str]) -> bool:
        """The code, the client's secret, and the proof that the same browser asked."""
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or any(form[name] != CLIENT[name] for name in CLIENT):
            return False
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return proof == asked["code_challenge"]


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        provider = self.server
        answers: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": provider.url,
                "authorization_endpoint": f"{provider.url}/authorize",
                "token_endpoint": f"{provider.url}/token",
                "userinfo_endpoint": f"{provider.url}/userinfo",
                "jwks_uri": f"{provider.url}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            "/keys": {"keys": [public(provider.key)]},
            "/userinfo": provider.claims | provider.userinfo,
        }
        answer = answers.get(self.path)
        self._say(answer, 503 if provider.is_broken else 200 if answer else 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {key: values[0] for key, values in parse_qs(body).items()}
        if not self.server.is_right(form):
            self._say({"error": "invalid_grant"}, 400)
            return
        token = self.server.id_token()
        tokens = {"access_token": "x", "token_type": "Bearer", "id_token": token}
        self._say(tokens, 200)

    def log_message(self, *_: Any) -> None:
        pass

    def _say(self, answer: Any, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    as_json = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())
    return dict(json.loads(as_json), kid="one", alg="RS256", use="sig")


@contextmanager
def running() -> Iterator[Provider]:
    provider = Provider()
    thread = Thread(target=provider.serve_forever, args=(0.05,))
    thread.start()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()
