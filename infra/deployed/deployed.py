"""The shipped template, deployed, and a directory that its schedule syncs.

    deployed.py TARGET      the directory of the built programs

Starts an emulator of AWS and one of Microsoft Graph on loopback, deploys template.yaml by `sam`, puts a
tenant by `rollcall --stack`, and then only watches: the schedule starts the runs. It wants of the
directory table what the tenant is: after a first sync, after a day on which users join and leave, and
when more leave than a guard allows.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

ROOT = Path(__file__).parent.parent.parent
REGION = "us-east-1"
STACK = f"rollcall-{secrets.token_hex(3)}"
TENANT = "contoso"
SECRET = "rollcall/contoso"
USERS = 250

# How long each may take, in seconds.
START_S_MAX = 60
SAM_S_MAX = 2_400
COMMAND_S_MAX = 60
# The schedule's minute, and a run on a machine that does other work as well.
RUN_S_MAX = 240
LOOK_S = 1


def fail(message):
    raise SystemExit(f"FAILED: {message}")


def step(text):
    print(f"=== {text} (at {time.monotonic() - STARTED:.0f} s)", flush=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Aws:
    """The emulator, and what is asked of it."""

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
        )

    def tail(self):
        return self.log.read_text(errors="replace")[-4_000:]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(START_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Graph:
    """The emulator of Microsoft Graph: `tests/graph-emulator/examples/emulate.rs` tells its commands."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program, "--users", str(USERS), "--page-size-max", "50"],
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


class Stack:
    """The deployed stack, by its outputs and by the command line."""

    def __init__(self, aws, program):
        self.aws, self.program = aws, program
        described = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        if described["StackStatus"] != "CREATE_COMPLETE":
            fail(f"the stack is {described['StackStatus']}")
        self.outputs = {
            output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]
        }
        self.dynamodb = aws.client("dynamodb")

    def rollcall(self, *arguments):
        """What the command line prints: one object a line."""
        run = subprocess.run(
            [self.program, "--stack", STACK, "--json", *arguments],
            env=self.aws.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        if run.returncode != 0:
            fail(f"rollcall {' '.join(arguments)} ended with {run.returncode}: {run.stderr}")
        return [json.loads(line) for line in run.stdout.splitlines()]

    def runs(self):
        """The runs of the tenant, by number."""
        return {run["run"]: run for run in self.rollcall("run", "list", "--tenant", TENANT)}

    def directory(self):
        """Status and reason of each user as the table has them, read without the command line."""
        users = {}
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.outputs["DirectoryTableName"], ConsistentRead=True
        )
        for page in pages:
            for item in page["Items"]:
                users[item["sk"]["S"]] = (item["status"]["S"], item["reason"]["S"])
        return users

    def dead_letters(self):
        """How many messages each dead-letter queue has."""
        sqs, found = self.aws.client("sqs"), {}
        resources = self.aws.client("cloudformation").list_stack_resources(StackName=STACK)
        for resource in resources["StackResourceSummaries"]:
            if resource["LogicalResourceId"].endswith("DeadLetterQueue"):
                answer = sqs.get_queue_attributes(
                    QueueUrl=resource["PhysicalResourceId"],
                    AttributeNames=["ApproximateNumberOfMessages"],
                )
                count = answer["Attributes"]["ApproximateNumberOfMessages"]
                found[resource["LogicalResourceId"]] = int(count)
        return found

    def next_run(self, after, state):
        """Waits for a run that the schedule starts after this one, and for its end."""

        def ended():
            for number, run in sorted(self.runs().items()):
                if number > after and run["ended_at"]:
                    return run
            return None

        run = wait(f"a run after run {after}", RUN_S_MAX, ended)
        if run["state"] != state:
            fail(f"run {run['run']} is {run['state']}, not {state}: {json.dumps(run)}")
        print(json.dumps(run), flush=True)
        return run


def wait(what, seconds, look):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(LOOK_S)
    fail(f"{what}: not within {seconds} s")


def sam(aws, directory, *arguments):
    command = ["sam", *arguments]
    print("+", " ".join(command), flush=True)
    ended = subprocess.run(
        command, cwd=ROOT, env=aws.environment, stdin=subprocess.DEVNULL, timeout=SAM_S_MAX, check=False
    )
    if ended.returncode != 0:
        fail(f"sam {arguments[0]} ended with {ended.returncode}; the emulator's log:\n{aws.tail()}")


