"""The deployed stack: how it is deployed, and what is asked of it, by its outputs and by `rollcall --stack`."""

import json
import os
import secrets
import subprocess
from pathlib import Path

from emulators import COMMAND_S_MAX, fail, wait

ROOT = Path(__file__).parent.parent.parent
STACK = f"rollcall-{secrets.token_hex(3)}"

# How long each may take, in seconds.
SAM_S_MAX = 300
# The schedule's minute, and a run on a machine that does other work as well.
RUN_S_MAX = 240
# A killed function's work waits so long, in seconds.
LEASE_S = 2


def sam(aws, *arguments):
    command = ["sam", *arguments]
    print("+", " ".join(command), flush=True)
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=aws.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SAM_S_MAX,
        check=False,
    )
    if ended.returncode != 0:
        print(ended.stdout)
        fail(f"sam {arguments[0]} ended with {ended.returncode}; the emulator's log:\n{aws.tail()}")


def deploy(aws, build, overrides):
    sam(
        aws, "deploy", "--template-file", str(build / "template.yaml"), "--stack-name", STACK,
        "--resolve-s3", "--no-progressbar", "--no-confirm-changeset", "--capabilities", "CAPABILITY_IAM",
        "--parameter-overrides", *overrides,
        # In quotes of their own: without them sam ends a value at its first space.
        'FullSchedule="rate(1 minute)"',
        # Once a year, so that each run here is a full one.
        'DeltaSchedule="cron(0 0 1 1 ? *)"',
    )  # fmt: skip


class Stack:
    def __init__(self, aws, program, directory):
        self.aws, self.program, self.directory_of_files = aws, program, directory
        self.cloudformation = aws.client("cloudformation")
        described = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if described["StackStatus"] != "CREATE_COMPLETE":
            fail(f"the stack is {described['StackStatus']}")
        self.outputs = {
            output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]
        }
        self.dynamodb, self.sqs = aws.client("dynamodb"), aws.client("sqs")
        self.functions, self.scheduler = aws.client("lambda"), aws.client("scheduler")

    # --- By the command line

    def rollcall(self, *arguments, ends=(0,)):
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
        if run.returncode not in ends:
            fail(f"rollcall {' '.join(arguments)} ended with {run.returncode}: {run.stderr}")
        return [json.loads(line) for line in run.stdout.splitlines()]

    def put_tenants(self, graphs, more):
        text = ""
        for graph in graphs:
            name = f"rollcall/{graph.tenant}"
            self.aws.client("secretsmanager").create_secret(
                Name=name, SecretString=graph.app["client_secret"]
            )
            text += f"""
[[tenant]]
id = "{graph.tenant}"
directory_id = "{graph.app["directory_id"]}"
client_id = "{graph.app["client_id"]}"
graph_url = "{graph.app["graph_url"]}"
login_url = "{graph.app["login_url"]}"
credential = {{ kind = "secret", secrets_manager = "{name}" }}

[tenant.limits]
lease_seconds = {LEASE_S}
{more}
"""
        file = self.directory_of_files / "tenants.toml"
        file.write_text(text)
        self.rollcall("tenant", "put", str(file))

    def runs(self, tenant):
        """The runs of the tenant, by number."""
        return {run["run"]: run for run in self.rollcall("run", "list", "--tenant", tenant)}

    def next_run(self, tenant, after, state="COMPLETED"):
        """Waits for a run after this one, and for its end."""

        def ended():
            for number, run in sorted(self.runs(tenant).items()):
                if number > after and run["ended_at"]:
                    return run
            return None

        run = wait(f"the end of a run after {tenant}/{after}", RUN_S_MAX, ended)
        if run["state"] != state:
            fail(f"run {run['run']} is {run['state']}, not {state}: {json.dumps(run)}")
        print(json.dumps(run), flush=True)
        return run["run"]

    # --- By its resources

    def directory(self, tenant):
        """Each user of the tenant as the table has him, read without the command line."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.outputs["DirectoryTableName"], ConsistentRead=True
        )
        return {
            item["sk"]["S"]: item
            for page in pages
            for item in page["Items"]
            if item["pk"]["S"].startswith(f"{tenant}#")
        }

    def on(self, tenant):
        """Who is on."""
        users = self.directory(tenant).items()
        return {id for id, user in users if user["status"]["S"] == "ACTIVE"}

    def resource(self, logical_id):
        answer = self.cloudformation.describe_stack_resource(
            StackName=STACK, LogicalResourceId=logical_id
        )
        return answer["StackResourceDetail"]["PhysicalResourceId"]

    def schedule(self, logical_id, tenants=None):
        """What the schedule sends, now; about these tenants, if some are named."""
        schedule = self.scheduler.get_schedule(Name=self.resource(logical_id))
        payload = json.loads(schedule["Target"]["Input"])
        if tenants is not None:
            payload["tenants"] = tenants
        answer = self.functions.invoke(
            FunctionName=schedule["Target"]["Arn"],
            InvocationType="Event",
            Payload=json.dumps(payload),
        )
        if answer["StatusCode"] != 202:
            fail(f"the schedule {logical_id} was not taken: {answer}")

    def stop_schedule(self, logical_id):
        schedule = self.scheduler.get_schedule(Name=self.resource(logical_id))
        kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        self.scheduler.update_schedule(**{key: schedule[key] for key in kept}, State="DISABLED")

    def ring(self, output, bell):
        self.sqs.send_message(QueueUrl=self.outputs[output], MessageBody=json.dumps(bell))

    def dead_letters(self):
        """How many messages each dead-letter queue has."""
        found = {}
        resources = self.cloudformation.list_stack_resources(StackName=STACK)
        for resource in resources["StackResourceSummaries"]:
            if resource["LogicalResourceId"].endswith("DeadLetterQueue"):
                answer = self.sqs.get_queue_attributes(
                    QueueUrl=resource["PhysicalResourceId"],
                    AttributeNames=["ApproximateNumberOfMessages"],
                )
                count = answer["Attributes"]["ApproximateNumberOfMessages"]
                found[resource["LogicalResourceId"]] = int(count)
        return found


def parameters():
    machine = os.uname().machine
    name = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(machine)
    if name is None:
        fail(f"Lambda has no processor like this machine's, {machine}")
    return [f"Architecture={name}"]
