"""The house as CONTRIBUTING.md shows it: its rooms, the direction of its imports, and none too crowded."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_FILE, MOST_MODULES = 400, 10


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "study").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Every module of study that one imports, inside functions and for types alone too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "study":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def edges() -> dict[str, set[str]]:
    known = modules()
    return {name: set(imports(name, path, known)) - {name} for name, path in known.items()}


def test_no_module_imports_itself_on_any_way() -> None:
    following = edges()

    def reaches(start: str) -> set[str]:
        seen, left = set(), [start]
        while left:
            new = following.get(left.pop(), set()) - seen
            seen |= new
            left += new
        return seen

    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert not [name for name in following if name not in packages and name in reaches(name)]


def rooms(text: str) -> list[set[str]]:
    """The rows of the table of `study/`, from the top."""
    table = text.partition("| in `study/` | holds |")[2].partition("\n\n")[0]
    return [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines()[2:]]


def test_the_map_shows_the_layers_that_the_linter_holds() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c.get("containers") == ["study"]]
    expected = [set(layer.replace("|", " ").split()) for layer in layers]
    assert rooms((ROOT / "CONTRIBUTING.md").read_text()) == expected
    there = {p.stem for p in (ROOT / "study").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert set.union(*expected) == there - {"__init__"}
    packages = {f"study.{p.name}" for p in (ROOT / "study").iterdir() if (p / "__init__.py").exists()}
    assert packages <= set(configuration["tool"]["setuptools"]["packages"]), "what is not listed is not installed"


def test_what_the_map_tells_to_touch_is_there() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| to add | touch |")[2].partition("\n\n")[0]
    paths = re.findall(r"`((?:models|study|docs)/[\w/.]+)`", table)
    assert len(paths) >= 8
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("package", ["study", "models"])
def test_no_room_is_crowded(package: str) -> None:
    folders = [ROOT / package, *(p.parent for p in (ROOT / package).rglob("__init__.py"))]
    crowded = {str(f.relative_to(ROOT)): len(list(f.glob("*.py"))) for f in folders}
    roots = {"study": crowded["study"]} if package == "study" else {}
    assert all(count <= MOST_MODULES for count in roots.values()), roots


def test_what_pyproject_says_needs_a_package_is_there() -> None:
    comments = re.findall(r"#(?!.*\")(.*)", (ROOT / "pyproject.toml").read_text())
    named = [path for comment in comments for path in re.findall(r"\b(?:models|study|tests|docs)/[\w/.]*", comment)]
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path.rstrip(".")).exists()] == []


def test_one_function_is_called_resolve() -> None:
    files = [path for package in ("models", "study", "search_spaces") for path in (ROOT / package).rglob("*.py")]
    assert len([path for path in files if re.search(r"^def resolve\(", path.read_text(), re.MULTILINE)]) == 1


def test_no_file_is_long() -> None:
    files = [p for package in ("models", "study", "search_spaces") for p in (ROOT / package).rglob("*.py")]
    long = {str(p.relative_to(ROOT)) for p in files if len(p.read_text().splitlines()) > LONGEST_FILE}
    assert not long, "part them by what they do"


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Strings that stand alone: of modules, classes and functions, and below the attributes that they describe."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def test_docstrings_begin_with_the_thing_or_its_action() -> None:
    folders = ("models", "study", "search_spaces", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    texts = [(f"{path.relative_to(ROOT)}:{line}", text) for path in files for line, text in docstrings(path)]
    assert len(texts) > 1000
    assert [place for place, text in texts if text.startswith("What ")] == []


def test_the_map_is_in_plain_words() -> None:
    tables = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where things live")[2].partition("\n## ")[0]
    rows = [row for row in tables.splitlines() if row.startswith("| ") and not row.startswith("|---")]
    assert len(rows) > 30
    roundabout = re.compile(
        r"\b(what|whatever|told|said|away|at work|one's own|stranger)\b|\b(row|line|file) a \w", re.I
    )
    assert [row for row in rows if roundabout.search(row)] == []
