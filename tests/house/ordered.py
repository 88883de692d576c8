"""Finds what depends on the order of a set, on an address or on a directory's order.

A set of nodes is ordered by their addresses, a set of strings by a hash that differs
from process to process. Whoever lets such an order decide anything gets other numbers,
or another text, in the next process. A line whose order cannot matter says why:
`# order-free: ...`.
"""

import ast
from dataclasses import dataclass, field

SETS = frozenset({"set", "frozenset", "AbstractSet", "Set", "MutableSet", "Collection"})
ORDERED = frozenset({"Iterable", "Iterator", "Sequence", "list", "tuple"})
CONTAINERS = frozenset({"dict", "Mapping", "MutableMapping", "list", "tuple",
                        "Sequence", "Iterable"})  # fmt: skip
SAME_KIND = frozenset({"union", "difference", "intersection", "copy",
                       "symmetric_difference"})  # fmt: skip
# Consumers of a set whose result is the same in any order; those in KEYED only without
# a key, which may hold ties.
ORDER_FREE = frozenset({"any", "all", "set", "frozenset", "len", "update", "bool",
                        "issubset", "isdisjoint", "issuperset", "sorted", "min", "max",
                        "isinstance", "difference_update"}) | SAME_KIND  # fmt: skip
KEYED = frozenset({"sorted", "min", "max"})
TAKERS = frozenset({"list", "tuple", "enumerate", "iter", "zip", "map", "filter", "sum",
                    "dict", "fromkeys", "next", "join", "extend", "deque", "chain",
                    "from_iterable", "array", "asarray", "repr", "str"})  # fmt: skip
LISTINGS = frozenset({"iterdir", "glob", "rglob", "listdir", "scandir"})
EXEMPT = "# order-free:"


@dataclass
class Index:
    """What the annotations of the whole package say: see `index`."""

    attributes: dict = field(default_factory=dict)
    returns: dict = field(default_factory=dict)
    constants: dict = field(default_factory=dict)
    parameters: dict = field(default_factory=dict)


