"""How long a function takes from the start of its process to its first question for work.

    cold_start.py HELLO FUNCTION...

Starts each program, as Lambda does, against a runtime API on loopback, by turns, and prints the median for each
beside that of HELLO: a function that does nothing, with the same clients. A DynamoDB that has nothing answers the
connection that the functions make at their start. It also wants that connection to be the only one when the
function asks for work. Times are printed and not judged: a machine does other things as well.
"""

import http.server
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

# How often each is started.
STARTS = 21
# How long a start may take, in seconds.
START_S_MAX = 30


class Loopback(http.server.ThreadingHTTPServer):
    """The runtime API and DynamoDB, at one address."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked = threading.Event()
        self.at, self.callers = 0.0, set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        """The function has started, and asks for work. There is none: it is ended."""
        self.server.at = time.monotonic()
        self.server.asked.set()
        self.rfile.read(1)
        self.close_connection = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.callers.add(self.client_address)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


def start(program):
    """Milliseconds to the first question for work, and the connections to DynamoDB by then."""
    loopback = Loopback()
    queue = f"http://{loopback.address}/1/queue"
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": loopback.address,
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_ENDPOINT_URL": f"http://{loopback.address}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "ROLLCALL_METRICS_NAMESPACE": "Rollcall",
        "ROLLCALL_DIRECTORY_TABLE": "directory",
        "ROLLCALL_COORDINATION_TABLE": "coordination",
        "ROLLCALL_ENUMERATE_QUEUE_URL": queue,
        "ROLLCALL_BATCH_QUEUE_URL": queue,
        "ROLLCALL_FINALIZE_QUEUE_URL": queue,
        "ROLLCALL_STATUS_TOPIC_ARN": "arn:aws:sns:us-east-1:1:status.fifo",
        "NO_PROXY": "127.0.0.1",
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        if not loopback.asked.wait(START_S_MAX):
            raise SystemExit(f"FAILED: {program} did not ask for work within {START_S_MAX} s")
        return (loopback.at - began) * 1_000, len(loopback.callers)
    finally:
        process.kill()
        process.wait()
        loopback.shutdown()
        loopback.server_close()


def main():
    hello, *functions = sys.argv[1:]
    times = {program: [] for program in (hello, *functions)}
    for _ in range(STARTS):
        for program, taken in times.items():
            ms, connections = start(program)
            taken.append(ms)
            if program != hello and connections != 1:
                raise SystemExit(f"FAILED: {program} had {connections} connections to DynamoDB, not 1")
    base = statistics.median(times[hello])
    for program, taken in times.items():
        ms = statistics.median(taken)
        name = "/".join(Path(program).parts[-2:])
        print(f"{name}: {ms:.1f} ms to the first question for work, {ms / base:.2f} of hello's")


if __name__ == "__main__":
    main()
