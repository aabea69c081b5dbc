"""An index of faults that were once found: each letter is a kind, with the claims that belong to it
and the tests that hold them.

A test names its kind with the letter that its docstring begins with. What the kinds are stands in
`KINDS`; a claim without a letter of its own in a docstring is kept by the tests named in `CLAIMS`.
"""

import ast
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
LETTER = re.compile(r"(?:A|B)?[A-Z](?=:)")
KINDS = {
    "A": "divergences in float32",
    "B": "the unit of penalties",
    "C": "masked arrays",
    "D": "names instead of positions",
    "E": "state of the process",
    "F": "attributes that can be set and are not read",
    "G": "wrong derivatives of a cost",
    "H": "dead topics and empty data points",
    "I": "one reader of data",
    "J": "set_output of lower layers",
    "K": "labels in every door",
    "L": "pickles of watched models",
    "M": "what is fitted is not called unfitted",
    "N": "fits of counts end well",
    "O": "messages that lead to the cure",
    "P": "exceptions of a library for good input",
    "Q": "checkpoints of another fit",
    "R": "labels with a mask of their own",
    "S": "the certificate and the objective of the fit",
    "T": "writers that fail leave the old file",
    "U": "scale, everywhere",
    "V": "nearly dependent columns",
    "W": "limits of what is read",
    "X": "data points of very different lengths",
    "Y": "masked data through a hierarchy",
    "Z": "the coefficients that labels and data share",
    "AA": "fewer topics than classes; names of scikit-learn",
    "BB": "conveniences",
}
CLAIMS = {
    "C": {
        "X of every model and door": "doors::test_what_a_masked_array_hides_is_unknown",
        "labels": "doors::test_a_masked_label_is_unknown",
        "weights, W, H, fixed": (
            "doors::test_masked_arguments_in_which_every_number_counts_are_refused"
        ),
    },
    "D": {
        "another order of columns": (
            "doors::test_columns_in_another_order_are_refused_at_every_door"
        ),
        "mask, weights, fixed, seeds, W, H": "doors::test_other_data_frames_are_read_by_name",
        "index of y": "doors::test_labels_of_other_data_points_are_an_error",
        "numbers, MultiIndex, names of data points": (
            "doors::test_names_of_data_points_and_numbers_as_names_are_shown"
        ),
    },
    "E": {
        "overlapping fits": "state::test_overlapping_fits_restore_the_threads_of_blas",
        "interrupts": "state::test_an_interrupt_at_any_moment_restores_the_threads_of_blas",
    },
    "F": {
        "components_, n_components_": "state::test_components_cannot_be_set_and_are_counted",
        "ways that work": "state::test_the_ways_that_the_error_names_work",
        "sample_weight": "state::test_sample_weight_is_the_weight_of_all_entries_of_a_data_point",
        "routing": "state::test_sample_weight_can_be_routed",
        "shuffle": "faults::test_shuffle_is_said_to_have_no_meaning",
    },
    "G": {
        "a wrong derivative": "certificate_kinds::test_a_wrong_derivative_is_named",
        "one check": "certificate_kinds::test_the_check_is_made_once",
        "malformed returns": "certificate_kinds::test_a_malformed_return_is_named",
    },
    "H": {
        "tree and topics": "label_doors::test_dead_topics_of_a_hierarchy_are_called_dead",
        "shares of empty data points": "conveniences::test_shares",
        "predict": "label_doors::test_empty_data_points_get_the_most_frequent_class",
    },
    "I": {
        "containers, methods": "doors::test_containers_mean_the_same_to_every_method",
        "containers, functions": "doors::test_containers_mean_the_same_to_every_function",
    },
    "J": {"all methods": "label_doors::test_set_output_of_every_layer"},
    "K": {
        "score": "label_doors::test_score_takes_what_fit_takes",
        "spellings of unknown": "label_doors::test_every_form_is_the_same_fit",
        "names of classes that look missing": (
            "label_doors::test_words_for_missing_are_classes_and_warn"
        ),
        "all unknown": "label_doors::test_without_a_known_label_predict_says_why",
        "folds and roc_auc": "label_doors::test_as_classifier",
        "decision_function": "label_doors::test_two_classes_have_one_decision",
    },
    "L": {
        "models": "state::test_a_model_with_callbacks_is_copied",
        "views": "state::test_a_copy_of_a_live_view_is_a_new_one",
    },
    "M": {
        "components_ alone; a turned matrix": "doors::test_what_is_fitted_is_not_called_unfitted",
        "pipelines": "doors::test_pipelines_are_opened",
        "save": "texts::test_pipelines_in_files",
    },
    "O": {
        "messages": "doors::test_messages_lead_to_the_cure",
        "W and H": "drop_in::test_start_of_the_wrong_shape",
        "weights of data points": "doors::test_one_weight_per_data_point",
        "sparse masks": "doors::test_what_is_no_mask_is_refused_with_words",
        "no name of an inner function": "divergences::test_too_few_steps_warn",
        "more topics than features": "doors::test_more_topics_than_features_draw_a_warning",
        "mask='nan'": "doors::test_nan_as_an_option_is_remembered",
    },
    "P": {
        "every model": "numbers::test_every_model_takes_equal_singular_values_and_zeros",
        "no convergence": "numbers::test_leading_svd_without_convergence",
    },
    "Q": {
        "costs, generators": "state::test_values_that_differ_have_different_hashes",
        "np.int64(3) and 3": "state::test_values_that_mean_the_same_have_one_hash",
        "another fit, {fit}": "state::test_a_checkpoint_of_another_fit_is_refused",
        "order in memory": "state::test_a_checkpoint_of_the_same_fit_is_fetched",
        "no hash": "state::test_what_cannot_be_hashed_is_refused",
        "two processes": "state::test_only_what_nobody_writes_any_more_is_removed",
        "a full disk": "state::test_a_finished_fit_is_fetched_where_nobody_can_write",
    },
    "R": {
        "classes": "label_doors::test_class_numbers_with_L_are_classes",
        "one layer twice": "label_doors::test_a_layer_is_named_once",
    },
    "S": {
        "depth_weights": (
            "certificate_kinds::test_a_finished_fit_is_green_by_its_own_objective_alone"
        ),
        "every parameter": "certificate_kinds::test_every_parameter_of_every_model_is_classified",
        "changes after the fit": (
            "certificate_kinds::test_a_parameter_is_judged_as_it_was_in_the_fit"
        ),
        "tol": "certificate_kinds::test_warning_and_certificate_agree",
        "scales": "certificate_kinds::test_every_model_is_judged_at_every_scale",
        "a tiny column": "certificate_kinds::test_a_small_data_point_is_judged_like_any_other",
    },
    "T": {
        "pages": "state::test_a_writer_that_fails_leaves_the_old_file",
        "halves of characters": "state::test_names_that_are_no_text_reach_every_page",
    },
    "U": {
        "nnls_vjp": "numbers::test_derivative_of_small_and_large_data",
        "weights": "numbers::test_weights_beyond_float32",
        "the ends of float32": "numbers::test_data_at_the_ends_of_float32",
        "columns": "numbers::test_small_columns_do_not_depend_on_their_company",
        "data points of a model": "numbers::test_small_data_points_do_not_depend_on_their_company",
        "floors": "numbers::test_floors_of_constant_float32_data_are_bounds",
    },
    "V": {
        "the case": "numbers::test_the_error_that_was_certified",
        "an exact oracle": "numbers::test_nearly_dependent_problems_equal_the_exact_oracle",
        "nnls warns": "numbers::test_what_is_not_certified_is_told",
    },
    "W": {
        ".mtx, zip, npz": "state::test_a_reader_refuses_before_it_allocates",
        "max_bytes": "state::test_what_fits_is_read_and_the_limit_can_be_set",
        "pipes": "state::test_a_pipe_is_refused_by_every_reader",
        "beta_loss=1e308, infinite penalties": "state::test_numbers_without_a_meaning_are_refused",
        "masks": "doors::test_what_is_no_mask_is_refused_with_words",
        "S0 as a list": "conveniences::test_coefficients_as_lists",
        "CSR with duplicates": "doors::test_containers_mean_the_same_to_every_method",
    },
    "X": {"the case": "certificate_kinds::test_a_large_data_point_does_not_hide_the_others"},
    "Y": {
        "starts": "masked_hierarchy::test_starts_come_from_known_entries",
        "the default penalty": (
            "masked_hierarchy::test_the_default_penalty_is_proportional_to_the_unknown_share"
        ),
        "an all-known mask": "masked_hierarchy::test_a_mask_without_unknown_entries_is_no_mask",
        "certificate": "masked_hierarchy::test_the_certificate_names_exploding_coefficients",
        "predictions": "masked_hierarchy::test_predictions_stay_in_the_range_of_the_ratings",
        "L-BFGS": "masked_hierarchy::test_lbfgs_does_not_stall_on_ratings",
    },
    "Z": {
        "joint_": "masked_hierarchy::test_the_joint_factors_have_the_objective_that_was_trained",
        "the published error": "masked_hierarchy::test_the_joint_factors_recover_noisy_data",
        "custom start": "masked_hierarchy::test_a_custom_start_goes_on_from_joint_factors",
    },
    "AA": {
        "fewer topics": "label_doors::test_fewer_topics_than_classes_are_told",
        "inverse_transform(X=)": "conveniences::test_inverse_transform_by_scikit_learns_name",
        "W, H without custom": "conveniences::test_starts_without_custom_warn",
    },
    "BB": {
        "shares": "conveniences::test_shares",
        "topic_info": "conveniences::test_topic_info",
        "document_info": "conveniences::test_document_info",
        "samples_of": "conveniences::test_samples_of",
        "topics_of": "conveniences::test_topics_of",
        "topics(by=)": "conveniences::test_topics_by",
        "residuals": "conveniences::test_residuals",
        "transform(layer='all')": "conveniences::test_transform_all_layers",
        "the same for data of any sign": "conveniences::test_transform_all_layers_of_signed_data",
        "rename": "conveniences::test_rename",
        "names in the inspector": "inspector::test_names_are_kept_on_the_model",
        "names of features": "conveniences::test_name_features",
        "fit_texts": "texts::test_one_call",
        "pipelines in files": "texts::test_pipelines_in_files",
        "plot_over_time": "plot::test_over_dates",
        "plot_by_group": "plot::test_by_group",
        "unknown seeds": "ssnmf::test_unknown_seeds_can_be_passed_over",
        "fonts": "conveniences::test_fonts_for_labels_that_need_them",
        "torch.autograd.Function": "frameworks::test_the_recipe_for_torch",
        "jax.custom_vjp": "frameworks::test_the_recipe_for_jax",
        "tensors of torch": "frameworks::test_tensors_of_torch",
    },
}


