"""The page's words: id -> (English, Chinese)."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # ----- frame -----
    "skip": ("Skip to the content", "跳到正文"),
    "contents": ("Contents", "目录"),
    "language": ("Language", "语言"),
    "theme": ("Theme", "主题"),
    "theme-auto": ("Auto", "自动"),
    "theme-light": ("Light", "浅色"),
    "theme-dark": ("Dark", "深色"),
    "step": ("Step t", "时间步 t"),
    "earlier": ("One step back in time", "向过去一步"),
    "later": ("One step forward in time", "向未来一步"),
    "play": ("Run the recursion from τ to 1", "从 τ 到 1 运行递推"),
    "forms": ("What is shown", "显示内容"),
    "form-element": ("element form", "元素形式"),
    "form-matrix": ("matrix form", "矩阵形式"),
    "form-number": ("numbers", "数值"),
    "open-all": ("Open all", "全部展开"),
    "close-all": ("Close all", "全部收起"),
    "copy": ("copy LaTeX", "复制 LaTeX"),
    "check": ("check", "检查"),
    "copied": ("LaTeX copied", "已复制 LaTeX"),
    "keys": (
        "The keys ← and → move t; the recursion runs from τ to 1.",
        "用 ← 和 → 键移动 t；递推从 τ 到 1。",
    ),
    "made-by": (
        "Made by bptt {version}. Every equation on this page was evaluated; numbers at "
        "random points refute a wrong formula, they do not prove an identity.",
        "由 bptt {version} 生成。本页每个等式都经过求值；随机点上的数值可以否定错误的公式，"
        "但不能证明恒等式。",
    ),
    "no-script": (
        "Scripts are off: all cards are open, equations are MathML, and numbers are "
        "those of t = {t}.",
        "脚本已关闭：所有卡片均已展开，公式以 MathML 显示，数值取自 t = {t}。",
    ),
    # ----- marks -----
    "not-checked": ("not checked here", "此处未检查"),
    "question": ("question {number}", "问题 {number}"),
    "equation-number": ("equation {number}", "式 {number}"),
    "card-failed": (
        "This card's check failed, so it makes no claim.",
        "这张卡片的检查未通过，因此不作任何断言。",
    ),
    # ----- 2: the unrolled graph -----
    "graph-title": (
        "Unrolled graph of {cell} over {tau} steps: {nodes} nodes and {edges} edges; "
        "the table below lists every edge.",
        "{cell} 在 {tau} 个时间步上的展开图：{nodes} 个节点，{edges} 条边；下表列出每一条边。",
    ),
    "graph-intro": (
        "Every node of every step. A shared parameter is one box with one edge per "
        "step it is used; the width of an edge is the logarithm of the gradient it "
        "carries. Click an edge for its card.",
        "每个时间步的每个节点。共享参数只画一个方框，每次使用画一条边；边的宽度是它所传递的"
        "梯度的对数。点击一条边可查看它的卡片。",
    ),
    "labels": ("Labels on edges", "边上的标注"),
    "label-symbol": ("Jacobian", "Jacobian 矩阵"),
    "label-shape": ("shape", "形状"),
    "label-number": ("heat map", "热力图"),
    "direction": ("Direction", "方向"),
    "forward": ("forward", "前向"),
    "backward": ("backward", "反向"),
    "inner": ("Inner nodes", "内部节点"),
    "full": ("all nodes", "全部节点"),
    "folded": ("{names} folded", "折叠 {names}"),
    "where": ("Labels at", "标注范围"),
    "everywhere": ("every step", "每一步"),
    "here": ("this step", "当前步"),
    "expand": ("show all {tau} steps", "显示全部 {tau} 步"),
    "legend-forward": (
        "Forward: an edge from u to v carries the Jacobian ∂v/∂u.",
        "前向：从 u 到 v 的边带有 Jacobian 矩阵 ∂v/∂u。",
    ),
    "legend-backward": (
        "Backward: the same edge carries the transpose, (∂v/∂u)ᵀ ∇v, from v to u.",
        "反向：同一条边带有其转置，把 (∂v/∂u)ᵀ ∇v 从 v 传给 u。",
    ),
    "legend-parameter": ("shared parameter", "共享参数"),
    "legend-input": ("input", "输入"),
    "legend-node": ("node", "节点"),
    "legend-lit": ("in use at t", "在 t 步使用"),
    "legend-cut": ("no gradient passes", "梯度不通过"),
    "legend-sign": (
        "heat map: blue is positive, orange with a dash negative; for a parameter it is "
        "what the step contributes to its gradient",
        "热力图：蓝色为正，橙色带横线为负；参数边显示该步对其梯度的贡献",
    ),
    "edge-table": ("Table of edges", "边的列表"),
    "edge-caption": (
        "Every kind of edge, its Jacobian and shape, and the norm of the gradient that "
        "it carries at each step.",
        "每一种边、它的 Jacobian 矩阵与形状，以及它在每一步传递的梯度的范数。",
    ),
    "edge": ("edge", "边"),
    "jacobian": ("Jacobian", "Jacobian 矩阵"),
    "shape": ("shape", "形状"),
    "carried": ("‖carried‖, t =", "‖传递的梯度‖，t ="),
    "node-list": ("Nodes at t = ", "节点，t = "),
    # ----- 4: edge cards -----
    "edges-intro": (
        "One card per kind of edge, its numbers at the step in view. The Jacobian stands "
        "on the edge; going backward its transpose is multiplied with the gradient "
        "of the edge's head.",
        "每一种边一张卡片，数值取自当前时间步。边上是 Jacobian 矩阵；反向时用它的转置乘以"
        "边终点的梯度。",
    ),
    "edge-jacobian": ("Jacobian", "Jacobian 矩阵"),
    "edge-use": ("Its use, backward", "反向时的用法"),
    "edge-factors": ("As a product", "写成乘积"),
    "edge-slices": (
        "An array with {axes} axes, of shape {shape}; it is never formed. Contracted "
        "with the gradient of its target it gives the contribution of step t:",
        "这是一个有 {axes} 个轴的数组，形状为 {shape}；实际计算中从不构造它。与终点的梯度缩并后"
        "得到第 t 步的贡献：",
    ),
    "edge-singular": ("Singular values at t = ", "奇异值，t = "),
    "edge-sum": (
        "The sum, over the ways from {source} to {target}, of the products along them.",
        "从 {source} 到 {target} 的各条路径上的乘积之和。",
    ),
    "edge-cut": (
        "No gradient passes here: {source} is a whole number or is held fixed.",
        "梯度不从这里通过：{source} 是整数，或被固定。",
    ),
    "more-axes": ("all axes but the first joined", "除第一轴外合并"),
}
