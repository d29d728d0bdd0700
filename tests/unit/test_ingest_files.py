"""Which files a command means, and what their documents are called."""

from pathlib import Path

import pytest

from trivium.ingest.files import NoSuchFile, select


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("docs/b.md", "docs/a.MD", "docs/deep/page.html", "docs/notes.txt", "docs/scan.pdf", "docs/logo.png", "docs/.git/x.md", "docs/.hidden.md", "README.md"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_a_folder_means_every_readable_file_below_it(project: Path) -> None:
    chosen = select([Path("docs")])
    assert [(one.document, one.kind) for one in chosen.sources] == [
        ("docs/a.MD", "markdown"), ("docs/b.md", "markdown"), ("docs/notes.txt", "text"), ("docs/scan.pdf", "pdf"),
        ("docs/deep/page.html", "html"),
    ]  # fmt: skip
    assert chosen.prefixes == ("docs/",)


def test_names_do_not_depend_on_how_the_path_was_written(project: Path) -> None:
    spelled = [Path("docs"), Path("./docs/"), project / "docs", Path("docs/../docs")]
    assert len({tuple(one.document for one in select([path]).sources) for path in spelled}) == 1
    assert len(select(spelled).sources) == 5


def test_outside_of_the_current_folder_the_folders_name_begins_the_names(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    (project.parent / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    chosen = select([project / "docs"])
    assert chosen.prefixes == ("docs/",)
    assert "docs/deep/page.html" in {one.document for one in chosen.sources}


def test_a_file_removes_nothing(project: Path) -> None:
    chosen = select([Path("README.md"), Path("docs/b.md")])
    assert [one.document for one in chosen.sources] == ["README.md", "docs/b.md"]
    assert chosen.prefixes == ()


@pytest.mark.parametrize(("name", "said"), [("nowhere", "does not exist"), ("docs/logo.png", r"known are .*\.md")])
def test_what_cannot_be_meant_is_said(project: Path, name: str, said: str) -> None:
    with pytest.raises(NoSuchFile, match=said):
        select([Path(name)])
