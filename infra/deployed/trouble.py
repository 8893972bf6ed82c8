"""What goes wrong with the functions: killed, frozen, cut off at their time-outs, badly deployed."""

import collections
import json
import random
import signal
import threading
import time

from emulators import DIED, TIMED_OUT, expect, fail, wait
from stack import LEASE_S, RUN_S_MAX
from story import status

USERS = 60
PAGE = 20
# Everything is in scope and nothing is held: here it is the functions that go wrong.
SETTINGS = """
[tenant.scope]
guests = true

[tenant.guards]
deactivations_max = 1000
deactivations_percent_max = 100.0
shrink_percent_max = 100.0
window_percent_max = 100.0
"""

# Between two blows, in seconds: a run takes one or two, and most functions are idle at any time.
BLOW_S = (0.1, 0.5)
# Of so many blows one freezes a function for longer than its lease, instead of killing it.
FREEZE_ONE_IN = 4
# How often the sweep comes, in seconds. By the template it is five minutes, in which nothing would happen here.
SWEEP_S = 3
# How long one round of runs may take, in seconds: it ends by sweeps, whatever was killed.
ROUND_S_MAX = 300
# Of so many runs at least one had a function killed at work: a blow that hits nobody proves nothing. Whether one
# hits is chance, so rounds are added until enough have, up to so many times the runs that were asked for.
KILLS_ONE_IN = 2
RUNS_FOLD_MAX = 5
# How long the page hangs on which the enumerator is stopped: long enough to be met there on a machine that does
# other work as well, and shorter than the function waits for an answer.
HANGS_MS = 18_000
# The enumerator's time-out there: it would stop by itself when a quarter of it is left, and still waits then.
TIMEOUT_S = 30


class Sweeps:
    """The sweep's schedule, in quick motion."""

    def __init__(self, stack):
        self.stack, self.next = stack, 0

    def look(self):
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + SWEEP_S
            self.stack.schedule("SweepSchedule")


def swept_to_its_end(stack, tenant, run):
    """Waits for the end of this run, with sweeps."""
    sweeps = Sweeps(stack)

    def ended():
        sweeps.look()
        found = stack.runs(tenant).get(run)
        return found if found and found["ended_at"] else None

    return wait(f"the end of {tenant}/{run}", RUN_S_MAX, ended)


def a_timeout(stack, graph, run):
    """The enumerator stands still, and Lambda cuts it off: another goes on with its run."""
    name, on = stack.outputs["EnumeratorFunctionName"], stack.on(graph.tenant)
    timeout = stack.functions.get_function_configuration(FunctionName=name)["Timeout"]
    stack.functions.update_function_configuration(FunctionName=name, Timeout=TIMEOUT_S)
    graph.ask("rename timeout")
    graph.ask(f"play users page 2 once: delay {HANGS_MS}")
    stack.schedule("FullRunSchedule", [graph.tenant])
    run += 1

    def is_at_page_2():
        found = stack.runs(graph.tenant).get(run)
        return found and found["pages"] == 1

    # Not earlier: the invocation that starts the run is another one, whose time-out would be told to nobody.
    wait(f"page 2 of {graph.tenant}/{run}", RUN_S_MAX, is_at_page_2)
    before = stack.aws.said(TIMED_OUT)
    for process in stack.aws.functions(name):
        stack.aws.signal(process, signal.SIGSTOP)
    wait("a time-out", RUN_S_MAX, lambda: stack.aws.said(TIMED_OUT) > before)
    stack.functions.update_function_configuration(FunctionName=name, Timeout=timeout)
    graph.ask("heal")
    ended = swept_to_its_end(stack, graph.tenant, run)
    expect("the run that was cut off", ended["state"], "COMPLETED")
    expect("off since", on - stack.on(graph.tenant), set())
    return run


def dead_letters(stack, graph, run):
    """A deployment breaks the worker: its messages become dead letters. Put right, the sweep ends the run."""
    name, queue = stack.outputs["WorkerFunctionName"], stack.outputs["BatchQueueUrl"]
    letters = stack.resource("BatchDeadLetterQueue")
    on = stack.on(graph.tenant)
    right = stack.functions.get_function_configuration(FunctionName=name)["Environment"]
    wrong = {"Variables": {**right["Variables"], "ROLLCALL_COORDINATION_TABLE": "gone"}}
    attributes = stack.sqs.get_queue_attributes(
        QueueUrl=queue, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
    )["Attributes"]
    # So that a message is tried again at once.
    stack.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    stack.functions.update_function_configuration(FunctionName=name, Environment=wrong)
    graph.ask("rename letters")
    stack.schedule("FullRunSchedule", [graph.tenant])
    run += 1

    def read():
        answer = stack.sqs.receive_message(
            QueueUrl=letters, AttributeNames=["ApproximateReceiveCount"], VisibilityTimeout=0
        )
        return answer.get("Messages")

    (letter,) = wait("a dead letter", RUN_S_MAX, read)
    bell = json.loads(letter["Body"])
    expect("whose letter it is", (bell["tenant"], bell["run"]), (graph.tenant, run))
    expect("what is in it", set(bell) - {"tenant", "run", "generation", "page", "waits"}, set())
    tries = int(json.loads(attributes["RedrivePolicy"])["maxReceiveCount"])
    received = int(letter["Attributes"]["ApproximateReceiveCount"])
    if received < tries:
        fail(f"it was tried {received} times, not {tries}")
    expect("the run", stack.runs(graph.tenant)[run]["state"], "DRAINING")
    stack.functions.update_function_configuration(FunctionName=name, Environment=right)
    stack.sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"VisibilityTimeout": attributes["VisibilityTimeout"]}
    )
    ended = swept_to_its_end(stack, graph.tenant, run)
    expect("the run, put right", ended["state"], "COMPLETED")
    expect("off since", on - stack.on(graph.tenant), set())
    # As the alarm says, once the reason is known.
    stack.sqs.purge_queue(QueueUrl=letters)
    return run


