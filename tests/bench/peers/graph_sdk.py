"""Microsoft's own client for Python: page by page, and whoever is enabled is known."""

import asyncio
import os

import httpx
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.users.users_request_builder import UsersRequestBuilder

from told import read

ORIGIN = os.environ["BENCH_ORIGIN"]
SELECT = [
    "id",
    "userPrincipalName",
    "mail",
    "displayName",
    "accountEnabled",
    "userType",
    "department",
    "employeeId",
    "jobTitle",
]


class Tokens(AccessTokenProvider):
    """The client credentials grant over plain HTTP, which the package's own credential does not take."""

    token = None

    async def get_authorization_token(self, uri, additional_authentication_context=None):
        if self.token is None:
            directory = os.environ["BENCH_DIRECTORY_ID"]
            form = {
                "grant_type": "client_credentials",
                "client_id": os.environ["BENCH_CLIENT_ID"],
                "client_secret": os.environ["BENCH_CLIENT_SECRET"],
                "scope": f"{ORIGIN}/.default",
            }
            answer = httpx.post(f"{ORIGIN}/{directory}/oauth2/v2.0/token", data=form)
            self.token = answer.raise_for_status().json()["access_token"]
        return self.token

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator(["127.0.0.1"])


async def enabled():
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Tokens()))
    adapter.base_url = f"{ORIGIN}/v1.0"
    users = GraphServiceClient(request_adapter=adapter).users
    parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(select=SELECT, top=999)
    page = await users.get(request_configuration=RequestConfiguration(query_parameters=parameters))
    ids = []
    while True:
        ids += [user.id for user in page.value if user.account_enabled]
        if not page.odata_next_link:
            return ids
        page = await users.with_url(page.odata_next_link).get()


read(lambda: asyncio.run(enabled()))
