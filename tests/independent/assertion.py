"""The assertion that a certificate signs, judged by an independent library, claim by claim.

Stands in for the token service on a loopback address, lets `rollcall tenant check` log in with a
certificate, and verifies what it sends with PyJWT. Needs the packages of requirements.txt and a built
`rollcall`; its path is the one argument.
"""

import base64
import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

ROLLCALL = Path(sys.argv.pop(1)).resolve()
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# The longest life of an assertion that the token service takes, in seconds.
LIFE_S_MAX = 600
# How long the command may take, in seconds.
COMMAND_S_MAX = 60


class Login(BaseHTTPRequestHandler):
    """A token service that keeps each form and refuses it, so that nothing else is asked."""

    forms = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        Login.forms.append((self.path, {k: v for k, [v] in parse_qs(body).items()}))
        answer = json.dumps({"error": "invalid_client", "error_codes": [700027]}).encode()
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Says nothing."""


def self_signed(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rollcall.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    return builder.sign(key, hashes.SHA256())


class TheAssertion(unittest.TestCase):
    def setUp(self):
        Login.forms.clear()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Login)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.directory_id, self.client_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.key = rsa.generate_private_key(65537, 3072)
        self.certificate = self_signed(self.key)

    def log_in(self, key_format):
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder, "app.pem")
            encoding = serialization.Encoding.PEM
            no_password = serialization.NoEncryption()
            pem.write_bytes(
                self.key.private_bytes(encoding, key_format, no_password)
                + self.certificate.public_bytes(encoding)
            )
            tenant = Path(folder, "tenant.toml")
            tenant.write_text(
                "[[tenant]]\n"
                'id = "contoso"\n'
                f'directory_id = "{self.directory_id}"\n'
                f'client_id = "{self.client_id}"\n'
                f'graph_url = "{self.origin}"\n'
                f'login_url = "{self.origin}"\n'
                f'credential = {{ kind = "certificate", pem_file = {json.dumps(str(pem))} }}\n'
            )
            call = [ROLLCALL, "--local", Path(folder, "data")]
            limits = {"timeout": COMMAND_S_MAX, "capture_output": True, "env": dict(os.environ)}
            for command, code in ((["put", tenant], 0), (["check", "contoso"], 4)):
                ended = subprocess.run([*call, "tenant", *command], check=False, **limits)
                self.assertEqual(ended.returncode, code, ended.stderr)

    def test_every_claim_is_what_the_token_service_wants(self):
        formats = serialization.PrivateFormat
        for key_format in (formats.PKCS8, formats.TraditionalOpenSSL):
            self.log_in(key_format)
        self.assertEqual(len(Login.forms), 2)
        numbers = set()
        for path, form in Login.forms:
            self.assertEqual(path, f"/{self.directory_id}/oauth2/v2.0/token")
            assertion = form.pop("client_assertion")
            wanted = {
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "scope": f"{self.origin}/.default",
                "client_assertion_type": ASSERTION_TYPE,
            }
            self.assertEqual(form, wanted)
            numbers.add(self.judge(assertion, f"{self.origin}{path}"))
        self.assertEqual(len(numbers), 2, "a number was given twice")

    def judge(self, assertion, audience):
        thumbprint = self.certificate.fingerprint(hashes.SHA256())
        encoded = base64.urlsafe_b64encode(thumbprint).decode().rstrip("=")
        header = jwt.get_unverified_header(assertion)
        self.assertEqual(header, {"alg": "PS256", "typ": "JWT", "x5t#S256": encoded})
        required = ["aud", "iss", "sub", "jti", "nbf", "iat", "exp"]
        claims = jwt.decode(
            assertion,
            self.certificate.public_key(),
            algorithms=["PS256"],
            audience=audience,
            issuer=self.client_id,
            subject=self.client_id,
            options={"require": required, "strict_aud": True},
        )
        self.assertEqual(sorted(claims), sorted(required))
        self.assertLessEqual(claims["exp"] - claims["iat"], LIFE_S_MAX)
        self.assertEqual(claims["nbf"], claims["iat"])
        self.assertAlmostEqual(claims["iat"], time.time(), delta=COMMAND_S_MAX)
        uuid.UUID(claims["jti"])
        return claims["jti"]

    def test_the_library_refuses_another_key(self):
        self.log_in(serialization.PrivateFormat.PKCS8)
        [(path, form)] = Login.forms
        self.certificate = self_signed(rsa.generate_private_key(65537, 3072))
        with self.assertRaises(jwt.InvalidSignatureError):
            jwt.decode(
                form["client_assertion"],
                self.certificate.public_key(),
                algorithms=["PS256"],
                audience=f"{self.origin}{path}",
            )


if __name__ == "__main__":
    unittest.main()