def architecture():
    machine = os.uname().machine
    return {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(machine) or fail(
        f"Lambda has no processor like this machine's, {machine}"
    )


def deploy(aws, directory):
    build = str(directory / "build")
    options = [
        f"Architecture={architecture()}",
        # In quotes of their own: without them sam ends a value at its first space.
        'FullSchedule="rate(1 minute)"',
        # Once a year, so that each run here is a full one.
        'DeltaSchedule="cron(0 0 1 1 ? *)"',
    ]
    overrides = ["--parameter-overrides", *options]
    sam(aws, directory, "build", "--build-dir", build, *overrides)
    template = str(directory / "build" / "template.yaml")
    sam(
        aws, directory, "deploy", "--template-file", template, "--stack-name", STACK,
        "--resolve-s3", "--no-progressbar", "--no-confirm-changeset", "--capabilities", "CAPABILITY_IAM", *overrides,
    )  # fmt: skip


def put_tenant(stack, graph, directory):
    stack.aws.client("secretsmanager").create_secret(
        Name=SECRET, SecretString=graph.app["client_secret"]
    )
    file = directory / "tenants.toml"
    file.write_text(
        f"""
[[tenant]]
id = "{TENANT}"
directory_id = "{graph.app["directory_id"]}"
client_id = "{graph.app["client_id"]}"
graph_url = "{graph.app["graph_url"]}"
login_url = "{graph.app["login_url"]}"
credential = {{ kind = "secret", secrets_manager = "{SECRET}" }}

[tenant.guards]
deactivations_max = 2
"""
    )
    stack.rollcall("tenant", "put", str(file))


def expect(what, found, wanted):
    if found != wanted:
        fail(f"{what}: {found!r}, not {wanted!r}")
    print(f"{what}: {found}", flush=True)


def first_sync(stack, graph):
    run = stack.next_run(0, "COMPLETED")
    users = {id: on for id, on in graph.ask("users").items()}
    stored = stack.directory()
    active = {id for id, (status, _) in stored.items() if status == "ACTIVE"}
    disabled = {id for id, (_, reason) in stored.items() if reason == "disabled"}
    if not active <= {id for id, on in users.items() if on}:
        fail("somebody is on who is not enabled")
    if not disabled <= {id for id, on in users.items() if not on}:
        fail("somebody is off who is enabled")
    # Guests are out of scope, and so not stored.
    expect("stored", len(stored), len(active) + len(disabled))
    expect("created", run["created"], len(stored))
    if len(active) < USERS // 2:
        fail(f"only {len(active)} of {USERS} are on")
    return run


def a_day(stack, graph, run):
    before = stack.directory()
    change = graph.ask("change")
    print("changed:", json.dumps(change), flush=True)
    run = stack.next_run(run["run"], "COMPLETED")
    # The schedule may have started it while the users changed: the one after it has seen it all.
    run = stack.next_run(run["run"], "COMPLETED")
    stored = stack.directory()
    for what in ("renamed", "restored"):
        expect(f"who was {what}", stored[change[what]], before[change[what]])
    expect("who was disabled", stored[change["disabled"]], ("INACTIVE", "disabled"))
    expect("who was deleted", stored[change["deleted"]], ("INACTIVE", "deleted"))
    for id in change["added"]:
        expect("who joined", stored[id], ("ACTIVE", "present"))
    return run


def more_than_the_guard_allows(stack, graph, run):
    before = stack.directory()
    for _ in range(4):
        graph.ask("change")
    held = stack.next_run(run["run"], "HELD")
    expect("the guard", held["held"]["guard"], "count")
    stored = stack.directory()
    off = {id for id, (status, _) in stored.items() if status == "INACTIVE"}
    expect("off since", off - {id for id, (status, _) in before.items() if status == "INACTIVE"}, set())


def main():
    target = Path(sys.argv[1]).resolve()
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: fail("was told to stop"))
    with contextlib.ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        step("Start the emulators of AWS and of Microsoft Graph")
        aws = Aws(directory)
        cleanup.callback(aws.stop)
        graph = Graph(str(target / "examples" / "emulate"))
        cleanup.callback(graph.stop)
        step("Build and deploy")
        deploy(aws, directory)
        stack = Stack(aws, str(target / "rollcall"))
        step("Put a tenant")
        put_tenant(stack, graph, directory)
        step("The schedule makes the first sync")
        run = first_sync(stack, graph)
        step("Users join and leave")
        run = a_day(stack, graph, run)
        step("More leave than the guard allows")
        more_than_the_guard_allows(stack, graph, run)
        dead = stack.dead_letters()
        expect("queues of dead letters", len(dead), 4)
        expect("dead letters", sum(dead.values()), 0)
        step("Done")


STARTED = time.monotonic()
if __name__ == "__main__":
    main()
