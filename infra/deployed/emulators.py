"""The emulators of AWS and of Microsoft Graph, and what is asked of them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config

REGION = "us-east-1"
STARTED = time.monotonic()

# How long each may take, in seconds.
START_S_MAX = 120
COMMAND_S_MAX = 60
LOOK_S = 0.5

# What the emulator's log says when a function's process dies in an invocation, and when one is cut off.
DIED = "Runtime exited before returning a response"
TIMED_OUT = "Task timed out after"


def fail(message):
    raise SystemExit(f"FAILED: {message}")


def step(text):
    print(f"=== {text} (at {time.monotonic() - STARTED:.0f} s)", flush=True)


def expect(what, found, wanted):
    if found != wanted:
        fail(f"{what}: {found!r}, not {wanted!r}")
    print(f"{what}: {found}", flush=True)


def wait(what, seconds, look):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(LOOK_S)
    fail(f"{what}: not within {seconds} s")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Aws:
    """The emulator of AWS, and the processes of the functions that it runs."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            # Where it unpacks the functions.
            "TMPDIR": str(directory),
        }
        self.log = directory / "aws.log"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "aws.py")],
            cwd=directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        wait(f"the emulator of AWS on {self.url}", START_S_MAX, self.answers)

    def answers(self):
        if self.process.poll() is not None:
            fail(f"the emulator of AWS ended:\n{self.tail()}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(read_timeout=COMMAND_S_MAX, retries={"max_attempts": 3}),
        )

    def functions(self, name=""):
        """The processes of functions whose name ends so: children of the emulator, and nobody else's."""
        found = []
        for entry in Path("/proc").iterdir():
            # One may end while it is looked at.
            with contextlib.suppress(OSError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if not entry.name.isdigit() or parent != self.process.pid:
                    continue
                variables = (entry / "environ").read_bytes().split(b"\0")
                for variable in variables:
                    key, _, value = variable.decode(errors="replace").partition("=")
                    if key == "AWS_LAMBDA_FUNCTION_NAME" and name in value:
                        found.append(int(entry.name))
        return sorted(found)

    def signal(self, process, number):
        """Whether it was still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
            return True
        return False

    def said(self, what):
        """How often its log has these words."""
        return self.log.read_text(errors="replace").count(what)

    def tail(self):
        return self.log.read_text(errors="replace")[-4_000:]

    def stop(self):
        functions = self.functions()
        self.process.terminate()
        try:
            self.process.wait(START_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for process in functions:
            self.signal(process, signal.SIGKILL)


class Graph:
    """The emulator of Microsoft Graph: `tests/graph-emulator/examples/emulate.rs` tells its commands."""

    def __init__(self, program, tenant, users, page_size, seed):
        self.tenant = tenant
        self.process = subprocess.Popen(
            [
                program,
                *("--users", str(users)),
                *("--page-size-max", str(page_size)),
                *("--seed", str(seed)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.app = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            fail(f"the emulator of Graph ended with {self.process.wait(COMMAND_S_MAX)}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            fail(f"the emulator of Graph, asked to {command}: {answer['error']}")
        return answer

    def stop(self):
        self.process.stdin.close()
        self.process.wait(COMMAND_S_MAX)
