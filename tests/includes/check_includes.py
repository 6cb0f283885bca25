#!/usr/bin/env python3
"""Holds the includes of the source to the tables of docs/architecture.md, "What may include what".

    tests/includes/check_includes.py [ROOT]

A folder may include itself and what its row names; a library is included by the folders of its row alone; logic reaches
none of the libraries that do I/O, over whatever headers. A permission that nobody uses has to go too. Exits 1, with a
line for each include that is too much.
"""

import os
import re
import sys

ROOT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = ("schemas", "actors", "edge", "cloud", "simulator")
INCLUDE = re.compile(r'^#include ["<]([^">]+)[">]', re.MULTILINE)


def read_tables(text):
    """[{first cell: [names of the second]}] of the section's three tables. Names stand in backticks."""
    section = text.split("## What may include what", 1)[1].split("\n## ", 1)[0]
    tables = []
    for block in section.split("\n\n"):
        rows = [line.split("|")[1:-1] for line in block.strip().splitlines() if line.startswith("|")]
        if len(rows) > 2:
            tables.append({name: re.findall(r"`([^`]+)`", row[1]) for row in rows[2:]
                           for name in re.findall(r"`([^`]+)`", row[0])})
    return tables


def read_includes():
    """{file: [what it includes]}, in the order of the files."""
    found = {}
    for top in SOURCES:
        for folder, _, names in sorted(os.walk(os.path.join(ROOT, top))):
            for name in sorted(names):
                if name.endswith((".hpp", ".cpp")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        found[os.path.relpath(path, ROOT)] = INCLUDE.findall(f.read())
    return found


def check_folders(allowed, includes):
    used = set()
    for file, included in includes.items():
        folder = os.path.dirname(file)
        if folder not in allowed:
            yield f"{file}: the folder {folder} has no row"
            continue
        for other in included:
            to = os.path.dirname(other)
            if other.split("/")[0] not in SOURCES or to == folder:
                continue
            if to.endswith(".capnp") or to in allowed[folder]:
                used.add((folder, to))
            else:
                yield f"{file}: {folder} may not include {other}"
    for folder, others in allowed.items():
        for to in others:
            if (folder, to) not in used:
                yield f"{folder} may include {to}, and nothing of it does: take that out of its row"


def check_libraries(owners, includes):
    for file, included in includes.items():
        for other in included:
            for library, folders in owners.items():
                if other.startswith(library) and os.path.dirname(file) not in folders:
                    yield f"{file}: includes {other}, which is for {', '.join(folders)}"


def check_logic(logic, includes):
    """From each file along all headers; the way is said."""
    for pattern, libraries in logic.items():
        files = [f for f in includes if re.fullmatch(pattern.replace(".", r"\.").replace("*", "[^/]*"), f)]
        if not files:
            yield f"no file is called {pattern}"
        for file in files:
            way = {file: None}
            queue = [file]
            for at in queue:
                for other in includes.get(at, []):
                    if any(other.startswith(library) for library in libraries):
                        steps = [at]
                        while way[steps[-1]]:
                            steps.append(way[steps[-1]])
                        yield f"{' <- '.join([other, *steps])}: logic does without"
                    elif other in includes and other not in way:
                        way[other] = at
                        queue.append(other)


def main():
    with open(os.path.join(ROOT, "docs", "architecture.md"), encoding="utf-8") as f:
        folders, libraries, logic = read_tables(f.read())
    includes = read_includes()
    wrong = [*check_folders(folders, includes), *check_libraries(libraries, includes), *check_logic(logic, includes)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(includes)} files, {len(wrong)} includes against docs/architecture.md")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
