"""Whether the bills of materials say what they must: `check.py CARGO_LOCK FOLDER`.

Each is CycloneDX, and each part has a name, a version and a package URL; those of crates are in Cargo.lock with that version. Tools of the
tests are in none.
"""

import json
import pathlib
import sys
import tomllib

# a part of each that must be there, by file
PARTS = {"millrace": "tokio", "page": "react", "libchdb": "@chdb/lib-linux-x64-gnu"}
# a crate of the tests alone
OF_TESTS = "proptest"


def main() -> None:
    lock_path, folder = sys.argv[1:]
    with open(lock_path, "rb") as file:
        locked = {(crate["name"], crate["version"]) for crate in tomllib.load(file)["package"]}
    for name, part in PARTS.items():
        bill = json.loads((pathlib.Path(folder) / f"{name}.cdx.json").read_text(encoding="utf-8"))
        if bill["bomFormat"] != "CycloneDX" or bill["specVersion"] != "1.5":
            sys.exit(f"{name}: not CycloneDX 1.5")
        parts = bill["components"]
        for component in parts:
            if not component.get("version") or not component.get("purl"):
                sys.exit(f"{name}: a part without version or package URL: {component.get('name')}")
        names = {component["name"] for component in parts}
        if part not in names:
            sys.exit(f"{name}: {part} is missing")
        if name == "millrace":
            unknown = {(component["name"], component["version"]) for component in parts} - locked
            if unknown or OF_TESTS in names:
                sys.exit(f"{name}: not in Cargo.lock, or of the tests: {sorted(unknown) or OF_TESTS}")
        print(f"{name}: {len(parts)} parts")


main()
