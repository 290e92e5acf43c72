"""``python -m tests.integration.several FILE...``: a worker for each, forked once all is imported."""

import os
import sys

from stream.app import run_worker
from stream.settings import load_settings


def main() -> None:
    """Run all until the group is killed; end with the first that ends."""
    for file in sys.argv[1:]:
        if os.fork() == 0:
            run_worker(load_settings(file))
            return
    os.wait()


if __name__ == "__main__":
    main()
