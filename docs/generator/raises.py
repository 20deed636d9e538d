"""What the `raise` statements of the package say, found in its source."""

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "napari_sam"
_WORD, _FEW = re.compile(r"[^\W\d_]+"), 3
# A sentence is put together in a few steps: a constant, a function, a variable.
_STEPS = 6
# A value with more texts than these is left open.
_ENOUGH = 4

Meanings = dict[str, list[ast.AST]]
Bound = dict[str, list[str]]


@cache
def said_by_raises() -> dict[Path, dict[int, list[str]]]:
    """Return {module: {line of a raise: its sentences}}; an ellipsis is a value."""
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }
    public: Meanings = defaultdict(list)
    own = {path: _meanings(tree) for path, tree in trees.items()}
    for meanings in own.values():
        for name, found in meanings.items():
            public[name] += [f for f in found if name.isupper() or _is_function(f)]
    return {
        path: dict(_said_in(tree, own[path], public)) for path, tree in trees.items()
    }


def _said_in(
    tree: ast.Module, own: Meanings, public: Meanings
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line of a raise, its sentences) of a module."""
    for function in filter(_is_function, ast.walk(tree)):
        speaker = _Speaker(_meanings(function), own, public)
        for node in ast.walk(function):
            if isinstance(node, ast.Raise) and node.exc is not None:
                yield node.lineno, speaker.sentences(node.exc)


class _Speaker:
    """Follows names to the sentences that they stand for, from near to far."""

    def __init__(self, *scopes: Meanings) -> None:
        self._scopes = scopes

    def sentences(self, raised: ast.expr) -> list[str]:
        """Return the sentences of an exception; parts of one are for programmers."""
        return [
            text
            for text in dict.fromkeys(self._texts(raised, {}, _STEPS))
            if text.endswith(".") and len(_WORD.findall(text)) >= _FEW
        ]

    def _texts(self, node: ast.AST, bound: Bound, steps: int) -> list[str]:
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        if isinstance(node, ast.IfExp):
            either = (node.body, node.orelse)
            return [text for part in either for text in self._texts(part, bound, steps)]
        if isinstance(node, ast.BoolOp):
            either = node.values
            return [text for part in either for text in self._texts(part, bound, steps)]
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values, bound, steps)
        if isinstance(node, ast.BinOp):
            return self._joined([node.left, node.right], bound, steps)
        if isinstance(node, ast.FormattedValue):
            is_name = isinstance(node.value, ast.Name) and node.conversion < 0
            texts = self._texts(node.value, bound, steps) if is_name else []
            return texts if any(texts) else []
        if isinstance(node, ast.Subscript):
            items = self._items(node)
            return [text for item in items for text in self._texts(item, bound, steps)]
        return self._meant(node, bound, steps)

    def _items(self, node: ast.Subscript) -> list[ast.AST]:
        """Return what a tuple has at an index, or all that a table holds."""
        held, index = node.value, node.slice
        nested = isinstance(held, ast.Subscript)
        found = self._items(held) if nested else self._meanings_of(_name(held))
        items: list[ast.AST] = []
        for container in found:
            if isinstance(container, ast.Dict):
                items += container.values
            elif isinstance(container, ast.Tuple) and isinstance(index, ast.Constant):
                items.append(container.elts[index.value])
        return items

    def _meanings_of(self, name: str) -> list[ast.AST]:
        return next((scope[name] for scope in self._scopes if scope.get(name)), [])

    def _joined(self, parts: Iterable[ast.expr], bound: Bound, steps: int) -> list[str]:
        """Return the texts that begin with those of the first part, and so on."""
        texts = [self._texts(part, bound, steps) for part in parts]
        kept = [few if 0 < len(few) <= _ENOUGH else ["…"] for few in texts]
        joined = map("".join, itertools.product(*kept))
        return [re.sub("…+", "…", text) for text in joined]

    def _meant(self, node: ast.AST, bound: Bound, steps: int) -> list[str]:
        """Return the texts that a name, or a call of a function, stands for."""
        name = _name(node)
        if name in bound:
            return bound[name]
        if isinstance(node, ast.Call) and _is_exception(name):
            return [
                t for part in node.args[:1] for t in self._texts(part, bound, steps)
            ]
        texts: list[str] = []
        for meaning in self._meanings_of(name) if steps else []:
            if isinstance(meaning, ast.FunctionDef):
                if isinstance(node, ast.Call):
                    given = self._given(node, meaning, bound, steps - 1)
                    inside = _Speaker(_meanings(meaning), *self._scopes[1:])
                    for returned in _returned(meaning):
                        texts += inside._texts(returned, given, steps - 1)
            else:
                texts += self._texts(meaning, bound, steps - 1)
        return texts

    def _given(
        self, call: ast.Call, function: ast.FunctionDef, bound: Bound, steps: int
    ) -> Bound:
        """Return {parameter: the texts that the call gives it, or its default}."""
        names = [a.arg for a in function.args.args if a.arg != "self"]
        defaults = function.args.defaults
        values = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        values |= dict(zip(names, call.args, strict=False))
        values |= {k.arg: k.value for k in call.keywords if k.arg}
        return {name: [] for name in names} | {
            name: self._texts(value, bound, steps) for name, value in values.items()
        }


@cache
def _meanings(tree: ast.AST) -> Meanings:
    """Return {name: what is assigned to it, or the function of this name}."""
    found: Meanings = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found[node.name].append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value is not None:
                for target in targets:
                    for name, value in _assigned(target, node.value):
                        found[name].append(value)
    return found


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, what it gets); a tuple of names gets the items of the value."""
    if isinstance(target, ast.Tuple):
        for place, part in enumerate(target.elts):
            yield _name(part), ast.Subscript(value, ast.Constant(place))
    else:
        yield _name(target), value


def _returned(function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            yield node.value


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_exception(name: str) -> bool:
    return name.endswith(("Error", "Warning", "Exception"))
