"""More of the page's words, of the panels after the edges: id -> (English, Chinese)."""

from __future__ import annotations

MORE: dict[str, tuple[str, str]] = {
    # ----- 5: sharing -----
    "sharing-heat": (
        "‖∇ of the copy used at step t‖ for every parameter (rows) and step (columns)",
        "每个参数（行）在每一步（列）的副本的梯度范数",
    ),
    "sharing-running": (
        "Contribution of step t, and the sum of the contributions of steps τ to t",
        "第 t 步的贡献，以及从 τ 到 t 各步贡献之和",
    ),
    "sharing-step": ("step t alone", "仅第 t 步"),
    "sharing-sum": ("sum from τ down to t", "从 τ 到 t 的和"),
    "sharing-all": ("gradient (t = 1)", "梯度（t = 1）"),
    "sharing-parameter": ("parameter", "参数"),
    "sharing-norm": ("‖gradient‖", "‖梯度‖"),
    "sharing-sum-norms": ("sum of ‖contributions‖", "各步贡献的范数之和"),
    "sharing-index": ("cancellation index", "抵消指数"),
    "sharing-index-note": (
        "The cancellation index is ‖sum‖ / sum of norms: 1 when all steps pull the same "
        "way, near 0 when they cancel.",
        "抵消指数 = ‖和‖ / 范数之和：各步方向一致时为 1，互相抵消时接近 0。",
    ),
    "sharing-derivatives": (
        "‖immediate‖ (the copy of step t alone) and ‖total‖ (all copies up to t) "
        "derivative of {state} at step t by {parameter}",
        "{state} 在第 t 步对 {parameter} 的直接导数（仅第 t 步的副本）与全导数（t 以前的全部"
        "副本）的范数",
    ),
    "immediate": ("immediate", "直接导数"),
    "total": ("total", "全导数"),
    # ----- 6: paths -----
    "paths-intro": (
        "Multiply in series, add in parallel: along a path the Jacobians are "
        "multiplied; the paths are added. The last column is how far the sum so far still "
        "is from the gradient.",
        "串行相乘、并行相加：沿一条路径把 Jacobian 矩阵相乘，再把各路径相加。最后一列是到目前为止"
        "的和与梯度的距离。",
    ),
    "paths-of": (
        "{count} paths from {name}, largest first",
        "从 {name} 出发的 {count} 条路径，按大小排列",
    ),
    "paths-grouped": (
        "{count} paths from {name}, too many to list: grouped by lag, the steps between "
        "use and loss",
        "从 {name} 出发共 {count} 条路径，太多而无法逐条列出：按滞后（使用与损失之间的步数）分组",
    ),
    "path": ("path", "路径"),
    "lag": ("lag", "滞后"),
    "path-norm": ("‖product‖", "‖乘积‖"),
    "path-left": ("left to the gradient", "与梯度的距离"),
    "path-rest": ("{count} more", "其余 {count} 条"),
    "path-small": (
        "{count} smaller ones are counted in the sum and not listed.",
        "另有 {count} 条更小的路径计入总和，未列出。",
    ),
    "path-sum": (
        "Sum of all {count} paths against the gradient: relative error {error}",
        "全部 {count} 条路径之和与梯度相比：相对误差 {error}",
    ),
    "paths-group": ("{count} paths", "{count} 条路径"),
    # ----- 7: gradient flow -----
    "flow-norm": (
        "‖∇ of {state} at t‖ on a logarithmic scale, and its two parts",
        "‖{state} 在 t 的梯度‖（对数坐标）及其两部分",
    ),
    "flow-total": ("total", "合计"),
    "flow-injected": ("injected at t", "在 t 注入"),
    "flow-arrived": ("arrived from the future", "来自未来"),
    "flow-singular": (
        "Singular values of the product of Jacobians from step t to τ: largest, median, "
        "smallest",
        "从第 t 步到 τ 的 Jacobian 矩阵乘积的奇异值：最大、中位、最小",
    ),
    "flow-largest": ("largest", "最大"),
    "flow-median": ("median", "中位"),
    "flow-smallest": ("smallest", "最小"),
    "flow-slopes": (
        "Slope of {name}, dy/da: largest, median and smallest over its units",
        "{name} 的斜率 dy/da：各单元的最大、中位与最小值",
    ),
    "flow-saturated": (
        "Units whose slope is below a tenth of the steepest, by step",
        "斜率低于最大斜率十分之一的单元所占比例，按时间步",
    ),
    "flow-exponents": (
        "Finite-time Lyapunov exponents per step: {values}",
        "有限时间李雅普诺夫指数（每步）：{values}",
    ),
    "verdict-vanishing": (
        "Vanishing: over {tau} steps the product of Jacobians shortens every direction "
        "at least to {largest} of its length (threshold {low}).",
        "梯度消失：经过 {tau} 步，Jacobian 矩阵的乘积把每个方向至少缩短到原长的 {largest}"
        "（阈值 {low}）。",
    ),
    "verdict-exploding": (
        "Exploding: over {tau} steps the product of Jacobians stretches one direction "
        "{largest} times (threshold {high}).",
        "梯度爆炸：经过 {tau} 步，Jacobian 矩阵的乘积把某个方向拉长到 {largest} 倍（阈值 {high}）。",
    ),
    "verdict-neither": (
        "Neither vanishing nor exploding within {tau} steps: the product of Jacobians "
        "multiplies the length of its best direction by {largest}, between the thresholds "
        "{low} and {high}.",
        "在 {tau} 步之内既未消失也未爆炸：Jacobian 矩阵的乘积使最有利的方向的长度变为 {largest} 倍，"
        "介于阈值 {low} 与 {high} 之间。",
    ),
    "verdict-no-state": (
        "This cell has no state: no gradient crosses from one step to another.",
        "这个单元没有状态：没有梯度跨越时间步。",
    ),
    "verdict-rate": (
        "The largest exponent is {rate} per step, a lasting factor of {factor}. "
        "This rests on the measured product and exponents, not on the spectrum of a "
        "weight matrix: an orthogonal W can shrink gradients, and a matrix with spectral "
        "radius below 1 can grow them. Exponents describe the Jacobians; the "
        "norm of the gradient also depends on where loss enters, so both are shown.",
        "最大的指数为每步 {rate}，即长期的倍数 {factor}。这一判断依据实测的乘积与指数，而不是权重"
        "矩阵的谱：正交的 W 也可能缩小梯度，谱半径小于 1 的矩阵也可能放大梯度。指数描述 Jacobian "
        "矩阵；梯度的范数还取决于损失从哪里进入，所以两者都给出。",
    ),
    # ----- 8: training -----
    "training-intro": (
        "{steps} steps of gradient descent on the instance of this page, learning rate "
        "{rate}; a gradient longer than {clip} is shortened to that length.",
        "在本页的实例上做 {steps} 步梯度下降，学习率 {rate}；长度超过 {clip} 的梯度被裁剪到该长度。",
    ),
    "training-loss": ("loss", "损失"),
    "training-gradient": (
        "‖gradient of all parameters‖; times clipped: {count}",
        "‖全部参数的梯度‖；裁剪次数：{count}",
    ),
    "training-parameters": ("‖∇‖ of {name}", "{name} 的 ‖∇‖"),
    "training-flow": (
        "‖∇ of {state}‖ at t = 1 and at t = τ",
        "{state} 在 t = 1 与 t = τ 的 ‖∇‖",
    ),
    # ----- 10: try to break it -----
    "lab-intro": (
        "Choose a known mistake, or change the formula. It is read, its shapes are "
        "checked, and the backward pass is run with it in place of the right one on the "
        "numbers of this page; the gradients that come out are compared with the exact "
        "ones.",
        "选择一个已知的错误，或修改公式。公式先被解析并检查形状，然后在本页的数值上用它代替正确的"
        "公式做一次反向传播，把得到的梯度与精确的梯度比较。",
    ),
    "lab-formula": ("Formula", "公式"),
    "lab-notation": (
        "@ matrix product, * element by element, .T transpose, grad_h[t+1] the gradient "
        "of a node, diag(u), sum(t, 1, tau, u). Wᵀ, h² and ∇h[t] are read too.",
        "@ 矩阵乘积，* 逐元素，.T 转置，grad_h[t+1] 某节点的梯度，diag(u)，sum(t, 1, tau, u)。"
        "也可以写 Wᵀ、h² 和 ∇h[t]。",
    ),
    "lab-no-script": (
        "With scripts on, a formula can be typed here and is run at once.",
        "启用脚本后，可以在这里输入公式并立即运行。",
    ),
    "lab-gradient": ("gradient of", "梯度对象"),
    "lab-error": ("relative error", "相对误差"),
    "lab-cosine": ("cosine", "余弦"),
    "lab-right": (
        "Right: every gradient equals the exact one.",
        "正确：每个梯度都等于精确值。",
    ),
    "lab-wrong": (
        "It runs, and gives wrong gradients:",
        "可以运行，但得到错误的梯度：",
    ),
    "lab-trap": (
        "The trap: with one-dimensional NumPy arrays the same line runs without an error, "
        "and gives",
        "陷阱：用一维 NumPy 数组写同一行，运行时不会报错，得到",
    ),
    "lab-no-trap": (
        "One-dimensional NumPy arrays refuse it too.",
        "一维 NumPy 数组也会拒绝它。",
    ),
    "lab-a-name": ("a name", "名称"),
    "lab-character": ("{found} is not part of the notation.", "{found} 不属于这种记法。"),
    "lab-expected": ("Expected {wanted}, found {found}.", "此处应为 {wanted}，却是 {found}。"),
    "lab-unexpected": ("{found} does not fit here.", "此处不应出现 {found}。"),
    "lab-long": (
        "The formula is longer than {limit} characters.",
        "公式超过 {limit} 个字符。",
    ),
    "lab-deep": (
        "Brackets are nested more than {limit} deep.",
        "括号嵌套超过 {limit} 层。",
    ),
    "lab-step": (
        "A step is t, tau, a number, or t+1, t-1; found {found}.",
        "时间步应为 t、tau、数字，或 t+1、t-1；却是 {found}。",
    ),
    "lab-left": (
        "The left side names the gradient that is defined, such as grad_h[t].",
        "等号左边应是所定义的梯度，例如 grad_h[t]。",
    ),
    "lab-unknown": (
        "{name} is not a name of this cell; its names are: {known}.",
        "{name} 不是这个单元的名称；可用的名称：{known}。",
    ),
    "lab-no-step": (
        "There is no {name} at step {t}: steps run from 1 to {tau}.",
        "第 {t} 步没有 {name}：时间步从 1 到 {tau}。",
    ),
    "lab-needs-step": (
        "{name} needs a step, such as {name}[t].",
        "{name} 需要时间步，例如 {name}[t]。",
    ),
    "lab-function": (
        "{name} is not a function here; there are: {known}.",
        "这里没有函数 {name}；可用：{known}。",
    ),
    "lab-product": (
        "Shapes do not fit: ({a}) @ ({b}) has inner sizes {inner} ≠ {other}.",
        "形状不符：({a}) @ ({b}) 的内侧大小 {inner} ≠ {other}。",
    ),
    "lab-elementwise": (
        "Shapes do not fit: ({a}) {sign} ({b}) is defined for equal shapes only.",
        "形状不符：({a}) {sign} ({b}) 只对相同的形状有定义。",
    ),
    "lab-vector": (
        "{name} takes a column, found {a}.",
        "{name} 需要一个列向量，却是 {a}。",
    ),
    "lab-result": (
        "The result has the shape {found}; the gradient of {name} has {wanted}.",
        "结果的形状是 {found}；{name} 的梯度的形状是 {wanted}。",
    ),
    "mistake-none": ("The right formula", "正确的公式"),
    "mistake-order": ("Factors in the printed order", "因子按印刷的次序"),
    "mistake-no-slope": ("Wᵀ without the slope", "只有 Wᵀ，没有斜率"),
    "mistake-index": ("Slope at t instead of t+1", "斜率取 t 而不是 t+1"),
    "mistake-square": ("(1 − h)² for 1 − h²", "把 1 − h² 写成 (1 − h)²"),
    "mistake-transpose": ("W for Wᵀ", "用 W 代替 Wᵀ"),
    "mistake-future": ("Nothing from the future", "丢掉来自未来的项"),
    "mistake-shift": ("h⁽ᵗ⁾ for h⁽ᵗ⁻¹⁾ in ∇W", "∇W 中用 h⁽ᵗ⁾ 代替 h⁽ᵗ⁻¹⁾"),
    "mistake-delta": ("ŷ − 1 for every class", "对每个类别都写 ŷ − 1"),
    "symbol-parameter": (
        "{name}: shared parameter, {shape} = {numbers}",
        "{name}：共享参数，{shape} = {numbers}",
    ),
    "symbol-input": (
        "{name}: input of every step, {shape} = {numbers}",
        "{name}：每一步的输入，{shape} = {numbers}",
    ),
    "symbol-integer": (
        "{name}: input of every step, a whole number",
        "{name}：每一步的输入，整数",
    ),
    "symbol-node": (
        "{name}: node of every step, {shape} = {numbers}",
        "{name}：每一步的节点，{shape} = {numbers}",
    ),
    "symbol-state": (
        "{name}: state carried from step to step, {shape} = {numbers}",
        "{name}：在时间步之间传递的状态，{shape} = {numbers}",
    ),
}
