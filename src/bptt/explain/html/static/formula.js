/* A formula as text to a tree, in the notation that equations are copied in:

     grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]

   `@` is the matrix product, `*` element by element; Wᵀ, h², ∇h[t], · and ⊙ are read
   too. The text becomes a tree and nothing else: there is no way from it to a script. */
(function () {
  const TOKEN = /\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|([A-Za-zα-ωŷτ_][\wα-ω̂]*)|(\*\*|>=|\.T(?![\w])|[-+*/@=()[\],:∇ᵀ²⊙·^>]))/yu;
  const SPELLING = { "⊙": "*", "·": "@", "ᵀ": ".T", "^": "**", "²": "²" };
  const LONGEST = 2000, DEEPEST = 60;

  class FormulaError extends Error {
    constructor(id, fields, span) {
      super(id);
      Object.assign(this, { id, fields: fields || {}, span });
    }
  }
  B.FormulaError = FormulaError;

  function tokens(text) {
    if (text.length > LONGEST) throw new FormulaError("lab-long", { limit: LONGEST }, [0, 1]);
    const found = [];
    TOKEN.lastIndex = 0;
    while (text.slice(TOKEN.lastIndex).trim()) {
      const start = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) {
        const at = start + /^\s*/.exec(text.slice(start))[0].length;
        throw new FormulaError("lab-character", { found: text[at] }, [at, at + 1]);
      }
      const end = TOKEN.lastIndex, word = match[1] ?? match[2] ?? match[3];
      const kind = match[1] ? "number" : match[2] ? "name" : "sign";
      found.push({ kind, text: Object.hasOwn(SPELLING, word) ? SPELLING[word] : word, span: [end - word.length, end] });
    }
    found.push({ kind: "end", text: "", span: [text.length, text.length + 1] });
    return found;
  }

  class Reader {
    constructor(text) { this.list = tokens(text); this.at = 0; this.depth = 0; }
    get next() { return this.list[this.at]; }
    is(sign) { return this.next.kind === "sign" && this.next.text === sign; }
    take(sign) { if (!this.is(sign)) return false; this.at++; return true; }
    want(sign) {
      if (!this.take(sign)) {
        throw new FormulaError("lab-expected", { wanted: sign, found: this.next.text || "…" }, this.next.span);
      }
    }
    node(op, span, parts) { return { op, span, ...parts }; }

    equation() {
      const left = this.comparison();
      const right = this.take("=") ? this.comparison() : null;
      if (this.next.kind !== "end") {
        throw new FormulaError("lab-unexpected", { found: this.next.text }, this.next.span);
      }
      return { left: right ? left : null, right: right || left };
    }

    comparison() {
      const left = this.sum();
      if (!this.is(">") && !this.is(">=")) return left;
      const op = this.list[this.at++].text === ">" ? "greater" : "greater_equal";
      const right = this.sum();
      return this.node(op, [left.span[0], right.span[1]], { left, right });
    }

    sum() {
      if (++this.depth > DEEPEST) throw new FormulaError("lab-deep", { limit: DEEPEST }, this.next.span);
      const start = this.next.span[0];
      let left = this.take("-") ? this.node("neg", null, { of: this.term() }) : this.term();
      left.span = [start, this.list[this.at - 1].span[1]];
      while (this.is("+") || this.is("-")) {
        const op = this.list[this.at++].text === "+" ? "add" : "sub";
        const right = this.term();
        left = this.node(op, [start, right.span[1]], { left, right });
      }
      this.depth--;
      return left;
    }

    term() {
      let left = this.unary();
      while (this.is("@") || this.is("*") || this.is("/")) {
        const op = { "@": "matmul", "*": "mul", "/": "div" }[this.list[this.at++].text];
        const right = this.unary();
        left = this.node(op, [left.span[0], right.span[1]], { left, right });
      }
      return left;
    }

    unary() {
      if (this.is("-")) {
        const start = this.list[this.at++].span[0];
        const of = this.unary();
        return this.node("neg", [start, of.span[1]], { of });
      }
      return this.power();
    }

    power() {
      const base = this.postfix();
      if (!this.take("**")) return base;
      const exponent = this.unary();
      return this.node("pow", [base.span[0], exponent.span[1]], { left: base, right: exponent });
    }

    postfix() {
      let of = this.atom();
      for (;;) {
        const end = this.next.span[1];
        if (this.take(".T")) of = this.node("transpose", [of.span[0], end], { of });
        else if (this.take("²")) {
          of = this.node("pow", [of.span[0], end], { left: of, right: { op: "number", value: 2, span: [end - 1, end] } });
        } else return of;
      }
    }

    atom() {
      const token = this.next;
      if (this.take("(")) {
        const inside = this.comparison();
        this.want(")");
        return { ...inside, span: [token.span[0], this.list[this.at - 1].span[1]] };
      }
      if (token.kind === "number") {
        this.at++;
        return this.node("number", token.span, { value: Number(token.text) });
      }
      const isGradient = this.take("∇");
      if (this.next.kind !== "name") {
        throw new FormulaError("lab-expected", { wanted: B.word("lab-a-name"), found: this.next.text || "…" }, this.next.span);
      }
      return this.named(this.list[this.at++], token.span[0], isGradient);
    }

    named(token, start, isGradient) {
      let name = token.text.replace("ŷ", "y_hat");
      let isGrad = isGradient;
      if (name.startsWith("grad_")) { isGrad = true; name = name.slice(5); }
      if (isGradient && name.startsWith("_")) name = name.slice(1);
      if (!isGrad && this.is("(")) return this.call(token);
      let time = null;
      const index = [];
      if (this.take("[")) {
        time = this.time();
        while (this.take(",")) index.push(this.sum());
        this.want("]");
      }
      return this.node(isGrad ? "gradient" : "value", [start, this.list[this.at - 1].span[1]], { name, time, index });
    }

    /* t, t+1, tau, 3 */
    time() {
      const token = this.list[this.at++];
      if (token.kind === "number") return { base: "", offset: Number(token.text) };
      const base = token.text === "τ" ? "tau" : token.text;
      if (!["t", "s", "tau"].includes(base)) throw new FormulaError("lab-step", { found: token.text }, token.span);
      if (!this.is("+") && !this.is("-")) return { base, offset: 0 };
      const sign = this.list[this.at++].text === "+" ? 1 : -1;
      const number = this.list[this.at++];
      if (number.kind !== "number") throw new FormulaError("lab-step", { found: number.text }, number.span);
      return { base, offset: sign * Number(number.text) };
    }

    /* an argument, or eps=1e-05 */
    argument() {
      if (this.next.kind === "name" && this.list[this.at + 1].text === "=") this.at += 2;
      return this.comparison();
    }

    call(token) {
      this.want("(");
      const name = token.text;
      if (name === "sum" && this.next.kind === "name" && ["t", "s"].includes(this.next.text) && this.list[this.at + 1].text === ",") {
        const index = this.list[this.at++].text;
        this.want(",");
        const lower = this.time();
        this.want(",");
        const upper = this.time();
        this.want(",");
        const body = this.sum();
        this.want(")");
        return this.node("sigma", [token.span[0], this.list[this.at - 1].span[1]], { index, lower, upper, body });
      }
      const parts = [this.argument()];
      while (this.take(",")) parts.push(this.argument());
      this.want(")");
      return this.node("call", [token.span[0], this.list[this.at - 1].span[1]], { name, parts });
    }
  }

  B.parseFormula = (text) => new Reader(text).equation();
})();
