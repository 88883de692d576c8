"""The branch of a `where` that is not taken and makes the gradient NaN is named."""

from bptt import Cell

NAN = Cell("""
h[t] = tanh(W @ h[t-1] + U @ x[t])
L[t] = sum(where(h[t] > 0, sqrt(h[t]), 0)) + sum(where(h[t] > 2, h[t], -h[t]))
""")
HARMLESS = Cell("""
h[t] = tanh(W @ h[t-1] + U @ x[t])
L[t] = sum(where(h[t] > 0, sqrt(where(h[t] > 0, h[t], 1)), 0))
""")


def test_a_branch_that_is_not_taken_is_named():
    ledger = NAN.check(instances=1, executor="reference")
    rows = [row for row in ledger.failures if row.how == "the branch not taken"]
    assert [row.what for row in rows] == ["where(h[t] > 0.0, sqrt(h[t]), 0.0)"]
    assert "sqrt(h[t]) is not finite at" in rows[0].note
    assert "give its argument a harmless value" in str(ledger)


def test_a_harmless_argument_passes():
    assert HARMLESS.check(instances=1, executor="reference").passed
