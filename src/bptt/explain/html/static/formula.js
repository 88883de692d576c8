/* A formula to a tree, by the grammar of `check_equation` (notation/parse.py):

     grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]

   `@` or side by side is the matrix product, `*` element by element. The text becomes a
   tree and nothing else: there is no way from it to a script. */
(function () {
  const FormulaError = B.FormulaError;
  const DEEPEST = 60, LETTERS = new Set("ijklm"), STEPS = new Set(["t", "s", "tau"]);
  const FUNCTION_LETTERS = new Set(["sigma", "zeta", "delta"]);
  const INDICES = new Set([...LETTERS, ...STEPS, "r"]);
  const OPENERS = new Set(["(", "[", "∇", "∂", "Σ", "Π", "frac", "√", "|(", "{", "overline", "𝟏", "𝐈", "𝐞", "𝟎"]);
  const CALLED = { sigma: "sigmoid", zeta: "softplus", LN: "layer_norm", ln: "log", stop: "stop_gradient", max: "maximum", min: "minimum", onehot: "one_hot", Diag: "diag", lower: "lower_part", replaced: "with_derivative", largest: "max" };
  const SLOPED = new Set(["tanh", "sigmoid", "relu", "softplus", "exp", "log", "sqrt", "sin", "cos", "abs", "expm1"]);
  const UNARY = new Set([...SLOPED, "softmax", "log_softmax"]);
  const isName = (name) => Object.hasOwn(B.data.places, name);
  const isSize = (name) => Object.hasOwn(B.data.sizes, name);
  const isInteger = (name) => isName(name) && B.data.places[name].index !== undefined;
  const T = { base: "t", offset: 0 }, FIRST = { base: "", offset: 1 }, TAU = { base: "tau", offset: 0 };

  class Reader {
    constructor(text) { this.list = B.formulaTokens(text); this.at = 0; this.depth = 0; this.bound = []; this.ordered = []; }
    get next() { return this.list[this.at]; }
    ahead(by = 1) { return this.list[Math.min(this.at + by, this.list.length - 1)]; }
    is(...signs) { return this.next.kind === "sign" && signs.includes(this.next.text); }
    pop() { const token = this.next; if (token.kind !== "end") this.at++; return token; }
    take(...signs) { return this.is(...signs) ? this.pop() : null; }
    fail(id, fields, token) { throw new FormulaError(id, fields, (token || this.next).span); }
    want(sign) {
      if (!this.is(sign)) this.fail("lab-expected", { wanted: sign, found: this.next.text || "…" });
      return this.pop();
    }
    node(op, start, parts) { return { ...parts, op, span: [start, this.list[this.at - 1].span[1]] }; }

    /* All sides: [left, right, ...], or one alone. */
    sides() {
      const found = [this.sum()];
      while (this.take("=")) found.push(this.sum());
      if (this.next.kind !== "end") this.fail("lab-unexpected", { found: this.next.text });
      return found;
    }

    sum() {
      if (++this.depth > DEEPEST) this.fail("lab-deep", { limit: DEEPEST });
      const start = this.next.span[0];
      let left = this.term();
      while (this.is("+", "-")) {
        const op = this.pop().text === "+" ? "add" : "sub", right = this.term();
        left = this.node(op, start, { left, right });
      }
      if (this.is(">", ">=")) {
        const op = this.pop().text === ">" ? "greater" : "greater_equal", right = this.sum();
        left = this.node(op, start, { left, right });
      }
      this.depth--;
      return left;
    }

    term() {
      const start = this.next.span[0];
      if (this.take("-")) {
        if (++this.depth > DEEPEST) this.fail("lab-deep", { limit: DEEPEST });
        const of = this.term();
        this.depth--;
        return this.node("neg", start, { of });
      }
      let left = this.chain();
      while (this.is("@", "*", "/", "⊗")) {
        const sign = this.pop().text, op = { "@": "matmul", "*": "mul", "/": "div", "⊗": "matmul" }[sign];
        let right = op === "div" ? this.power() : this.chain();
        if (sign === "⊗") right = { op: "transpose", of: right, span: right.span };
        left = this.node(op, start, { left, right });
        while (op === "div" && this.opens()) {
          const more = this.power();
          left = this.node("beside", start, { left, right: more });
        }
      }
      return left;
    }

    opens() { return (this.next.kind === "name" && (this.next.text !== "for" || isName("for"))) || this.next.kind === "number" || this.is(...OPENERS); }

    chain() {
      const start = this.next.span[0];
      let left = this.power();
      while (this.opens()) {
        const right = this.power();
        left = this.node("beside", start, { left, right });
      }
      return left;
    }

    power() {
      const start = this.next.span[0];
      let of = this.atom();
      for (;;) {
        if (this.take(".T")) of = this.node("transpose", start, { of });
        else if (this.take("**")) of = this.raised(of, start);
        else if (this.take(".dot")) {
          this.want("(");
          const right = this.sum();
          this.want(")");
          of = this.node("call", start, { name: "dot", parts: [of, right] });
        } else if (of.op !== "number" && this.is("[", "_") && this.isElementAhead()) {
          const close = this.opened();
          if (this.take(":")) {
            this.want(",");
            const [index] = this.indices(close);
            of = this.node("call", start, { name: "lookup", parts: [of, index] });
          } else {
            const index = this.indices(close), isGradient = of.op === "gradient" && !of.index.length;
            const isUnit = of.op === "call" && of.name === "eye" && index.length === 1 && index[0].op !== "letter";
            of = isUnit ? this.node("call", start, { name: "one_hot", parts: [index[0], of.parts[0]] }) : this.node(isGradient ? "gradient" : "part", start, isGradient ? { ...of, index } : { of, index });
          }
        } else return of;
      }
    }

    isElementAhead() {
      const { text } = this.ahead(this.ahead().text === "{" ? 2 : 1);
      return LETTERS.has(text) || text === ":" || isInteger(text);
    }
    opened() { return this.pop().text === "[" ? "]" : this.take("{") ? "}" : ""; }

    raised(base, start) {
      let braces = 0, found;
      while (this.take("{")) braces++;
      if (this.is("⊤") || (this.next.text === "T" && !isName("T"))) {
        this.pop();
        found = { op: "transpose", of: base };
      } else found = { op: "pow", left: base, right: braces ? this.sum() : this.exponent() };
      for (; braces; braces--) this.want("}");
      return this.node(found.op, start, found);
    }
    exponent() {
      const start = this.next.span[0];
      if (!this.take("-")) return this.atom();
      const of = this.atom();
      return this.node("neg", start, { of });
    }

    atom() {
      const token = this.next, start = token.span[0];
      if (token.kind === "number") {
        this.pop();
        if (token.text === "1" && this.is("_")) return this.lowered("𝟏", start);
        return this.node("number", start, { value: Number(token.text) });
      }
      if (this.is("(", "{", "[", "|(", "|")) {
        this.pop();
        const isIverson = this.isIndex() && this.ahead().text === "=";
        const inside = isIverson ? this.inside("delta", start) : this.sum();
        this.want({ "(": ")", "{": "}", "[": "]", "|(": ")|", "|": "|" }[token.text]);
        if (token.text.startsWith("|")) return this.node("call", start, { name: "abs", parts: [inside] });
        return { ...inside, span: [start, this.list[this.at - 1].span[1]] };
      }
      if (token.kind === "sign" && Object.hasOwn(SIGNS, token.text)) { this.pop(); return SIGNS[token.text].call(this, start); }
      if (token.kind !== "name") this.fail("lab-expected", { wanted: B.word("lab-a-name"), found: token.text || "…" });
      return this.named(this.name(), start);
    }

    /* ----- names ----- */

    name() {
      const token = this.pop();
      if (token.kind !== "name") this.fail("lab-expected", { wanted: B.word("lab-a-name"), found: token.text || "…" }, token);
      return this.labelled(token);
    }

    labelled(token) {
      const known = (name) => isName(name) || isSize(name);
      if (!this.is("_")) return this.torn(this.own(token), known);
      let label = this.ahead().text, width = 2;
      if (label === "{") {
        label = "";
        while (["name", "number"].includes(this.ahead(width).kind) || this.ahead(width).text === "d") label += this.ahead(width++).text;
      }
      const text = B.ownName(`${token.text}_${label}`);
      if (!known(text)) return this.own(token);
      const isBraced = this.ahead().text === "{";
      this.at += width;
      if (isBraced && !this.take("}")) {
        const comma = this.want(",");
        this.at--;
        this.list.splice(this.at, 1, sign("_", comma.span), sign("{", comma.span));
      }
      return { kind: "name", text, span: [token.span[0], this.list[this.at - 1].span[1]] };
    }

    /* σ or sigma, whichever the cell has; σ(u) is a function */
    own(token) { return this.is("(") && FUNCTION_LETTERS.has(token.text) ? token : { ...token, text: B.ownName(token.text) }; }

    /* o_i, h_t in one word */
    torn(token, known) {
      const cut = token.text.lastIndexOf("_"), base = B.ownName(token.text.slice(0, cut)), tail = asTau(token.text.slice(cut + 1));
      const isScript = STEPS.has(tail) || (tail && Array.from(tail).every((c) => LETTERS.has(c)));
      if (cut < 1 || known(token.text) || !known(base) || !isScript) return token;
      const words = STEPS.has(tail) ? [tail] : Array.from(tail);
      this.list.splice(this.at, 0, sign("_", token.span), sign("{", token.span),
        ...words.map((text) => ({ kind: "name", text, span: token.span })), sign("}", token.span));
      return { ...token, text: base };
    }

    named(token, start) {
      const name = token.text;
      const isKronecker = isName(name) && this.isKronecker(name);
      if (name !== "tau" && (!isName(name) || isKronecker)) {
        const found = this.worded(isKronecker ? { ...token, text: "delta" } : token, start);
        if (found) return found;
      }
      if (this.take("\u0305")) return this.node("incoming", start, this.place(token));
      const place = this.place(token);
      if (place.isColumn) return this.node("call", start, { name: "lookup", parts: [this.node("value", start, { ...place, index: [] }), place.index[0]] });
      return this.node("value", start, place);
    }

    /* Two indices make δ_{i,j} of a δ that the cell has as no matrix. */
    isKronecker(name) {
      if (name !== B.ownName("delta") || !this.is("_") || B.data.places[name].shape.length > 1) return false;
      const [brace, first, after, last] = this.list.slice(this.at + 1, this.at + 5).map((token) => token.text);
      return brace === "{" && LETTERS.has(first) && LETTERS.has(after === "," ? last : after);
    }

    worded(token, start) {
      const name = token.text;
      if (name.startsWith("grad_")) return this.gradientOf(this.labelled({ ...token, text: name.slice(5) }), start);
      if (name.startsWith("d") && (isName(B.ownName(name.slice(1))) || isName(name.slice(1).split("_")[0]) || (name === "d" && this.next.kind === "name"))) {
        const target = this.differential(token);
        if (!this.is("/")) return this.node("gradient", start, target);
        this.want("/");
        return this.derived(target, this.differential(this.pop()), true, start);
      }
      if (this.is("_", "**") && (name === "sum" || name === "prod")) return this.over(name === "sum" ? "sigma" : "product", start);
      const [word, step] = name.split("_");
      if (["sum", "prod"].includes(word) && INDICES.has(step)) {
        this.list.splice(this.at, 0, sign("_", token.span), { kind: "name", text: step, span: token.span });
        return this.over(word === "sum" ? "sigma" : "product", start);
      }
      if (word === "delta" && step && Array.from(step).every((letter) => LETTERS.has(letter))) {
        this.list.splice(this.at, 0, sign("_", token.span), sign("{", token.span),
          ...Array.from(step).map((text) => ({ kind: "name", text, span: token.span })), sign("}", token.span));
        return this.lowered("𝟏", start);
      }
      if (this.is("_") && ["delta", "e", "I"].includes(name)) return this.lowered({ delta: "𝟏", e: "𝐞", I: "𝐈" }[name], start);
      if (this.is("(") || this.isBare(name) || (this.is("[") && (name.toLowerCase() === "diag" || UNARY.has(CALLED[name] ?? name)))) return this.call(token, start);
      if (name === "I") return { ...this.sized("eye", [B.sizeOfI ?? Object.keys(B.data.sizes)[0]], start), isUnsized: true };
      if (name.startsWith("I_") && isSize(name.slice(2))) return this.sized("eye", [name.slice(2)], start);
      return null;
    }

    /* A name's step and indices: h[t,i], h^(t), h_{t+1}, W_{ij}. */
    place({ text: name }) {
      let time = null, index = [], isColumn = false;
      const lowered = (close) => {
        if (this.take(":")) { this.want(","); index = this.indices(close); isColumn = true; }
        else if (this.isIndex() || (this.next.kind === "name" && isInteger(this.next.text))) index = this.indices(close);
        else {
          time = this.time(!close);
          if (close && this.take(",")) index = this.indices(close);
          else if (close) this.want(close);
        }
      };
      if (this.take("[")) lowered("]");
      else {
        for (;;) {
          if (this.is("_") && !index.length) { this.pop(); lowered(this.take("{") ? "}" : ""); }
          else if (!time && this.isStepAhead()) time = this.raisedStep();
          else break;
        }
      }
      return { name, time, index, isColumn };
    }

    /* log x, tanh a^(t), tanh'(a), tanh^2(a): a function before no bracket. */
    isBare(name) {
      if (name === "log" && this.next.text === "softmax") return true;
      if (!UNARY.has(Object.hasOwn(CALLED, name) ? CALLED[name] : name)) return false;
      if (this.opens()) return true;
      const kept = this.at, { stroke, power } = this.marks(), found = (stroke || power !== null) && (this.is("(") || this.next.kind === "name");
      this.at = kept;
      return found;
    }
    marks() {
      if (this.take(".T")) return { stroke: true, power: null };
      const kept = this.at;
      if (this.take("**")) {
        const close = this.take("{") ? "}" : "", token = this.pop();
        if (!close || this.take(close)) {
          if (token.text === ".T") return { stroke: true, power: null };
          if (token.kind === "number") return { stroke: false, power: Number(token.text) };
        }
      }
      this.at = kept;
      return { stroke: false, power: null };
    }

    stepOf({ text }) { const step = asTau(text); return STEPS.has(step) || this.bound.includes(step) ? step : ""; }
    isStep(token) { return this.stepOf(token) !== "" || /^\d+$/.test(token.text); }
    isRaisedStep(token) { return this.isStep(token) || LETTERS.has(token.text); }

    /* Whether a product runs back in time; which of two letters is the later step is
       said by the sums around it, or by dh[t]/dh[s] on the left. */
    isDescending(lower, upper) {
      if (lower.base === upper.base) return lower.offset > upper.offset;
      if (this.isKnown(upper.base, lower.base)) return true;
      if (this.isKnown(lower.base, upper.base)) return false;
      const order = ["", "t", "s", "tau"], rank = ({ base }) => (order.includes(base) ? order.indexOf(base) : 1);
      return rank(lower) > rank(upper);
    }
    isKnown(earlier, later) {
      const reached = new Set([earlier]);
      for (let size = 0; size < reached.size;) {
        size = reached.size;
        for (const [a, b] of this.ordered) if (reached.has(a)) reached.add(b);
      }
      return earlier === "" || later === "tau" || reached.has(later);
    }
    overSteps(op, start, index, lower, upper, read) {
      const known = this.ordered.length;
      if (op === "sigma") this.ordered.push([lower.base, index], [index, upper.base]);
      this.bound.push(index);
      const body = read();
      this.bound.pop();
      this.ordered.length = known;
      return this.node(op, start, { index, lower, upper, body, isDescending: this.isDescending(lower, upper) });
    }
    isStepAhead() {
      if (!this.is("**")) return false;
      const at = this.ahead().text === "{" ? 2 : 1;
      return this.ahead(at).text === "(" && this.isRaisedStep(this.ahead(at + 1))
        && (this.ahead(at + 2).text === ")" || this.ahead(at + 4).text === ")");
    }
    raisedStep() {
      this.want("**");
      const isBraced = this.take("{");
      this.want("(");
      if (!this.stepOf(this.next) && LETTERS.has(this.next.text)) this.bound.unshift(this.next.text);
      const time = this.time();
      this.want(")");
      if (isBraced && !this.take("}")) {
        this.take("**");
        this.list.splice(this.at, 0, sign("**", this.next.span), sign("{", this.next.span));
      }
      return time;
    }

    /* t, t+1, tau, 3 */
    time(isSingle) {
      const token = this.pop();
      if (token.kind === "number" && /^\d+$/.test(token.text)) return { base: "", offset: Number(token.text) };
      const base = this.stepOf(token);
      if (!base) this.fail("lab-step", { found: token.text || "…" }, token);
      if (isSingle || !this.is("+", "-")) return { base, offset: 0 };
      const by = this.pop().text === "+" ? 1 : -1, number = this.pop();
      if (!/^\d+$/.test(number.text)) this.fail("lab-step", { found: number.text || "…" }, number);
      return { base, offset: by * Number(number.text) };
    }

    isIndex() {
      const { kind, text } = this.next;
      const isClass = isInteger(text) && ["[", "**", "_"].includes(this.ahead().text);
      return kind === "name" && LETTERS.has(text) && !isClass && !this.bound.includes(text);
    }
    indices(close) {
      const found = [];
      for (;;) {
        const isLetter = this.isIndex(), token = this.pop();
        if (isLetter) found.push({ op: "letter", letter: token.text, span: token.span });
        else if (token.kind === "name" && isInteger(token.text)) found.push(this.node("value", token.span[0], this.place(token)));
        else this.fail("lab-index", { found: token.text || "…" }, token);
        if (!close || (close !== "]" && this.take(close))) return found;
        if (this.take(",")) continue;
        if (close === "]" || !(this.isIndex() || (this.next.kind === "name" && isInteger(this.next.text)))) { this.want(close); return found; }
      }
    }

    /* ----- gradients and derivatives ----- */

    gradientOf(token, start) {
      const place = this.place(token);
      this.skipTotal();
      return this.node("gradient", start, place);
    }
    skipTotal() {
      if (this.next.kind === "name" && this.next.text === "L" && !["[", "_", "**"].includes(this.ahead().text)) return this.pop();
      return null;
    }
    nabla(start) {
      const isLowered = this.take("_"), isBraced = isLowered && this.take("{");
      const source = this.place(this.name());
      if (isBraced) this.want("}");
      const ofTotal = this.skipTotal();
      if (!ofTotal && isLowered && this.next.kind === "name") {
        const kept = [this.at, this.list.slice()], token = this.name();
        if (isName(token.text)) {
          const target = this.place(token);
          if (target.index.length || !B.data.places[token.text].shape.length) {
            const found = this.node("jacobian", start, { target, source, total: false });
            return B.data.places[source.name].shape.length === 2 ? found : this.node("transpose", start, { of: found });
          }
        }
        [this.at, this.list] = kept;
      }
      return this.node("gradient", start, source);
    }
    end() { return this.place(this.name()); }
    derived(target, source, total, start) {
      const [later, earlier] = [target.time?.base, source.time?.base];
      if (later && earlier && later !== earlier && !this.isKnown(later, earlier)) this.ordered.push([earlier, later]);
      if (target.name === "L" && !target.time) return this.node("gradient", start, source);
      return this.node("jacobian", start, { target, source, total });
    }
    differential(token) {
      if (token.kind !== "name" || !token.text.startsWith("d")) this.fail("lab-differential", { found: token.text || "…" }, token);
      return token.text === "d" ? this.end() : this.place(this.labelled({ ...token, text: token.text.slice(1) }));
    }
    fraction(start) {
      this.want("{");
      const first = this.next.text;
      const isTotal = first === "d" && (this.is("d") || !isName("d"));
      if (!this.is("∂") && !isTotal) {
        const left = this.sum();
        this.want("}");
        this.want("{");
        const right = this.sum();
        this.want("}");
        return this.node("div", start, { left, right });
      }
      this.pop();
      const target = this.is("}") ? null : this.end();
      this.want("}");
      this.want("{");
      if (this.next.text !== first) this.fail("lab-differential", { found: this.next.text || "…" });
      this.pop();
      const source = this.end();
      this.want("}");
      return this.derived(target || this.end(), source, isTotal, start);
    }

    /* ----- sums and products ----- */

    over(op, start) {
      let index = "", first = null, upper = null;
      while (this.is("_", "**")) {
        const isLow = this.pop().text === "_", close = this.take("{") ? "}" : "";
        if (isLow) {
          index = this.pop().text;
          if (!INDICES.has(index)) this.fail("lab-step", { found: index || "…" }, this.list[this.at - 1]);
          if (this.take("=")) {
            first = this.limit(close);
            if (this.take("..")) upper = this.limit(close);
          }
        } else upper = this.limit(close);
        if (close) this.want(close);
      }
      if (!index) this.fail("lab-no-index", {});
      const areTimes = first?.base !== undefined && upper?.base !== undefined;
      const isStep = STEPS.has(index) || (areTimes && (!LETTERS.has(index) || op === "product" || Boolean(first.base || upper.base)));
      if (!isStep) this.refuse(op, first);
      if (!isStep) return this.node("isum", start, { index, dim: upper?.dim ?? (upper ? upper.offset : null), body: this.term() });
      return this.overSteps(op, start, index, first || FIRST, upper || TAU, () => this.term());
    }
    /* No product of a vector's elements, no sum over a part of an index. */
    refuse(op, first) {
      if (op === "product") this.fail("lab-product-index", {});
      if (first && (first.base || first.offset !== 1)) this.fail("lab-index-first", { found: `${first.base}${first.offset || ""}` || "0" });
    }
    limit(close) {
      if (isSize(this.next.text) || this.ahead().text === "_") return { dim: this.size() };
      return this.time(!close);
    }
    size() {
      const first = this.oneSize();
      if (!this.is("+")) return first;
      let total = B.data.sizes[first] ?? first;
      while (this.take("+")) { const more = this.oneSize(); total += B.data.sizes[more] ?? more; }
      return total;
    }
    oneSize() {
      if (this.next.kind === "number") return Number(this.pop().text);
      const token = this.name();
      if (!isSize(token.text) && token.text !== "tau") this.fail("lab-unknown", { name: token.text, known: Object.keys(B.data.sizes).join(", ") }, token);
      return token.text;
    }
    areStepsAhead() {
      let at = this.at;
      for (let k = 0; k < 2; k++) {
        if (!this.isStep(this.list[at] || {})) return false;
        at += ["+", "-"].includes(this.list[at + 1]?.text) ? 3 : 1;
        if (this.list[at]?.text !== ",") return false;
        at++;
      }
      return true;
    }
    summed(op, start) {
      const index = this.next.text;
      if (this.loopAhead()) return this.looped(op, start);
      if (this.ahead().text !== "," || !INDICES.has(index)) { this.refuse(op); return null; }
      this.pop();
      this.want(",");
      if (!this.areStepsAhead()) {
        this.refuse(op);
        const dim = this.size();
        this.want(",");
        return this.node("isum", start, { index, dim, body: this.sum() });
      }
      const lower = this.time();
      this.want(",");
      const upper = this.time();
      this.want(",");
      return this.overSteps(op, start, index, lower, upper, () => this.sum());
    }
    /* sum(u for t in range(1, tau+1)) */
    loopAhead() {
      let depth = 0;
      for (let at = this.at; at < this.list.length; at++) {
        const { text } = this.list[at];
        if ("([{".includes(text) && text) depth++;
        if (")]}".includes(text) && text) depth--;
        if (depth < 0) return 0;
        if (text === "for" && depth === 0) return at;
      }
      return 0;
    }
    looped(op, start) {
      const kept = this.at;
      this.at = this.loopAhead();
      const [index, lower, upper] = this.range();
      this.at = kept;
      const found = this.overSteps(op, start, index, lower, upper, () => this.sum());
      this.range();
      return found;
    }
    range() {
      const word = this.pop(), index = this.pop().text;
      if (word.text !== "for" || !INDICES.has(index) || this.pop().text !== "in") this.fail("lab-step", { found: index || "…" }, word);
      if (this.pop().text !== "range") this.fail("lab-expected", { wanted: "range", found: this.next.text || "…" });
      this.want("(");
      let lower = { base: "", offset: 0 }, upper = this.time();
      if (this.take(",")) [lower, upper] = [upper, this.time()];
      this.want(")");
      return [index, lower, { ...upper, offset: upper.offset - 1 }];
    }

    /* ----- functions ----- */

    call(token, start) {
      let name = token.text;
      if (name === "log" && this.next.text === "softmax") { this.pop(); name = "log_softmax"; }
      name = Object.hasOwn(CALLED, name) ? CALLED[name] : name;
      const { stroke, power } = this.marks();
      let found;
      if (UNARY.has(name) && !this.is("(", "[")) found = this.node("call", start, { name, parts: [this.power()] });
      else {
        const close = this.take("[") ? "]" : ")";
        if (close === ")") this.want("(");
        found = this.inside(name, start);
        this.want(close);
      }
      if (stroke) found = { ...found, name: name + "'" };
      if (power !== null) found = this.node("pow", start, { left: found, right: this.node("number", start, { value: power }) });
      return { ...found, span: [start, this.list[this.at - 1].span[1]] };
    }
    inside(name, start) {
      if (name === "sum" || name === "prod") {
        const found = this.summed(name === "sum" ? "sigma" : "product", start);
        if (found) return found;
      }
      if (name === "partial" || name === "total") {
        const target = this.end();
        this.want(",");
        return this.derived(target, this.end(), name === "total", start);
      }
      if (name === "incoming") return this.node("incoming", start, this.end());
      if (name === "delta") {
        const first = this.pop().text;
        if (!this.take("=")) this.want(",");
        return this.node("delta", start, { first, second: this.indexItem() });
      }
      if (["eye", "ones", "zeros"].includes(name)) {
        const dims = [this.size()];
        while (this.take(",")) dims.push(this.size());
        return this.sized(name, dims, start);
      }
      const parts = [this.argument()];
      while (this.take(",")) parts.push(this.argument());
      if (name === "matmul") return this.node("matmul", start, { left: parts[0], right: parts[1] });
      if (name === "multiply") return this.node("mul", start, { left: parts[0], right: parts[1] });
      if (name === "square" || name === "power") {
        const right = name === "power" ? parts[1] : this.node("number", start, { value: 2 });
        return this.node("pow", start, { left: parts[0], right });
      }
      if (name === "one_hot" && parts.length === 1) parts.push(this.sized("", [B.data.places[parts[0].name]?.index], start).parts[0]);
      if (name === "transpose") return this.node("transpose", start, { of: parts[0] });
      return this.node("call", start, { name, parts });
    }
    /* an argument, or eps=1e-05 */
    argument() {
      if (this.next.kind === "name" && this.ahead().text === "=") this.at += 2;
      return this.sum();
    }
    indexItem() {
      if (this.isIndex()) { const token = this.pop(); return { op: "letter", letter: token.text, span: token.span }; }
      const token = this.name();
      return this.node("value", token.span[0], this.place(token));
    }
    sized(name, dims, start) {
      const parts = dims.map((dim) => this.node(typeof dim === "number" ? "number" : "value", start, { value: dim, name: dim, time: null, index: [] }));
      return this.node("call", start, { name, parts });
    }
    /* 1_{n}, 1_{i=y}, 1_{u > 0}, I_n, 0_{n,m}, e_y */
    lowered(mark, start) {
      this.want("_");
      const close = this.take("{") ? "}" : "";
      let found;
      if (mark === "𝐞" || (mark === "𝟏" && this.next.kind === "name" && isInteger(this.next.text) && !this.isIndex())) {
        const index = this.indexItem();
        const dim = B.data.places[index.name]?.index;
        found = this.node("call", start, { name: "one_hot", parts: [index, this.sized("", [dim], start).parts[0]] });
      } else if (mark === "𝟏" && this.isIndex() && (["=", ",", "}"].includes(this.ahead().text) || LETTERS.has(this.ahead().text) || isInteger(this.ahead().text))) {
        const first = this.pop().text;
        if (!this.take("=")) this.take(",");
        found = this.node("delta", start, { first, second: this.indexItem() });
      } else if (mark === "𝟏" && !this.isSizeAhead()) found = this.sum();
      else {
        const dims = [this.size()];
        if (mark === "𝟎") dims.push(this.take(",") ? this.size() : dims[0]);
        found = this.sized({ "𝟏": "ones", "𝐈": "eye", "𝟎": "zeros" }[mark], dims, start);
      }
      if (close) this.want(close);
      return { ...found, span: [start, this.list[this.at - 1].span[1]] };
    }
    isSizeAhead() {
      if (this.next.kind === "number") return this.ahead().text === "}";
      if (this.next.kind !== "name") return false;
      const kept = [this.at, this.list.slice()];
      const isBraced = this.list[this.at - 1].text === "{";
      const found = isSize(this.name().text) && (!isBraced || this.is("}", ","));
      [this.at, this.list] = kept;
      return found;
    }
  }

  const asTau = (text) => (text === "T" && !isName("T") && !isSize("T") ? "tau" : text);
  const sign = (text, span) => ({ kind: "sign", text, span });
  const SIGNS = {
    "∇"(start) { return this.nabla(start); },
    "∂"(start) {
      const target = this.end();
      this.want("/");
      this.want("∂");
      return this.derived(target, this.end(), false, start);
    },
    "Σ"(start) { return this.over("sigma", start); },
    "Π"(start) { return this.over("product", start); },
    frac(start) { return this.fraction(start); },
    "√"(start) {
      const close = this.is("{") ? "}" : ")";
      this.want(close === "}" ? "{" : "(");
      const parts = [this.sum()];
      this.want(close);
      return this.node("call", start, { name: "sqrt", parts });
    },
    overline(start) {
      this.want("{");
      const token = this.name();
      this.want("}");
      return this.node("incoming", start, this.place(token));
    },
    "𝟏"(start) { return this.lowered("𝟏", start); },
    "𝐈"(start) { return this.lowered("𝐈", start); },
    "𝐞"(start) { return this.lowered("𝐞", start); },
    "𝟎"(start) { return this.lowered("𝟎", start); },
  };

  B.parseFormula = function (text) {
    const sides = new Reader(text).sides();
    return { left: sides.length > 1 ? sides[0] : null, right: sides.at(-1), sides };
  };
  B.stepT = T;

  /* Whether a tree is a number whatever the cell: 2, n_h, an element. */
  B.isScalarForm = function (tree) {
    const parts = { neg: ["of"], add: 2, sub: 2, mul: 2, div: 2, matmul: 2, beside: 2 }[tree.op];
    if (parts) return (parts === 2 ? ["left", "right"] : parts).every((key) => B.isScalarForm(tree[key]));
    if (tree.op === "jacobian") return tree.target.index.length > 0 && tree.source.index.length > 0;
    if (["value", "gradient", "part"].includes(tree.op)) {
      return tree.index.length > 0 || (!isName(tree.name) && (isSize(tree.name) || ["tau", "w"].includes(tree.name)));
    }
    return ["number", "delta"].includes(tree.op);
  };
})();
