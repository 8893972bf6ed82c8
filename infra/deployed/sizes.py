"""The size of what is uploaded, zipped, of each function that `sam build` has built.

    sizes.py BUILD ARCHITECTURE     wants each to be for that processor, and under the limit
"""

import sys
import zipfile
from io import BytesIO
from pathlib import Path

# A small package starts fast; with all clients it has about half of this.
ZIPPED_BYTES_MAX = 8 * 1024 * 1024
FUNCTIONS = ("EnumeratorFunction", "WorkerFunction", "FinalizerFunction", "PublisherFunction")
# `e_machine` in the header of an ELF file.
MACHINES = {"arm64": 183, "x86_64": 62}


def main():
    build, architecture = Path(sys.argv[1]), sys.argv[2]
    wrong = False
    for function in FUNCTIONS:
        program = (build / function / "bootstrap").read_bytes()
        zipped = BytesIO()
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((build / function).iterdir()):
                archive.write(file, file.name)
        size = len(zipped.getvalue())
        machine = int.from_bytes(program[18:20], "little")
        print(f"{function}: {len(program):,} bytes, zipped {size:,}")
        if size >= ZIPPED_BYTES_MAX:
            print(f"FAILED: {function} is not under {ZIPPED_BYTES_MAX:,} bytes")
            wrong = True
        if program[:4] != b"\x7fELF" or machine != MACHINES[architecture]:
            print(f"FAILED: {function} is not for {architecture}")
            wrong = True
    sys.exit(wrong)


if __name__ == "__main__":
    main()
