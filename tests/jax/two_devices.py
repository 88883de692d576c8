"""Every transform and context of JAX gives what a scan gives, or is refused.

Run by `test_two_devices.py` in a process with two CPU devices. All in float64, against
one compiled gradient of a scan, from which the rest is put together by loops.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import bptt
from tests.jax.oracle import TOLERANCE, book_step, scan_loss

TAU, N_B, N_H = 5, 4, 6
WRT = (0, 1, 2, 3)
SPECS = (P(), P(None, "d"), P("d"), P(None, "d"), P(None, "d"))  # by rows
TRANSFORMS = [lambda f: f, jax.jit]
IDS = ["eager", "jit"]


def make_arguments():
    rng = np.random.default_rng(3)
    cell = bptt.cells.elman.with_readout()
    params = {
        name: 0.5 * rng.normal(size=value.shape)
        for name, value in cell.init(n_x=2, n_h=N_H, n_o=3).items()
    }
    x, w = rng.normal(size=(TAU, N_B, 2)), rng.uniform(0.2, 2, (TAU, N_B))
    h0 = {"h": rng.normal(size=(N_B, N_H))}
    return cell, (params, x, h0, w, rng.integers(0, 3, (TAU, N_B)))


CELL, ARGUMENTS = make_arguments()
PARAMS, X, H0, W, Y = ARGUMENTS
NETWORK = bptt.jax.recurrent(CELL, nodes="h")


def total(loss, h, final):
    k = jnp.linspace(-1, 1, h.shape[-1], dtype=h.dtype)
    return loss + (jnp.sin(h) * k).sum() + (final["h"] ** 2 * k).sum()


def ours(p, x, h0, w, y):
    out = NETWORK(p, {"x": x, "y": y}, h0, w)
    return total(out.loss, out.nodes["h"], out.final)


def scan(p, x, h0, w, y):
    return total(*scan_loss(book_step, p, x, h0, y, w))


@pytest.fixture(scope="module")
def reference():
    """The value and the gradients of a scan."""
    return jax.jit(jax.value_and_grad(scan, WRT))


@pytest.fixture(scope="module")
def expected(reference):
    return reference(*ARGUMENTS)


def assert_close(found, expected):
    a, b = jax.tree.leaves_with_path(found), jax.tree.leaves_with_path(expected)
    assert [path for path, _ in a] == [path for path, _ in b]
    for (path, ours), (_, theirs) in zip(a, b, strict=True):
        assert ours.shape == theirs.shape, path
        limit = TOLERANCE * max(1, abs(np.asarray(theirs)).max(initial=0))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit, err_msg=str(path))


def stack(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


# ----- one call -----


def by_vjp(f):
    value, pull = jax.vjp(lambda *a: f(*a, Y), *ARGUMENTS[:4])
    pull(2.0)  # leaves what it needs for the second time
    return value, pull(1.0)


def by_custom_vjp(f):
    @jax.custom_vjp
    def wrapped(*a):
        return f(*a, Y)

    wrapped.defvjp(lambda *a: jax.vjp(lambda *b: f(*b, Y), *a), lambda pull, c: pull(c))
    return jax.value_and_grad(wrapped, WRT)(*ARGUMENTS[:4])


def by_linear_transpose(f):
    value, push = jax.linearize(lambda *a: f(*a, Y), *ARGUMENTS[:4])
    return value, jax.linear_transpose(push, *ARGUMENTS[:4])(1.0)


def by_cond(f):
    def either(*a):
        return jax.lax.cond(a[1].sum() < 1e9, lambda: f(*a), lambda: 2 * f(*a))

    return jax.value_and_grad(either, WRT)(*ARGUMENTS)


def by_scan_of_one(f):
    def body(p, x, h0, w, y):
        step = lambda carry, x: (carry + f(p, x, h0, w, y), None)  # noqa: E731
        return jax.lax.scan(step, 0.0, x[None])[0]

    return jax.value_and_grad(body, WRT)(*ARGUMENTS)


def by_checkpoint(policy):
    def run(f):
        return jax.value_and_grad(jax.checkpoint(f, policy=policy), WRT)(*ARGUMENTS)

    return run


policies = jax.checkpoint_policies
ONE_CALL = {
    "plain": lambda f: jax.value_and_grad(f, WRT)(*ARGUMENTS),
    "inner jit": lambda f: jax.value_and_grad(jax.jit(f), WRT)(*ARGUMENTS),
    "vjp": by_vjp,
    "custom_vjp": by_custom_vjp,
    "linear_transpose": by_linear_transpose,
    "cond": by_cond,
    "scan": by_scan_of_one,
    "checkpoint": by_checkpoint(None),
    "checkpoint nothing": by_checkpoint(policies.nothing_saveable),
    "checkpoint everything": by_checkpoint(policies.everything_saveable),
    "checkpoint twice": lambda f: by_checkpoint(None)(jax.checkpoint(f)),
}


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
@pytest.mark.parametrize("context", ONE_CALL)
def test_one_call(context, transform, expected):
    assert_close(transform(lambda: ONE_CALL[context](ours))(), expected)


def test_without_jit(expected):
    with jax.disable_jit():
        assert_close(jax.value_and_grad(jax.jit(ours), WRT)(*ARGUMENTS), expected)
        both = jax.vmap(jax.grad(ours, 1), (None, 0, None, None, None))
        found = both(PARAMS, np.stack([X, X]), H0, W, Y)
    assert_close(found, np.stack([expected[1][1]] * 2))


def test_compiled_ahead_and_exported_with_symbolic_sizes(expected):
    gradient = jax.jit(jax.value_and_grad(ours, WRT))
    assert_close(gradient.lower(*ARGUMENTS).compile()(*ARGUMENTS), expected)
    allowed = [export.DisabledSafetyCheck.custom_call("bptt")]
    tau, n_b, n_x = export.symbolic_shape("tau, n_b, n_x")
    numbers = {TAU: tau, N_B: n_b, 2: n_x}
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(
            tuple(numbers.get(n, n) for n in a.shape), a.dtype
        ),
        ARGUMENTS,
    )
    program = export.export(gradient, disabled_checks=allowed)(*shapes)
    assert_close(program.call(*ARGUMENTS), expected)


# ----- more calls: vmap -----

MEMBERS = [0.3, 1.0, 1.7]


def scaled(number, k):
    """The arguments with one of them scaled."""
    parts = list(ARGUMENTS)
    parts[number] = jax.tree.map(lambda a: k * a, parts[number])
    return tuple(parts)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["params", "x", "initial", "w"])
def test_a_gradient_for_each_of_many(number, transform, reference):
    in_axes = tuple(0 if n == number else None for n in range(5))
    batch = list(ARGUMENTS)
    batch[number] = stack([scaled(number, k)[number] for k in MEMBERS])
    found = transform(jax.vmap(jax.value_and_grad(ours, WRT), in_axes))(*batch)
    assert_close(found, stack([reference(*scaled(number, k)) for k in MEMBERS]))


@pytest.mark.parametrize("checkpoint", [lambda f: f, jax.checkpoint], ids=["", "remat"])
def test_nested_batches(checkpoint, reference):
    """Over the inputs inside, over some of the parameters outside."""
    xs = np.stack([X, -X, 0.5 * X])
    matrices = np.stack([PARAMS["W"], 0.5 * PARAMS["W"]])
    f = jax.value_and_grad(checkpoint(ours), WRT)

    def inner(x, matrix):
        return f(PARAMS | {"W": matrix}, x, H0, W, Y)

    found = jax.jit(jax.vmap(jax.vmap(inner, (0, None)), (None, 0)))(xs, matrices)
    rows = [
        stack([reference(PARAMS | {"W": m}, x, H0, W, Y) for x in xs]) for m in matrices
    ]
    assert_close(found, stack(rows))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
def test_a_batch_of_none(transform, expected):
    in_axes = (None, 0, None, None, None)
    none = np.zeros((0, *X.shape))
    values = transform(jax.vmap(ours, in_axes))(PARAMS, none, H0, W, Y)
    assert values.shape == (0,)
    grad_p, grad_x = transform(jax.vmap(jax.grad(ours, (0, 1)), in_axes))(
        PARAMS, none, H0, W, Y
    )
    assert grad_x.shape == none.shape
    assert grad_p["W"].shape == (0, *PARAMS["W"].shape)

    def summed(p, x):
        return jax.vmap(ours, in_axes)(p, x, H0, W, Y).sum()

    found = transform(jax.grad(summed, (0, 1)))(PARAMS, none)
    assert_close(found, (jax.tree.map(np.zeros_like, PARAMS), none))


def test_the_sum_over_a_batch_by_a_named_axis(reference):
    def one(x):
        return jax.lax.psum(jax.grad(ours)(PARAMS, x, H0, W, Y)["W"], "i")

    found = jax.jit(jax.vmap(one, axis_name="i"))(np.stack([X, -X]))
    whole = sum(reference(PARAMS, x, H0, W, Y)[1][0]["W"] for x in (X, -X))
    assert_close(found, np.stack([whole, whole]))


def test_one_diverged_member_leaves_the_others_alone(reference):
    """NaN where a scan has NaN, and nowhere else."""
    params = stack([scaled(0, k)[0] for k in MEMBERS])
    params["W"][1, 2, 3] = np.nan
    in_axes = (0, None, None, None, None)
    found = jax.jit(jax.vmap(jax.value_and_grad(ours, WRT), in_axes))(
        params, *ARGUMENTS[1:]
    )
    for number, k in enumerate(MEMBERS):
        value, grads = jax.tree.map(lambda a, n=number: a[n], found)
        if number == 1:
            assert np.isnan(value)
            assert np.isnan(grads[0]["W"]).any()
        else:
            assert_close((value, grads), reference(*scaled(0, k)))


# ----- two devices -----


def place(mesh, specs=SPECS):
    return [
        jax.tree.map(lambda a, s=spec: jax.device_put(a, NamedSharding(mesh, s)), tree)
        for tree, spec in zip(ARGUMENTS, specs, strict=True)
    ]


def mesh_of(kind):
    assert len(jax.devices()) == 2
    return jax.make_mesh((2,), ("d",), axis_types=(kind,))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("inside", [True, False], ids=["grad inside", "grad outside"])
def test_shard_map(inside, check, transform, expected):
    if transform is not jax.jit and inside != check:
        return  # eager ones take JAX seconds each: two of the four
    mesh = mesh_of(AxisType.Auto)

    def local(*a):
        return jax.lax.psum(ours(*a), "d")

    if inside:
        # Without the check JAX does not know that all share the parameters.
        def both(*a):
            value, (dp, *rest) = jax.value_and_grad(ours, WRT)(*a)
            dp = dp if check else jax.lax.psum(dp, "d")
            return jax.lax.psum(value, "d"), (dp, *rest)

        out = (P(), SPECS[:4])
        mapped = jax.shard_map(
            both, mesh=mesh, in_specs=SPECS, out_specs=out, check_vma=check
        )
    else:
        mapped = jax.value_and_grad(
            jax.shard_map(
                local, mesh=mesh, in_specs=SPECS, out_specs=P(), check_vma=check
            ),
            WRT,
        )
    assert_close(transform(mapped)(*ARGUMENTS), expected)


@pytest.mark.parametrize("number", range(4))
def test_shard_map_where_one_argument_alone_varies(number, reference):
    """The others are shared, so their gradients are sums over the devices."""
    mesh = mesh_of(AxisType.Auto)
    specs = tuple(P("d") if n == number else P() for n in range(5))
    batch = list(ARGUMENTS)
    batch[number] = stack([scaled(number, k)[number] for k in MEMBERS[:2]])

    def local(*a):
        parts = [jax.tree.map(lambda v: v[0], t) if n == number else t
                 for n, t in enumerate(a)]  # fmt: skip
        return jax.lax.psum(ours(*parts), "d")

    f = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())
    value, grads = jax.jit(jax.value_and_grad(f, WRT))(*batch)
    parts = [reference(*scaled(number, k)) for k in MEMBERS[:2]]
    summed = jax.tree.map(lambda *a: sum(a), *parts)
    exact = list(summed[1])
    exact[number] = stack([grads[number] for _, grads in parts])
    assert_close((value, grads), (summed[0], tuple(exact)))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("split", ["rows", "parameters"])
def test_arrays_that_lie_on_two_devices(split, kind, transform, expected):
    mesh = mesh_of(kind)
    specs = SPECS if split == "rows" else (P(), *[P()] * 4)
    with jax.set_mesh(mesh):
        arrays = place(mesh, specs)
        if split == "parameters":
            arrays[0]["W"] = jax.device_put(
                PARAMS["W"], NamedSharding(mesh, P("d", None))
            )
        found = transform(jax.value_and_grad(ours, WRT))(*arrays)
        assert_close(found, expected)
        if kind == AxisType.Explicit:
            lies = found[1][1].sharding
            assert lies.is_equivalent_to(arrays[1].sharding, X.ndim)


def test_shardings_asked_of_jit_and_pmap(expected):
    mesh = mesh_of(AxisType.Auto)
    lie = [NamedSharding(mesh, spec) for spec in SPECS]
    f = jax.jit(
        jax.value_and_grad(ours, WRT),
        in_shardings=tuple(lie), out_shardings=(lie[0], tuple(lie[:4])),
    )  # fmt: skip
    assert_close(f(*ARGUMENTS), expected)
    g = jax.pmap(jax.grad(ours, 1), in_axes=(None, 0, None, None, None))
    found = g(PARAMS, np.stack([X, X]), H0, W, Y)
    assert_close(found, np.stack([expected[1][1]] * 2))


# ----- refused -----


def squares_of_gradient(p):
    return sum((g**2).sum() for g in jax.grad(ours)(p, X, H0, W, Y).values())


def push(f):
    return jax.jvp(f, (PARAMS,), (PARAMS,))


REFUSED = {
    "jvp": (push, bptt.errors.ForwardModeError),
    "linearize": (lambda f: jax.linearize(f, PARAMS)[1](PARAMS),
                  bptt.errors.ForwardModeError),
    "jacfwd": (lambda f: jax.jacfwd(f)(PARAMS), bptt.errors.ForwardModeError),
    "hessian": (lambda f: jax.hessian(f)(PARAMS), bptt.errors.ForwardModeError),
    "vmap of jvp": (
        lambda f: jax.vmap(lambda k: jax.jvp(lambda k: f({n: k * v for n, v in
                           PARAMS.items()}), (k,), (k,))[1])(np.arange(3.0)),
        bptt.errors.ForwardModeError,
    ),
    "second gradient": (lambda _: jax.grad(squares_of_gradient)(PARAMS),
                        bptt.errors.SecondDerivativeError),
}  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, transform):
    call, error = REFUSED[what]
    with pytest.raises(error):
        transform(lambda: call(lambda p: ours(p, X, H0, W, Y)))()


@pytest.mark.parametrize("x64", [True, False])
def test_half_precision_is_refused_for_parameters_and_cast_elsewhere(x64):
    with jax.enable_x64(x64):
        half = {name: value.astype(np.float16) for name, value in PARAMS.items()}
        with pytest.raises(bptt.errors.DtypeError, match="use float32 or float64"):
            NETWORK(half, {"x": X, "y": Y})
        single = {name: value.astype(np.float32) for name, value in PARAMS.items()}
        with pytest.raises(bptt.errors.DtypeError, match="bfloat16; use float32 or"):
            NETWORK(jax.tree.map(jnp.bfloat16, half), {"x": X, "y": Y})
        for dtype in (jnp.float16, jnp.bfloat16):
            x = jnp.asarray(X, dtype)
            rest = single_precision()[2:]
            found = jax.jit(jax.value_and_grad(ours, WRT))(single, x, *rest)
            exact = jax.value_and_grad(scan, WRT)(single, x.astype(np.float32), *rest)
            for a, b in zip(*map(jax.tree.leaves, (found, exact)), strict=True):
                # the gradient of x is rounded to its own type: 11 or 8 bits
                np.testing.assert_allclose(
                    np.asarray(a, np.float64), b, atol=1e-2 * abs(b).max()
                )


def single_precision():
    """Of 32 bits: JAX passes wider NumPy arrays on uncast once x64 was on."""
    return jax.tree.map(
        lambda a: a.astype(np.float32 if a.dtype.kind == "f" else np.int32), ARGUMENTS
    )


def test_a_call_traced_with_x64_runs_without_it():
    exact = jax.jit(jax.grad(ours))(*ARGUMENTS)
    with jax.enable_x64(False):
        single = jax.jit(jax.grad(ours))(*single_precision())
    assert {leaf.dtype.name for leaf in single.values()} == {"float32"}
    for name, leaf in single.items():
        # 24 bits, through tau steps; see test_types.py
        assert abs(leaf - exact[name]).max() < 4e-6 * abs(exact[name]).max()
