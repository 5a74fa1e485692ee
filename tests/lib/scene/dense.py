"""The scene fit as one dense least squares, written down term by term; slow and memory-hungry.

Solves for galaxy, position, and everything of each exposure at once, with the fit's final linearisation point
given; the covariance is the sandwich of that one matrix.
"""

from __future__ import annotations

import numpy as np

from ztf_in2p3.scene.model import Series


def cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, (4 - 6 * x**2 + 3 * x**3) / 6, np.where(x < 2, (2 - x) ** 3 / 6, 0))


def node_image(series: Series, i: int, u: np.ndarray, step: float, per_step: int = 8) -> np.ndarray:
    """A node's image (row, column): the PSF summed over points of the B-spline on the sky."""
    along = np.arange(-2 * per_step + 1, 2 * per_step) / per_step
    weight = cubic(along) / per_step
    image = np.zeros((series.side, series.side))
    for y, by_y in zip(along, weight, strict=True):
        for x, by_x in zip(along, weight, strict=True):
            at = series.origin[i] + series.matrix[i] @ (u + step * np.array([x, y]))
            image += by_x * by_y * series.psf[i].draw(at[0], at[1], image.shape)[0]
    return image


def dense_solve(
    series: Series, nodes: np.ndarray, step: float, ridge: float, place: np.ndarray, galaxy: np.ndarray,
    flux: np.ndarray, position_error: float, keep: np.ndarray, free_place: bool = True, images: list | None = None,
    weight: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Flux (active,), its covariance, the galaxy and the change of position, linearised about the model given."""
    n, n_node, n_pixel = len(series), len(nodes), series.side**2
    n_place = 2 if free_place else 0
    size = n_node + n_place + 5 * n
    rows, data, noise = [], [], []
    for i in range(n):
        w = series.variance[i] ** -0.5
        scale = w * series.throughput[i]
        drawn = [node_image(series, i, u, step) for u in nodes] if images is None else images[i].reshape(n_node, -1)
        a = np.array(drawn).reshape(n_node, n_pixel)
        at = series.origin[i] + series.matrix[i] @ place
        psf = series.psf[i].draw(at[0], at[1], (series.side, series.side)).reshape(3, -1)
        light = galaxy @ a + flux[i] * psf[0]
        eps, moved = 1e-3, []
        for k in range(2):
            ahead, behind = place.copy(), place.copy()
            shift = np.linalg.inv(series.matrix[i])[:, k] * eps
            ahead, behind = nodes + shift, nodes - shift
            if images is None:
                up = np.array([node_image(series, i, u, step) for u in ahead]).reshape(n_node, -1)
                down = np.array([node_image(series, i, u, step) for u in behind]).reshape(n_node, -1)
                moved.append(galaxy @ (up - down) / (2 * eps) + flux[i] * psf[1 + k])
            else:  # where shifts are exact nobody asks
                moved.append(np.zeros(n_pixel))
        block = np.zeros((n_pixel + 4, size))
        block[:n_pixel, :n_node] = scale * a.T
        if free_place:
            block[:n_pixel, n_node : n_node + 2] = scale * flux[i] * (series.matrix[i].T @ psf[1:]).T
        own = n_node + n_place + 5 * i
        free = np.array([series.throughput_error[i], series.shift_error[i], series.shift_error[i]]) > 0
        block[:n_pixel, own] = w
        block[:n_pixel, own + 1 : own + 4] = scale * np.column_stack([light, *moved]) * free
        block[:n_pixel, own + 4] = scale * psf[0] * series.active[i]
        errors = [series.throughput_error[i], series.shift_error[i], series.shift_error[i]]
        for k, error in enumerate(errors):
            block[n_pixel + k, own + 1 + k] = 1 / error if error > 0 else 1
        block[n_pixel + 3, own + 4] = float(not series.active[i])
        expected = (series.throughput[i] * light).reshape(series.side, series.side)
        border = np.concatenate([expected[0], expected[-1], expected[1:-1, 0], expected[1:-1, -1]])
        expected = (expected - np.median(border)).ravel()  # the sky's level and the galaxy's are one
        variance = np.append(1 + np.maximum(expected, 0) * w**2 / series.gain[i], np.ones(4))
        block[:n_pixel][~keep[i].ravel()] = 0
        root = np.ones(n_pixel) if weight is None else weight[i].ravel() ** 0.5
        block[:n_pixel] *= root[:, None]
        variance[:n_pixel] *= root**2
        rows.append(block)
        data.append(np.append(w * root * series.data[i].ravel() * keep[i].ravel(), np.zeros(4)))
        noise.append(variance)
    prior = np.zeros((n_place, size))
    prior[:, n_node : n_node + n_place] = np.eye(n_place) / position_error
    matrix = np.concatenate([*rows, prior])
    d = np.concatenate([*data, -place[:n_place] / position_error])
    v = np.concatenate([*noise, np.ones(n_place)])
    normal = matrix.T @ matrix
    gram = np.diag(normal)[:n_node]
    normal[range(n_node), range(n_node)] += ridge * gram.mean()
    inverse = np.linalg.inv(normal)
    solution = inverse @ (matrix.T @ d)
    covariance = inverse @ ((matrix.T * v) @ matrix) @ inverse
    some = n_node + n_place + 5 * np.flatnonzero(series.active) + 4
    return solution[some], covariance[np.ix_(some, some)], solution[:n_node], solution[n_node : n_node + n_place]
