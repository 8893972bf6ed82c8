"""The shipped template, deployed, and directories that it syncs.

    deployed.py TARGET BUILD [--before BUILD] [--runs N] [--tenants N] [--seed N]

Starts an emulator of AWS and some of Microsoft Graph on loopback, deploys what `sam build` left in BUILD, puts
tenants by `rollcall --stack`, and wants of the directory table what the tenants are: while the schedule starts
the runs, and then while messages come late and twice and the functions are cut off, badly deployed, upgraded,
killed and frozen. TARGET is the directory of the built programs.
"""

import argparse
import contextlib
import os
import signal
import tempfile
from pathlib import Path

import story
import trouble
import upgrade
from emulators import Aws, Graph, expect, fail, step
from stack import Stack, deploy, parameters
from told import Application


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("build", type=Path)
    parser.add_argument("--before", type=Path, help="what `sam build` left of an earlier version")
    parser.add_argument("--runs", type=int, default=40, help="whole runs under random kills")
    parser.add_argument("--tenants", type=int, default=10, help="that have them at the same time")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    return parser.parse_args()


def one_tenant(stack, graph, given):
    step("The schedule makes the first sync")
    run = story.first_sync(stack, graph)
    step("Users join and leave")
    run = story.a_day(stack, graph, run)
    step("More leave than the guard allows, and a person approves")
    run = story.a_held_plan(stack, graph, run)
    step("The incident: two starts at once, messages that come late, twice and in the next run")
    run = story.the_incident(stack, graph, run)
    step("The enumerator is cut off at its time-out")
    run = trouble.a_timeout(stack, graph, run)
    step("A deployment breaks the worker")
    run = trouble.dead_letters(stack, graph, run)
    if given.before:
        step("Functions of an earlier version and of this one take turns")
        upgrade.versions_take_turns(stack, graph, run, given.before, given.build, given.seed)
    stack.rollcall("tenant", "remove", graph.tenant)


def main():
    given = arguments()
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: fail("was told to stop"))
    with contextlib.ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        step("Start the emulators of AWS and of Microsoft Graph")
        aws = Aws(directory)
        cleanup.callback(aws.stop)
        emulate = str(given.target / "examples" / "emulate")

        def graph(tenant, users, page, seed):
            started = Graph(emulate, tenant, users, page, seed)
            cleanup.callback(started.stop)
            return started

        step("Deploy")
        deploy(aws, given.build, parameters())
        stack = Stack(aws, str(given.target / "rollcall"), directory)
        application = Application(stack)
        contoso = graph("contoso", story.USERS, story.PAGE, 7)
        stack.put_tenants([contoso], story.GUARDS)
        one_tenant(stack, contoso, given)
        step("The application was told of each change of a status, and why")
        application.knows("contoso")
        step(f"{given.runs} runs while functions are killed and frozen; the seed is {given.seed}")
        tenants = [
            graph(f"tenant-{number}", trouble.USERS, trouble.PAGE, number)
            for number in range(given.tenants)
        ]
        stack.put_tenants(tenants, trouble.SETTINGS)
        trouble.storm(stack, tenants, given.runs, given.seed)
        for tenant in tenants:
            application.knows(tenant.tenant)
        dead = stack.dead_letters()
        expect("queues of dead letters", len(dead), 4)
        expect("dead letters", sum(dead.values()), 0)
        step("Done")


if __name__ == "__main__":
    main()
