"""Compiled passes over the table against matrices written out."""

import numpy as np
import pytest

from ztf_in2p3.fit import assembly, graph, normal
from ztf_in2p3.fit.model import Coarse, Family, Model, Partition


def small_model(seed=0, n_star=40, anchored=False, prior=False):
    """Random rows on three families, the last with values; parameters 9 and 20 are touched by nothing."""
    rng = np.random.default_rng(seed)
    n_row = rng.integers(1, 9, n_star)
    first = np.concatenate([[0], np.cumsum(n_row)])
    n, sizes = first[-1], (6, 10, 5)
    index = np.column_stack([rng.integers(0, 6, n), 6 + rng.integers(0, 3, n), 16 + rng.integers(0, 4, n)])
    sigma = np.full(10, 0.01) if prior else None
    families = [
        Family("one", np.arange(sizes[0]), coarse=Coarse.identity(6)),
        Family("two", np.arange(sizes[1]), prior_sigma=sigma, prior_mean=np.linspace(0, 1, 10) if prior else None),
        Family("three", np.arange(sizes[2]), valued=True, constant_in_star=False),
    ]
    half = n_star // 2
    parts = []
    for stars in (slice(0, half), slice(half, n_star)):
        rows = slice(first[stars.start], first[stars.stop])
        m, k = rows.stop - rows.start, stars.stop - stars.start
        parts.append(
            Partition(
                first=first[stars.start : stars.stop + 1] - rows.start,
                index=index[rows].astype(np.int32),
                value=rng.normal(0, 1, (m, 1)).astype(np.float32),
                y=rng.normal(0, 1, m).astype(np.float32),
                weight=rng.uniform(1, 9, m).astype(np.float32),
                kept=(rng.random(m) < 0.8).astype(np.uint8),
                star_id=np.arange(k),
                reference=np.zeros(k),
                anchor=rng.uniform(0, 3, k) * (rng.random(k) < 0.5) if anchored else np.zeros(k),
                anchor_mag=rng.normal(0, 1, k),
                set_aside=np.zeros(k, np.uint8),
                origin=rows.start,
            )
        )
    return Model(families, parts)


def written_out(model):
    """Design and weights of everything, with stars as parameters and anchors and priors as measurements."""
    design, weight, y, star_at = [], [], [], model.n_param
    for part in model.parts:
        star = part.star_of_rows()
        for i in range(len(part.y)):
            row = np.zeros(model.n_param + model.n_star)
            row[part.index[i, 0]] += 1
            row[part.index[i, 1]] += 1
            row[part.index[i, 2]] += part.value[i, 0]
            row[star_at + star[i]] = 1
            design.append(row)
            weight.append(part.weight[i] * float(part.kept[i]))
            y.append(part.y[i])
        for s in range(part.n_star):
            row = np.zeros(model.n_param + model.n_star)
            row[star_at + s] = 1
            design.append(row)
            weight.append(part.anchor[s])
            y.append(part.anchor_mag[s])
        star_at += part.n_star
    design.extend(np.eye(model.n_param, model.n_param + model.n_star))
    return np.array(design), np.array([*weight, *model.prior_weight]), np.array([*y, *model.prior_mean])


def reduced(model):
    """Schur complement of the stars, and its right side."""
    design, weight, y = written_out(model)
    n = model.n_param
    matrix, right = design.T @ (weight[:, None] * design), design.T @ (weight * y)
    inverse = np.linalg.pinv(matrix[n:, n:])
    return matrix[:n, :n] - matrix[:n, n:] @ inverse @ matrix[n:, :n], right[:n] - matrix[:n, n:] @ inverse @ right[n:]


CASES = [{}, {"anchored": True}, {"prior": True}, {"anchored": True, "prior": True, "seed": 5}]
ROUNDING = 1e-5
"""Relative: weights and values are float32."""


@pytest.mark.parametrize("case", CASES)
def test_passes_make_the_schur_complement(case):
    model = small_model(**case)
    matrix, right = reduced(model)
    eye = np.eye(model.n_param)
    scale = matrix.max()

    np.testing.assert_allclose(normal.apply(model, eye), matrix, atol=ROUNDING * scale)
    one_by_one = np.column_stack([normal.apply(model, column) for column in eye])
    np.testing.assert_allclose(one_by_one, matrix, atol=ROUNDING * scale)
    np.testing.assert_allclose(normal.right_side(model), right, atol=ROUNDING * scale)
    np.testing.assert_allclose(normal.diagonals(model).reduced, matrix.diagonal(), atol=ROUNDING * scale)
    np.testing.assert_allclose(
        assembly.reduced_matrix(model, Coarse.identity(model.n_param)), matrix, atol=ROUNDING * scale
    )


@pytest.mark.parametrize("case", CASES)
def test_a_sparse_matrix_is_the_dense_one(case, monkeypatch):
    model = small_model(**case)
    dense = assembly.reduced_matrix(model, Coarse.identity(model.n_param))
    monkeypatch.setattr(assembly, "DENSE", 0)
    monkeypatch.setattr(assembly, "ENTRIES_AT_ONCE", 300)  # several batches of stars
    np.testing.assert_allclose(
        assembly.reduced_matrix(model, Coarse.identity(model.n_param)).toarray(), dense, atol=1e-9 * dense.max()
    )


def test_a_coarse_matrix_is_the_projected_one():
    model = small_model()
    coarse = Coarse(np.tile([[0, 1]], (21, 1)).astype(np.int32), np.random.default_rng(2).normal(0, 1, (21, 2)), 2)
    z = assembly.prolongation(coarse).toarray()
    matrix, _ = reduced(model)
    np.testing.assert_allclose(assembly.reduced_matrix(model, coarse), z.T @ matrix @ z, rtol=1e-4)


def test_parameters_that_nothing_touches_are_undetermined():
    known = normal.diagonals(small_model()).determined
    assert not known[[9, 20]].any()
    assert known[:9].all()


def test_drawn_noise_has_the_covariance_of_the_reduced_matrix():
    model = small_model(n_star=60, anchored=True, prior=True)
    matrix, _ = reduced(model)
    draws = np.concatenate([normal.noise_right_sides(model, 64, seed) for seed in range(80)], axis=1)
    scale = np.sqrt(matrix.diagonal())
    known = scale > 0
    scale = np.where(known, scale, 1)
    # A correlation from n draws is known to 1 / sqrt(n): five of those, for 441 of them.
    np.testing.assert_allclose(
        draws @ draws.T / draws.shape[1] / scale / scale[:, None],
        matrix / scale / scale[:, None],
        atol=5 / np.sqrt(draws.shape[1]),
    )


def test_components_are_those_of_a_flood():
    model = small_model(n_star=6, seed=3)
    found = graph.star_components(model)
    linked = np.eye(model.n_param, dtype=bool)
    for part in model.parts:
        star = part.star_of_rows()
        for s in range(part.n_star):
            rows = part.index[(star == s) & (part.kept > 0)]
            for column in rows.T:
                linked[np.ix_(column, column)] = True
    for _ in range(model.n_param):
        linked = linked @ linked
    np.testing.assert_array_equal(found, linked.argmax(axis=1))


def test_a_model_wants_families_with_values_last():
    model = small_model()
    with pytest.raises(ValueError, match="without values come first"):
        Model(model.families[::-1], list(model.parts))
