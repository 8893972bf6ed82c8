"""What a peer tells the bench: one line of JSON. Then it waits for the end of its input, so that what it used
can be read."""

import json
import os
import sys


def read(users):
    try:
        ids = users()
        told = {"users": len(ids)}
        if os.environ.get("BENCH_WITH_IDS"):
            told["ids"] = ids
    except Exception as error:
        told = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