@cache
def docstrings():
    """{'doors::test_one': its docstring} of all tests."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                place = path.stem.removeprefix("test_")
                found[f"{place}::{node.name}"] = ast.get_docstring(node) or ""
    return found


def letters_of(tests):
    """The letters that docstrings begin with."""
    return {found.group() for text in tests.values() if (found := LETTER.match(text))}


def test_every_kind_has_a_test_that_names_it():
    """Those of the list, and no letter that the list does not explain."""
    assert letters_of(docstrings()) == {*KINDS}
    assert {*CLAIMS} <= {*KINDS}
    one = {name: text for name, text in docstrings().items() if not text.startswith("X:")}
    assert {*KINDS} - letters_of(one) == {"X"}


def test_every_claim_has_a_test():
    """A test that is renamed or removed takes its claim along, and is missed here."""
    named = {test for claims in CLAIMS.values() for test in claims.values()}
    assert sorted(named - {*docstrings()}) == []


def test_shuffle_is_said_to_have_no_meaning():
    """F: the one parameter of scikit-learn's NMF that is missing here."""
    from sklearn.decomposition import NMF as Other

    from nnmf_nb import NMF

    assert {*Other().get_params()} - {*NMF().get_params()} == {"shuffle"}
    prose = (HERE.parent / "nbs" / "choosing_a_model.ipynb").read_text(encoding="utf-8")
    assert "`shuffle` does not exist" in prose
