"""`bptt cache`: what it says of the compiled code on disk, and that it removes it."""

from typer.testing import CliRunner

from bptt.cli.app import app
from bptt.execute.codegen.disk import Store


def say(*arguments):
    result = CliRunner().invoke(app, ["cache", *arguments])
    assert result.exit_code == 0
    return " ".join(result.output.split())


def test_it_shows_and_clears_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BPTT_CACHE", str(tmp_path / "kept"))
    assert f"{tmp_path / 'kept'}: 0 files, 0.0 MB" in say()
    store = Store(tmp_path / "kept")
    for key in ("a", "b", "c"):
        store.write(key, bytes(200_000))
    (tmp_path / "kept" / "mine.txt").write_text("not code")
    assert "3 files, 0.6 MB" in say()
    assert "3 files removed" in say("--clear")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine.txt"]
    monkeypatch.setenv("BPTT_CACHE", "off")
    assert say() == "off: BPTT_CACHE says so; nothing is read or kept"
