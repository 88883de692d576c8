"""Whether the value that a declaration gives is one that there is."""

from __future__ import annotations

from bptt import errors
from bptt.language.tree import Declaration
from bptt.step import draws
from bptt.step import initial as initial_values
from bptt.step.draws import DISTRIBUTIONS
from bptt.step.initial import RULES


def check_declaration(declaration: Declaration, *, is_input: bool) -> None:
    """Refuse a rule that does not exist, or numbers that it does not take.

    Raises: DeclarationError.
    """
    initial = declaration.initial
    if initial is not None and is_input and initial.rule not in DISTRIBUTIONS:
        raise errors.DeclarationError(
            declaration.span,
            f"{initial.rule} is not a distribution, and {declaration.name} is an input",
            fix="no `= ...` where its values are given, or one of "
            + errors.list_known(initial.rule, sorted(DISTRIBUTIONS)),
        )
    if initial is not None and not is_input and initial.rule not in RULES:
        raise errors.DeclarationError(
            declaration.span,
            f"{initial.rule} is not a rule for initial values",
            fix="a number, or one of " + errors.list_known(initial.rule, sorted(RULES)),
        )
    takes = draws.takes if is_input else initial_values.takes
    if initial is not None and not takes(initial.rule, len(initial.arguments)):
        raise errors.DeclarationError(
            declaration.span,
            f"{initial.rule} does not take {len(initial.arguments)} numbers",
            fix=f"`{declaration.name}: ... = {initial.rule}`",
        )
