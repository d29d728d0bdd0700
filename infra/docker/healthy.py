"""The images' HEALTHCHECK: status 0 when the operations port says ready, 1 when not. Standard library only."""

import os
import sys
import urllib.request

SECONDS = 4


def main() -> int:
    """Asks HEALTH_URL, by default /ready on TRIVIUM_OPS_PORT of this machine."""
    url = os.environ.get("HEALTH_URL") or f"http://127.0.0.1:{os.environ.get('TRIVIUM_OPS_PORT', '7390')}/ready"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
