"""The `aws` commands that the documents and the alarms say to type are commands, with options that there are.

Nothing is sent: they are held against the descriptions of AWS's services that its own command line is made
from (botocore). `TheCommands` wants no finding; `TheCheck` breaks commands on purpose.

Needs botocore and cfn-lint. See README.md for how to run it.
"""

import re
import shlex
import unittest
from pathlib import Path

import botocore.session
from botocore import xform_name
from test_template import LOADED, of_type

ROOT = Path(__file__).parent.parent
SESSION = botocore.session.get_session()

# https://docs.aws.amazon.com/cli/latest/reference/#global-options
GLOBAL = {"query", "output", "region", "profile"}
# What the command line has beyond the services' operations, with the options of it that are used.
# https://docs.aws.amazon.com/cli/latest/reference/logs/tail.html
CUSTOM = {("logs", "tail"): {"since", "follow", "format"}}
# An option that would be taken for a global one has another name.
# https://docs.aws.amazon.com/cli/latest/reference/sns/subscribe.html
RENAMED = {("sns", "subscribe"): {"endpoint": "notification-endpoint"}}


def finding(command):
    """What is wrong with a command; None if it is one."""
    try:
        words = shlex.split(command)
    except ValueError as problem:
        return str(problem)
    if len(words) < 3 or words[0] != "aws":
        return "is no command"
    service, operation, rest = words[1], words[2], words[3:]
    given = [word.removeprefix("--") for word in rest if word.startswith("--")]
    if (service, operation) in CUSTOM:
        known, needed = CUSTOM[(service, operation)], set()
    else:
        if service not in SESSION.get_available_services():
            return f"there is no service {service}"
        model = SESSION.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        if operation not in operations:
            return f"{service} has no {operation}"
        shape = model.operation_model(operations[operation]).input_shape
        known, needed = set(), set()
        if shape is not None:
            needed = {xform_name(name, "-") for name in shape.required_members}
            for name, member in shape.members.items():
                option = xform_name(name, "-")
                option = RENAMED.get((service, operation), {}).get(option, option)
                known |= {option, f"no-{option}"} if member.type_name == "boolean" else {option}
    for option in given:
        if option not in known | GLOBAL:
            return f"{service} {operation} has no option --{option}"
    missing = needed - set(given)
    return f"{service} {operation} needs --{min(missing)}" if missing else None


def of_documents():
    """Each command of a block of commands: where, and what."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "infra" / "README.md"]:
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if line.strip().removeprefix("$ ").startswith("aws "):
                yield f"{page.name}:{number}", line.strip().removeprefix("$ ")


def of_alarms():
    """Each command of an alarm's text: up to the end of its sentence, which no command has in it but quoted."""
    for name, alarm in of_type(LOADED, "AWS::CloudWatch::Alarm").items():
        text = alarm["Properties"]["AlarmDescription"]["Fn::Sub"]
        text = re.sub(r"\$\{[A-Za-z.:]+\}", "NAME", text)
        for command in re.findall(r"\baws (?:'[^']*'|[^.'])+", text):
            yield name, command


class TheCommands(unittest.TestCase):
    def test_are_commands(self):
        commands = [*of_documents(), *of_alarms()]
        self.assertGreater(len(commands), 30)
        for where, command in commands:
            with self.subTest(where, command=command):
                self.assertIsNone(finding(command))


class TheCheck(unittest.TestCase):
    def test_takes_a_command(self):
        for command in (
            "aws sqs purge-queue --queue-url URL",
            "aws logs tail GROUP --since 1h",
            "aws dynamodb update-table --table-name T --no-deletion-protection-enabled --query a",
        ):
            self.assertIsNone(finding(command), command)

    def test_notices_what_is_none(self):
        for command, wanted in {
            "aws": "is no command",
            "aws queues list-queues": "there is no service queues",
            "aws sqs empty-queue --queue-url URL": "sqs has no empty-queue",
            "aws sqs purge-queue --url URL": "sqs purge-queue has no option --url",
            "aws sqs purge-queue": "sqs purge-queue needs --queue-url",
            "aws logs tail GROUP --until 1h": "logs tail has no option --until",
            "aws logs filter-log-events --filter-pattern 'a": "No closing quotation",
        }.items():
            self.assertEqual(finding(command), wanted, command)


if __name__ == "__main__":
    unittest.main()
