"""The emulator's answers, held against an OpenAPI description of Microsoft Graph by a validator that
others wrote.

The description's schemas are generated from Microsoft's own metadata (openapi/users-openapi.yaml, with
its licence). Needs the packages of requirements.txt and the built example `emulate`; its path is the
one argument.
"""

import sys
import unittest
from pathlib import Path

import requests
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse

from emulator import ANSWER_S_MAX, WithEmulator

DESCRIPTION = Path(__file__).parent / "openapi" / "users-openapi.yaml"
SELECT = "id,userPrincipalName,displayName,mail,accountEnabled,userType"
# More than the pages of every list here.
PAGES_MAX = 20
DELTA = f"/users/delta?$select={SELECT}"


class Described(WithEmulator):
    options = ("--users", "60", "--page-size-max", "25")

    def setUp(self):
        super().setUp()
        self.root = f"{self.emulator.origin}/v1.0"
        description = yaml.safe_load(DESCRIPTION.read_text())
        description["servers"] = [{"url": self.root}]
        # A count is a number written as text.
        config = Config(extra_media_type_deserializers={"text/plain": int})
        self.openapi = OpenAPI.from_dict(description, config=config)
        self.session = requests.Session()
        self.session.headers["authorization"] = f"Bearer {self.emulator.bearer()}"

    def judge(self, url, wanted=200, method="GET", headers=None, body=None):
        """Asks, holds question and answer against the description, and gives the answer."""
        url = url if url.startswith("http") else f"{self.root}{url}"
        request = requests.Request(method, url, headers=headers, json=body)
        request = self.session.prepare_request(request)
        answer = self.session.send(request, timeout=ANSWER_S_MAX, allow_redirects=False)
        self.assertEqual(answer.status_code, wanted, answer.text[:500])
        told = RequestsOpenAPIRequest(request)
        if wanted == 200:
            self.openapi.validate_request(told)
        self.openapi.validate_response(told, RequestsOpenAPIResponse(answer))
        for name in ("request-id", "client-request-id", "x-ms-ags-diagnostic"):
            self.assertIn(name, answer.headers)
        return answer

    def pages(self, url):
        pages = [self.judge(url).json()]
        while "@odata.nextLink" in pages[-1] and len(pages) < PAGES_MAX:
            pages.append(self.judge(pages[-1]["@odata.nextLink"]).json())
        return pages

    def test_every_page_of_users(self):
        pages = self.pages(f"/users?$select={SELECT}&$top=999")
        self.assertEqual(sum(len(page["value"]) for page in pages), 60)
        # What is not asked for.
        for user in self.judge("/users?$top=5").json()["value"]:
            self.assertNotIn("accountEnabled", user)

    def test_every_page_of_a_delta(self):
        link = self.pages(DELTA)[-1]["@odata.deltaLink"]
        self.emulator.ask("change")
        told = [user for page in self.pages(link) for user in page["value"]]
        self.assertEqual(sum("@removed" in user for user in told), 2)
        latest = self.pages(f"{DELTA}&$deltatoken=latest")
        self.assertEqual(latest[-1]["value"], [])

    def test_users_by_their_ids(self):
        change = self.emulator.ask("change")
        self.judge(f"/users/{change['renamed']}?$select={SELECT}")
        ids = {"ids": [change["renamed"], change["deleted"]], "types": ["user"]}
        found = self.judge("/directoryObjects/getByIds", method="POST", body=ids)
        self.assertEqual(len(found.json()["value"]), 1)
        deleted = self.judge(f"/directory/deletedItems/microsoft.graph.user?$select={SELECT}")
        self.assertEqual([user["id"] for user in deleted.json()["value"]], [change["deleted"]])
        requests_ = [
            {"id": str(number), "method": "GET", "url": f"/users/{id}?$select={SELECT}"}
            for number, id in enumerate(ids["ids"])
        ]
        batch = self.judge("/$batch", method="POST", body={"requests": requests_}).json()
        statuses = {it["id"]: it["status"] for it in batch["responses"]}
        self.assertEqual(statuses, {"0": 200, "1": 404})

    def test_a_count(self):
        counted = self.judge("/users/$count", headers={"consistencylevel": "eventual"})
        self.assertEqual(counted.text, "60")

    def test_every_error_that_the_description_knows(self):
        users = f"/users?$select={SELECT}"
        for rule, status in (
            ("users once: page-token not-found", 400),
            ("users once: expired-bearer", 401),
            ("users once: denied", 403),
            ("users once: status 429 after 3", 429),
            ("users once: status 429", 429),
            ("users once: status 503 after 9", 503),
        ):
            with self.subTest(rule):
                self.emulator.ask(f"play {rule}")
                self.session.headers["authorization"] = f"Bearer {self.emulator.bearer()}"
                self.judge(users, wanted=status)
        for kind, status in (("not-found", 400), ("resync", 410)):
            with self.subTest(kind):
                self.emulator.ask(f"play delta once: sync-state {kind}")
                self.judge(DELTA, wanted=status)
        self.judge("/users?$top=1000", wanted=400)
        self.judge("/users/87d349ed-44d7-43e1-9a83-5f2406dee5bd", wanted=404)

    def test_the_validator_sees_what_is_wrong(self):
        """A user whose `accountEnabled` is a text, and a page whose value is an object."""
        answer = self.judge(f"/users?$select={SELECT}")
        request = RequestsOpenAPIRequest(answer.request)
        for whole, spoiled in ((b":true", b':"yes"'), (b'"value":[', b'"value":{},"x":[')):
            self.assertIn(whole, answer.content)
            answer._content = answer.content.replace(whole, spoiled, 1)
            with self.assertRaises(Exception):
                self.openapi.validate_response(request, RequestsOpenAPIResponse(answer))


if __name__ == "__main__":
    WithEmulator.program = sys.argv.pop(1)
    unittest.main()
