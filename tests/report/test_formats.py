"""The report in each format, and its figures and tables as files of their own."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from study.config import ConfigError
from study.report.export import escape, latex
from study.report.markdown import markdown
from study.report.page import write_report
from study.report.parts import Code, Folded, Points, Section, Table, Words
from study.report.pdf import BROWSERS, browser
from study.storage.store import Store
from tests.report.test_page import STUDY, add


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a report in Markdown, with every figure and table as a file."""
    store = Store.of("k-study", tmp_path_factory.mktemp("storage"))
    for k in (16, 64):
        for seed in (0, 1):
            add(store, k, "all", seed)
    (store.path / "study.yaml").write_text(STUDY)
    folder = tmp_path_factory.mktemp("out")
    assert write_report(store, folder, formats=("md", "html"), files=True) == [
        folder / "report.html",
        folder / "report.md",
    ]
    return folder


def test_markdown_has_the_pages_headings_figures_and_captions(written: Path) -> None:
    text, html = (written / "report.md").read_text(), (written / "report.html").read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == re.findall(r'<h2 id="[^"]*">(.*?)</h2>', html)
    links = re.findall(r"!\[(?:[^\]\\]|\\.){40,}\]\((figures/[^)]+\.svg)\)\n\n\*\*Figure \d\.\*\* ", text)
    assert len(links) == html.count("<figure") == 5
    assert all((written / link).read_text().startswith("<?xml") for link in links)
    assert "Does accuracy grow with &lt;K&gt;?" in text


def test_tables_of_markdown_are_github_s_and_lead_from_findings_to_trials(written: Path) -> None:
    text = (written / "report.md").read_text()
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    assert len(tables) >= 5
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    linked = set(re.findall(r"\(#trial-(\w+)\)", text))
    assert linked
    assert linked <= set(re.findall(r'<a id="trial-(\w+)">', text))


def test_text_that_looks_like_markup_is_shown_as_it_is() -> None:
    cell = Table("t", "a | b", pd.DataFrame({"x*y": ["$1$ [link](evil) <b> a|b _c_ d_e"]}))
    parts = (Words("line\nbreak `a|b`"), Points(("1", "2")), Folded("more", (Code("study run"),)), cell)
    text = markdown("t", (), [Section("S", parts)])
    assert r"| \$1\$ \[link\](evil) &lt;b&gt; a\|b \_c\_ d_e |" in text
    assert "| x\\*y |" in text
    assert "line break `a\\|b`" in text
    assert "<details><summary>more</summary>\n\n```\nstudy run\n```\n\n</details>" in text


def test_every_figure_is_a_pdf_with_letters_and_an_svg(written: Path) -> None:
    pdfs, svgs = (sorted(path.stem for path in written.glob(f"figures/*.{kind}")) for kind in ("pdf", "svg"))
    assert pdfs == svgs
    assert {"findings", "accuracy.k", "training_loss", "importance", "response"} <= set(pdfs)
    for path in written.glob("figures/*.pdf"):
        content = path.read_bytes()
        assert content.startswith(b"%PDF")
        assert b"/Type3" not in content  # which journals refuse
        assert b"/Subtype /Image" not in content


def test_every_table_is_latex_with_booktabs_and_csv(written: Path) -> None:
    names = {path.stem for path in written.glob("tables/*.csv")}
    assert names == {path.stem for path in written.glob("tables/*.tex")}
    assert {"findings", "cells", "importance", "settings", "provenance", "trials"} <= names
    for path in written.glob("tables/*.tex"):
        text = path.read_text()
        (sides,) = re.findall(r"\\begin\{(?:tabular|longtable)\}\{((?:[lr]|p\{\d+em\})+)\}", text)
        sides = re.sub(r"p\{\d+em\}", "p", sides)
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(sides) - 1}
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert text.isascii(), path.name
    cells = pd.read_csv(written / "tables/cells.csv")
    assert list(cells["k"]) == [16, 64]


def test_latex_escapes_what_it_would_take_for_its_own() -> None:
    frame = pd.DataFrame({"a_b": ["50 % & {x}"], "top1": ["53.3 ± 0.4 / −1.0"]})
    lines = latex(Table("t", "In #1, `code_1`", frame)).splitlines()
    assert r"\caption{In \#1, \texttt{code\_1}}\label{tab:t}" in lines
    assert r"\begin{tabular}{lr}" in lines
    assert r"a\_b & top1 \\" in lines
    assert r"50 \% \& \{x\} & 53.3 $\pm$ 0.4 / $-$1.0 \\" in lines


def test_a_cell_that_begins_with_a_bracket_is_no_option_of_the_line_before() -> None:
    assert "\n{[}0.1, 0.3{]} \\\\\n" in latex(Table("t", "", pd.DataFrame({"k": ["1 | 2", "[0.1, 0.3]"]})))
    assert escape(r"a\b~c^d$e<f>g|h") == (
        r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\$e$<$f$>$g\textbar{}h"
    )


def test_long_texts_and_headings_are_broken_and_a_wide_table_is_made_to_fit() -> None:
    frame = pd.DataFrame(
        {"claim": ["A lower temperature spreads embeddings more uniformly."], "linear probe, %": [1.0]}
    )
    text = latex(Table("t", "", frame))
    assert r"\begin{tabular}{p{18em}r}" in text
    assert r"claim & \shortstack[r]{linear probe,\\\%} \\" in text
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex: texlive-latex-recommended")
def test_every_table_is_typeset(written: Path, tmp_path: Path) -> None:
    inputs = "".join(rf"\input{{{path}}}\clearpage" for path in sorted(written.glob("tables/*.tex")))
    packages = r"\documentclass{article}\usepackage{booktabs,longtable,graphicx}"
    (tmp_path / "all.tex").write_text(rf"{packages}\begin{{document}}{inputs}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout


def test_a_long_table_goes_over_pages() -> None:
    text = latex(Table("t", "Long", pd.DataFrame({"k": range(60)})))
    assert "\\begin{longtable}{r}" in text
    assert "\\endhead" in text


def test_without_a_browser_pdf_says_what_to_install_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if any(Path(name).exists() for name in BROWSERS):
        pytest.skip("a browser lies where no PATH leads")
    store = Store.of("s", tmp_path / "storage")
    add(store, 16, "all", 0)
    with pytest.raises(ConfigError, match=r"printed by Chromium, Chrome or Edge.*install one.*--format html"):
        write_report(store, tmp_path / "out", formats=("pdf",))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_pdf_is_the_page_as_a_browser_prints_it(tmp_path: Path) -> None:
    try:
        browser()
    except ConfigError:
        pytest.skip("there is no Chromium here")
    store = Store.of("s", tmp_path)
    for seed in (0, 1):
        add(store, 16, "all", seed)
        add(store, 64, "all", seed)
    (path,) = write_report(store, formats=("pdf",))
    assert path.read_bytes().startswith(b"%PDF")
    assert not (tmp_path / "s" / "report.html").exists()
    text = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, text=True).stdout
    assert all(heading in text for heading in ("Findings", "Tables", "How to reproduce"))
