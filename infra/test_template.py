"""What the template promises beyond being valid, checked on the template itself.

`findings` names each breach of the policy. `TheTemplate` wants none of them. `ThePolicy` breaks the
template on purpose, one rule at a time, and wants each breach to be noticed.

Needs cfn-lint, for its reader of CloudFormation's YAML. See README.md for how to run it.
"""

import copy
import unittest
from pathlib import Path

from cfnlint.decode import decode

TEMPLATE = Path(__file__).parent.parent / "template.yaml"

# Everything that a role may name. No delete, no batch write, and so no action that a pattern
# could widen: an entry is taken literally.
TABLE_READS = {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"}
TABLE_WRITES = {"dynamodb:PutItem", "dynamodb:UpdateItem"}
ACTIONS = (
    TABLE_READS
    | TABLE_WRITES
    | {
        # Asserts without writing: the lease check of a transaction.
        "dynamodb:ConditionCheckItem",
        "lambda:InvokeFunction",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
        # The three that Lambda's own poller needs to read a queue: a message that was worked on
        # is deleted from the queue.
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "sts:GetWebIdentityToken",
    }
)
# The two actions whose resources are not in the template, each alone in its statement: the one
# resource that it may have, and the conditions that it must have then.
ELSEWHERE = {
    "secretsmanager:GetSecretValue": (
        {
            "Fn::Sub": "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}"
            ":secret:${SecretsPrefix}*"
        },
        None,
    ),
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
}
# Who asks Microsoft, and so needs what proves the application.
CREDENTIAL_USERS = {"EnumeratorRole", "FinalizerRole"}
DIRECTORY_WRITERS = {"FinalizerRole", "WorkerRole"}
# Which queues each function rings. A step whose time is up rings for itself again.
RINGS = {
    "EnumeratorRole": {"EnumerateQueue", "BatchQueue", "FinalizeQueue"},
    "WorkerRole": {"BatchQueue", "FinalizeQueue"},
    "FinalizerRole": {"EnumerateQueue", "BatchQueue", "FinalizeQueue"},
}

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_PER_TIMEOUT_MIN = 6
RECEIVE_COUNT_MIN = 5
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
RETENTION_DEFAULT_SECONDS = 345_600


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


def statements(role):
    for policy in role["Properties"].get("Policies", []):
        yield from as_list(policy["PolicyDocument"]["Statement"])


def role_findings(template):
    for name, role in of_type(template, "AWS::IAM::Role").items():
        if "ManagedPolicyArns" in role["Properties"]:
            yield f"{name}: a managed policy, whose actions are not named here"
        for statement in statements(role):
            where = f"{name}, {statement.get('Sid', 'a statement without Sid')}"
            if not {"Action", "Resource"} <= statement.keys():
                yield f"{where}: names what it does not cover"
                continue
            for action in as_list(statement["Action"]):
                if action not in ACTIONS:
                    yield f"{where}: {action} is not an action that a role may have"
                writes = action in TABLE_WRITES and name not in DIRECTORY_WRITERS
                if writes and "DirectoryTable" in map(target, as_list(statement["Resource"])):
                    yield f"{where}: {action} on the directory"
            yield from elsewhere_findings(name, where, statement)
            for resource in as_list(statement["Resource"]):
                if not isinstance(statement["Action"], list) and statement["Action"] in ELSEWHERE:
                    continue
                if target(resource) not in template["Resources"]:
                    yield f"{where}: {resource} is not one resource of this template"
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
        for name in of_type(template, kind):
            yield f"{name}: permissions outside a role"


def elsewhere_findings(name, where, statement):
    """What is wrong with a statement about what the template does not have."""
    for action in ELSEWHERE.keys() & set(as_list(statement["Action"])):
        resource, condition = ELSEWHERE[action]
        if name not in CREDENTIAL_USERS:
            yield f"{where}: {action} by a function that never asks Microsoft"
        if statement["Action"] != action or statement["Resource"] != resource:
            yield f"{where}: {action} on more than it needs"
        if statement.get("Condition") != condition:
            yield f"{where}: {action} without its conditions"


def ring_findings(template):
    for name, queues in RINGS.items():
        may = {
            target(resource)
            for statement in statements(template["Resources"][name])
            if "sqs:SendMessage" in as_list(statement.get("Action", []))
            for resource in as_list(statement["Resource"])
        }
        if may != queues:
            yield f"{name}: may ring {sorted(map(str, may))}, rings {sorted(queues)}"


def function_findings(template):
    roles = set()
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        properties = function["Properties"]
        # Without a role of its own, SAM makes one, with permissions on every queue there is.
        role = target(properties.get("Role"))
        if role not in of_type(template, "AWS::IAM::Role") or role in roles:
            yield f"{name}: no role of its own"
        roles.add(role)
        if target(properties["LoggingConfig"]["LogGroup"]) not in of_type(
            template, "AWS::Logs::LogGroup"
        ):
            yield f"{name}: no log group of its own"
        for event_name, event in properties["Events"].items():
            yield from event_findings(template, f"{name}, {event_name}", properties, event)


def event_findings(template, where, function, event):
    if event["Type"] != "SQS":
        yield f"{where}: {event['Type']} events bring a role that is not written here"
        return
    properties = event["Properties"]
    if properties.get("BatchSize") != 1:
        yield f"{where}: more than one message an invocation"
    if properties.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield f"{where}: does not report failed messages one by one"
    queue = template["Resources"][target(properties["Queue"])]["Properties"]
    if queue["VisibilityTimeout"] < VISIBILITY_PER_TIMEOUT_MIN * function["Timeout"]:
        yield f"{where}: the queue's visibility timeout is under six times the function's timeout"


def queue_findings(template):
    queues = of_type(template, "AWS::SQS::Queue")
    dead_letter = {
        target(queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"])
        for queue in queues.values()
        if "RedrivePolicy" in queue["Properties"]
    }
    for name, queue in queues.items():
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


def retention_seconds(queue):
    return queue["Properties"].get("MessageRetentionPeriod", RETENTION_DEFAULT_SECONDS)


def table_findings(template):
    for name, table in of_type(template, "AWS::DynamoDB::Table").items():
        properties = table["Properties"]
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if table.get(policy) != "Retain":
                yield f"{name}: {policy} is not Retain"
        recovery = properties.get("PointInTimeRecoverySpecification", {})
        if recovery.get("PointInTimeRecoveryEnabled") is not True:
            yield f"{name}: no point-in-time recovery"
        # TTL deletes. What coordinates a run may expire after it; a user may not.
        expires = "TimeToLiveSpecification" in properties
        if expires != (name == "CoordinationTable"):
            yield f"{name}: {'items expire' if expires else 'items never expire'}"


def findings(template):
    checks = (role_findings, ring_findings, function_findings, queue_findings, table_findings)
    return [finding for check in checks for finding in check(template)]


def load():
    template, errors = decode(str(TEMPLATE))
    if errors:
        raise AssertionError(f"{TEMPLATE.name} cannot be read: {errors}")
    return template


class TheTemplate(unittest.TestCase):
    def test_has_what_the_policy_is_about(self):
        template = load()
        for kind, count in {
            "AWS::DynamoDB::Table": 2,
            "AWS::IAM::Role": 4,
            "AWS::SQS::Queue": 6,
            "AWS::Scheduler::Schedule": 3,
            "AWS::Serverless::Function": 3,
        }.items():
            self.assertEqual(len(of_type(template, kind)), count, kind)

    def test_keeps_the_policy(self):
        self.assertEqual(findings(load()), [])


class ThePolicy(unittest.TestCase):
    """Each test breaks one rule of a good template."""

    def setUp(self):
        self.template = copy.deepcopy(load())
        self.resources = self.template["Resources"]

    def properties(self, name):
        return self.resources[name]["Properties"]

    def statement(self, role, sid):
        return next(s for s in statements(self.resources[role]) if s["Sid"] == sid)

    def notices(self, *expected):
        self.assertEqual(sorted(findings(self.template)), sorted(expected))

    def test_notices_an_action_that_deletes_writes_in_bulk_or_is_a_pattern(self):
        for action in ("dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:*", "*"):
            with self.subTest(action):
                self.setUp()
                self.statement("WorkerRole", "WriteTheDirectory")["Action"].append(action)
                self.notices(
                    f"WorkerRole, WriteTheDirectory: {action} is not an action that a role may have"
                )

    def test_notices_an_enumerator_that_writes_the_directory(self):
        self.statement("EnumeratorRole", "ReadTheDirectory")["Action"].append("dynamodb:PutItem")
        self.notices("EnumeratorRole, ReadTheDirectory: dynamodb:PutItem on the directory")

    def test_notices_a_resource_that_is_a_pattern(self):
        self.statement("WorkerRole", "WriteTheDirectory")["Resource"] = "*"
        self.notices("WorkerRole, WriteTheDirectory: * is not one resource of this template")

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
            "WorkerRole, BeVouchedFor: "
            "sts:GetWebIdentityToken by a function that never asks Microsoft"
        )

    def test_notices_a_function_that_cannot_ring_its_own_queue_again(self):
        statement = self.statement("WorkerRole", "WakeTheFinalizerAndItself")
        statement["Resource"].pop()
        self.notices(
            "WorkerRole: may ring ['FinalizeQueue'], rings ['BatchQueue', 'FinalizeQueue']"
        )

    def test_notices_a_statement_by_exclusion(self):
        statement = self.statement("WorkerRole", "WriteTheDirectory")
        statement["NotAction"] = statement.pop("Action")
        self.notices("WorkerRole, WriteTheDirectory: names what it does not cover")

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
