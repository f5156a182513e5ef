"""The end of `make mutants`: how many changes of each file the tests noticed.

Run it behind mutmut: mutmut results --all true | python -m tests.mutants
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

_NOTICED = {"killed", "timeout", "suspicious", "segfault", "caught by type check"}


def counted(results: Iterable[str]) -> dict[str, Counter[bool]]:
    """Return for each module how many changes were noticed and how many were not, from lines of `mutmut results`."""
    modules: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for line in results:
        name, separator, status = line.strip().partition(": ")
        if separator and "__mutmut_" in name:
            modules[name.rpartition(".")[0]][status in _NOTICED] += 1
    return dict(sorted(modules.items()))


def table(modules: dict[str, Counter[bool]]) -> list[str]:
    """Return a line for each module and one for the sum."""
    width = max(map(len, [*modules, "all"]))
    rows = [*modules.items(), ("all", sum(modules.values(), Counter[bool]()))]
    return [f"{'':{width}}  changes  noticed  not noticed"] + [
        f"{name:{width}}  {count.total():7,}  {count[True]:7,}  {count[False]:11,}" for name, count in rows
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(table(counted(sys.stdin))) + "\n")
