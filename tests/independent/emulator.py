"""The emulator of Microsoft Graph as a process, for clients that others wrote."""

import json
import subprocess
import unittest

import requests

# How long the emulator may take for an answer, in seconds.
ANSWER_S_MAX = 60


class Emulator:
    """A running emulator. What its commands are is told by its source, examples/emulate.rs."""

    def __init__(self, program, *options):
        self.process = subprocess.Popen(
            [program, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.app = self.read()
        self.origin = self.app["graph_url"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the emulator ended with {self.process.wait(ANSWER_S_MAX)}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer

    def token(self, **form):
        """The answer of the token endpoint to the client credentials grant."""
        directory = self.app["directory_id"]
        whole = {
            "grant_type": "client_credentials",
            "client_id": self.app["client_id"],
            "client_secret": self.app["client_secret"],
            "scope": f"{self.origin}/.default",
            **form,
        }
        url = f"{self.origin}/{directory}/oauth2/v2.0/token"
        return requests.post(url, data=whole, timeout=ANSWER_S_MAX)

    def bearer(self):
        return self.token().json()["access_token"]

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(ANSWER_S_MAX)
        self.process.stdout.close()
        if code != 0:
            raise RuntimeError(f"the emulator ended with {code}")


class WithEmulator(unittest.TestCase):
    """A test case with an emulator of its own."""

    program = None
    options = ()

    def setUp(self):
        self.emulator = Emulator(self.program, *self.options)
        self.addCleanup(self.emulator.stop)
