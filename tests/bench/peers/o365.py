"""The package O365: its list of a directory's users, and whoever is enabled is known."""

import os

import requests
from O365 import MSGraphProtocol
from O365.connection import Connection
from O365.directory import Directory

from told import read

ORIGIN = os.environ["BENCH_ORIGIN"]
DIRECTORY = os.environ["BENCH_DIRECTORY_ID"]
CLIENT = (os.environ["BENCH_CLIENT_ID"], os.environ["BENCH_CLIENT_SECRET"])


class Selected:
    """`accountEnabled` is not in what Graph gives unasked."""

    def as_params(self):
        return {
            "$select": "id,userPrincipalName,mail,displayName,accountEnabled,userType,department,"
            "employeeId,jobTitle"
        }


def bearer():
    """The client credentials grant over plain HTTP, which the package's own login does not take."""
    form = {
        "grant_type": "client_credentials",
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "scope": f"{ORIGIN}/.default",
    }
    answer = requests.post(f"{ORIGIN}/{DIRECTORY}/oauth2/v2.0/token", data=form, timeout=60)
    answer.raise_for_status()
    return answer.json()["access_token"]


def enabled():
    protocol = MSGraphProtocol()
    protocol.service_url = f"{ORIGIN}/v1.0/"
    connection = Connection(CLIENT, auth_flow_type="credentials", tenant_id=DIRECTORY)
    connection.session = connection.get_session(load_token=False)
    connection.session.headers["Authorization"] = f"Bearer {bearer()}"
    directory = Directory(con=connection, protocol=protocol, main_resource="users")
    users = directory.get_users(limit=None, query=Selected())
    return [user.object_id for user in users if user.account_enabled]


read(enabled)
