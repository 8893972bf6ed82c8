"""Microsoft's own client against the emulator: if it cannot talk to it, it is no emulator.

Enumerates users and a delta with the package msgraph-sdk, through faults too. Needs the packages of
requirements.txt and the built example `emulate`; its path is the one argument.
"""

import logging
import sys
import unittest
from uuid import UUID

from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.directory_objects.get_by_ids.get_by_ids_post_request_body import (
    GetByIdsPostRequestBody,
)
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.users.users_request_builder import UsersRequestBuilder

from emulator import WithEmulator

USERS = 250
# More than the pages of every list here.
PAGES_MAX = 40
SELECT = ["id", "userPrincipalName", "displayName", "mail", "accountEnabled", "userType"]


class Tokens(AccessTokenProvider):
    """The client credentials grant, as the emulator's token endpoint takes it."""

    def __init__(self, emulator):
        self.emulator = emulator

    async def get_authorization_token(self, uri, additional_authentication_context=None):
        return self.emulator.bearer()

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator(["127.0.0.1"])


def asking(top=None):
    parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(select=SELECT, top=top)
    return RequestConfiguration(query_parameters=parameters)


class MicrosoftsClient(WithEmulator, unittest.IsolatedAsyncioTestCase):
    options = ("--users", str(USERS), "--page-size-max", "30")

    def setUp(self):
        super().setUp()
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Tokens(self.emulator)))
        adapter.base_url = f"{self.emulator.origin}/v1.0"
        self.client = GraphServiceClient(request_adapter=adapter)

    async def pages(self, page, builder):
        """All pages from one on, by their next links."""
        pages = [page]
        while pages[-1].odata_next_link and len(pages) < PAGES_MAX:
            pages.append(await builder.with_url(pages[-1].odata_next_link).get())
        self.assertIsNone(pages[-1].odata_next_link)
        return pages

    async def users(self):
        first = await self.client.users.get(request_configuration=asking(top=999))
        return [user for page in await self.pages(first, self.client.users) for user in page.value]

    async def test_it_enumerates_all_users(self):
        users = await self.users()
        truth = self.emulator.ask("users")
        self.assertEqual({user.id: user.account_enabled for user in users}, truth)
        self.assertEqual(len(users), USERS)
        for user in users:
            UUID(user.id)
            self.assertTrue(user.user_principal_name)
            self.assertIn(user.user_type, ("Member", "Guest"))

    async def test_it_waits_out_what_passes(self):
        for rule in (
            "users page 2 once: status 429 after 1",
            "users page 3 once: status 503 after 1",
            "users page 4 once: status 504 html",
        ):
            self.emulator.ask(f"play {rule}")
        self.assertEqual(len(await self.users()), USERS)

    async def test_it_is_told_errors_in_graphs_form(self):
        self.emulator.ask("play users page 2 always: page-token expired")
        first = await self.client.users.get(request_configuration=asking())
        with self.assertRaises(ODataError) as caught:
            await self.client.users.with_url(first.odata_next_link).get()
        self.assertEqual(caught.exception.response_status_code, 400)
        self.assertEqual(caught.exception.error.code, "Directory_ExpiredPageToken")
        self.assertTrue(caught.exception.error.inner_error.request_id)

    async def test_it_follows_a_delta_from_the_first_users_to_a_days_changes(self):
        builder = self.client.users.delta
        pages = await self.pages(await builder.get(), builder)
        told = {user.id for page in pages for user in page.value}
        self.assertEqual(told, set(self.emulator.ask("users")))
        link = pages[-1].odata_delta_link
        change = self.emulator.ask("change")
        pages = await self.pages(await builder.with_url(link).get(), builder)
        self.assertIsNotNone(pages[-1].odata_delta_link)
        told = {user.id: user for page in pages for user in page.value}
        reasons = {
            id: user.additional_data["@removed"]["reason"]
            for id, user in told.items()
            if "@removed" in user.additional_data
        }
        wanted = {change["deleted"]: "changed", change["purged"]: "deleted"}
        self.assertEqual(reasons, wanted)
        for id in (change["renamed"], change["disabled"], *change["added"]):
            self.assertIn(id, told)

    async def test_it_finds_users_by_their_ids(self):
        change = self.emulator.ask("change")
        body = GetByIdsPostRequestBody(
            ids=[change["renamed"], change["deleted"]], types=["user"]
        )
        found = await self.client.directory_objects.get_by_ids.post(body)
        self.assertEqual([it.id for it in found.value], [change["renamed"]])
        user = await self.client.users.by_user_id(change["renamed"]).get()
        self.assertEqual(user.display_name, "Renamed")
        with self.assertRaises(ODataError) as caught:
            await self.client.users.by_user_id(change["deleted"]).get()
        self.assertEqual(caught.exception.error.code, "Request_ResourceNotFound")
        deleted = await self.client.directory.deleted_items.graph_user.get()
        self.assertEqual([user.id for user in deleted.value], [change["deleted"]])


if __name__ == "__main__":
    WithEmulator.program = sys.argv.pop(1)
    # The event loop of a test case tells of every callback that is slow.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    unittest.main(warnings="ignore")