class Blows(threading.Thread):
    """Kills the functions' processes, or freezes them for longer than a lease, until it is stopped."""

    def __init__(self, aws, seed):
        super().__init__(daemon=True)
        self.aws, self.dice = aws, random.Random(seed)
        self.enough, self.dealt, self.thaws = threading.Event(), collections.Counter(), []

    def run(self):
        while not self.enough.wait(self.dice.uniform(*BLOW_S)):
            functions = self.aws.functions()
            if not functions:
                continue
            process = self.dice.choice(functions)
            if self.dice.randrange(FREEZE_ONE_IN):
                self.dealt["killed"] += self.aws.signal(process, signal.SIGKILL)
            elif self.aws.signal(process, signal.SIGSTOP):
                self.dealt["frozen"] += 1
                thaw = threading.Timer(LEASE_S + 0.5, self.aws.signal, (process, signal.SIGCONT))
                thaw.start()
                self.thaws.append(thaw)

    def stop(self):
        self.enough.set()
        self.join()
        for thaw in self.thaws:
            thaw.join()


def as_it_should_be(stack, graph, sure):
    """Holds the directory against the tenant. Who is gone is off for sure only after two runs in peace."""
    stored, users = stack.directory(graph.tenant), graph.ask("users")
    for id, enabled in users.items():
        if enabled is None:
            continue
        if id not in stored:
            fail(f"{graph.tenant}: {id} is not stored")
        wanted = ("ACTIVE", "present") if enabled else ("INACTIVE", "disabled")
        if status(stored[id]) != wanted:
            fail(f"{graph.tenant}: {id} is {status(stored[id])}, not {wanted}")
    for id in stored.keys() - users.keys():
        if sure and status(stored[id])[0] != "INACTIVE":
            fail(f"{graph.tenant}: {id} is gone and still on")


def storm(stack, graphs, runs, seed):
    """Whole runs of many tenants at once, while their functions are killed and frozen at random."""
    dice, sweeps = random.Random(seed), Sweeps(stack)
    died, blows = stack.aws.said(DIED), Blows(stack.aws, seed + 1)
    started, ends = time.monotonic(), collections.Counter()
    blows.start()

    def killed():
        return stack.aws.said(DIED) - died

    while ends.total() < runs or (killed() * KILLS_ONE_IN < runs and ends.total() < runs * RUNS_FOLD_MAX):
        for graph in graphs:
            for _ in range(dice.randrange(3)):
                graph.ask("change")
        ends += a_round(stack, graphs, sweeps)
    blows.stop()
    print(f"{ends.total()} runs in {time.monotonic() - started:.0f} s: {dict(ends)}", flush=True)
    print(f"blows: {dict(blows.dealt)}; {killed()} hit a function at work and killed it", flush=True)
    if killed() * KILLS_ONE_IN < runs:
        fail(f"only {killed()} functions were killed at work in {ends.total()} runs")
    # A run that could not be proven gave nobody's absence: two more, in peace, know who is gone.
    for _ in range(2):
        peace = a_round(stack, graphs, sweeps)
        expect("in peace", dict(peace), {"COMPLETED": len(graphs)})
    for graph in graphs:
        as_it_should_be(stack, graph, sure=True)


def a_round(stack, graphs, sweeps):
    """A run of each tenant, from its start to its end. How they ended."""
    tenants = {graph.tenant: graph for graph in graphs}
    before, asked = last_runs(stack), 0

    def ended():
        nonlocal asked
        now = last_runs(stack)
        new = [now[name] for name in tenants if number(now, name) > number(before, name)]
        missing = tenants.keys() - {run["tenant"] for run in new}
        # A start can be killed as well: the next one makes up for it.
        if missing and time.monotonic() >= asked:
            asked = time.monotonic() + SWEEP_S
            stack.schedule("FullRunSchedule", sorted(missing))
        sweeps.look()
        return new if not missing and all(run["ended_at"] for run in new) else None

    ends = collections.Counter()
    for run in wait("the end of a round of runs", ROUND_S_MAX, ended):
        ends[run["state"]] += 1
        if run["state"] == "COMPLETED":
            as_it_should_be(stack, tenants[run["tenant"]], sure=False)
        else:
            print(json.dumps(run), flush=True)
    return ends


def last_runs(stack):
    runs = sorted(stack.rollcall("run", "list"), key=lambda run: run["run"])
    return {run["tenant"]: run for run in runs}


def number(runs, tenant):
    return runs[tenant]["run"] if tenant in runs else 0
