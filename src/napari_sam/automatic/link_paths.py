"""Selection of links between objects: the cover by paths of the largest value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Cost of no link. Costs of links are positive: a sparse matrix has no entries of 0.
_NO_LINK_COST = 2.0


def select_successors(
    count: int,
    earlier: NDArray[np.int64],
    later: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Select links so that each object has at most one successor and predecessor.

    Links that share no end, neither directly nor through others, do not influence each
    other, so that each connected component of ends is solved alone.

    Parameters
    ----------
    count : int
        Number of objects.
    earlier, later : ndarray
        (n,) the objects of each possible link.
    values : ndarray
        (n,) its value, from 0 to 1; the sum of the selected ones is the largest.

    Returns
    -------
    ndarray
        (count,) int64, the successor of each object; -1 without one.
    """
    successors = np.full(count, -1, np.int64)
    if not len(values):
        return successors
    component = _components(count, earlier, later)[earlier]
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    alone = order[starts[sizes == 1]]
    successors[earlier[alone]] = later[alone]
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        links = order[start : start + size]
        a, b = _match(earlier[links], later[links], values[links])
        successors[a] = b
    return successors


def _components(
    count: int, earlier: NDArray[np.int64], later: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return the number of the component of each object as an earlier end.

    As a later end an object is another node of the graph.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    entries = np.ones(len(earlier), np.int8)
    # The graphs of older SciPy take 32-bit indices only.
    index = earlier.astype(np.int32), (later + count).astype(np.int32)
    matrix = coo_array((entries, index), shape=(2 * count, 2 * count))
    components: NDArray[np.int32] = connected_components(matrix, directed=False)[1]
    return components


def _match(
    earlier: NDArray[np.int64],
    later: NDArray[np.int64],
    values: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the selected links of one component, as earlier and later objects."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    objects, rows = np.unique(earlier, return_inverse=True)
    successors, cols = np.unique(later, return_inverse=True)
    nodes, count = np.arange(len(objects), dtype=np.int32), len(successors)
    # One column for each successor, and one for each object that has none.
    index = (
        np.concatenate([rows.astype(np.int32), nodes]),
        np.concatenate([cols.astype(np.int32), nodes + np.int32(count)]),
    )
    cost = np.concatenate([_NO_LINK_COST - values, np.full(len(nodes), _NO_LINK_COST)])
    matrix = coo_array((cost, index), shape=(len(nodes), count + len(nodes))).tocsr()
    matched, columns = min_weight_full_bipartite_matching(matrix)
    linked = columns < count
    return objects[matched[linked]], successors[columns[linked]]
