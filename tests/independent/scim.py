"""A SCIM server that others wrote, as the service provider of the end-to-end tests.

Starts the package scim2-server and runs tests/end-to-end/tests/scim against it, with a hundred random histories. Needs the
packages of requirements.txt and cargo.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

# As tests/end-to-end/src/scim.rs has it.
TOKEN = "scim-token"
HISTORIES = 100
# How long the server may take to begin, in seconds.
BEGIN_S_MAX = 60
TESTS = ["cargo", "test", "--locked", "--package", "rollcall-end-to-end", "--test", "scim"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_it_answers(url, server):
    until = time.monotonic() + BEGIN_S_MAX
    while time.monotonic() < until and server.poll() is None:
        try:
            requests.get(f"{url}/begun/v2/Users", timeout=BEGIN_S_MAX)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError("scim2-server does not answer")


def main():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).with_name("scim2-server")
    # A tenant of the server is one test's or one history's.
    command = [program, "--bearer-token", TOKEN, "--dynamic-tenants", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_answers(url, server)
        here = {"ROLLCALL_SCIM_URL": url, "ROLLCALL_SCIM_HISTORIES": str(HISTORIES)}
        return subprocess.run(TESTS, env={**os.environ, **here}, check=False).returncode
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
