"""From what was said to rewards that can be trusted: cases, verdicts, judges, verifiers, statistics, the charter.

Names are loaded on first use, so that `import judges` costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "types": [
        "Act",
        "Case",
        "Choice",
        "Completer",
        "Completion",
        "Cost",
        "Judge",
        "Message",
        "Quote",
        "Record",
        "Request",
        "Sampling",
        "Statement",
        "Status",
        "Unsupported",
        "Verdict",
    ],
    "rewards": ["Reading", "RewardRule", "Rewards", "UNKNOWN", "measure_rewards"],
    "process": ["ProcessReward", "anneal"],
    "criteria": ["read_belief"],
    "rules": ["RULES", "make_rule", "reads_verdicts"],
    "attacks.battery": ["AttackRow", "attack_table", "run_attacks"],
    "charter.audit": ["AuditDraw", "draw_audit", "inclusion_probabilities", "reward_gap"],
    "charter.certificate": ["Certificate", "Refusal", "bless"],
    "charter.gates": ["Gates"],
    "charter.gauge": ["gauge", "measure"],
    "charter.labels": ["LabelledCase", "Labels", "Rating", "panel_ratings"],
    "charter.report": ["Check", "GaugeReport"],
    "charter.revocation": ["Evidence", "Revocation", "Window", "frozen_weights", "revoke"],
    "charter.seals": ["SealBook"],
    "charter.trust": ["Trust", "check_trust"],
    "injection": ["neutralise"],
    "judges.abstaining": ["AbstainingJudge"],
    "judges.asking": ["ask_many"],
    "judges.cascade": ["CascadeJudge"],
    "judges.conformance": ["check_judge"],
    "judges.ensemble": ["pessimistic"],
    "judges.evidence": ["NaiveEvidenceJudge"],
    "judges.human": ["HumanJudge"],
    "judges.llm": ["LLMJudge"],
    "judges.panel": ["PanelJudge", "RaterModel", "fit_raters"],
    "judges.preference": ["compare", "plackett_luce", "preference_rewards"],
    "judges.identity": ["JudgeIdentity", "identify"],
    "judges.queue": ["HumanQueue"],
    "judges.rubric": ["Criterion", "Rubric", "read_rubric"],
    "judges.scripted": ["ScriptedJudge", "constant_judge"],
    "judges.steps": ["Step", "StepJudge", "arithmetic_steps"],
    "judges.verifier": ["VerifierJudge"],
    "labels.belief": ["Expert", "Item", "believe"],
    "labels.exchange": [
        "from_argilla",
        "from_label_studio",
        "read_labels",
        "to_argilla",
        "to_label_studio",
        "write_labels",
    ],
    "labels.ledger": ["Label", "Ledger", "label_counts"],
    "labels.routing": ["Purchase", "item_state", "route"],
    "sandbox.probe": ["Probe", "probe"],
    "sandbox.run": ["run_code"],
    "sandbox.types": ["CodeResult", "Limits"],
    "statistics.agreement": ["cohen_kappa", "fleiss_kappa", "krippendorff_alpha", "krippendorff_lower_bound"],
    "statistics.annotators": ["AltTest", "alt_test"],
    "statistics.biases": ["length_bias", "self_preference", "swap_consistency"],
    "statistics.calibration": ["abstention_threshold", "brier", "ece", "fit_temperature"],
    "statistics.labelling": ["expected_information", "label_rate"],
    "statistics.latent_class": ["DawidSkene", "dawid_skene"],
    "statistics.prediction_powered": ["ppi_mean"],
    "statistics.proportions": ["RoganGladen", "clopper_pearson", "rogan_gladen"],
    "statistics.sequential": ["agreement_bounds", "drop_evidence", "first_alarm", "restarted_upper_bounds"],
    "verify.choice": ["read_choice", "verify_choice"],
    "verify.code": ["verify_code"],
    "verify.exact": ["verify_exact"],
    "verify.math": ["verify_math"],
    "verify.json_schema": ["verify_json_schema"],
    "verify.numeric": ["read_final_number", "verify_numeric"],
    "verify.quotes": ["match_quotes", "neutralise_quote_marks", "verify_quotes"],
    "verify.result": ["Verification"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'judges' has no attribute {name!r}")
    return getattr(import_module(f"judges.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
