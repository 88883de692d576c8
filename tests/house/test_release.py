"""Version, citation and change log agree, and the next change still finds its place."""

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from bptt.version import __version__

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", re.MULTILINE)


def test_version_citation_and_change_log_agree():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == __version__
    latest, day = HEADING.search((ROOT / "CHANGELOG.md").read_text("utf-8")).groups()
    assert latest == __version__
    assert re.search(r"^date-released: (.*)$", citation, re.MULTILINE)[1] == day


def test_the_pythons_that_were_tried_are_named_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if ":: 3." in c]
    assert project["requires-python"] == f">={named[0]}"
    for page in ("README", "docs/tutorial"):
        for language, word in (("", "to"), (".zh", "到")):
            text = (ROOT / f"{page}{language}.md").read_text("utf-8")
            assert f"Python {named[0]} {word} {named[-1]}" in text, page
    hosted = (ROOT / ".github/workflows/test.yml").read_text("utf-8")
    tried = (ROOT / "noxfile.py").read_text("utf-8")
    for version in named:
        assert f'"{version}"' in hosted
        assert f'"python{version}"' in tried


def test_a_release_is_described_under_what_was_added_changed_and_fixed():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = text.split(f"## {__version__} ")[1].split("\n## ")[0]
    assert re.findall(r"^### (.*)$", section, re.MULTILINE) == [
        "Added", "Changed", "Fixed",
    ]  # fmt: skip
    assert len(re.findall(r"^- ", section, re.MULTILINE)) > 100


@pytest.mark.skipif(find_spec("towncrier") is None, reason="no towncrier")
def test_the_next_release_takes_its_fragments_and_keeps_the_last(tmp_path):
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src/bptt").mkdir(parents=True)
    folder = tmp_path / "changelog.d"
    folder.mkdir()
    (folder / "999.added.1.md").write_text(
        "A thing that comes later.\n", encoding="utf-8"
    )
    options = ("--yes", "--version", "9.9.9", "--date", "2030-01-02")
    command = (sys.executable, "-m", "towncrier", "build", *options)
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git")
    subprocess.run((git, "init", "-q"), cwd=tmp_path, check=True)
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    found = [version for version, _ in HEADING.findall(text)]
    assert found[:2] == ["9.9.9", __version__]
    assert "A thing that comes later. (#999)" in text
    assert not list(folder.glob("*.md"))


def test_a_package_names_the_place_it_is_built_at_and_no_other(monkeypatch):
    name = "hatchling.metadata.plugin.interface"  # only a build has it
    monkeypatch.setitem(
        sys.modules, name, SimpleNamespace(MetadataHookInterface=object)
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "urls" in project["project"]["dynamic"]
    path = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]
    hook = runpy.run_path(str(ROOT / path))["Addresses"]()
    here = {
        "GITHUB_SERVER_URL": "https://host.example",
        "GITHUB_REPOSITORY": "A-B/bptt",
    }
    for given in ({}, {"GITHUB_REPOSITORY": "A-B/bptt"}, here):
        for key in here:
            monkeypatch.delenv(key, raising=False)
        for key, value in given.items():
            monkeypatch.setenv(key, value)
        metadata = {}
        hook.update(metadata)
        urls = metadata["urls"]
        assert len(urls) == (4 if given == here else 0)
    assert urls["Source"] == "https://host.example/A-B/bptt"
    assert urls["Documentation"] == "https://a-b.github.io/bptt/"
    named = re.match(r"\S+", urls["Changelog"].rpartition("/")[2])[0]
    assert (ROOT / named).is_file()


def test_workflows_and_forms_are_read_and_run_what_is_there():
    yaml = pytest.importorskip("yaml")
    read = {
        path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in [*ROOT.glob(".github/**/*.yml"), ROOT / "CITATION.cff"]
    }
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    jobs = {f"{f}: {name}": job for f, what in read.items()
            for name, job in what.get("jobs", {}).items()}  # fmt: skip
    for name, job in jobs.items():
        lines = "\n".join(step.get("run", "") for step in job["steps"])
        for script in re.findall(r"^bash (\S+)", lines, re.MULTILINE):
            assert (ROOT / script).is_file(), name
        for session in re.findall(r"nox -s (\w+)", lines):
            assert f"def {session}(" in sessions, name
    assert {"test.yml: oldest", "release.yml: publish", "site.yml: site"} <= set(jobs)
    assert jobs["release.yml: publish"]["permissions"] == {"id-token": "write"}
    system = jobs["test.yml: quick"]["strategy"]["matrix"]
    assert system["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert {name.split("-")[0] for name in system["os"]} == {
        "ubuntu", "macos", "windows",
    }  # fmt: skip
    for form in ("wish.yml", "wrong.yml"):
        assert {"name", "description", "body"} <= set(read[form])
        assert all("label" in part["attributes"] for part in read[form]["body"])
    assert read["CITATION.cff"]["cff-version"] == "1.2.0"


def test_no_environment_is_part_of_the_project():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no repository")
    listed = subprocess.run(
        (git, "ls-files"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = listed.stdout.splitlines()
    assert [n for n in names if "site-packages" in n or n.startswith(".nox")] == []
    ignored = subprocess.run(
        (git, "ls-files", "-ci", "--exclude-standard"),
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ignored.stdout == ""
