"""Files become one document: tables merge, arrays of tables append, values may not be given twice."""

from pathlib import Path

from postroad.config.merge import read_document
from postroad.config.problem import Place


def _write(folder: Path, **parts: str) -> Path:
    (folder / "conf.d").mkdir()
    main = folder / "postroad.toml"
    for name, text in parts.items():
        (main if name == "main" else folder / "conf.d" / f"{name}.toml").write_text(text)
    return main


def test_tables_merge_and_arrays_of_tables_append_in_name_order(tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        main="[queue]\nwindow = 100\n[[routes]]\nnext_hops = ['a']\n",
        b20="[[routes]]\nnext_hops = ['c']\n",
        a10="[[routes]]\nnext_hops = [\n'b']\n[queue]\nconcurrency = 5\n",
    )
    document = read_document(file)
    assert document.problems == []
    assert document.data == {
        "queue": {"window": 100, "concurrency": 5},
        "routes": ({"next_hops": ("a",)}, {"next_hops": ("b",)}, {"next_hops": ("c",)}),
    }
    assert document.places["queue", "window"] == Place(str(file), 2)
    assert document.places["routes", 1, "next_hops", 0] == Place(str(tmp_path / "conf.d" / "a10.toml"), 3)
    assert document.places["routes", 2] == Place(str(tmp_path / "conf.d" / "b20.toml"), 1)


def test_a_value_given_twice_is_told_with_both_places(tmp_path: Path) -> None:
    file = _write(tmp_path, main="hostname = 'a.example'\n", more="\nhostname = 'b.example'\n")
    (problem,) = read_document(file).problems
    assert problem.path == ("hostname",)
    assert problem.text == f"is given again at {tmp_path / 'conf.d' / 'more.toml'}:2; give it once"


def test_a_list_of_plain_values_given_twice_is_a_mistake_too(tmp_path: Path) -> None:
    file = _write(tmp_path, main="[access]\nrelay_domains = ['a']\n", more="[access]\nrelay_domains = ['b']\n")
    (problem,) = read_document(file).problems
    assert problem.path == ("access", "relay_domains")


def test_every_unreadable_file_is_told(tmp_path: Path) -> None:
    file = _write(tmp_path, main="a = 1\nb = [\n", bad="a = 2\na = 3\n", worse="")
    (tmp_path / "conf.d" / "worse.toml").write_bytes(b"# fine\n# \xff\n")
    (tmp_path / "conf.d" / "zfolder.toml").mkdir()
    problems = read_document(file).problems
    assert [(str(problem.place), problem.text) for problem in problems] == [
        (f"{file}:2", "is not TOML: Invalid value"),
        (f"{tmp_path}/conf.d/bad.toml:2", "is not TOML: Cannot overwrite a value"),
        (f"{tmp_path}/conf.d/worse.toml:2", "is not UTF-8 text"),
        (f"{tmp_path}/conf.d/zfolder.toml", "cannot be read: Is a directory"),
    ]


def test_a_missing_file_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    (problem,) = read_document(tmp_path / "none.toml").problems
    assert problem.text == "cannot be read: No such file or directory"


def test_carriage_returns_do_not_shift_lines(tmp_path: Path) -> None:
    file = tmp_path / "dos.toml"
    file.write_bytes(b"# one\r\n\r\na = 1\r\n")
    assert read_document(file).places[("a",)].line == 3
