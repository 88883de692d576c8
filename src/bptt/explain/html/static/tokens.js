/* A formula cut into tokens, whatever it is written in: text, signs or LaTeX. The same
   signs are read as by `check_equation` (notation/formula_tokens.py, latex_words.py). */
(function () {
  const RAISED = pairs("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵗˢᵀⁱʲᵏ⊤", "0123456789+-()tsTijkT");
  const LOWERED = pairs("₀₁₂₃₄₅₆₇₈₉₊₋₍₎₌ᵢⱼₖₗₘₜ", "0123456789+-()=ijklmt");
  const SAME = pairs("−–—‐‑（）［］｛｝，＝＋＊／＠＾：∘∑∏≥’′＿ℒ⋅∙∗∕⊺≔≜", "-----()[]{},=+*/@^:⊙ΣΠ≥''_L··*/⊤==");
  const SPELLING = {
    "⊙": "*", "·": "@", "'": ".T", "^": "**", "≥": ">=", "²": "²", "==": "=", ":=": "=",
    ".*": "*", "./": "/", ".^": "**", ".mT": ".T", ".transpose()": ".T", ".t()": ".T", ".matmul": ".dot",
  };
  const CLOSING = /[ \t\n;,.。；]+$/;
  const GREEK = pairs("αβγδϵζηθκλμνξπρσϕχψωτΓΔΘΛΞΦΨΩεφϑΣΠ", null,
    ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu",
     "xi", "pi", "rho", "sigma", "phi", "chi", "psi", "omega", "tau", "Gamma", "Delta", "Theta", "Lambda", "Xi",
     "Phi", "Psi", "Omega", "varepsilon", "varphi", "vartheta", "Sigma", "Pi"]);
  const ACCENTS = { "\u0302": "_hat", "\u0303": "_tilde", "\u0304": "_bar" };
  const LETTER = "(?![ᵀᵗˢⁱʲᵏᵢⱼₖₗₘₜΣΠ])\\p{L}", WORD = `(?:${LETTER}|[0-9])`;
  const TOKEN = new RegExp(
    "([0-9]+(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(?:np|numpy|jnp|torch)\\.(?=[a-z])"
    + `|(${LETTER}[\u0302-\u0304]?(?:_*${WORD})*(?:_+(?![{_]))?)`
    + "|(𝟏|𝟎|[ΣΠ\u0305]|\\*\\*|>=|==|:=|\\.\\.|\\.m?T(?![\\w])|\\.(?:transpose|t)\\(\\)|\\.(?:dot|matmul)(?![\\w])|\\.[*/^]"
    + "|[-+*/@^=()\\[\\]{},:|_'∇∂⊙⊗·>√])", "yu");
  const PIECE = /\\(?:left|right)\s*\||\\[A-Za-z]+\*?|\\[^]|\d+(?:\.\d+)?|\S/gu;
  const SILENT = new Set(("\\left \\right \\big \\Big \\bigg \\Bigg \\bigl \\bigr \\Bigl \\Bigr \\biggl \\biggr \\Biggl"
    + " \\Biggr \\, \\; \\: \\! \\quad \\qquad \\\\ & ~ $ \\[ \\] \\limits \\nolimits \\displaystyle \\textstyle \\cdot"
    + " \\nonumber \\notag").split(" ").concat("\\ "));
  const SIGNS = {
    "\\partial": "∂", "\\nabla": "∇", "\\sum": "Σ", "\\prod": "Π", "\\frac": "frac", "\\dfrac": "frac", "\\tfrac": "frac",
    "\\odot": "*", "\\circ": "*", "\\otimes": "⊗", "\\top": "⊤", "\\intercal": "⊤", "\\ge": ">=", "\\geq": ">=", "\\overline": "overline",
    "\\sqrt": "√", "\\{": "(", "\\}": ")", "\\prime": ".T", "\\lvert": "|", "\\rvert": "|", "\\mid": "|",
    "^": "**", "'": ".T", "−": "-", "（": "(", "）": ")", "，": ",", "⊙": "*", "∘": "*", "⊗": "⊗", "∑": "Σ", "∏": "Π", "⊤": "⊤",
    "≥": ">=", "\\ast": "*",
  };
  const NAMES = new Set(["tanh", "sin", "cos", "exp", "log", "max", "min", ...Object.values(GREEK)]);
  const FONTS = new Set(["\\mathrm", "\\text", "\\textrm", "\\operatorname", "\\operatorname*", "\\mathit", "\\mathbf",
    "\\boldsymbol", "\\bm", "\\mathsf", "\\textbf", "\\mathcal", "\\mathbb"]);
  const HATS = { "\\hat": "_hat", "\\widehat": "_hat", "\\tilde": "_tilde", "\\widetilde": "_tilde", "\\bar": "_bar" };
  const BOLD_FONTS = new Set(["\\mathbf", "\\boldsymbol", "\\bm", "\\textbf", "\\mathbb"]);
  const BOLD = { 1: "𝟏", I: "𝐈", e: "𝐞", 0: "𝟎" };
  const LONGEST = 20000, STYLED = /[ℎ\u{1D400}-\u{1D7FF}]/u; // bold and slanted letters that are signs of their own

  function pairs(keys, values, list) {
    return Object.fromEntries(Array.from(keys).map((key, i) => [key, list ? list[i] : Array.from(values)[i]]));
  }

  class FormulaError extends Error {
    constructor(id, fields, span) {
      super(id);
      Object.assign(this, { id, fields: fields || {}, span });
    }
  }
  B.FormulaError = FormulaError;
  const INVISIBLE = /\p{Cf}/u;

  /* Of a sign that is not read: what to write for it (notation/unread.py). */
  function unread(found, other, span) {
    const [id, way] = Object.hasOwn(B.data.unread, found) ? B.data.unread[found] : [other, ""];
    const shown = /^[\p{C}\p{M}\p{Z}]/u.test(found) ? `U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` : found;
    return new FormulaError(id, { found: shown, way }, span);
  }

  /* A cell's own names, found however a Greek letter in them is written (notation/greek.py). */
  const written = (name) => Array.from(name, (c) => GREEK[c] ?? c).join("").replaceAll("var", "");
  const names = [...Object.keys(B.data.places), ...Object.keys(B.data.sizes)];
  const bySpelling = new Map(names.sort().map((name) => [written(name), name]));
  B.ownName = (name) => (names.includes(name) ? name : bySpelling.get(written(name)) ?? name);
  // One that is no ASCII is read as it is written: Σ is not a sum where the cell has it.
  const odd = names.filter((name) => /[^\x00-\x7f]/.test(name)).join("|") || "(?!)";
  const ODD = new RegExp(`(?:grad_|d)?(?:${odd})(?!_*${WORD}|_\\{)`, "yu");

  B.formulaTokens = function (text) {
    if (text.length > LONGEST) throw new FormulaError("lab-long", { limit: LONGEST }, [0, 1]);
    const found = text.includes("\\") ? fromLatex(text) : fromText(text);
    while (text.includes("\\") && found.length && [",", ".", ";"].includes(found.at(-1).text)) found.pop();
    found.push({ kind: "end", text: "", span: [text.length, text.length + 1] });
    return found;
  };

  function fromText(source) {
    const text = Array.from(source, (c) => SAME[c] ?? c).join("").replace(CLOSING, ""), found = [];
    let at = 0;
    while (at < text.length) {
      const c = text[at], scripts = RAISED[c] ? RAISED : LOWERED[c] ? LOWERED : null;
      if (!c.trim() || INVISIBLE.test(c)) at++;
      else if (scripts) at = script(text, at, scripts, found);
      else {
        TOKEN.lastIndex = ODD.lastIndex = at;
        const own = ODD.exec(text);
        if (own) {
          found.push({ kind: "name", text: own[0], span: [at, ODD.lastIndex] });
          at = ODD.lastIndex;
          continue;
        }
        const match = TOKEN.exec(text);
        if (!match) throw unread(String.fromCodePoint(source.codePointAt(at)), "formula.character", [at, at + 1]);
        const span = [at, TOKEN.lastIndex];
        at = TOKEN.lastIndex;
        if (match[1]) found.push({ kind: "number", text: match[1], span });
        else if (match[2]) found.push({ kind: "name", text: spelt(match[2]), span });
        else if (match[3]) found.push({ kind: "sign", text: Object.hasOwn(SPELLING, match[3]) ? SPELLING[match[3]] : match[3], span });
      }
    }
    return found;
  }

  function spelt(name) {
    const plain = Array.from(name.replaceAll("ŷ", "y_hat"), (c) => ACCENTS[c] ?? (STYLED.test(c) ? c.normalize("NFKC") : c)).join("");
    const [base, ...rest] = plain.split("_");
    return [Object.hasOwn(GREEK, base) ? GREEK[base] : base, ...rest].join("_");
  }

  /* A script with its sign and its braces, but for those that stand before it. */
  function script(text, start, signs, found) {
    let at = start;
    const word_ = signs === RAISED ? "**" : "_", isRaised = found.at(-1)?.text === word_;
    const isBraced = found.at(-1)?.text === "{" && found.at(-2)?.text === word_;
    const sign = (word, place) => isBraced || found.push({ kind: "sign", text: word, span: [place, place] });
    if (!isRaised) sign(word_, start);
    sign("{", start);
    for (; at < text.length && signs[text[at]]; at++) {
      const word = signs[text[at]];
      const kind = /\d/.test(word) ? "number" : /[A-Za-z]/.test(word) ? "name" : "sign";
      found.push({ kind, text: word, span: [at, at + 1] });
    }
    sign("}", at);
    return at;
  }

  function fromLatex(text) {
    const pieces = Array.from(text.matchAll(PIECE), (m) => ({ text: m[0], start: m.index, end: m.index + m[0].length }));
    const found = [];
    let at = 0;
    function braced() {
      let inside = "", depth = 0, end = 0;
      while (at < pieces.length) {
        const piece = pieces[at++];
        end = piece.end;
        depth += { "{": 1, "}": -1 }[piece.text] ?? 0;
        if (depth === 0) break;
        if (FONTS.has(piece.text)) inside += argument(end)[0];
        else if (Object.hasOwn(HATS, piece.text)) inside += argument(end)[0] + HATS[piece.text];
        else if (piece.text !== "{" || depth > 1) inside += piece.text.replace(/^\\/, "");
      }
      return [inside, end];
    }
    function argument(end) {
      if (at < pieces.length && FONTS.has(pieces[at].text)) {
        at++;
        return argument(end);
      }
      if (at < pieces.length && pieces[at].text === "{") return braced();
      if (at === pieces.length) return ["", end];
      const piece = pieces[at++];
      return [piece.text.replace(/^\\/, ""), piece.end];
    }
    while (at < pieces.length) {
      const { text: piece, start, end } = pieces[at++];
      const put = (kind, word, last) => found.push({ kind, text: word, span: [start, last ?? end] });
      if (SILENT.has(piece) || INVISIBLE.test(piece[0])) continue;
      if (["\\begin", "\\end", "\\tag", "\\label"].includes(piece)) braced();
      else if (Object.hasOwn(HATS, piece)) {
        const [name, last] = argument(end);
        put("name", name + HATS[piece], last);
      } else if (FONTS.has(piece)) {
        const [name, last] = argument(end);
        if (piece === "\\mathrm" && name === "d") put("sign", "d", last);
        else if (/^\d+$/.test(name) && pieces[at]?.text !== "_") put("number", name, last);
        else if (BOLD_FONTS.has(piece) && Object.hasOwn(BOLD, name) && pieces[at]?.text === "_") put("sign", BOLD[name], last);
        else put("name", name, last);
      } else if (/^\\(left|right)\s*\|$/.test(piece)) put("sign", piece.includes("left") ? "|(" : ")|");
      else if (Object.hasOwn(SIGNS, piece)) put("sign", SIGNS[piece]);
      else if (piece.startsWith("\\") && NAMES.has(piece.slice(1))) put("name", piece.slice(1));
      else if (/^\d/.test(piece)) put("number", piece);
      else if (/^\p{L}$/u.test(piece)) put("name", spelt(piece));
      else if ("+-*/@=()[]{},:|_>.;∇∂".includes(piece)) put("sign", piece);
      else throw unread(piece, "formula.macro", [start, end]);
    }
    return found;
  }
})();
