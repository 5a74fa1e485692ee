"""Zero points of a simulated survey beside their truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, launch, product_task, tell_where
from tasks.starflat_report import called, picture_of
from ztf_in2p3.figures.summary_page import render_summary_page
from ztf_in2p3.figures.survey_truth import survey_truth_picture
from ztf_in2p3.products import Built, Kind, ProductRef, Value, filter_of, period_of, survey_figure_ref
from ztf_in2p3.recipes import SurveyRecipe
from ztf_in2p3.simulate.truth import PLAN, Truth
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import file_as_input


@product_task
def draw_survey_truth(output: ProductRef, zero_points: Built, truth: str, recipe: SurveyRecipe, store: Store) -> Built:
    """Fitted zero points beside the injected ones."""

    def make(path: Path) -> Mapping[str, Value]:
        with store.open(zero_points) as table_path:
            table = read_table(table_path)
        picture = survey_truth_picture(table, Truth.load(Path(truth)), recipe.stars.radius, called(zero_points))
        path.write_bytes(picture.png)
        return {"title": picture.title, "caption": picture.caption}

    return store.build(output, recipe, [zero_points, file_as_input(str(Path(truth) / PLAN))], make)


def compare_surveys(fitted: Outcome, recipe: SurveyRecipe, store: Store, truth: str) -> Outcome:
    """One picture for each fit, and an artifact with it.

    Parameters
    ----------
    truth
        Folder of the simulated survey.
    """
    drawn = collect(
        launch(
            draw_survey_truth,
            survey_figure_ref(recipe, period_of(product.ref), filter_of(product.ref), "truth"),
            product,
            truth,
            recipe=recipe,
            store=store,
        )
        for product in fitted.of(Kind.ZERO_POINTS)
    )
    for product in drawn.built:
        title = f"Zero points {called(product)} beside the truth"
        page = render_summary_page(title, {}, [picture_of(product, store)])
        create_markdown_artifact(page, key=f"ubercal-truth-{filter_of(product.ref)}", description=title)
    tell_where(drawn, store)
    return drawn
