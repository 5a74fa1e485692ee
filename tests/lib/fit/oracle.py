"""The same fits written plainly: explicit design matrices, all parameters at once, one rejection at a time.

Nothing here knows of eliminated stars, gradients or compiled passes.
"""

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg

EFFECT_FAMILIES = ("zero_point", "map", "gain", "colour_map", "airmass")


def starflat_columns(table, camera, *, superpixels, colour_cells, gain=False, model="full", colour_centre=None):
    """Blocks of the design: {name: (row, parameter) sparse matrix}; stars last."""
    t = {name: table[name].to_numpy() for name in table.column_names}
    n = table.num_rows
    rows, columns = camera.shape

    def cell(k):
        i = np.minimum(((t["y"].astype(float) + 0.5) / rows * k).astype(int), k - 1)
        j = np.minimum(((t["x"].astype(float) + 0.5) / columns * k).astype(int), k - 1)
        return (t["rcid"].astype(int) * k + i) * k + j

    def block(index, size, value=None):
        return sparse.csr_matrix((np.ones(n) if value is None else value, (np.arange(n), index)), shape=(n, size))

    colour_centre = t["colour"].astype(float).mean() if colour_centre is None else colour_centre
    exposures, exposure = np.unique(t["exposure"], return_inverse=True)
    nights, night = np.unique(np.floor(t["mjd"]), return_inverse=True)
    stars, star = np.unique(t["star_id"], return_inverse=True)
    blocks = {}
    if model != "simple":
        blocks["zero_point"] = block(exposure, len(exposures))
    blocks["map"] = block(cell(superpixels), 64 * superpixels**2)
    if gain:
        blocks["gain"] = block(night * 64 + t["rcid"], 64 * len(nights))
    if model in ("color", "full"):
        blocks["colour_map"] = block(
            cell(colour_cells), 64 * colour_cells**2, t["colour"].astype(float) - colour_centre
        )
    if model == "full":
        blocks["airmass"] = block(night, len(nights), t["airmass"].astype(float) - 1)
    blocks["star"] = block(star, len(stars))
    return blocks


def weights(table, floor=0.005):
    return 1 / (table["mag_e"].to_numpy().astype(float) ** 2 + floor**2)


def focal_plane_of_cells(camera, n):
    """Focal-plane position of each cell's centre, cell by cell."""
    rows, columns = camera.shape
    out = []
    for quadrant in camera.quadrants:
        for i in range(n):
            for j in range(n):
                out.append(camera.focal_plane(quadrant, (j + 0.5) * columns / n - 0.5, (i + 0.5) * rows / n - 0.5))
    return np.array(out)


def constraints(blocks, camera, superpixels, *, plane=True):
    """Zero means (and no plane in the map) over parameters that have measurements: (constraint, parameter)."""
    sizes = [block.shape[1] for block in blocks.values()]
    starts = dict(zip(blocks, np.cumsum([0, *sizes[:-1]]), strict=True))
    seen = {name: np.asarray((block != 0).sum(axis=0)).ravel() > 0 for name, block in blocks.items()}
    lines = []

    def line(name, shape):
        one = np.zeros(sum(sizes))
        one[starts[name] : starts[name] + len(shape)] = shape * seen[name]
        lines.append(one)

    for name in ("zero_point", "map", "colour_map"):
        if name in blocks:
            line(name, np.ones(blocks[name].shape[1]))
    if "gain" in blocks:
        size = blocks["gain"].shape[1]
        for quadrant in range(64):
            line("gain", np.arange(size) % 64 == quadrant)
        for night in range(size // 64 - 1):
            line("gain", np.arange(size) // 64 == night)
    if plane:
        for coordinate in focal_plane_of_cells(camera, superpixels).T:
            line("map", coordinate - coordinate[seen["map"]].mean())
    return np.array(lines)


def solve_dense(blocks, y, w, lines):
    """Least squares under constraints: everything that satisfies them, then `np.linalg.lstsq` among it."""
    design = sparse.hstack(list(blocks.values())).toarray()
    _, singular, right = np.linalg.svd(lines)
    free = right[(singular > 1e-10 * singular[0]).sum() :].T
    root = np.sqrt(w)
    answer, _, _, _ = np.linalg.lstsq((design @ free) * root[:, None], y * root, rcond=1e-12)
    return split(blocks, free @ answer)


def solve_sparse(blocks, y, w, lines):
    """Normal equations of all parameters with Lagrange multipliers, by SuperLU."""
    design = sparse.csr_matrix(sparse.hstack(list(blocks.values())))
    weighted = sparse.diags_array(w) @ design
    seen = np.asarray((weighted != 0).sum(axis=0)).ravel() > 0
    normal = design.T @ weighted + sparse.diags_array((~seen).astype(float))
    scale = normal.diagonal().mean()
    lines = lines / np.linalg.norm(lines, axis=1)[:, None] * scale
    system = sparse.bmat([[normal, lines.T], [lines, None]], format="csc")
    right = np.concatenate([weighted.T @ y, np.zeros(len(lines))])
    factor = scipy.sparse.linalg.splu(system)
    answer = factor.solve(right)
    answer += factor.solve(right - system @ answer)
    return split(blocks, answer[: design.shape[1]])


def split(blocks, vector):
    ends = np.cumsum([block.shape[1] for block in blocks.values()])
    return dict(zip(blocks, np.split(vector, ends[:-1]), strict=True))


def predicted(blocks, answer):
    return sum(block @ answer[name] for name, block in blocks.items())


def reject_one_at_a_time(blocks, y, w, lines, *, clip=5.0, max_rounds=100):
    """Solve everything; each star gives up its worst measurement, or takes its best one back; again.

    The clip is in units of the scatter of the round, which falls as the outliers go.
    """
    star = np.asarray(blocks["star"].indices)
    order = np.argsort(star, kind="stable")
    stars = np.split(order, np.flatnonzero(np.diff(star[order])) + 1)
    kept, threshold = np.ones(len(y), bool), np.inf
    for _ in range(max_rounds):
        answer = solve_sparse(blocks, y, w * kept, lines)
        pull = np.abs(y - predicted(blocks, answer)) * np.sqrt(w)
        free = sum(len(np.unique(block[kept].indices)) for block in blocks.values())
        threshold = min(threshold, clip * max(1, np.sqrt(np.sum(pull[kept] ** 2) / (kept.sum() - free))))
        changed = False
        for rows in stars:
            inside, outside = rows[kept[rows]], rows[~kept[rows]]
            if len(inside) and pull[inside].max() > threshold:
                # Two measurements are equally far from their mean: the first goes.
                kept[inside[np.argmax(pull[inside] > pull[inside].max() * (1 - 1e-6))]] = False
                changed = True
            elif len(outside) and pull[outside].min() < threshold:
                kept[outside[np.argmin(pull[outside])]] = True
                changed = True
        if not changed:
            return answer, np.flatnonzero(~kept)
    raise AssertionError("the plain rule did not come to rest")
