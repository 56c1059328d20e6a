"""The items of TRIPOD+AI and CLAIM in short: what each asks for, which facts answer it, and who writes the rest.

- TRIPOD+AI: Collins et al. 2024, "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that
  use regression or machine learning methods", BMJ 385, e078378; checklist of 27 items.
- CLAIM: Tejani et al. 2024, "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update", Radiology:
  Artificial Intelligence 6 (4), e240300; 44 items.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTHOR = "author"
CLINICIAN = "clinical lead"
DATA = "who collected the data"
READERS = "who drew and read the labels"
STATISTICIAN = "statistician"


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        number: in the guideline.
        topic: what it asks for.
        facts: names of :func:`branchpoint.report.checklist.facts.facts` that answer it.
        by: who writes what they leave open; empty where nothing is left.
    """

    number: str
    topic: str
    facts: tuple[str, ...] = ()
    by: str = ""


TRIPOD = (
    Item("1", "title: kind of study, population, outcome", ("purpose",), AUTHOR),
    Item("2", "abstract", (), AUTHOR),
    Item("3a", "healthcare context and existing models", (), CLINICIAN),
    Item("3b", "target population, purpose and users in the care pathway", (), CLINICIAN),
    Item("3c", "known health inequalities", (), CLINICIAN),
    Item("4", "objectives", ("question",), AUTHOR),
    Item("5a", "sources of data and how representative they are", ("source",), DATA),
    Item("5b", "dates of inclusion and follow-up", (), DATA),
    Item("6a", "setting, number and place of centres", ("centres",), DATA),
    Item("6b", "eligibility", ("left_out",), DATA),
    Item("6c", "treatments", (), CLINICIAN),
    Item("7", "data preparation and quality checks", ("preparation", "checks")),
    Item("8a", "outcome, its horizon and assessment", ("outcomes",), CLINICIAN),
    Item("8b", "assessors of subjective outcomes", (), READERS),
    Item("8c", "blinding of the outcome's assessment", (), READERS),
    Item("9a", "choice of predictors", ("predictors",), CLINICIAN),
    Item("9b", "definition and measurement of predictors", (), DATA),
    Item("9c", "assessors of subjective predictors", (), READERS),
    Item("10", "sample size and its justification", ("tested",), STATISTICIAN),
    Item("11", "missing data", ("missing",)),
    Item("12a", "use and partition of the data", ("partition", "protocol")),
    Item("12b", "handling of predictors", ("preparation",)),
    Item("12c", "type of model, building steps, tuning and internal validation", ("model", "training", "search")),
    Item("12d", "heterogeneity between clusters", ("clusters",), STATISTICIAN),
    Item("12e", "measures and plots of performance", ("metrics", "uncertainty", "references")),
    Item("12f", "model updating", (), STATISTICIAN),
    Item("12g", "how predictions are calculated", ("access",)),
    Item("13", "class imbalance", ("imbalance",), STATISTICIAN),
    Item("14", "fairness", (), CLINICIAN),
    Item("15", "output of the model and thresholds", ("output",), CLINICIAN),
    Item("16", "differences between development and evaluation data", ("external",), DATA),
    Item("17", "ethical approval and consent", (), CLINICIAN),
    Item("18a", "funding", (), AUTHOR),
    Item("18b", "conflicts of interest", (), AUTHOR),
    Item("18c", "protocol", (), AUTHOR),
    Item("18d", "registration", (), AUTHOR),
    Item("18e", "data sharing", (), DATA),
    Item("18f", "code sharing", ("software",), AUTHOR),
    Item("19", "patient and public involvement", (), AUTHOR),
    Item("20a", "flow of participants and follow-up", ("tested", "left_out"), DATA),
    Item("20b", "characteristics of participants", (), DATA),
    Item("20c", "comparison with the development data", (), DATA),
    Item("21", "participants and events in each analysis", ("tested", "events")),
    Item("22", "the full model", ("model", "access")),
    Item("23a", "performance with intervals, also of subgroups", ("performance",), STATISTICIAN),
    Item("23b", "heterogeneity of performance", ("clusters",), STATISTICIAN),
    Item("24", "results of updating", (), STATISTICIAN),
    Item("25", "interpretation", (), AUTHOR),
    Item("26", "limitations", ("limits",), AUTHOR),
    Item("27a", "handling of poor or absent input", ("input_checks",), CLINICIAN),
    Item("27b", "expertise that users need", (), CLINICIAN),
    Item("27c", "next steps", (), AUTHOR),
)

CLAIM = (
    Item("1", "title or abstract: the technology", ("purpose",), AUTHOR),
    Item("2", "abstract", (), AUTHOR),
    Item("3", "background, intended use and role", (), CLINICIAN),
    Item("4", "aims and hypotheses", ("question",), AUTHOR),
    Item("5", "prospective or retrospective", (), DATA),
    Item("6", "goal of the study", ("question",), AUTHOR),
    Item("7", "data sources", ("source", "centres"), DATA),
    Item("8", "inclusion and exclusion", ("left_out",), DATA),
    Item("9", "preprocessing", ("preparation", "checks")),
    Item("10", "selection of subsets of the data", ("window",)),
    Item("11", "de-identification", (), DATA),
    Item("12", "missing data", ("missing",)),
    Item("13", "image acquisition", (), DATA),
    Item("14", "how the reference standard was obtained", ("outcomes",), READERS),
    Item("15", "why this reference standard", (), CLINICIAN),
    Item("16", "source of annotations", (), READERS),
    Item("17", "annotation of the test set", (), READERS),
    Item("18", "variability between and within readers", (), READERS),
    Item("19", "assignment to partitions", ("partition", "protocol")),
    Item("20", "level at which partitions are disjoint", ("disjoint",)),
    Item("21", "intended sample size", (), STATISTICIAN),
    Item("22", "model", ("model",)),
    Item("23", "software", ("software",)),
    Item("24", "initialization", ("initialization",)),
    Item("25", "training", ("training",)),
    Item("26", "selection of the final model", ("search", "protocol")),
    Item("27", "ensembles", ("ensembles",)),
    Item("28", "metrics", ("metrics",)),
    Item("29", "significance and uncertainty", ("uncertainty",)),
    Item("30", "robustness or sensitivity", ("clusters",), STATISTICIAN),
    Item("31", "explainability", (), AUTHOR),
    Item("32", "evaluation on internal data", ("partition",)),
    Item("33", "testing on external data", ("external",), STATISTICIAN),
    Item("34", "trial registration", (), AUTHOR),
    Item("35", "numbers included and excluded", ("tested", "left_out"), DATA),
    Item("36", "characteristics of the cases in each partition", (), DATA),
    Item("37", "performance on all partitions", ("performance",), AUTHOR),
    Item("38", "diagnostic performance and its precision", ("performance",)),
    Item("39", "failure analysis", ("failures",), CLINICIAN),
    Item("40", "limitations", ("limits",), AUTHOR),
    Item("41", "implications for practice", (), CLINICIAN),
    Item("42", "full protocol or further details", ("configuration",), AUTHOR),
    Item("43", "availability of software, model and data", ("software", "access"), AUTHOR),
    Item("44", "funding", (), AUTHOR),
)
