"""Arguments that there are not, and what is said of them."""

import pytest

from study.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum", "photos.py"], "no verb 'rum'; did you mean 'run'? (known: list, plan, run,"),
        (["run", "photos.py", "--seeds", "3"], "unrecognized arguments: --seeds 3; write --set seeds=3\n"),
        (["run", "--seeds", "3", "photos.py"], "write --set seeds=3\n"),
        (["run", "photos.py", "--batch-size=64", "--k", "8", "16"], "write --set batch_size=64 --set k=[8,16]\n"),
        (["plan", "photos.py", "--data.root", "photos"], "write --set data.root=photos\n"),
        (["run", "photos.py", "--set", "k=8", "16"], "unrecognized arguments: 16; write --set k=[8,16]\n"),
        (["run", "--set", "k=8", "16", "photos.py"], "write --set k=[8,16]\n"),
        (["run", "photos.py", "--seeds"], "write --set seeds=VALUE\n"),
        (["run", "photos.py", "--sedes", "3"], "unrecognized arguments: --sedes 3\n"),
        (["ui", "--seeds", "3", "4"], "unrecognized arguments: --seeds 4\n"),
    ],
)
def test_an_option_that_is_a_key_is_told_as_set(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = capsys.readouterr().err
    assert said.endswith(message) or f": {message}" in said
    verb = f"usage: study {arguments[0]} [-h]" if arguments[0] != "rum" else "usage: study [-h] VERB"
    assert said.startswith(verb)


@pytest.mark.parametrize("verb", [["status"], ["report"], ["findings"], ["compare", "quickstart"]])
def test_verbs_that_start_nothing_do_not_say_so(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "nosuch"]) == 2
    assert capsys.readouterr().err.startswith("study: 1 problem\n  ")
