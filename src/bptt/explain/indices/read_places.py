r"""Steps and places in LaTeX: ^{(t+1)}, _{j,l+k}, _{\operatorname{wrap}(i-k)}."""

from __future__ import annotations

from collections.abc import Iterable

from bptt.explain.algebra.point import Scope
from bptt.explain.indices.ranks import ranks_of_labels
from bptt.explain.indices.said import Said
from bptt.explain.notation.formula_tokens import Token
from bptt.explain.notation.greek import OwnNames
from bptt.explain.notation.names import Names
from bptt.step.graph import Graph


class PlaceReader(Names):
    """Reads what stands at a name; the grammar around it is a class below."""

    def __init__(self, text: str, graph: Graph, letters: Iterable[str]) -> None:
        """Cut the text; letters: indices that the cell does not have."""
        super().__init__(text, Scope(graph))
        self._graph = graph
        self._numbers = {*self._dims, *graph.indices, *letters, "tau"}
        self._labels = ranks_of_labels(graph)
        names = (*sorted(self.own_names.all_of_them), *self._labels)
        self.own_names = OwnNames(names)

    def reading(self, token: Token) -> Said:
        """A name, just taken, with its step and its places."""
        raise NotImplementedError

    def _is_step(self) -> bool:
        at = 2 if self.ahead().text == "{" else 1
        first = self.ahead(at + 1)
        is_step = self.step_of(first) or first.text.isdigit()
        return self.ahead(at).text == "(" and bool(is_step)

    def _step(self) -> str:
        """^{(t+1)}; a transpose behind it in the braces stays."""
        self.expect("**")
        is_braced = self.accept("{")
        self.expect("(")
        found = self._text_until(")")
        self.expect(")")
        if is_braced and not self.accept("}"):
            at = self.now.start
            pieces = [Token("symbol", "**", at, at), Token("symbol", "{", at, at)]
            self.tokens[self.at : self.at] = pieces
        return "tau" if found == "T" and "T" not in self._scope.names else found

    def _places(self) -> tuple[list[str], int]:
        """What stands lowered, and how many dimensions that takes away."""
        if not self.accept("{"):
            return [self.take().text], 1
        found = [self._place()]
        while not self.is_symbol("}"):
            self.accept(",")
            found.append(self._place())
        self.expect("}")
        if "..." in found:
            at = found.index("...")
            found[at - 1 : at + 2] = [", ".join(found[at - 1 : at + 2])]
            return found, len(found) - 1
        return found, len(found)

    def _place(self) -> str:
        """j, l+k, wrap(i-k), 3, y^(t), or the colon of a column."""
        if self.accept(":"):
            return ":"
        if self.accept("…"):
            return "..."
        start, depth, found = self.at, 0, ""
        while self.now.kind != "end":
            if not depth and self.is_symbol(",", "}", "…", ")"):
                break
            if self.now.kind == "name" and found[-1:].isalnum():
                if self.tokens[self.at - 1].kind == "number":  # 2 n_h
                    found += "*"
                elif not depth:  # ij are two places
                    break
            token = self.take()
            if token.kind == "name":
                token = self.labelled(token)
            if token.text in self._scope.names and self.is_symbol("**"):
                found += self.reading(token).text
                continue
            depth += (token.text == "(") - (token.text == ")")
            found += token.text
        if self.at == start:
            self.fail_at(self.now, "formula.index", found=self.now.text)
        return found

    def _text_until(self, close: str) -> str:
        """Names, numbers and signs as they stand: t-2**k."""
        depth, found = 0, ""
        while self.now.kind != "end" and (depth or not self.is_symbol(close)):
            token = self.take()
            if token.kind == "name":
                token = self.labelled(token)
            depth += (token.text in ("(", "{")) - (token.text in (")", "}"))
            found += {"{": "(", "}": ")"}.get(token.text, token.text)
        return found
