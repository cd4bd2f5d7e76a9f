"""What is compiled is kept until its own file changes, so nothing of another file may be compiled into it."""

import ast
import builtins
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    one.relative_to(ROOT)
    for room in ("learning", "serving", "embeddings", "stream", "domain")
    for one in sorted((ROOT / room).rglob("*.py"))
    if "@compiled(" in one.read_text()
]
LIBRARY = {"np"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_compiled_loop_uses_no_constants_of_other_files(path):
    tree = ast.parse((ROOT / path).read_text())
    own = {name.id for node in tree.body for name in _assigned(node)}
    loops = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    compiled = [node for node in loops if "compiled" in ast.dump(node.decorator_list[0])]
    assert compiled
    for loop in compiled:
        inside = {node.id for part in loop.body for node in ast.walk(part) if isinstance(node, ast.Name)}
        local = {one.id for one in ast.walk(loop) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        known = local | {argument.arg for argument in loop.args.args} | own | LIBRARY | set(dir(builtins))
        assert inside <= known, f"{loop.name} uses {sorted(inside - known)}: pass it as an argument"


def test_a_constant_that_comes_from_elsewhere_is_not_its_files_own():
    lines = ast.parse("OWN = 3\nTHEIRS = 2 * DAY_MS\nfrom domain.clock import DAY_MS\n").body
    assert [one.id for line in lines for one in _assigned(line)] == ["OWN"]


def test_there_are_compiled_loops():
    assert len(FILES) > 5


def _assigned(node: ast.stmt) -> list[ast.Name]:
    """The names that a line of a module gives a value of its own, and not one that it takes from elsewhere."""
    value = getattr(node, "value", None)
    names = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)} if value is not None else set()
    targets = [one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
    return targets if isinstance(node, ast.Assign) and not {one for one in names if one.isupper()} else []
