"""`make audit`: whether what is installed has known holes. Without a network, or with a registry that does not tell, it
says so and passes: a check must not depend on the weather."""

import json
import subprocess
import sys

SECONDS = 120


def audit() -> int:
    line = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json", "--timeout", "10"]
    try:
        done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=SECONDS)
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        print(f"audit: not done, the advisories could not be read ({type(error).__name__}).")
        return 0
    known = [item for item in found if "skip_reason" not in item]
    holes = [(item["name"], item["version"], hole["id"]) for item in known for hole in item["vulns"]]
    print(f"audit: {len(known)} of {len(found)} packages could be looked up; {len(holes)} known holes in these.")
    for hole in holes:
        print("  ", *hole)
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(audit())
