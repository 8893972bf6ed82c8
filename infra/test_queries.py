"""The saved queries and the filter patterns of the template ask for what the functions log.

`docs/LOGGING.md` has every event with its fields, and a test of `shared/telemetry` holds it against the
sources. `TheTemplate` wants each query to name events and fields that are there, and each field to be one of
an event that the query asks for: CloudWatch says nothing of a field that never comes, it shows an empty
column. An alarm that names events, by itself or by a saved query, names all that its metric counts; and a query for
whatever there is looks into the logs of every function. `TheCheck` breaks queries on purpose.

Needs cfn-lint, for its reader of CloudFormation's YAML. See README.md for how to run it.
"""

import copy
import json
import re
import unittest
from pathlib import Path

from test_template import LOADED, NAMESPACE, of_type, target

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


def documented_sources(text, events):
    """The metrics of the document: name to the events that it counts."""
    rows = re.findall(r"^\| `([A-Za-z]+)` \| [A-Z][a-z]+ \| [^|]+ \| ([^|]+) \|", text, re.M)
    return {name: set(re.findall(r"`([a-z_]+)`", told)) & events.keys() for name, told in rows}


SOURCES = documented_sources(DOCUMENT.read_text(), EVENTS)


def asked_events(query):
    """The events that a query of Logs Insights names."""
    lists = re.findall(r'\bevent (?:in \[([^\]]*)\]|= ("[^"]*"))', query)
    return {event for values in lists for event in re.findall(r'"([^"]*)"', "".join(values))}


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
        asked |= asked_events(rest)
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


def pattern_events(pattern):
    """The events that a filter pattern names."""
    return set(re.findall(r'\$\.event = \\?"([a-z_]+)', pattern))


def pattern_findings(pattern):
    """What is wrong with a filter pattern, `{ $.event = "run_held" }`."""
    asked = pattern_events(pattern)
    for event in sorted(asked):
        if event not in EVENTS:
            yield f"there is no event {event}"
    fields = set().union(*(EVENTS.get(event, set()) for event in asked))
    for name in re.findall(r"\$\.([a-zA-Z_.]+)", pattern):
        if name not in EVERYWHERE | FROM_AWS | fields:
            yield f"no line has {name}"


def group_findings(template, properties):
    """What is wrong with where a query looks: one that names neither events nor a run is for whatever there is."""
    query = properties["QueryString"]
    if asked_events(query) or re.search(r"\brun = ", query):
        return
    looks = {target(group) for group in properties["LogGroupNames"]}
    for group in sorted(of_type(template, "AWS::Logs::LogGroup").keys() - looks):
        yield f"does not look into {group}"


def source_findings(template, properties):
    """What an alarm's metric counts and whoever follows the alarm's text does not find."""
    if properties["Namespace"] != NAMESPACE:
        return
    text = properties["AlarmDescription"]["Fn::Sub"]
    named = pattern_events(text)
    for query in of_type(template, "AWS::Logs::QueryDefinition").values():
        if re.search(re.escape(query["Properties"]["Name"]["Fn::Sub"]) + r"(?![a-z-])", text):
            named |= asked_events(query["Properties"]["QueryString"])
    # Some name none: the command line shows what they are about.
    for event in sorted(SOURCES.get(properties["MetricName"], set()) - named) if named else ():
        yield f"its metric counts {event}, which it does not lead to"


def findings(template):
    for name, query in of_type(template, "AWS::Logs::QueryDefinition").items():
        for finding in query_findings(query["Properties"]["QueryString"]):
            yield f"{name}: {finding}"
        for finding in group_findings(template, query["Properties"]):
            yield f"{name}: {finding}"
    for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
        for finding in pattern_findings(alarm["Properties"]["AlarmDescription"]["Fn::Sub"]):
            yield f"{name}: {finding}"
        for finding in source_findings(template, alarm["Properties"]):
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
        self.assertGreater(len(SOURCES), 20)
        self.assertEqual([name for name, events in SOURCES.items() if not events], [])
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

    def test_notices_an_event_that_an_alarm_counts_and_does_not_lead_to(self):
        template = copy.deepcopy(LOADED)
        resources = template["Resources"]
        query = resources["LeasesQuery"]["Properties"]
        query["QueryString"] = query["QueryString"].replace('"run_not_failed", ', "")
        description = resources["WrongScansAlarm"]["Properties"]["AlarmDescription"]
        description["Fn::Sub"] = description["Fn::Sub"].replace("members_were_wrong", "scan_was_wrong")
        self.assertIn(
            "FencedWritesAlarm: its metric counts run_not_failed, which it does not lead to",
            list(findings(template)),
        )
        self.assertIn(
            "WrongScansAlarm: its metric counts members_were_wrong, which it does not lead to",
            list(findings(template)),
        )

    def test_notices_a_query_for_everything_that_leaves_a_function_out(self):
        template = copy.deepcopy(LOADED)
        template["Resources"]["ProblemsQuery"]["Properties"]["LogGroupNames"].pop()
        self.assertEqual(list(findings(template)), ["ProblemsQuery: does not look into PublisherLogGroup"])

    def test_notices_a_pattern_for_what_is_not_logged(self):
        self.assertEqual(
            list(pattern_findings('{ $.event = "run_hold" && $.levels = "WARN" }')),
            ["there is no event run_hold", "no line has levels"],
        )
        held = list(pattern_findings('{ $.event = "run_held" && $.guard = "Count" && $.reason = "a" }'))
        self.assertEqual(held, ["no line has reason"])


if __name__ == "__main__":
    unittest.main()
