"""One table over all benches that have left a result; `make bench` ends with it.

python -m bench.summary
"""

from dataclasses import replace

from bench.report import results, table


def main() -> None:
    """Prints the table."""
    found = [replace(one, name=f"{bench}: {one.name}") for bench, figures in results().items() for one in figures]
    print(table(found) if found else "no results yet; run: make bench")


if __name__ == "__main__":
    main()
