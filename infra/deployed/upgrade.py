"""An upgrade, and a rollback, in the middle of runs: functions of an earlier version and of this one take turns."""

import random
import zipfile
from io import BytesIO

from emulators import expect, fail, wait
from stack import RUN_S_MAX
from trouble import Sweeps

FUNCTIONS = {
    "EnumeratorFunction": "EnumeratorFunctionName",
    "WorkerFunction": "WorkerFunctionName",
    "FinalizerFunction": "FinalizerFunctionName",
}
# Runs in which the versions take turns.
RUNS = 6


def zipped(build, function):
    found = BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(build / function / "bootstrap", "bootstrap")
    return found.getvalue()


def versions_take_turns(stack, graph, run, before, now, seed):
    """Each function is of another version from one step of a run to the next, as the dice fall."""
    dice = random.Random(seed)
    codes = {
        (version, function): zipped(build, function)
        for version, build in (("before", before), ("now", now))
        for function in FUNCTIONS
    }
    deployed, deployments = {}, []

    def deploy(function, version):
        if deployed.get(function) != version:
            deployed[function] = version
            deployments.append(f"{function} {version}")
            stack.functions.update_function_code(
                FunctionName=stack.outputs[FUNCTIONS[function]], ZipFile=codes[version, function]
            )

    def deploy_any():
        deploy(dice.choice(sorted(FUNCTIONS)), dice.choice(("before", "now")))

    on = stack.on(graph.tenant)
    for number in range(run + 1, run + 1 + RUNS):
        # A run begins under one version: an upgrade and a rollback, by turns.
        for function in FUNCTIONS:
            deploy(function, "now" if number % 2 else "before")
        graph.ask(f"rename {number}")
        stack.schedule("FullRunSchedule", [graph.tenant])
        sweeps = Sweeps(stack)

        def ended():
            deploy_any()
            sweeps.look()
            found = stack.runs(graph.tenant).get(number)
            return found if found and found["ended_at"] else None

        ended_run = wait(f"the end of {graph.tenant}/{number}", RUN_S_MAX, ended)
        if ended_run["state"] != "COMPLETED":
            fail(f"under versions in turn: {ended_run}")
        expect("off since", on - stack.on(graph.tenant), set())
    print("; ".join(deployments), flush=True)
    for function in FUNCTIONS:
        deploy(function, "now")
    users = stack.directory(graph.tenant)
    names = {user["display_name"]["S"] for id, user in users.items() if id in on}
    expect("what the last run wrote", names, {str(number)})
    return number
