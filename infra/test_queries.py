"""The saved queries and the filter patterns of the template ask for what the functions log.

`docs/LOGGING.md` has every event with its fields, and a test of `shared/telemetry` holds it against the
sources. `TheTemplate` wants each query to name events and fields that are there, and each field to be one of
an event that the query asks for: CloudWatch says nothing of a field that never comes, it shows an empty
column. `TheCheck` breaks queries on purpose.

Needs cfn-lint, for its reader of CloudFormation's YAML. See README.md for how to run it.
"""

import json
import re
import unittest
from pathlib import Path

from test_template import LOADED, of_type

DOCUMENT = Path(__file__).parent.parent / "docs" / "LOGGING.md"

# What every line has.
EVERYWHERE = {"timestamp", "level", "target", "event"}
# What CloudWatch adds to a line, and what Lambda says of an invocation in lines of its own.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
FROM_AWS = {"@timestamp", "@message", "@log", "record.status", "record.metrics.durationMs", "type"}
WORDS = {"as", "by", "in", "like", "and", "or", "not", "asc", "desc"}
COMMANDS = {"fields", "filter", "stats", "sort", "limit"}


def documented(text):
    """Each event of the document with the set of its fields."""
    events = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"### `([a-z_]+)` \([A-Z]+\)", line):
            fields = events.setdefault(heading[1], set())
        elif events and (row := re.match(r"\| `([a-z_]+)` \|", line)):
            fields.add(row[1])
    return events


EVENTS = documented(DOCUMENT.read_text())


def query_findings(query, events=None):
    """What is wrong with a query of Logs Insights."""
    events = events or EVENTS
    asked, used, made = set(), set(), set()
    for command in query.split("|"):
        name, _, rest = command.strip().partition(" ")
        if name not in COMMANDS:
            yield f"{name} is not understood"
            continue
        if name == "limit":
            continue
        for values in re.findall(r'\bevent (?:in \[([^\]]*)\]|= ("[^"]*"))', rest):
            asked |= set(re.findall(r'"([^"]*)"', "".join(values)))
        bare = re.sub(r'"[^"]*"|\b[0-9]+[a-z]?\b', " ", rest)
        made |= set(re.findall(r"\bas ([a-z_]+)", bare))
        # A word before a bracket is a function.
        names = re.findall(r"[@a-zA-Z_][a-zA-Z_.]*(?!\w*\()\b(?!\()", bare)
        used |= set(names) - WORDS
    for event in sorted(asked - events.keys()):
        yield f"there is no event {event}"
    fields = set().union(*(events.get(event, set()) for event in asked or events))
    for name in sorted(used - made - EVERYWHERE - FROM_AWS - fields):
        yield f"no event that is asked for has a field {name}"


def pattern_findings(pattern):
    """What is wrong with a filter pattern, `{ $.event = "run_held" }`."""
    asked = re.findall(r'\$\.event = \\?"([a-z_]+)', pattern)
    for event in asked:
        if event not in EVENTS:
            yield f"there is no event {event}"
    fields = set().union(*(EVENTS.get(event, set()) for event in asked))
    for name in re.findall(r"\$\.([a-zA-Z_.]+)", pattern):
        if name not in EVERYWHERE | FROM_AWS | fields:
            yield f"no line has {name}"


def findings(template):
    for name, query in of_type(template, "AWS::Logs::QueryDefinition").items():
        for finding in query_findings(query["Properties"]["QueryString"]):
            yield f"{name}: {finding}"
    for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
        for finding in pattern_findings(alarm["Properties"]["AlarmDescription"]["Fn::Sub"]):
            yield f"{name}: {finding}"
    for name, dashboard in of_type(template, "AWS::CloudWatch::Dashboard").items():
        for widget in json.loads(dashboard["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]:
            query = widget["properties"].get("query")
            if query:
                parts = [part for part in query.split("|") if not part.strip().startswith("SOURCE")]
                for finding in query_findings("|".join(parts)):
                    yield f"{name}: {finding}"


class TheTemplate(unittest.TestCase):
    def test_asks_for_what_is_logged(self):
        self.assertGreater(len(EVENTS), 40)
        self.assertEqual(len(of_type(LOADED, "AWS::Logs::QueryDefinition")), 10)
        self.assertEqual(list(findings(LOADED)), [])


class TheCheck(unittest.TestCase):
    EVENTS = {"run_held": {"tenant", "guard"}, "run_failed": {"tenant", "reason"}}

    def finds(self, query):
        return list(query_findings(query, self.EVENTS))

    def test_takes_what_is_there(self):
        for query in (
            'fields @timestamp, tenant, guard | filter event = "run_held" | limit 20',
            'fields guard, reason | filter event in ["run_held", "run_failed"] and level != "INFO"',
            'filter event = "run_held" | stats count(*) as times by bin(1h) as hour, tenant | sort times desc',
            'filter @message like "00000000-0000" or record.status in ["error"]',
            'fields guard | filter tenant = "contoso"',
        ):
            with self.subTest(query):
                self.assertEqual(self.finds(query), [])

    def test_notices_an_event_that_is_not_there(self):
        self.assertEqual(
            self.finds('filter event in ["run_held", "run_hold"]'), ["there is no event run_hold"]
        )

    def test_notices_a_field_that_no_event_or_only_another_event_has(self):
        for query, field in (
            ("fields tenant, guards", "guards"),
            ('fields reason | filter event = "run_held"', "reason"),
            ('filter event = "run_held" | stats max(size) as most by tenant', "size"),
            ('filter event = "run_held" | stats count(*) as times by owner', "owner"),
            ('filter event = "run_held" | sort took_ms desc', "took_ms"),
        ):
            with self.subTest(query):
                wanted = [f"no event that is asked for has a field {field}"]
                self.assertEqual(self.finds(query), wanted)

    def test_notices_a_command_that_it_does_not_know(self):
        self.assertEqual(self.finds("parse @message '*'"), ["parse is not understood"])

    def test_notices_a_pattern_for_what_is_not_logged(self):
        self.assertEqual(
            list(pattern_findings('{ $.event = "run_hold" && $.levels = "WARN" }')),
            ["there is no event run_hold", "no line has levels"],
        )
        held = list(pattern_findings('{ $.event = "run_held" && $.guard = "Count" && $.reason = "a" }'))
        self.assertEqual(held, ["no line has reason"])


if __name__ == "__main__":
    unittest.main()
