"""The application's side of the status topic: a queue of its own, which is told of each change of a status."""

import json

from emulators import expect, fail, wait
from stack import RUN_S_MAX, STACK

# A receive takes ten messages at most; a first sync tells of everybody.
RECEIVES_MAX = 1_000


class Application:
    """Keeps of each user the event of the highest version, and wants a user's events in their order."""

    def __init__(self, stack):
        self.stack, self.last, self.events = stack, {}, 0
        queue = stack.sqs.create_queue(
            QueueName=f"{STACK}-application.fifo", Attributes={"FifoQueue": "true"}
        )
        self.url = queue["QueueUrl"]
        attributes = stack.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        stack.aws.client("sns").subscribe(
            TopicArn=stack.outputs["StatusTopicArn"],
            Protocol="sqs",
            Endpoint=attributes["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )

    def listen(self):
        for _ in range(RECEIVES_MAX):
            answer = self.stack.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return
            for message in messages:
                self.hear(json.loads(message["Body"]))
                self.stack.sqs.delete_message(
                    QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"]
                )
        fail("the queue of the application does not end")

    def hear(self, event):
        self.events += 1
        who = event["tenant"], event["id"]
        before = self.last.get(who)
        if before is None:
            expect(f"the first event of {who}", event["change"], "created")
        elif event["version"] > before["version"]:
            was = {"status": before["status"], "reason": before["reason"]}
            expect(f"what was before, of {who}", event["before"], was)
        if event["change"] == "switched_off":
            if not event["cause"] or not event["cause"].get("evidence", event["cause"]["kind"] != "plan"):
                fail(f"switched off, and not told why: {event}")
        if before is None or event["version"] > before["version"]:
            self.last[who] = event

    def knows(self, tenant):
        """Waits until what was told is what the directory has."""
        stored = {
            id: (user["status"]["S"], user["reason"]["S"])
            for id, user in self.stack.directory(tenant).items()
        }

        def told():
            self.listen()
            heard = {
                id: (event["status"], event["reason"])
                for (whose, id), event in self.last.items()
                if whose == tenant
            }
            return heard == stored

        wait(f"the application knows what {tenant} is", RUN_S_MAX, told)
        print(f"{self.events} events, {len(stored)} users", flush=True)
