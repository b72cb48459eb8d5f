#!/usr/bin/env python3
"""Has schemathesis make up requests from a server's OpenAPI document, good and bad ones, and judge the answers by it.

    schemas.py SCHEMATHESIS CRANE MODEL

No answer may be of a status, type or shape that the document does not name, none of status 500; requests that the document
does not allow must be refused, also those of other methods and without a key.
"""

import pathlib
import subprocess
import sys
import tempfile

KEY = "sesame"
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "ignored_auth",
]
# Of each operation. Not as many as come in a time: what passes on one machine has to pass on a faster one.
EXAMPLES = 40
# Seconds for all of it, of which a minute is used.
TIME = 240
# A body may be larger than a route takes, too.
CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "5xx"]
"""


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    schemathesis, crane, model = (str(pathlib.Path(name).resolve()) for name in sys.argv[1:])
    command = [crane, "serve", model, "--port", "0", "--ctx", "256", "--max-body", "1", "--api-key", KEY, "--timeout", "5", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            run = [schemathesis, "--config-file", "schemathesis.toml", "run", f"{address}/openapi.json", "--header", f"Authorization: Bearer {KEY}"]
            # One worker: Python 3.11 miscounts where two threads parse its own sources at a time, and calls that an error.
            run += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--workers", "1", "--seed", "1"]
            run += ["--max-examples", str(EXAMPLES), "--request-timeout", "30", "--no-shrink", "--continue-on-failure", "--no-color"]
            # It keeps what it has learned in the folder that it runs in.
            with tempfile.TemporaryDirectory() as folder:
                pathlib.Path(folder, "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
                passed = subprocess.run(run, cwd=folder, check=False, timeout=TIME).returncode == 0
        finally:
            server.terminate()
        said = server.stderr.read()
    if server.returncode != 0 or "panicked" in said:
        print(f"the server ended with {server.returncode}: {said[-2000:]}")
        passed = False
    # In the words that `cargo xtask test` counts.
    print(f"{int(passed)} passed, {int(not passed)} failed")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
