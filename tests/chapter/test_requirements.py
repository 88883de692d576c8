"""Every requirement of the chapter, and the tests that show it.

The numbers follow the text of Goodfellow et al., 10.2.2, from its first sentence to its
last.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
BOOK = "explain/test_book.py"


@dataclass(frozen=True)
class Requirement:
    """What is required, and `file::test` of the tests that show it."""

    text: str
    tests: tuple[str, ...]


def chapter(text: str, *names: str) -> Requirement:
    """Shown by tests in test_chapter.py, or in the file that a name gives."""
    full = (
        name if "::" in name else f"chapter/test_chapter.py::{name}" for name in names
    )
    return Requirement(text, tuple(full))


REQUIREMENTS: dict[int, Requirement] = {
    1: chapter(
        "one call from equations to gradients",
        "test_one_call_goes_from_equations_to_every_gradient",
    ),
    2: chapter(
        "any cell takes the same road; the fast gradient equals generic reverse mode",
        "test_the_fast_gradient_equals_generic_reverse_mode",
        "test_an_invented_cell_takes_the_same_road",
        "check/test_check.py::test_every_cell_of_the_library_passes",
        "test_against_torch.py::test_every_parameter_equals_torch",
    ),
    3: chapter(
        "gradients work with any gradient-based method",
        "test_optimisers.py::test_torch_optimisers_reach_the_lowest_loss",
        "test_optimisers.py::test_l_bfgs_of_scipy_reaches_the_lowest_loss",
    ),
    4: chapter(
        "a worked example for intuition",
        f"{BOOK}::test_the_cards_are_the_books_equations_with_what_they_leave_out",
        f"{BOOK}::test_the_numbers_shown_are_those_of_back_propagation_written_by_hand",
    ),
    5: chapter(
        "preset for equations 10.8 and 10.12; references restored",
        "test_the_book_preset_is_10_8_to_10_14_with_its_references",
        f"{BOOK}::test_the_references_that_the_text_lost_are_on_the_page",
        f"{BOOK}::test_the_one_row_that_differs_from_the_book_is_the_printed_order_of_10_21",
    ),
    6: chapter(
        "the node set: U, V, W, b, c and x, h, o, L, a, y_hat, y per t, h(0)",
        "test_the_node_set_is_the_books_with_a_y_hat_y_and_h_0",
    ),
    7: chapter(
        "each node by recursion on its successors, checked by moving it",
        "test_the_successors_of_every_node_are_listed",
        "test_every_node_gradient_is_the_answer_to_moving_that_node",
    ),
    8: chapter(
        "the recursion starts just before L; visit order numbered",
        "test_the_visit_order_starts_just_before_the_loss_and_follows_the_recursion",
    ),
    9: chapter(
        "∂L/∂L^(t) = 1, derived, for sum, mean, mask, weights, last step",
        "test_the_derivative_of_the_total_loss_by_each_step_loss_is_its_weight",
    ),
    10: chapter(
        "every equation has a 'why?'",
        f"{BOOK}::test_every_card_answers_why_and_what_would_go_wrong_in_both_languages",
        f"{BOOK}::test_q1_the_derivative_by_one_loss_is_derived_from_the_sum",
        "explain/test_every_cell.py::test_every_displayed_equality_is_evaluated_and_holds",
    ),
    11: chapter(
        "softmax: stable, sums to 1, gradient sums to 0",
        "test_softmax_is_stable_sums_to_1_and_its_gradient_sums_to_0",
    ),
    12: chapter(
        "negative log-likelihood of class indices; causality",
        "test_the_loss_is_the_negative_log_likelihood_of_the_class",
        "test_a_later_input_has_exactly_no_influence_on_the_loss_of_step_t",
    ),
    13: chapter(
        "t and tau defined on screen",
        f"{BOOK}::test_t_is_defined_on_the_page_and_tau_is_the_last_step",
    ),
    14: chapter(
        "each link of the chain of 10.18 evaluated separately",
        "test_10_18_every_link_of_the_chain_has_the_same_value",
    ),
    15: chapter(
        "backwards from the end of the sequence",
        "test_nodes_are_visited_from_the_end_of_the_sequence",
        f"{BOOK}::test_tables_go_from_the_end_of_the_sequence_to_its_start",
    ),
    16: chapter("at t = tau one successor alone", "test_at_tau_there_is_one_successor"),
    17: chapter(
        "the loop t = tau-1 .. 1, and h(0) on request",
        "test_10_20_holds_for_t_below_tau_and_for_h_0",
    ),
    18: chapter(
        'two successors for t < tau: both terms shown with their norms ("from now", '
        '"from the future"); their sum equals the gradient of h',
        "test_two_successors_give_two_terms_with_their_norms",
        "explain/test_browser.py::test_both_terms_of_a_state_are_shown_with_their_norms",
    ),
    19: chapter(
        "edge Jacobians as objects, checked by finite differences",
        "test_edge_jacobians_are_objects_and_equal_finite_differences",
    ),
    20: chapter(
        "10.21 in the right order; the printed order refused and its error shown",
        "test_10_21_as_printed_is_refused_by_shapes_and_wrong_in_one_dimension",
        "test_10_21_as_printed_is_refused_by_the_language",
        "chapter/test_mutations.py::test_the_printed_order_in_two_dimensions_is_a_shape_error",
        "chapter/test_mutations.py::test_the_size_of_each_mistake_is_as_measured",
        f"{BOOK}::test_the_one_row_that_differs_from_the_book_is_the_printed_order_of_10_21",
        "explain/test_equation.py::test_the_printed_order_of_10_21_is_refused_with_its_shapes_and_what_it_costs",
    ),
    21: chapter(
        "Q2: term-by-term colour matching between 10.20 and 10.21; "
        "(...)^T = W^T diag(...), not W^T",
        "test_the_jacobian_of_two_steps_is_diagonal_times_w_and_not_w",
        f"{BOOK}::test_q2_is_matched_factor_by_factor_and_the_index_is_t_plus_1",
        "explain/test_browser.py"
        "::test_the_factors_on_a_card_have_the_colours_of_their_arrows",
    ),
    22: chapter(
        "the diagonal has the index t + 1",
        "test_the_diagonal_has_the_index_t_plus_1",
        "chapter/test_mutations.py::test_every_mistake_in_the_recursion_is_caught",
    ),
    23: chapter(
        "dh/da is diagonal, dh/dh' is not",
        "test_the_jacobian_of_tanh_is_diagonal_and_that_of_a_step_is_not",
        f"{BOOK}::test_q3_the_tanh_jacobian_is_diagonal_and_the_state_jacobian_is_not",
    ),
    24: chapter(
        "two phases: nodes, then parameters",
        "test_node_gradients_come_first_and_parameter_gradients_second",
    ),
    25: chapter(
        "sharing across steps explained; immediate and total derivative distinguished",
        "test_the_immediate_derivative_is_one_edge_and_the_total_the_sum_of_paths",
        f"{BOOK}::test_immediate_and_total_derivative_are_two_notations_with_two_values",
        f"{BOOK}::test_sharing_across_steps_is_explained_by_the_copies",
    ),
    26: chapter(
        "the contribution of a single edge",
        "test_the_contribution_of_a_single_edge_is_available",
    ),
    27: chapter(
        "a parameter's gradient is the sum over all its edges",
        "test_a_parameter_gradient_is_the_sum_over_all_its_edges",
    ),
    28: chapter(
        "copies used only at step t, each checked by finite differences",
        "test_copies_are_objects_used_at_one_step_alone",
        "test_each_copy_equals_finite_differences_of_that_copy_alone",
    ),
    29: chapter(
        "every copy's gradient for every parameter and step; their sum is exact",
        "test_the_copies_of_every_parameter_sum_to_its_gradient",
        "test_against_torch.py::test_every_copy_equals_torch",
    ),
    30: chapter("both forms for c", "test_10_22_both_forms_of_the_gradient_of_c"),
    31: chapter("both forms for b", "test_10_23_both_forms_of_the_gradient_of_b"),
    32: chapter("both forms for V", "test_10_24_both_forms_of_the_gradient_of_v"),
    33: chapter(
        "both forms for W; h(t-1), and h(0) at t = 1",
        "test_10_26_and_10_28_both_forms_of_the_gradients_of_w_and_u",
        "test_the_initial_state_enters_the_gradient_of_w_at_t_1",
        "chapter/test_mutations.py::test_h_of_t_for_h_of_t_minus_1_in_the_sum_over_t_is_caught",
    ),
    34: chapter(
        "both forms for U; x(t)",
        "test_10_26_and_10_28_both_forms_of_the_gradients_of_w_and_u",
    ),
    35: chapter(
        "the shapes of outer products",
        "test_outer_products_have_the_shapes_of_their_parameters",
    ),
    36: chapter(
        "x is skipped by ancestor analysis, with the reason; overridable",
        "test_x_is_skipped_for_want_of_parameter_ancestors_and_offered_on_request",
        "test_the_ancestor_test_looks_further_than_the_parents",
    ),
    37: chapter(
        "a picture of the unrolled graph",
        "explain/test_picture.py::test_the_picture_has_every_edge_of_the_unrolled_graph",
        "explain/test_browser.py::test_folding_hides_the_inner_nodes_and_multiplies_across_them",
    ),
    38: chapter(
        "all five parameters, into every step",
        "test_all_five_parameters_enter_every_step",
        "explain/test_picture.py::test_a_parameter_is_drawn_once_with_one_edge_per_step",
    ),
    39: chapter(
        "gradient on each edge (step 1), all edges incl. h->h and parameters",
        "test_every_edge_has_its_gradient",
        "explain/test_picture.py::test_every_label_is_the_jacobian_of_its_edge",
        "explain/test_picture.py"
        "::test_every_transposed_label_carries_what_its_arrow_carries",
        "explain/test_browser.py::test_a_click_on_an_edge_opens_its_card_at_its_step",
    ),
    40: chapter(
        "seed ∇_L L = 1 (step 2)",
        "test_the_seed_of_the_recursion_is_1",
        "explain/test_browser.py"
        "::test_backward_every_arrow_is_labelled_with_the_transpose",
    ),
    41: chapter(
        '"multiply in series, add in parallel" (step 3): path list per parameter; the '
        "sum over paths is the gradient; tau (tau + 1) / 2 paths for W, U, b and tau "
        "for V, c",
        "test_multiply_in_series_and_add_in_parallel",
        "unrolled/test_unrolled.py::test_grouped_and_enumerated_paths_agree_lag_by_lag",
        "explain/test_walk.py::test_the_box_of_a_parameter_fills_up_to_its_gradient",
        "explain/test_walk.py"
        "::test_a_path_is_multiplied_factor_by_factor_and_then_added",
    ),
    42: chapter(
        "the same result as the book, but for the order of 10.21",
        "test_everything_equals_10_17_to_10_28_written_out_by_hand",
        "test_the_one_disagreement_with_the_book_is_the_order_of_10_21",
    ),
}


def functions_of(file: str) -> set[str]:
    """The tests that a file defines, read and not run."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_requirement_from_1_to_42_has_a_row():
    assert list(REQUIREMENTS) == list(range(1, 43))


@pytest.mark.parametrize("number", REQUIREMENTS)
def test_a_requirement_names_a_test(number):
    assert REQUIREMENTS[number].tests


@pytest.mark.parametrize("number", REQUIREMENTS)
def test_every_test_that_a_requirement_names_exists(number):
    for test in REQUIREMENTS[number].tests:
        file, name = test.split("::")
        assert name in functions_of(file), f"{number}: {test} does not exist"
