"""What a caller asks of the suite reaches its tests: how much, with what threads."""

import re
from pathlib import Path

from hypothesis import settings

from tests import strategies

ROOT = Path(__file__).parents[2]
TESTS = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "tests").rglob("*.py")
    if path != Path(__file__)
}


def test_a_share_of_the_examples_is_one_of_the_profile():
    before = settings.get_current_profile_name()
    found = {}
    try:
        for profile in ("ci", "search"):
            settings.load_profile(profile)
            found[profile] = strategies.examples(0.5).max_examples
    finally:
        settings.load_profile(before)
    assert found == {"ci": 25, "search": 500}


def test_no_generated_test_has_a_number_of_examples_of_its_own():
    named = [str(path) for path, text in TESTS.items() if "max_examples=" in text]
    assert sorted(Path(name).name for name in named) == ["conftest.py", "strategies.py"]


def test_what_reads_of_every_cell_says_what_it_takes_then():
    silent = [
        str(path.relative_to(ROOT)) for path, text in TESTS.items()
        if re.search(r"environ.*BPTT_EVERY_CELL", text)
        and "BPTT_EVERY_CELL=1" not in text
    ]  # fmt: skip
    assert silent == []


def test_a_session_takes_the_number_of_threads_of_its_caller():
    sessions, script = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("noxfile.py", ".ci/run")
    )
    found = re.findall(r'"OMP_NUM_THREADS": (.*)}', sessions)
    assert found == ['os.environ.get("OMP_NUM_THREADS", "1")']
    assert re.findall(r"OMP_NUM_THREADS=(\S+)", script) == ["${OMP_NUM_THREADS:-1}"]
