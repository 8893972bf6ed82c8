"""What the template promises beyond being valid, checked on the template itself.

`findings` names each breach of the policy. `TheTemplate` wants none of them. `ThePolicy` breaks the
template on purpose, one rule at a time, and wants each breach to be noticed.

Needs cfn-lint, for its reader of CloudFormation's YAML. See README.md for how to run it.
"""

import copy
import json
import re
import unittest
from pathlib import Path

from cfnlint.decode import decode

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
DOCUMENT = Path(__file__).parent.parent / "docs" / "LOGGING.md"

# What the functions ask of the tables and queues: function, place, action, kinds of keys. Recorded by
# tests/end-to-end/tests/calls.rs, which fails when it is not what they do.
CALLS = json.loads((Path(__file__).parent / "calls.json").read_text())

FUNCTIONS = {"enumerator": "Enumerate", "worker": "Batch", "finalizer": "Finalize", "publisher": None}
QUEUES = {"enumerate": "EnumerateQueue", "batch": "BatchQueue", "finalize": "FinalizeQueue"}
TOPICS = {"status": "StatusTopic"}
# What reads a stream: the actions that Lambda's own poller needs.
# https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
STREAM_ACTIONS = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
TABLES = {"directory": "DirectoryTable", "coordination": "CoordinationTable"}

