/* The one change that puts a reader's formula right: the changes of formula/edits.py, in
   its order, each tried on the numbers of this page. What it suggests is what was tried. */
(function () {
  const { make, put, rebuild, walk, from, write, key, same, product, total, negative, transpose, moved, atStep } = B.expr;
  const CONSTANTS = new Set(["number", "quotient", "weight"]);
  const NAMING = new Set(["nabla", "jacobian", "element", "incoming", "unit", "delta"]);
  const TURNED = new Set(["value", "nabla", "jacobian", "product"]);
  const COLUMNS = new Set(["sum", "power", "value", "applied", "hadamard"]);
  const T = { base: "t", offset: 0 }, FIRST = { base: "", offset: 1 }, TAU = { base: "tau", offset: 0 };
  const MOST = 4000;
  const is = (x, ...kinds) => kinds.includes(x.k);
  const unique = (list) => Array.from(new Map(list.map((x) => [key(x), x])).values());
  const isAt = (time, other) => time?.base === other.base && time.offset === other.offset;

  /* ----- parts, each with what puts another in its place ----- */

  function parts(x, set = (part) => part, found = []) {
    found.push([x, set]);
    if (!NAMING.has(x.k)) x.c.forEach((part, i) => parts(part, (other) => set(put(x, i, other)), found));
    return found;
  }
  /* The names inside gradients, derivatives and elements, whose step may be wrong. */
  function named(x, set) {
    const count = is(x, "element") ? 1 : x.c.length;
    return x.c.slice(0, count).flatMap((part, i) => {
      const inner = (other) => set(put(x, i, other));
      return is(part, "value") ? [[part, inner]] : NAMING.has(part.k) ? named(part, inner) : [];
    });
  }
  function freeSteps(x, bound = ["", "tau"], found = new Set()) {
    const inside = is(x, "sigma", "steps") ? [...bound, x.index] : bound;
    for (const time of [x.time, x.lower, x.upper]) if (time && !bound.includes(time.base)) found.add(time.base);
    for (const part of x.c) freeSteps(part, inside, found);
    return found;
  }

  /* ----- the changes, one kind each ----- */

  const edit = (kind, result, span, ...named_) => ({ kind, result, span, parts: named_ });

  function* sums(formula, right) {
    if (is(formula, "sigma")) yield edit("extra-sum", formula.c[0], formula.span);
    if (!right.some((known) => is(known, "sigma"))) return;
    let body = formula.f === "sum" ? formula.c[0] : formula;
    if (!freeSteps(body).size) body = rebuild(body, (x) => (is(x, "value") && isAt(x.time, TAU) ? { ...x, time: T } : x));
    if (!freeSteps(body).has("t")) return;
    const whole = make("sigma", [body], { index: "t", lower: FIRST, upper: TAU });
    yield edit("missing-sum", whole, formula.span, whole);
  }
  function* rows(formula) {
    const turned = transpose(formula);
    yield edit("transpose", turned, formula.span, turned);
    const columns = transpose(rebuild(formula, (x) => (is(x, "nabla", "incoming") ? make("transpose", [x], {}, x.span) : x)));
    yield edit("rows", columns, formula.span, columns);
  }
  function* swaps(x, set) {
    if (!is(x, "product")) return;
    for (let i = 0; i < x.c.length; i++) for (let j = i + 1; j < x.c.length; j++) {
      yield edit("swap", set(put(put(x, i, x.c[j]), j, x.c[i])), x.c[i].span, x.c[i], x.c[j]);
    }
  }
  function* transposes(x, set) {
    if (is(x, "transpose")) yield edit("not-transposed", set(x.c[0]), x.span, x.c[0]);
    else if (TURNED.has(x.k)) {
      const turned = make("transpose", [x], {}, x.span);
      yield edit("transpose", set(turned), x.span, turned);
    }
  }
  function* diagonals(x, set) {
    if (is(x, "hadamard")) yield edit("product", set(make("product", x.c, {}, x.span)), x.span, x);
    if (is(x, "diag")) yield edit("no-diag", set(x.c[0]), x.span, x.c[0]);
    else if (is(x, "product")) {
      for (const [i, factor] of x.c.entries()) if (COLUMNS.has(factor.k)) {
        const turned = make("diag", [factor], {}, factor.span);
        yield edit("diag", set(put(x, i, turned)), factor.span, turned);
      }
    }
  }
  function* shifts(x, set) {
    if (is(x, "value") && x.time) for (const by of [1, -1]) {
      const other = { ...x, key: undefined, time: moved(x.time, by) };
      yield edit("step", set(other), x.span, other);
    }
  }
  function* signs(x, set) {
    if (is(x, "negative")) yield edit("plus", set(x.c[0]), x.span);
    else if (is(x, "sum")) {
      const terms = x.c.map(negative), turned = make("sum", terms.sort((a, b) => is(a, "negative") - is(b, "negative")), {}, x.span);
      yield edit("signs", set(turned), x.span, turned);
    } else if (is(x, "product", "power", "nabla", "value")) yield edit("minus", set(make("negative", [x])), x.span);
  }
  function* bounds(x, set) {
    if (!is(x, "sigma") || !x.upper) return;
    for (const lower of [x.lower, moved(x.lower, 1), moved(x.lower, -1), FIRST]) {
      for (const upper of [x.upper, moved(x.upper, 1), moved(x.upper, -1), TAU]) {
        const other = { ...x, key: undefined, lower, upper };
        if (!same(other, x)) yield edit("bounds", set(other), x.span, other);
      }
    }
  }
  function* orders(x, set) {
    if (!is(x, "steps")) return;
    const turned = { ...x, key: undefined, lower: x.upper, upper: x.lower, isDescending: !x.isDescending };
    yield edit("order", set(turned), x.span, turned);
  }
  const open = (x) => (is(x, "sum") ? x.c : [x]);
  function* terms(formula, right) {
    const own = open(formula), at = formula.span?.[1];
    for (const known of right) for (const term of open(known)) {
      if (open(known).length > own.length) yield edit("missing-term", make("sum", [...own, term]), [at, at + 1], term);
    }
    if (own.length > 1) for (const [i, term] of own.entries()) {
      yield edit("extra-term", total(...own.slice(0, i), ...own.slice(i + 1)), term.span);
    }
  }
  function* factors(x, set, known) {
    if (is(x, "product")) for (const [i, factor] of x.c.entries()) {
      yield edit("extra-factor", set(product(...x.c.slice(0, i), ...x.c.slice(i + 1))), factor.span, factor);
    }
    if (is(x, "quotient")) {
      const factor = make("quotient", [make("number", [], { value: 1 }), x.c[1]]);
      yield edit("extra-factor", set(x.c[0]), x.span, factor);
    }
    if (!is(x, "product", "nabla", "value", "transpose")) return;
    const own = is(x, "product") ? x.c : [x];
    for (const factor of known) for (let i = 0; i <= own.length; i++) {
      const longer = make("product", [...own.slice(0, i), factor, ...own.slice(i)]);
      yield edit("missing-factor", set(longer), own[Math.min(i, own.length - 1)].span, factor);
    }
  }
  function* replacements(places, right) {
    const known = unique(right.flatMap(walk)), [whole] = places[0];
    // Where a function is wrong, what it is of is not what was mistaken.
    const calls = new Set(known.filter((x) => is(x, "applied")).map((x) => x.f));
    const inside = new Set(places.filter(([x]) => is(x, "applied") && !calls.has(x.f)).flatMap(([x]) => x.c.flatMap(walk)));
    const sized = places.filter(([x]) => !inside.has(x)).map(([x, set]) => [walk(x).length, x, set]).sort((a, b) => a[0] - b[0]);
    for (const [, x, set] of sized) {
      if (x === whole && !is(x, "number")) continue;
      for (const other of known) {
        if (!same(other, x) && (x !== whole || CONSTANTS.has(other.k))) yield edit("replace", set(other), x.span, other, x);
      }
    }
  }

  function* edits(formula, right) {
    const places = parts(formula);
    const known = unique(right.flatMap(walk).filter((x) => is(x, "product")).flatMap((x) => x.c));
    yield* sums(formula, right);
    yield* rows(formula);
    for (const made of [swaps, transposes, diagonals]) for (const [x, set] of places) yield* made(x, set);
    const inside = places.filter(([x]) => NAMING.has(x.k)).flatMap(([x, set]) => named(x, set));
    for (const [x, set] of [...places, ...inside]) yield* shifts(x, set);
    for (const [x, set] of places) for (const made of [signs, bounds, orders]) yield* made(x, set);
    yield* terms(formula, right);
    for (const [x, set] of places) yield* factors(x, set, known);
    yield* replacements(places, right);
  }

  /* ----- what is right here: the cell's own formulas, made by Python ----- */

  const { lab } = B.data, { known } = lab;
  const read = (texts) => (texts || []).map((text) => from(B.treeOf(text)));
  const has = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

  function whole(left) {
    const { name, time } = left.k === "nabla" ? left.c[0] : left;
    if (left.k === "value") return time ? read(has(lab.equations, name) && [lab.equations[name]]).map((x) => atStep(x, time)) : [];
    if (left.k !== "nabla") return [];
    const found = read(has(known.right, name));
    if (B.data.places[name]?.isParameter) return time ? found.map((x) => (is(x, "sigma") ? x.c[0] : x)) : found;
    const ends = has(known.ends, name) || {};
    if (time && isAt(time, TAU) && ends.tau) return read(ends.tau);
    if (time && isAt(time, { base: "", offset: 0 })) return read(ends["0"]);
    return time ? found.map((x) => atStep(x, time)) : [];
  }
  function lettered(left) {
    const [of] = left.c, name = of.k === "nabla" ? of.c[0].name : of.name, { letters } = left;
    const given = ["i", "j"].slice(0, letters.length);
    if (letters.includes(null)) return [];
    const swap = (letter) => (given.includes(letter) ? letters[given.indexOf(letter)] : letter);
    const time = of.k === "nabla" ? of.c[0].time : of.time;
    return read(has(of.k === "nabla" ? known.elements : {}, name)).filter((x) => !walk(x).some((part) => is(part, "sigma") && letters.includes(part.index)))
      .map((x) => rebuild(x, (part) => ({ ...part, ...(part.letters && { letters: part.letters.map(swap) }), ...(is(part, "delta") && { first: swap(part.first), second: swap(part.second) }) })))
      .map((x) => (B.data.places[name].isParameter && time && is(x, "sigma") ? x.c[0] : time ? atStep(x, time) : x));
  }
  /* ∂y/∂x along the edge, or through the equations of y's step: formula/jacobians.py */
  const isOf = ([name, lag], source) => name === source.name && lag === source.lag;
  function through(name, source) {
    const reads = has(known.jacobians, name) || [], edge = reads.find((reading) => isOf(reading, source));
    if (edge) return edge[2] === null ? null : read([edge[2]])[0];
    const found = reads.filter(([, lag, text]) => lag === 0 && text !== null).flatMap(([inner, , text]) => {
      const rest = has(known.jacobians, inner) ? through(inner, source) : null;
      return rest ? [product(...read([text]), rest)] : [];
    });
    return found.length ? total(...found) : null;
  }
  function jacobian({ c: [target, source] }) {
    if (!is(target, "value") || !is(source, "value") || !target.time) return null;
    const isParameter = B.data.places[source.name]?.isParameter;
    if (!isParameter && source.time?.base !== target.time.base) return null;
    const found = through(target.name, { name: source.name, lag: isParameter ? null : source.time.offset - target.time.offset });
    return found && walk(found).length <= 200 ? atStep(found, target.time) : null;
  }
  function rightOf(left, holds) {
    if (is(left, "transpose")) return rightOf(left.c[0], holds).map(transpose);
    if (is(left, "element")) return lettered(left);
    if (!is(left, "jacobian")) return whole(left);
    const found = jacobian(left);
    return found && (!left.total || holds(left, found)) ? [found] : [];
  }

  /* ----- the search ----- */

  const plain = (end) => (is(end, "element") ? end.c[0] : end);
  const isFar = (x) => {
    if (!is(x, "jacobian") || x.total) return false;
    const [a, b] = x.c.map((end) => plain(end).time);
    return a && b && (a.base !== b.base || Math.abs(a.offset - b.offset) > 1) && !jacobian(x);
  };
  /* Whether a path leads from the source to the target: Jacobians.depends */
  function depends({ c }) {
    const [target, source] = c.map(plain), [a, b] = [target.time, source.time];
    if (!a || !b) return false;
    const gap = b.offset - a.offset, most = Math.abs(gap) + 1, seen = new Set(), todo = [[target.name, 0]];
    const way = (b.base === "tau") - (a.base === "tau");
    for (const [name, lag] of todo) {
      if (seen.has(`${name} ${lag}`)) continue;
      seen.add(`${name} ${lag}`);
      if (name === source.name && (a.base === b.base ? lag === gap : lag * way > 0 || !way)) return true;
      for (const [inner, by] of has(known.jacobians, name) || []) if (by !== null) todo.push([inner, Math.max(-most, Math.min(most, lag + by))]);
    }
    return false;
  }

  /* How unlike a right formula is to the one written; a recursion is preferred. */
  function strangeness(right, formula, left) {
    const names = walk(left).filter((x) => is(x, "nabla")).map((x) => x.c[0].name);
    const isRecursion = walk(right).some((x) => is(x, "nabla") && names.includes(x.c[0].name));
    const [a, b] = [right, formula].map((x) => new Set(walk(x).map(key)));
    const shared = Array.from(a).filter((text) => b.has(text)).length;
    return 1e6 * !isRecursion + a.size + b.size - 2 * shared;
  }
  function firstDifference(formula, right) {
    const found = new Set(right.flatMap(walk).map(key));
    const leaves = walk(formula).filter((x) => !found.has(key(x)) && x.span);
    const small = leaves.filter((x) => x.c.every((part) => found.has(key(part))));
    return (small.length ? small : leaves).map((x) => x.span).sort((a, b) => a[0] - b[0] || a[1] - b[1])[0];
  }

  /* The derivative in the other direction, if there the value is read later. */
  function turnedOf(left) {
    if (!is(left, "jacobian")) return null;
    const swapped = { ...left, key: undefined, c: left.c.slice().reverse() };
    const isTotal = ({ name, time }) => name === "L" && !time;
    if (isTotal(left.c[1])) return isTotal(left.c[0]) ? null : swapped;
    if (jacobian(left)) return null;
    if (jacobian(swapped)) return swapped;
    return depends(left) || !depends(swapped) ? null : { ...swapped, total: true };
  }

  function hints(left, formula, shown, other, turned) {
    const found = [], source = shown && walk(shown).find((x) => is(x, "incoming"));
    if (source && !walk(formula).some((x) => is(x, "incoming"))) found.push(["outside", { symbol: write(source), node: write(source.c[0]) }]);
    const far = [left, formula].flatMap(walk).find(isFar);
    if (far && depends(far)) found.push(["far", { immediate: write(far), meant: write({ ...far, total: true }) }]);
    if (other && !isFar(left)) found.push([other.total ? "immediate" : "total", { written: write(left), meant: write(other) }]);
    if (turned) found.push(["reversed", { written: write(left), meant: write(turned) }]);
    return found.map(([id, fields]) => ({ id: `formula.hint.${id}`, fields }));
  }

  /* A generator, so that a page may do other things meanwhile; returns the diagnosis. */
  B.diagnosis = function* (leftTree, tree) {
    const pass = new B.Pass(null), left = from(leftTree), formula = from(tree), leftText = write(left);
    const tried = (a, b, isQuick) => {
      const [one, two] = [a, b].map((x) => (x.k ? () => B.parseFormula(write(x)).right : () => x));
      try { return B.compared(one(), two(), pass, isQuick); } catch (error) {
        if (error instanceof B.FormulaError) return null;
        throw error;
      }
    };
    const holds = (a, b) => tried(a, b, true)?.isEqual === true;
    let other = is(left, "jacobian") ? { ...left, key: undefined, total: !left.total } : null;
    if (other && !holds(other, formula)) other = null;
    const right = rightOf(left, holds).map((x) => [strangeness(x, formula, left), x]).sort((a, b) => a[0] - b[0]).map(([, x]) => x);
    const own = tried(leftTree, tree) || tried(leftTree, leftTree);
    const loses = (found) => found.letter === own?.letter && own.covered.filter((t) => !found.covered.includes(t)).length > 1;
    let best = null, count = 0;
    if (!other && !walk(left).some(isFar)) {
      for (const found of edits(formula, right)) {
        if (++count > MOST) break;
        yield;
        if (walk(found.result).some((x) => same(x, left))) continue;
        const result = tried(leftTree, found.result, true);
        if (!result?.isEqual || loses(result)) continue;
        best = found;
        break;
      }
      if (!best && right.length && is(left, "jacobian", "transpose")) best = edit("write", right[0], formula.span, right[0], formula);
    }
    const shown = best ? best.result : right[0];
    return {
      kind: best?.kind, span: best ? best.span : firstDifference(formula, right),
      advice: best && { id: `formula.edit.${best.kind}`, fields: Object.fromEntries(best.parts.map((x, i) => [`part${i}`, write(x)])) },
      suggestion: shown ? `${leftText} = ${write(shown)}` : "", hints: hints(left, formula, shown, other, right.length ? null : turnedOf(left)),
    };
  };
})();
