"""YAML as users mean it: 1e-3 is a number, which YAML 1.1 reads as a text, and no key comes twice."""

import re
from collections.abc import Iterator
from typing import Any

import yaml


class DoubledKeys(yaml.YAMLError):
    """`paths`: the dotted paths of keys that a mapping has more than once, of which PyYAML takes the last."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(f"{', '.join(paths)} more than once; keep one")
        self.paths = paths


class _Loader(yaml.SafeLoader):
    pass


class _Dumper(yaml.SafeDumper):
    pass


yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789"), _Loader, _Dumper
)


def read(text: str) -> Any:
    """Plain values; yaml.YAMLError where the text is not YAML, DoubledKeys where it has a key twice."""
    loader = _Loader(text)
    node = loader.get_single_node()
    if paths := list(_doubled(node)):
        raise DoubledKeys(paths)
    return None if node is None else loader.construct_document(node)


def write(plain: Any) -> str:
    """The inverse of `read`, keys in their order."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _doubled(node: yaml.Node | None, above: str = "") -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        names = [str(key.value) for key, _ in node.value]
        yield from (above + name for name in dict.fromkeys(names) if names.count(name) > 1)
        for key, inner in node.value:
            yield from _doubled(inner, f"{above}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from _doubled(inner, above)
