"""The behaviour tests of the embedded SQS, run against the SQS of the emulator of AWS.

    sqs.py

What holds for both is what those who wrote them apart took SQS to do. Where they differ, the test is listed
here, and `infra/README.md` tells what AWS's reference says. A test that differs and is not listed fails, and so
does one that is listed and does not differ.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from emulators import Aws, fail, step
from stack import ROOT

TESTS = ("cargo", "test", "--locked", "--test", "service", "--no-fail-fast", "--", "--test-threads=4")
# The tests take seconds; building them is what takes time.
TESTS_S_MAX = 1_200

# The tests that the other SQS does not pass.
DIFFERENT = {
    "batches::a_batch_of_sends_answers_each_entry_on_its_own",
    "batches::a_batch_of_visibility_changes_answers_each_entry_on_its_own",
    "messages::a_value_out_of_its_range_is_refused_by_name",
    "messages::the_handle_of_an_earlier_receive_still_deletes",
    "queues::a_bad_queue_name_is_refused",
    "queues::a_changed_attribute_holds_from_then_on",
    "queues::a_dead_letter_queue_must_exist",
    "queues::a_purged_queue_is_empty_and_cannot_be_purged_again_at_once",
}


def main():
    with contextlib.ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        step("Start the emulator of AWS")
        aws = Aws(directory)
        cleanup.callback(aws.stop)
        print("+", " ".join(TESTS), flush=True)
        run = subprocess.run(
            TESTS,
            cwd=ROOT,
            env={**os.environ, "SQS_TEST_ENDPOINT_URL": aws.url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TESTS_S_MAX,
            check=False,
        )
        results = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", run.stdout, re.MULTILINE))
        failed = {name for name, result in results.items() if result == "FAILED"}
        if not results or failed != DIFFERENT:
            print(run.stdout, run.stderr)
            fail(
                f"differ and are not listed: {sorted(failed - DIFFERENT)}; "
                f"are listed and don't differ: {sorted(DIFFERENT - failed)}"
            )
        print(f"{len(results) - len(failed)} tests hold for both, {len(failed)} are known to differ")


if __name__ == "__main__":
    main()