# Whatever the functions did: no role has these.
NEVER = {"dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
TABLE_WRITES = {"dynamodb:PutItem", "dynamodb:UpdateItem"}
# And nobody writes these who must not: the role, the table, the kinds of keys.
NO_WRITER = (
    ("EnumeratorRole", "DirectoryTable", {"user"}),
    ("WorkerRole", "CoordinationTable", {"head", "plan", "revert", "tenants"}),
)
# The one kind of key that is a whole partition key; the others begin one, up to a #.
WHOLE_KINDS = {"tenants"}

# The actions whose resources are not in the template, each with no other in its statement: the one
# resource that it may have, and the conditions that it must have then.
SECRETS = {
    "Fn::Sub": "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}"
    ":secret:${SecretsPrefix}*"
}
ELSEWHERE = {
    "secretsmanager:GetSecretValue": (SECRETS, None),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_policies.html
    "sts:GetWebIdentityToken": (
        "*",
        {
            "ForAllValues:StringEquals": {
                "sts:IdentityTokenAudience": [
                    "api://AzureADTokenExchange",
                    "api://AzureADTokenExchangeChina",
                    "api://AzureADTokenExchangeUSGov",
                ]
            },
            "StringEquals": {"sts:SigningAlgorithm": "RS256"},
            "NumericLessThanEquals": {"sts:DurationSeconds": 300},
        },
    ),
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    "dynamodb:ListStreams": ("*", None),
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    "xray:PutTelemetryRecords": ("*", None),
    "xray:PutTraceSegments": ("*", None),
}
# Who asks Microsoft, and so needs what proves the application.
CREDENTIAL_USERS = {"enumerator", "finalizer"}
# For whom Lambda keeps what a schedule sent and the function failed at, and where: in the function's name.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
KEEPERS = {"enumerator": "ScheduleDeadLetterQueue"}


def expected_permissions():
    """What each role has to allow: role to (action, resource, kind of key). Nothing else may be."""
    expected = {
        "ScheduleRole": {
            ("lambda:InvokeFunction", "EnumeratorFunction", None),
            ("lambda:InvokeFunction", "FinalizerFunction", None),
            ("sqs:SendMessage", "ScheduleDeadLetterQueue", None),
        }
    }
    for function, queue in FUNCTIONS.items():
        name = function.capitalize()
        allowed = {
            ("logs:CreateLogStream", f"{name}LogGroup", None),
            ("logs:PutLogEvents", f"{name}LogGroup", None),
            ("xray:PutTelemetryRecords", "elsewhere", None),
            ("xray:PutTraceSegments", "elsewhere", None),
        }
        if queue:
            # The three that Lambda's own poller needs to read a queue: a message that was worked
            # on is deleted from the queue.
            for action in ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage"):
                allowed.add((f"sqs:{action}", f"{queue}Queue", None))
        else:
            allowed |= {(action, "DirectoryTable", "stream") for action in STREAM_ACTIONS}
            allowed.add(("dynamodb:ListStreams", "elsewhere", None))
        if function in KEEPERS:
            allowed.add(("sqs:SendMessage", KEEPERS[function], None))
        if function in CREDENTIAL_USERS:
            allowed.add(("secretsmanager:GetSecretValue", "elsewhere", None))
            allowed.add(("sts:GetWebIdentityToken", "elsewhere", None))
        for place, actions in CALLS[function].items():
            for action, kinds in actions.items():
                for kind in kinds:
                    if place == "queues":
                        allowed.add((f"sqs:{action}", QUEUES[kind], None))
                    elif place == "topics":
                        allowed.add((f"sns:{action}", TOPICS[kind], None))
                    else:
                        allowed.add((f"dynamodb:{action}", TABLES[place], kind))
        expected[f"{name}Role"] = allowed
    return expected


# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_PER_TIMEOUT_MIN = 6
RECEIVE_COUNT_MIN = 5
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
RETENTION_DEFAULT_SECONDS = 345_600
# The metrics that the functions write, under the namespace that they are given.
NAMESPACE = {"Fn::Sub": "Rollcall/${AWS::StackName}"}
# Of these, each has an alarm.
WATCHED = {
    "HeldRuns",
    "FailedRuns",
    "StartsLeftOut",
    "StatusEventsUnreadable",
    "ServiceProvidersBehind",
    "AccountsLeft",
    "WrongScans",
    "UsersDeactivated",
    "FencedWrites",
    "GraphThrottled",
    "SinceCompleted",
    "SinceFullCompleted",
}
# And of these an absence is as bad as a high value: who would tell, if nobody looks?
MISSING_IS_BAD = {"SinceCompleted", "SinceFullCompleted"}
# Of these an absence says nothing: whoever was late and stopped altogether is late still.
MISSING_IS_UNKNOWN = {"IteratorAge"}
# What each sweep writes once, whatever it finds.
WRITTEN_BY_SWEEPS = {"SinceCompleted", "SinceFullCompleted"}
# An alarm looks back for so long at most, in seconds.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
LOOKED_BACK_MAX_SECONDS = 86_400
# 1024 of CloudWatch, less what the names of the resources add.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
ALARM_DESCRIPTION_MAX = 760


def documented_metrics(text):
    """The metrics of the document: name to the dimensions it comes with; None is none."""
    metrics = {}
    for name, dimensions in re.findall(r"^\| `([A-Za-z]+)` \| [A-Z][a-z]+ \| ([^|]+) \|", text, re.M):
        found = set(re.findall(r"`([a-z]+)`", dimensions))
        metrics[name] = found | ({None} if dimensions.startswith("none") else set())
    return metrics


METRICS = documented_metrics(DOCUMENT.read_text())


def of_type(template, kind):
    """The resources of one type: name to resource."""
    resources = template["Resources"].items()
    return {name: resource for name, resource in resources if resource["Type"] == kind}


def as_list(value):
    return value if isinstance(value, list) else [value]


def target(value):
    """The resource that a Ref or an Fn::GetAtt points at, or None for anything else."""
    if not isinstance(value, dict):
        return None
    if "Ref" in value:
        return value["Ref"]
    attribute = value.get("Fn::GetAtt")
    if isinstance(attribute, str):
        return attribute.split(".")[0]
    return attribute[0] if attribute else None


def index_of(value):
    """The table and the index that an Fn::Sub of an index's ARN names; none for anything else."""
    text = value.get("Fn::Sub") if isinstance(value, dict) else None
    match = re.fullmatch(r"\$\{(\w+)\.Arn\}/(index/\w+)", text) if isinstance(text, str) else None
    return match.groups() if match else (None, None)


def directory_kind(value):
    """What of the directory is pointed at: its users, its stream or an index."""
    if isinstance(value, dict) and "StreamArn" in value.get("Fn::GetAtt", []):
        return "stream"
    return index_of(value)[1] or "user"


def statements(role):
    for policy in role["Properties"].get("Policies", []):
        yield from as_list(policy["PolicyDocument"]["Statement"])


def leading_kinds(statement):
    """The kinds of keys that a statement about a table is limited to, or None if it is not.

    `ForAllValues` holds when a request has no key at all, such as a scan; `Null` says that it has.
    """
    condition = statement.get("Condition", {})
    keys = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
    if keys is None or condition != limited_to(keys):
        return None
    kinds = {key if key in WHOLE_KINDS else key.removesuffix("#*") for key in keys}
    return kinds if as_keys(kinds) == sorted(keys) else None


def limited_to(keys):
    return {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def as_keys(kinds):
    return sorted(kind if kind in WHOLE_KINDS else f"{kind}#*" for kind in kinds)


def permissions(template, role):
    """What a role allows: (action, resource, kind of key). Whatever is not understood is a finding."""
    allowed, problems = set(), []
    for statement in statements(template["Resources"][role]):
        where = f"{role}, {statement.get('Sid', 'a statement without Sid')}"
        if not {"Action", "Resource"} <= statement.keys() or statement.get("Effect") != "Allow":
            problems.append(f"{where}: does not say what it allows on what")
            continue
        actions = as_list(statement["Action"])
        if ELSEWHERE.keys() & set(actions):
            problems += elsewhere_problems(where, statement, actions)
            allowed |= {(action, "elsewhere", None) for action in actions}
            continue
        for resource in as_list(statement["Resource"]):
            name, index = index_of(resource)
            name = name or target(resource)
            if name not in template["Resources"]:
                problems.append(f"{where}: {resource} is not one resource of this template")
                continue
            kinds = {None}
            if name == "DirectoryTable":
                kinds = {directory_kind(resource)}
            elif index:
                problems.append(f"{where}: {resource} is an index that no function reads")
                continue
            if name == "CoordinationTable":
                kinds = leading_kinds(statement)
                if kinds is None:
                    problems.append(f"{where}: not limited to kinds of keys, each whole")
                    continue
            allowed |= {(action, name, kind) for action in actions for kind in kinds}
    return allowed, problems


def elsewhere_problems(where, statement, actions):
    """What is wrong with a statement about what the template does not have."""
    for action in actions:
        resource, condition = ELSEWHERE.get(action, (None, None))
        if statement["Resource"] != resource:
            yield f"{where}: {action} on more than it needs"
        elif statement.get("Condition") != condition:
            yield f"{where}: {action} without its conditions"


def told(permission):
    action, resource, kind = permission
    return f"{action} on {resource}" + (f", {kind}" if kind else "")


def role_findings(template):
    expected = expected_permissions()
    for name, role in of_type(template, "AWS::IAM::Role").items():
        if "ManagedPolicyArns" in role["Properties"]:
            yield f"{name}: a managed policy, whose actions are not named here"
        if name not in expected:
            yield f"{name}: a role that nobody needs"
            continue
        allowed, problems = permissions(template, name)
        yield from problems
        for permission in sorted(expected[name] - allowed, key=str):
            yield f"{name}: {told(permission)} is needed and not allowed"
        for permission in sorted(allowed - expected[name], key=str):
            yield f"{name}: {told(permission)} is allowed and not needed"
        for action, resource, kind in sorted(allowed, key=str):
            if action in NEVER or "*" in action:
                yield f"{name}: {action} is not an action that a role may have"
            for role_name, table, kinds in NO_WRITER:
                if (name, resource) == (role_name, table) and kind in kinds:
                    if action in TABLE_WRITES:
                        yield f"{name}: {told((action, resource, kind))} must never be allowed"
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
        for name in of_type(template, kind):
            yield f"{name}: permissions outside a role"


def function_findings(template):
    roles = set()
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        properties = function["Properties"]
        # Without a role of its own, SAM makes one, with permissions on every queue there is.
        role = target(properties.get("Role"))
        if role not in of_type(template, "AWS::IAM::Role") or role in roles:
            yield f"{name}: no role of its own"
        roles.add(role)
        group = target(properties["LoggingConfig"]["LogGroup"])
        groups = of_type(template, "AWS::Logs::LogGroup")
        if group not in groups:
            yield f"{name}: no log group of its own"
        elif "RetentionInDays" not in groups[group]["Properties"]:
            yield f"{name}: its logs are kept for ever"
        if rings_itself(name) != (properties.get("RecursiveLoop") == "Allow"):
            what = "is stopped" if rings_itself(name) else "rings nobody, and is not stopped"
            yield f"{name}: {what} when it goes round and round"
        for event_name, event in properties["Events"].items():
            yield from event_findings(template, f"{name}, {event_name}", properties, event)


def rings_itself(name):
    """Whether a message of a function's may lead to its own invocation, by its queue or by others'."""
    readers = {queue.lower(): function for function, queue in FUNCTIONS.items() if queue}
    begun = name.removesuffix("Function").lower()
    rung, new = set(), {begun}
    while new:
        rings = {readers[queue] for one in new for queue in CALLS[one].get("queues", {}).get("SendMessage", ())}
        new = rings - rung
        rung |= new
    return begun in rung


def event_findings(template, where, function, event):
    if event["Type"] == "DynamoDB":
        yield from stream_findings(template, where, event["Properties"])
        return
    if event["Type"] != "SQS":
        yield f"{where}: {event['Type']} events bring a role that is not written here"
        return
    properties = event["Properties"]
    if properties.get("BatchSize") != 1:
        yield f"{where}: more than one message an invocation"
    if properties.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield f"{where}: does not report failed messages one by one"
    if "MaximumConcurrency" not in properties.get("ScalingConfig", {}):
        yield f"{where}: nothing limits how many are worked on at once"
    queue = template["Resources"][target(properties["Queue"])]["Properties"]
    if queue["VisibilityTimeout"] < VISIBILITY_PER_TIMEOUT_MIN * function["Timeout"]:
        yield f"{where}: the queue's visibility timeout is under six times the function's timeout"


def stream_findings(template, where, properties):
    """No change is given up before the stream forgets it, and each is told with what was before."""
    if properties.get("StartingPosition") != "TRIM_HORIZON":
        yield f"{where}: begins behind changes that nobody was told of"
    for bound in ("MaximumRetryAttempts", "MaximumRecordAgeInSeconds"):
        if properties.get(bound) != -1:
            yield f"{where}: {bound} gives changes up"
    if properties.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield f"{where}: does not report the first record that is to come again"
    # Several at once of one shard would be told out of order across invocations.
    if properties.get("ParallelizationFactor", 1) != 1:
        yield f"{where}: a shard is read by several at once"
    table = template["Resources"][target(properties["Stream"])]["Properties"]
    view = table.get("StreamSpecification", {}).get("StreamViewType")
    if view != "NEW_AND_OLD_IMAGES":
        yield f"{where}: its stream does not tell what was before and is after"


def topic_findings(template):
    policies = of_type(template, "AWS::SNS::TopicPolicy").values()
    over_tls = {
        target(topic)
        for policy in policies
        for topic in policy["Properties"]["Topics"]
        if any(
            statement["Effect"] == "Deny"
            and statement["Action"] == "sns:Publish"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        )
    }
    for name in of_type(template, "AWS::SNS::Topic"):
        if name not in over_tls:
            yield f"{name}: takes messages without TLS"


def queue_findings(template):
    queues = of_type(template, "AWS::SQS::Queue")
    dead_letter = {
        target(queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"])
        for queue in queues.values()
        if "RedrivePolicy" in queue["Properties"]
    }
    dead_letter |= {
        target(schedule["Properties"]["Target"]["DeadLetterConfig"]["Arn"])
        for schedule in of_type(template, "AWS::Scheduler::Schedule").values()
        if "DeadLetterConfig" in schedule["Properties"]["Target"]
    }
    over_tls = {
        target(queue)
        for policy in of_type(template, "AWS::SQS::QueuePolicy").values()
        for queue in policy["Properties"]["Queues"]
        if denies_without_tls(policy, target(queue))
    }
    for name, queue in queues.items():
        if name not in over_tls:
            yield f"{name}: may be reached without TLS"
        if name in dead_letter:
            continue
        redrive = queue["Properties"].get("RedrivePolicy")
        if redrive is None:
            yield f"{name}: no dead-letter queue"
            continue
        if redrive["maxReceiveCount"] < RECEIVE_COUNT_MIN:
            yield f"{name}: a message is given up before it was received {RECEIVE_COUNT_MIN} times"
        other = queues[target(redrive["deadLetterTargetArn"])]
        if retention_seconds(other) <= retention_seconds(queue):
            yield f"{name}: its dead-letter queue keeps messages no longer than itself"


def denies_without_tls(policy, queue):
    return any(
        statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and statement["Action"] == "sqs:*"
        and target(statement["Resource"]) == queue
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    )


def retention_seconds(queue):
    return queue["Properties"].get("MessageRetentionPeriod", RETENTION_DEFAULT_SECONDS)


def table_findings(template):
    for name, table in of_type(template, "AWS::DynamoDB::Table").items():
        properties = table["Properties"]
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if table.get(policy) != "Retain":
                yield f"{name}: {policy} is not Retain"
        if properties.get("DeletionProtectionEnabled") is not True:
            yield f"{name}: anybody who may delete a table may delete it"
        if properties.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{name}: its capacity is not on demand"
        recovery = properties.get("PointInTimeRecoverySpecification", {})
        if recovery.get("PointInTimeRecoveryEnabled") is not True:
            yield f"{name}: no point-in-time recovery"
        # TTL deletes. What coordinates a run may expire after it; a user may not.
        expires = "TimeToLiveSpecification" in properties
        if expires != (name == "CoordinationTable"):
            yield f"{name}: {'items expire' if expires else 'items never expire'}"


def schedule_findings(template):
    for name, schedule in of_type(template, "AWS::Scheduler::Schedule").items():
        aim = schedule["Properties"]["Target"]
        if not {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"} <= aim.get("RetryPolicy", {}).keys():
            yield f"{name}: is tried again for a whole day"
        if "DeadLetterConfig" not in aim:
            yield f"{name}: what it cannot start is not kept"
        yield from handed_over_findings(template, name, aim)


def handed_over_findings(template, name, aim):
    """A schedule is done with an event when Lambda has it: its retries and dead letters are of the handing over.

    Lambda tries no later and no oftener than the schedule would, and keeps what is not made up for by the next one.
    """
    function = target(aim["Arn"])
    config = template["Resources"][function]["Properties"].get("EventInvokeConfig", {})
    if not {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"} <= config.keys():
        yield f"{name}: what {function} got of it is tried again for six hours"
        return
    is_made_up_for = aim.get("RetryPolicy", {}).get("MaximumRetryAttempts") == 0
    if is_made_up_for and config["MaximumRetryAttempts"] != 0:
        yield f"{name}: {function} tries again what the next one would do"
    kept = target(config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
    if not is_made_up_for and kept != target(aim.get("DeadLetterConfig", {}).get("Arn")):
        yield f"{name}: what {function} failed at is not kept beside what it was not handed"


def alarm_findings(template):
    """Whatever can go wrong has an alarm, which tells somebody, in words, with a command."""
    watched, own = set(), set()
    for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        dimensions = properties.get("Dimensions", [])
        of = target(dimensions[0]["Value"]) if dimensions else None
        watched.add((of, properties["MetricName"]))
        text = properties.get("AlarmDescription", {}).get("Fn::Sub", "")
        if "aws " not in text and "rollcall --stack" not in text:
            yield f"{name}: does not say what to type"
        if len(text) > ALARM_DESCRIPTION_MAX:
            yield f"{name}: its description is longer than {ALARM_DESCRIPTION_MAX}"
        if [target(action) for action in properties.get("AlarmActions", [])] != ["AlarmTopic"]:
            yield f"{name}: tells nobody"
        if properties["Period"] * properties["EvaluationPeriods"] > LOOKED_BACK_MAX_SECONDS:
            yield f"{name}: looks back for longer than a day"
        if properties["Namespace"] == NAMESPACE:
            dimension = dimensions[0]["Name"] if dimensions else None
            yield from metric_findings(name, properties["MetricName"], dimension)
            # How many values there are says nothing of what they are.
            if properties["Statistic"] != "SampleCount":
                own.add(properties["MetricName"])
            is_bad = properties["MetricName"] in MISSING_IS_BAD
            if is_bad != (properties["TreatMissingData"] == "breaching"):
                yield f"{name}: takes missing data for {properties['TreatMissingData']}"
        if properties["MetricName"] in MISSING_IS_UNKNOWN and properties["TreatMissingData"] != "ignore":
            yield f"{name}: takes missing data for {properties['TreatMissingData']}"
    if not any(is_of_sweeps(alarm) for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()):
        yield "SweepSchedule: no alarm of sweeps that do not come"
    for metric in sorted(WATCHED - own):
        yield f"{metric}: no alarm of it"
    for function in of_type(template, "AWS::Serverless::Function"):
        for metric in ("Errors", "Throttles", "Duration"):
            if (function, metric) not in watched:
                yield f"{function}: no alarm of its {metric}"
    for queue in of_type(template, "AWS::SQS::Queue"):
        is_dead = "DeadLetter" in queue
        metric = "ApproximateNumberOfMessagesVisible" if is_dead else "ApproximateAgeOfOldestMessage"
        if (queue, metric) not in watched:
            yield f"{queue}: no alarm of its {metric}"


def is_of_sweeps(alarm):
    """Whether an alarm counts what sweeps alone write, and nothing counts as none."""
    properties = alarm["Properties"]
    return (
        properties["Namespace"] == NAMESPACE
        and properties["MetricName"] in WRITTEN_BY_SWEEPS
        and properties["Statistic"] == "SampleCount"
        and properties["ComparisonOperator"] == "LessThanThreshold"
        and properties["TreatMissingData"] == "breaching"
    )


def metric_findings(where, metric, dimension):
    """A metric that nobody writes is always in good health."""
    if dimension not in METRICS.get(metric, set()):
        by = f" by {dimension}" if dimension else ""
        yield f"{where}: the functions write no {metric}{by}"


def dashboard_findings(template):
    for name, dashboard in of_type(template, "AWS::CloudWatch::Dashboard").items():
        for widget in json.loads(dashboard["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]:
            for namespace, metric, *by in widget["properties"].get("metrics", []):
                if namespace == NAMESPACE["Fn::Sub"]:
                    yield from metric_findings(name, metric, by[0] if by else None)


def namespace_findings(template):
    """The functions write metrics where the alarms look, and there is no second way to make one."""
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    if variables.get("ROLLCALL_METRICS_NAMESPACE") != NAMESPACE:
        yield "Globals: the functions write their metrics where no alarm looks"
    for name in of_type(template, "AWS::Logs::MetricFilter"):
        yield f"{name}: makes a metric beside those that the functions write"


def parameter_findings(template):
    for name, parameter in template["Parameters"].items():
        for part in ("Default", "Description"):
            if part not in parameter:
                yield f"{name}: a parameter without {part}"


def findings(template):
    checks = (
        role_findings,
        function_findings,
        queue_findings,
        topic_findings,
        table_findings,
        schedule_findings,
        alarm_findings,
        dashboard_findings,
        namespace_findings,
        parameter_findings,
    )
    return [finding for check in checks for finding in check(template)]


def load():
    template, errors = decode(str(TEMPLATE))
    if errors:
        raise AssertionError(f"{TEMPLATE.name} cannot be read: {errors}")
    # Without where each part stands in the file.
    return json.loads(json.dumps(template))


LOADED = load()


class TheTemplate(unittest.TestCase):
    def test_has_what_the_policy_is_about(self):
        template = LOADED
        for kind, count in {
            "AWS::DynamoDB::Table": 2,
            "AWS::IAM::Role": 5,
            "AWS::SQS::Queue": 7,
            "AWS::Scheduler::Schedule": 3,
            "AWS::Serverless::Function": 4,
            "AWS::SNS::Topic": 2,
        }.items():
            self.assertEqual(len(of_type(template, kind)), count, kind)

    def test_keeps_the_policy(self):
        self.assertEqual(findings(LOADED), [])

    def test_the_directory_is_streamed_by_the_tables_keys_with_its_layout(self):
        table = load()["Resources"]["DirectoryTable"]["Properties"]
        index = {it["IndexName"]: it for it in table["GlobalSecondaryIndexes"]}["standing"]
        self.assertEqual(index["KeySchema"], table["KeySchema"])
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["schema", "standing"]}
        self.assertEqual(index["Projection"], projection)


class ThePolicy(unittest.TestCase):
    """Each test breaks one rule of a good template."""

    def setUp(self):
        self.template = copy.deepcopy(LOADED)
        self.resources = self.template["Resources"]

    def properties(self, name):
        return self.resources[name]["Properties"]

    def statement(self, role, sid):
        return next(s for s in statements(self.resources[role]) if s["Sid"] == sid)

    def notices(self, *expected):
        self.assertEqual(sorted(findings(self.template)), sorted(expected))

    def add(self, role, action, resource, kind=None):
        """Allows a role one thing more."""
        policy = self.properties(role)["Policies"][0]["PolicyDocument"]
        more = {
            "Sid": "More",
            "Effect": "Allow",
            "Action": action,
            "Resource": {"Fn::GetAtt": [resource, "Arn"]},
        }
        if resource == "CoordinationTable":
            more["Condition"] = limited_to(as_keys({kind}))
        if kind == "stream":
            more["Resource"] = {"Fn::GetAtt": [resource, "StreamArn"]}
        if kind and kind.startswith("index/"):
            more["Resource"] = {"Fn::Sub": f"${{{resource}.Arn}}/{kind}"}
        policy["Statement"].append(more)

    def drop(self, role, permission):
        """Takes one permission away, and leaves the others of its statement."""
        action, resource, kind = permission
        for statement in list(statements(self.resources[role])):
            actions = as_list(statement["Action"])
            resources = as_list(statement["Resource"])
            names = [index_of(one)[0] or target(one) or "elsewhere" for one in resources]
            if action not in actions or resource not in names:
                continue
            if resource == "DirectoryTable" and kind != directory_kind(resources[0]):
                continue
            if resource == "CoordinationTable" and kind not in leading_kinds(statement):
                continue
            policy = self.properties(role)["Policies"][0]["PolicyDocument"]
            policy["Statement"].remove(statement)
            rest = copy.deepcopy(statement)
            rest["Action"] = [one for one in actions if one != action]
            if rest["Action"]:
                policy["Statement"].append(rest)
            this = copy.deepcopy(statement)
            this["Action"] = action
            if resource == "CoordinationTable":
                left = leading_kinds(statement) - {kind}
                this["Condition"] = limited_to(as_keys(left))
                if left:
                    policy["Statement"].append(this)
            elif len(names) > 1:
                this["Resource"] = [
                    one for one in statement["Resource"] if target(one) != resource
                ]
                policy["Statement"].append(this)
            return
        self.fail(f"{role} does not allow {told(permission)}")

    def test_notices_each_needed_permission_that_is_taken_away(self):
        for role, needed in expected_permissions().items():
            for permission in sorted(needed, key=str):
                with self.subTest(role=role, permission=permission):
                    self.setUp()
                    self.drop(role, permission)
                    self.notices(f"{role}: {told(permission)} is needed and not allowed")

    def test_notices_each_permission_on_the_tables_that_is_not_needed(self):
        expected = expected_permissions()
        on_tables = [p for needed in expected.values() for p in needed if p[1] in TABLES.values()]
        actions = {action for action, _, _ in on_tables}
        places = {(table, kind) for _, table, kind in on_tables}
        for role, needed in expected.items():
            for action in actions:
                for table, kind in places:
                    permission = (action, table, kind)
                    if permission in needed:
                        continue
                    with self.subTest(role=role, permission=permission):
                        self.setUp()
                        self.add(role, *permission)
                        found = findings(self.template)
                        self.assertIn(f"{role}: {told(permission)} is allowed and not needed", found)

    def test_notices_each_queue_that_is_rung_for_nothing(self):
        for role, needed in expected_permissions().items():
            for queue in of_type(self.template, "AWS::SQS::Queue"):
                permission = ("sqs:SendMessage", queue, None)
                if permission not in needed:
                    self.setUp()
                    self.add(role, *permission)
                    self.notices(f"{role}: {told(permission)} is allowed and not needed")

    def test_notices_an_action_that_deletes_writes_in_bulk_or_is_a_pattern(self):
        for action in ("dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:*", "*"):
            with self.subTest(action):
                self.setUp()
                self.add("WorkerRole", action, "DirectoryTable")
                self.notices(
                    f"WorkerRole: {action} on DirectoryTable, user is allowed and not needed",
                    f"WorkerRole: {action} is not an action that a role may have",
                )

    def test_notices_an_enumerator_that_writes_the_directory(self):
        self.add("EnumeratorRole", "dynamodb:PutItem", "DirectoryTable")
        what = "dynamodb:PutItem on DirectoryTable, user"
        self.notices(
            f"EnumeratorRole: {what} is allowed and not needed",
            f"EnumeratorRole: {what} must never be allowed",
        )

    def test_notices_a_worker_that_writes_tenants_or_plans(self):
        for kind in ("tenants", "plan"):
            with self.subTest(kind):
                self.setUp()
                self.add("WorkerRole", "dynamodb:UpdateItem", "CoordinationTable", kind)
                what = f"dynamodb:UpdateItem on CoordinationTable, {kind}"
                self.notices(
                    f"WorkerRole: {what} is allowed and not needed",
                    f"WorkerRole: {what} must never be allowed",
                )

    def test_notices_kinds_of_keys_that_are_patterns_or_may_be_absent(self):
        for condition in (
            None,
            limited_to(["*"]),
            limited_to(["batch*"]),
            limited_to(["batch#contoso#*"]),
            {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["batch#*"]}},
        ):
            with self.subTest(condition):
                self.setUp()
                self.add("WorkerRole", "dynamodb:UpdateItem", "CoordinationTable", "batch")
                more = self.statement("WorkerRole", "More")
                more["Condition"] = condition
                if condition is None:
                    del more["Condition"]
                found = findings(self.template)
                self.assertTrue(
                    "WorkerRole, More: not limited to kinds of keys, each whole" in found
                    or any("is allowed and not needed" in finding for finding in found),
                    found,
                )

    def test_notices_a_resource_that_is_a_pattern(self):
        self.add("WorkerRole", "dynamodb:PutItem", "DirectoryTable")
        self.statement("WorkerRole", "More")["Resource"] = "*"
        self.notices("WorkerRole, More: * is not one resource of this template")

    def test_notices_secrets_that_are_not_the_tenants(self):
        statement = self.statement("EnumeratorRole", "ReadTheTenantsSecrets")
        statement["Resource"] = "*"
        self.notices(
            "EnumeratorRole, ReadTheTenantsSecrets: "
            "secretsmanager:GetSecretValue on more than it needs"
        )

    def test_notices_an_identity_that_anybody_may_be_shown(self):
        del self.statement("FinalizerRole", "BeVouchedFor")["Condition"]
        self.notices(
            "FinalizerRole, BeVouchedFor: sts:GetWebIdentityToken without its conditions"
        )

    def test_notices_a_worker_that_could_prove_itself_to_microsoft(self):
        moved = self.statement("FinalizerRole", "BeVouchedFor")
        policy = self.properties("WorkerRole")["Policies"][0]["PolicyDocument"]
        policy["Statement"].append(moved)
        self.notices(
            "WorkerRole: sts:GetWebIdentityToken on elsewhere is allowed and not needed"
        )

    def test_notices_a_statement_by_exclusion(self):
        self.add("WorkerRole", "dynamodb:PutItem", "DirectoryTable")
        statement = self.statement("WorkerRole", "More")
        statement["NotAction"] = statement.pop("Action")
        self.notices("WorkerRole, More: does not say what it allows on what")

    def test_notices_permissions_from_elsewhere(self):
        self.properties("WorkerRole")["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/Any"]
        self.resources["Extra"] = {"Type": "AWS::IAM::Policy", "Properties": {}}
        self.notices(
            "WorkerRole: a managed policy, whose actions are not named here",
            "Extra: permissions outside a role",
        )

    def test_notices_a_role_that_sam_makes_and_one_that_two_functions_share(self):
        del self.properties("WorkerFunction")["Role"]
        self.properties("FinalizerFunction")["Role"] = self.properties("EnumeratorFunction")["Role"]
        self.notices(
            "WorkerFunction: no role of its own", "FinalizerFunction: no role of its own"
        )

    def test_notices_an_event_that_brings_its_own_role(self):
        self.properties("WorkerFunction")["Events"]["Batch"]["Type"] = "ScheduleV2"
        self.notices(
            "WorkerFunction, Batch: ScheduleV2 events bring a role that is not written here"
        )

    def test_notices_logs_that_go_to_a_group_without_retention(self):
        self.properties("WorkerFunction")["LoggingConfig"]["LogGroup"] = "/aws/lambda/other"
        self.notices("WorkerFunction: no log group of its own")

    def test_notices_logs_that_are_kept_for_ever(self):
        del self.properties("WorkerLogGroup")["RetentionInDays"]
        self.notices("WorkerFunction: its logs are kept for ever")

    def test_notices_a_function_that_nothing_holds_back(self):
        event = self.properties("WorkerFunction")["Events"]["Batch"]["Properties"]
        del event["ScalingConfig"]
        self.notices("WorkerFunction, Batch: nothing limits how many are worked on at once")

    def test_notices_messages_that_fail_together(self):
        event = self.properties("WorkerFunction")["Events"]["Batch"]["Properties"]
        del event["FunctionResponseTypes"]
        event["BatchSize"] = 10
        self.notices(
            "WorkerFunction, Batch: more than one message an invocation",
            "WorkerFunction, Batch: does not report failed messages one by one",
        )

    def test_notices_a_visibility_timeout_one_second_too_short(self):
        self.properties("BatchQueue")["VisibilityTimeout"] = 719
        self.notices(
            "WorkerFunction, Batch: "
            "the queue's visibility timeout is under six times the function's timeout"
        )

    def test_notices_a_stream_that_gives_changes_up_or_tells_them_out_of_order(self):
        event = self.properties("PublisherFunction")["Events"]["Changed"]["Properties"]
        event["StartingPosition"] = "LATEST"
        event["MaximumRetryAttempts"] = 3
        event["ParallelizationFactor"] = 2
        del event["MaximumRecordAgeInSeconds"]
        del event["FunctionResponseTypes"]
        where = "PublisherFunction, Changed"
        self.notices(
            f"{where}: begins behind changes that nobody was told of",
            f"{where}: MaximumRetryAttempts gives changes up",
            f"{where}: MaximumRecordAgeInSeconds gives changes up",
            f"{where}: does not report the first record that is to come again",
            f"{where}: a shard is read by several at once",
        )

    def test_notices_a_stream_without_what_was_before(self):
        self.properties("DirectoryTable")["StreamSpecification"]["StreamViewType"] = "NEW_IMAGE"
        self.notices(
            "PublisherFunction, Changed: its stream does not tell what was before and is after"
        )

    def test_notices_a_topic_that_takes_messages_without_tls(self):
        del self.resources["StatusTopicPolicy"]
        self.notices("StatusTopic: takes messages without TLS")

    def test_notices_a_queue_without_dead_letters(self):
        # The former dead-letter queue is then a queue like any other, without one of its own.
        del self.properties("BatchQueue")["RedrivePolicy"]
        self.notices(
            "BatchQueue: no dead-letter queue", "BatchDeadLetterQueue: no dead-letter queue"
        )

    def test_notices_dead_letters_that_come_too_soon_or_expire_too_soon(self):
        self.properties("BatchQueue")["RedrivePolicy"]["maxReceiveCount"] = 1
        del self.properties("FinalizeDeadLetterQueue")["MessageRetentionPeriod"]
        self.notices(
            "BatchQueue: a message is given up before it was received 5 times",
            "FinalizeQueue: its dead-letter queue keeps messages no longer than itself",
        )

    def test_notices_a_table_that_goes_with_the_stack(self):
        del self.resources["DirectoryTable"]["DeletionPolicy"]
        self.resources["CoordinationTable"]["UpdateReplacePolicy"] = "Delete"
        self.notices(
            "DirectoryTable: DeletionPolicy is not Retain",
            "CoordinationTable: UpdateReplacePolicy is not Retain",
        )

    def test_notices_a_table_that_may_be_deleted_and_one_that_is_not_on_demand(self):
        self.properties("DirectoryTable")["DeletionProtectionEnabled"] = False
        self.properties("CoordinationTable")["BillingMode"] = "PROVISIONED"
        self.notices(
            "DirectoryTable: anybody who may delete a table may delete it",
            "CoordinationTable: its capacity is not on demand",
        )

    def test_notices_a_queue_that_may_be_reached_without_tls(self):
        policy = self.properties("BatchQueueOverTls")["PolicyDocument"]
        policy["Statement"][0]["Condition"] = {"Bool": {"aws:SecureTransport": "true"}}
        self.notices("BatchQueue: may be reached without TLS")

    def test_notices_a_schedule_without_an_end_of_its_retries_and_without_dead_letters(self):
        aim = self.properties("SweepSchedule")["Target"]
        del aim["RetryPolicy"]
        del aim["DeadLetterConfig"]
        self.notices(
            "SweepSchedule: is tried again for a whole day",
            "SweepSchedule: what it cannot start is not kept",
        )

    def test_notices_what_a_schedule_sent_that_is_given_up_in_silence_or_tried_for_hours(self):
        del self.properties("EnumeratorFunction")["EventInvokeConfig"]["DestinationConfig"]
        del self.properties("FinalizerFunction")["EventInvokeConfig"]
        lost = "what EnumeratorFunction failed at is not kept beside what it was not handed"
        self.notices(
            f"FullRunSchedule: {lost}",
            f"DeltaRunSchedule: {lost}",
            "SweepSchedule: what FinalizerFunction got of it is tried again for six hours",
        )

    def test_notices_a_sweep_that_is_tried_again_beside_the_next_one(self):
        self.properties("FinalizerFunction")["EventInvokeConfig"]["MaximumRetryAttempts"] = 2
        self.notices("SweepSchedule: FinalizerFunction tries again what the next one would do")

    def test_notices_a_function_that_lambda_stops_and_one_that_it_should_stop(self):
        del self.properties("WorkerFunction")["RecursiveLoop"]
        self.properties("EnumeratorFunction")["RecursiveLoop"] = "Terminate"
        self.properties("PublisherFunction")["RecursiveLoop"] = "Allow"
        self.notices(
            "WorkerFunction: is stopped when it goes round and round",
            "EnumeratorFunction: is stopped when it goes round and round",
            "PublisherFunction: rings nobody, and is not stopped when it goes round and round",
        )

    def test_notices_sweeps_whose_absence_nobody_tells(self):
        finding = "SweepSchedule: no alarm of sweeps that do not come"
        alarm = self.properties("SweepMissingAlarm")
        # Every run invokes the finalizer, and makes up for the sweeps that do not.
        alarm["Namespace"], alarm["MetricName"] = "AWS/Lambda", "Invocations"
        self.notices(finding)
        self.setUp()
        del self.resources["SweepMissingAlarm"]
        self.notices(finding)

    def test_notices_a_value_that_is_counted_and_not_looked_at(self):
        del self.resources["CompletedRunMissingAlarm"]
        self.notices("SinceCompleted: no alarm of it")

    def test_notices_an_alarm_that_takes_a_publisher_that_stopped_for_a_quick_one(self):
        self.properties("StatusEventsLateAlarm")["TreatMissingData"] = "notBreaching"
        self.notices("StatusEventsLateAlarm: takes missing data for notBreaching")

    def test_notices_each_alarm_that_is_missing(self):
        missing = {
            "WorkerErrorsAlarm": "WorkerFunction: no alarm of its Errors",
            "FinalizerThrottlesAlarm": "FinalizerFunction: no alarm of its Throttles",
            "EnumeratorDurationAlarm": "EnumeratorFunction: no alarm of its Duration",
            "BatchAgeAlarm": "BatchQueue: no alarm of its ApproximateAgeOfOldestMessage",
            "ScheduleDeadLettersAlarm": "ScheduleDeadLetterQueue: "
            "no alarm of its ApproximateNumberOfMessagesVisible",
        }
        for name, finding in missing.items():
            with self.subTest(name):
                self.setUp()
                del self.resources[name]
                self.notices(finding)

    def test_notices_each_metric_of_the_functions_that_no_alarm_looks_at(self):
        for name, metric in {
            "HeldRunsAlarm": "HeldRuns",
            "TenantRestsAlarm": "StartsLeftOut",
            "FullRunMissingAlarm": "SinceFullCompleted",
            "DeactivationsAlarm": "UsersDeactivated",
        }.items():
            with self.subTest(name):
                self.setUp()
                del self.resources[name]
                self.notices(f"{metric}: no alarm of it")

    def test_notices_an_alarm_of_what_nobody_writes(self):
        self.properties("FencedWritesAlarm")["MetricName"] = "FencedWrite"
        self.properties("HeldRunsAlarm")["Dimensions"] = [{"Name": "tenant", "Value": "contoso"}]
        self.notices(
            "FencedWritesAlarm: the functions write no FencedWrite",
            "FencedWrites: no alarm of it",
            "HeldRunsAlarm: the functions write no HeldRuns by tenant",
        )

    def test_notices_a_widget_of_what_nobody_writes(self):
        body = self.properties("Dashboard")["DashboardBody"]
        body["Fn::Sub"] = body["Fn::Sub"].replace('"UsersKept", "reason"', '"UsersKept", "why"', 1)
        self.notices("Dashboard: the functions write no UsersKept by why")

    def test_notices_an_alarm_that_is_content_when_nobody_looks_any_more(self):
        self.properties("CompletedRunMissingAlarm")["TreatMissingData"] = "notBreaching"
        self.properties("HeldRunsAlarm")["TreatMissingData"] = "breaching"
        self.notices(
            "CompletedRunMissingAlarm: takes missing data for notBreaching",
            "HeldRunsAlarm: takes missing data for breaching",
        )

    def test_notices_an_alarm_that_looks_back_too_far(self):
        self.properties("DeactivationsAlarm")["EvaluationPeriods"] = 25
        self.notices("DeactivationsAlarm: looks back for longer than a day")

    def test_notices_metrics_that_go_elsewhere_or_are_made_twice(self):
        variables = self.template["Globals"]["Function"]["Environment"]["Variables"]
        variables["ROLLCALL_METRICS_NAMESPACE"] = "Rollcall"
        self.resources["Extra"] = {"Type": "AWS::Logs::MetricFilter", "Properties": {}}
        self.notices(
            "Globals: the functions write their metrics where no alarm looks",
            "Extra: makes a metric beside those that the functions write",
        )

    def test_notices_an_alarm_that_says_nothing_to_nobody(self):
        alarm = self.properties("HeldRunsAlarm")
        alarm["AlarmDescription"] = {"Fn::Sub": "Something happened."}
        alarm["AlarmActions"] = []
        self.notices("HeldRunsAlarm: does not say what to type", "HeldRunsAlarm: tells nobody")

    def test_notices_a_parameter_that_has_to_be_thought_about(self):
        del self.template["Parameters"]["SecretsPrefix"]["Default"]
        self.notices("SecretsPrefix: a parameter without Default")

    def test_notices_a_table_without_recovery(self):
        del self.properties("DirectoryTable")["PointInTimeRecoverySpecification"]
        self.notices("DirectoryTable: no point-in-time recovery")

    def test_notices_users_that_expire_and_runs_that_do_not(self):
        coordination = self.properties("CoordinationTable")
        moved = coordination.pop("TimeToLiveSpecification")
        self.properties("DirectoryTable")["TimeToLiveSpecification"] = moved
        self.notices("DirectoryTable: items expire", "CoordinationTable: items never expire")


if __name__ == "__main__":
    unittest.main()