def kind_of_annotation(node):
    """'set', 'sets' (a container of sets), 'ordered' or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.BinOp):  # a union: X | None
        kinds = {kind_of_annotation(node.left), kind_of_annotation(node.right)}
        return next((k for k in ("set", "sets", "ordered") if k in kinds), None)
    head = node.value if isinstance(node, ast.Subscript) else node
    name = getattr(head, "id", getattr(head, "attr", None))
    if name in SETS:
        return "set"
    if name in CONTAINERS and isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if parts and kind_of_annotation(parts[-1]) == "set":
            return "sets"
    return "ordered" if name in ORDERED else None


def index(trees):
    """The kinds of attributes, results and parameters, by name, of many modules."""
    found = Index()
    for tree in trees:
        for item in tree.body:
            if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                name, kind = item.targets[0].id, Scope(Index()).kind(item.value)
                kind = kind if name.isupper() else None
                if found.constants.setdefault(name, kind) != kind:
                    found.constants[name] = None  # two constants of one name
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign):
                        kind = kind_of_annotation(item.annotation)
                        _note(found.attributes, item.target.id, kind)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                _index_attribute(found, node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                _index_function(found, node)
    return found


def _note(table, name, kind):
    if kind in ("set", "sets"):
        table[name] = kind


def _index_attribute(found, node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        if isinstance(target, ast.Attribute):
            kind = (
                kind_of_annotation(node.annotation)
                if isinstance(node, ast.AnnAssign)
                else Scope(Index()).kind(node.value)
            )
            _note(found.attributes, target.attr, kind)


def _index_function(found, node):
    if node.returns is not None:
        table = found.returns
        decorators = [getattr(d, "id", getattr(d, "attr", None))
                      for d in node.decorator_list]  # fmt: skip
        is_property = not {"property", "cached_property"}.isdisjoint(decorators)
        kind = kind_of_annotation(node.returns)
        if is_property:
            _note(found.attributes, node.name, kind)
        elif table.setdefault(node.name, kind) != kind:
            table[node.name] = None  # two functions of one name: not known
    arguments = [*node.args.posonlyargs, *node.args.args]
    names = [(a.arg, a.annotation) for a in arguments if a.arg not in ("self", "cls")]
    keywords = [(a.arg, a.annotation) for a in node.args.kwonlyargs]
    signature = (
        [kind_of_annotation(a) if a else None for _, a in names],
        {n: kind_of_annotation(a) if a else None for n, a in (*names, *keywords)},
    )
    known = found.parameters.setdefault(node.name, signature)
    if known != signature:
        found.parameters[node.name] = None  # two functions of one name: not checked


class Scope:
    """The kinds of the names of a function, and those around it."""

    def __init__(self, index, names=None):
        self.index = index
        self.names = dict(names or {})

    def kind(self, node):
        """'set', 'sets' or None: what an expression gives."""
        match node:
            case ast.Set() | ast.SetComp():
                return "set"
            case ast.Name():
                return self.names.get(node.id)
            case ast.Attribute():
                return self.index.attributes.get(node.attr)
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                sides = (node.left, node.right)
                is_set = any(self.kind(s) == "set" or _is_view(s) for s in sides)
                return "set" if is_set else None
            case ast.IfExp():
                return self.kind(node.body) or self.kind(node.orelse)
            case ast.BoolOp():
                return next(filter(None, map(self.kind, node.values)), None)
            case ast.NamedExpr():
                return self.kind(node.value)
            case ast.Subscript():
                return "set" if self.kind(node.value) == "sets" else None
            case ast.Call():
                return self._of_call(node)
        return None

    def _of_call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", None))
        if isinstance(node.func, ast.Name) and name in ("set", "frozenset"):
            return "set"
        if isinstance(node.func, ast.Attribute):
            receiver = self.kind(node.func.value)
            if receiver == "set" and name in SAME_KIND:
                return "set"
            if receiver == "sets":
                one = ("get", "pop", "setdefault", "popitem")
                return (
                    "set"
                    if name in one
                    else "sets"
                    if name in ("values", "items")
                    else None
                )
        return self.index.returns.get(name)

    def bind(self, target, kind):
        """Give a target of an assignment its kind; what is a set once stays one."""
        if isinstance(target, ast.Name) and kind in ("set", "sets"):
            self.names[target.id] = kind


def _is_view(node):
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_call and node.func.attr in ("keys", "items") and not node.args


def find(text, package=None):
    """Lines of a module that depend on such an order, as 'line: what'."""
    tree = ast.parse(text)
    here = index([tree])
    if package is not None:  # a function of this module before one of another
        here = Index(
            package.attributes,
            {**package.returns, **here.returns},
            {**package.constants, **here.constants},
            {**package.parameters, **here.parameters},
        )
    scope = Scope(here, here.constants)
    finder = _Finder(scope, text.splitlines())
    finder.visit(tree)
    return sorted(finder.found)


class _Finder(ast.NodeVisitor):
    def __init__(self, scope, lines):
        self.scope = scope
        self.lines = lines
        self.found = set()
        self.free = set()

    def report(self, node, what):
        near = self.lines[max(0, node.lineno - 3) : node.end_lineno]
        if not any(EXEMPT in line for line in near):
            self.found.add(f"{node.lineno}: {what}: {ast.unparse(node)[:70]}")

    def check(self, node, what):
        if self.scope.kind(node) == "set":
            self.report(node, what)

    # ----- names -----

    def visit_Module(self, node):
        self._body(node)

    def visit_FunctionDef(self, node):
        outer, self.scope = self.scope, Scope(self.scope.index, self.scope.names)
        arguments = node.args
        for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self.scope.names.pop(a.arg, None)
            if a.annotation is not None:
                kind = kind_of_annotation(a.annotation)
                self.scope.bind(ast.Name(a.arg), kind)
        self._body(node)
        self.scope = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _body(self, node):
        for _ in range(2):  # a name may get its kind from one that is bound later
            for item in _walk_own(node):
                self._bind(item)
        self.generic_visit(node)

    def _bind(self, item):
        match item:
            case ast.Assign(targets=targets):
                for target in targets:
                    self.scope.bind(target, self.scope.kind(item.value))
            case ast.AnnAssign():
                self.scope.bind(item.target, kind_of_annotation(item.annotation))
            case ast.NamedExpr():
                self.scope.bind(item.target, self.scope.kind(item.value))
            case ast.For() | ast.comprehension():
                if self.scope.kind(item.iter) == "sets":
                    is_pair = isinstance(item.target, ast.Tuple)
                    self.scope.bind(
                        item.target.elts[-1] if is_pair else item.target, "set"
                    )

    # ----- what iterates -----

    def visit_For(self, node):
        self.check(node.iter, "a loop over a set")
        self.generic_visit(node)

    def _comprehension(self, node):
        if node not in self.free:
            for part in node.generators:
                self.check(part.iter, "a comprehension over a set")
        self.generic_visit(node)

    visit_ListComp = visit_GeneratorExp = _comprehension  # noqa: N815
    visit_DictComp = _comprehension  # noqa: N815

    def visit_Compare(self, node):
        if all(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
            self.free.update(node.comparators)
        self.generic_visit(node)

    def visit_List(self, node):
        for item in node.elts:
            if isinstance(item, ast.Starred) and node not in self.free:
                self.check(item.value, "a set in a sequence")
        self.generic_visit(node)

    visit_Tuple = visit_List  # noqa: N815

    def visit_FormattedValue(self, node):
        self.check(node.value, "a set as text")
        self.generic_visit(node)

    def visit_YieldFrom(self, node):
        self.check(node.value, "yield from a set")
        self.generic_visit(node)

    def visit_Assign(self, node):
        for target in node.targets:
            if isinstance(target, ast.Tuple | ast.List) and len(target.elts) > 1:
                self.check(node.value, "a set unpacked")
        self.generic_visit(node)

    def visit_Call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", None))
        is_keyed = name in KEYED and any(k.arg == "key" for k in node.keywords)
        if name in ORDER_FREE and not is_keyed:
            self.free.update(node.args)
            self.free.update(
                part.iter for argument in node.args
                for part in getattr(argument, "generators", ())
            )  # fmt: skip
        self._check_arguments(node, name, is_keyed)
        if name == "pop" and not node.args and isinstance(node.func, ast.Attribute):
            self.check(node.func.value, "an element of a set")
        if isinstance(node.func, ast.Name) and name in ("id", "hash"):
            self.report(node, "an address or a hash")
        if name in LISTINGS and node not in self.free:
            self.report(node, "a directory's own order")
        self.generic_visit(node)

    def _check_arguments(self, node, name, is_keyed):
        signature = self.scope.index.parameters.get(name)
        positional, named = signature or ([], {})
        for number, item in enumerate(node.args):
            if isinstance(item, ast.Starred):
                self.check(item.value, "a set as arguments")
            elif is_keyed or name in TAKERS:
                self.check(item, f"{name} of a set")
            elif number < len(positional) and positional[number] == "ordered":
                self.check(item, f"a set given to {name}")
        for keyword in node.keywords:
            if named.get(keyword.arg) == "ordered":
                self.check(keyword.value, f"a set given to {name}")


def _walk_own(node):
    """The parts of a function that are not in a function inside it."""
    stack = list(ast.iter_child_nodes(node))
    while stack:
        item = stack.pop(0)
        yield item
        if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(item))
