"""What a program imports: exactly what is promised, at once, and connected to nothing."""

import subprocess
import sys
from types import ModuleType

import freshet


def test_all_is_the_namespace() -> None:
    public = {
        name for name, value in vars(freshet).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(public) == freshet.__all__


def test_importing_loads_neither_kafka_nor_http_nor_a_server_library() -> None:
    heavy = ("kafka", "urllib3", "aiokafka", "faust", "torch", "transformers", "faiss", "fastapi")
    program = f"import freshet, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_a_server_library() -> None:
    heavy = ("aiokafka", "faust", "torch", "transformers", "faiss", "fastapi")
    program = f"import cli.main, sys; cli.main.build(); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
