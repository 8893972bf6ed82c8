"""What a tenant lives through: a first sync, a day, a held plan, and the incident."""

import json
import time

from emulators import LOOK_S, expect, fail, wait
from stack import RUN_S_MAX

USERS = 250
PAGE = 50
GUARDS = """
[tenant.guards]
deactivations_max = 2
"""
# A message is taken from the queue at most so often before it would be a dead letter.
RECEIVES_MAX = 4


def status(user):
    return user["status"]["S"], user["reason"]["S"]


def first_sync(stack, graph):
    run = stack.next_run(graph.tenant, 0)
    users = graph.ask("users")
    stored = {id: status(user) for id, user in stack.directory(graph.tenant).items()}
    active = {id for id, (status, _) in stored.items() if status == "ACTIVE"}
    disabled = {id for id, (_, reason) in stored.items() if reason == "disabled"}
    if not active <= {id for id, on in users.items() if on}:
        fail("somebody is on who is not enabled")
    if not disabled <= {id for id, on in users.items() if not on}:
        fail("somebody is off who is enabled")
    # Guests are out of scope, and so not stored.
    expect("stored", len(stored), len(active) + len(disabled))
    expect("created", stack.runs(graph.tenant)[run]["created"], len(stored))
    if len(active) < USERS // 2:
        fail(f"only {len(active)} of {USERS} are on")
    return run


def a_day(stack, graph, run):
    before = stack.directory(graph.tenant)
    change = graph.ask("change")
    print("changed:", json.dumps(change), flush=True)
    # The schedule may have started the first while the users changed: the one after it has seen it all.
    run = stack.next_run(graph.tenant, run)
    run = stack.next_run(graph.tenant, run)
    stored = {id: status(user) for id, user in stack.directory(graph.tenant).items()}
    for what in ("renamed", "restored"):
        expect(f"who was {what}", stored[change[what]], status(before[change[what]]))
    expect("who was disabled", stored[change["disabled"]], ("INACTIVE", "disabled"))
    expect("who was deleted", stored[change["deleted"]], ("INACTIVE", "deleted"))
    for id in change["added"]:
        expect("who joined", stored[id], ("ACTIVE", "present"))
    return run


def a_held_plan(stack, graph, run):
    """More leave than the guard allows: nobody goes, until a person approves exactly that plan."""
    on = stack.on(graph.tenant)
    gone = set(graph.ask("disable 6"))
    run = stack.next_run(graph.tenant, run, "HELD")
    stack.stop_schedule("FullRunSchedule")
    wait("the end of all runs", RUN_S_MAX, lambda: all_ended(stack, graph.tenant))
    expect("off since", on - stack.on(graph.tenant), set())
    # A later run that was held has put its plan in the place of the first one's.
    (held,) = stack.rollcall("hold", "list")
    name, plan = f"{held['tenant']}/{held['run']}", held["held"]["plan"]
    expect("the guard", held["held"]["guard"], "count")
    wrong = plan[:-1] + ("0" if plan[-1] != "0" else "1")
    stack.rollcall("hold", "approve", name, "--plan", wrong, ends=(2,))
    expect("off by a wrong hash", on - stack.on(graph.tenant), set())
    stack.rollcall("hold", "approve", name, "--plan", plan)
    wait(f"the end of {name}", RUN_S_MAX, lambda: all_ended(stack, graph.tenant))
    expect("the approved run", stack.runs(graph.tenant)[held["run"]]["state"], "COMPLETED")
    expect("off by the approved plan", (on - stack.on(graph.tenant)) == gone & on, True)
    return held["run"]


def all_ended(stack, tenant):
    return all(run["ended_at"] for run in stack.runs(tenant).values())


class Batches:
    """The event source of the workers, which can be held up, so that messages are late."""

    def __init__(self, stack):
        self.stack = stack
        mappings = stack.functions.list_event_source_mappings(
            FunctionName=stack.outputs["WorkerFunctionName"]
        )
        (self.mapping,) = mappings["EventSourceMappings"]

    def flow(self, enabled):
        self.stack.functions.update_event_source_mapping(
            UUID=self.mapping["UUID"], Enabled=enabled
        )

    def take(self, run):
        """Takes the run's messages out of the queue, and gives their bodies by page."""
        queue, found = self.stack.outputs["BatchQueueUrl"], {}
        for _ in range(RECEIVES_MAX):
            answer = self.stack.sqs.receive_message(
                QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=1
            )
            for message in answer.get("Messages", []):
                bell = json.loads(message["Body"])
                if bell["run"] == run:
                    found[bell["page"]] = bell
                self.stack.sqs.delete_message(
                    QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"]
                )
            time.sleep(LOOK_S)
        return found


def the_incident(stack, graph, run):
    """Two starts at once, a finalizer that is told too early, and messages that come late, twice, and again
    in the next run."""
    batches, tenant = Batches(stack), graph.tenant
    on = stack.on(tenant)
    bells = incident_run(stack, graph, batches, run, "first")
    expect("off since", on - stack.on(tenant), set())
    run += 1
    graph.ask("rename second")
    for _ in range(2):
        stack.schedule("FullRunSchedule", [tenant])
    # The whole of the last run once more, and again, while this one goes.
    for _ in range(2):
        for bell in bells.values():
            stack.ring("BatchQueueUrl", bell)
        for output in ("EnumerateQueueUrl", "FinalizeQueueUrl"):
            stack.ring(output, {"tenant": tenant, "run": run})
    next_run = stack.next_run(tenant, run)
    expect("two starts make one run", next_run, run + 1)
    after = stack.directory(tenant)
    expect("off since", on - stack.on(tenant), set())
    names = {user["display_name"]["S"] for id, user in after.items() if id in on}
    expect("what the last run wrote", names, {"second"})
    return next_run


def incident_run(stack, graph, batches, run, name):
    tenant = graph.tenant
    graph.ask(f"rename {name}")
    batches.flow(enabled=False)
    for _ in range(2):
        stack.schedule("FullRunSchedule", [tenant])
    number = run + 1

    def read_to_its_end():
        runs = stack.runs(tenant)
        return number in runs and runs[number]["state"] == "DRAINING"

    wait(f"{tenant}/{number} is read to its end", RUN_S_MAX, read_to_its_end)
    bells = batches.take(number)
    pages = stack.runs(tenant)[number]["pages"]
    expect("messages of batches", len(bells), pages)
    # A worker has ended early and taken itself for the last one.
    stack.ring("FinalizeQueueUrl", {"tenant": tenant, "run": number})
    batches.flow(enabled=True)
    for _ in range(2):
        stack.ring("BatchQueueUrl", bells[1])
    time.sleep(3 * LOOK_S)
    expect("with one batch done", stack.runs(tenant)[number]["state"], "DRAINING")
    for bell in [*bells.values(), *bells.values()]:
        stack.ring("BatchQueueUrl", bell)
    expect("the end", stack.next_run(tenant, run), number)
    expect("two starts make one run", max(stack.runs(tenant)), number)
    return bells
