"""MLlib's clusterings as Hanse's: the same clusters by the same numbers, and the same way to the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from hanse.errors import UnsupportedError
from hanse.mllib.folder import Folder, Vector
from hanse.mllib.stages import Stage
from hanse.models.bisecting_model import BisectingModel, Splits
from hanse.models.clusters import Cluster
from hanse.models.geometry import GEOMETRIES, Geometry
from hanse.models.kmeans_model import KMeansModel
from hanse.statistics import FloatArray

__all__ = ["CLUSTERINGS", "by_place", "features_of", "options_of"]

_FORMATS: Final = ("1.0", "2.0", "3.0")
_UNIT: Final = 1e-6  # a centre under cosine distance has length 1 to so much


class _TreeMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """What a BisectingKMeansModel keeps of its tree, beside the nodes."""

    version: str
    root_id: int
    distance_measure: str = "euclidean"  # format 1.0 knew no other


class _Node(msgspec.Struct, frozen=True):
    """A cluster of the tree: a leaf, if it has no children."""

    index: int
    size: int
    center: Vector
    cost: float
    children: list[int]


class _Centre(msgspec.Struct, frozen=True, rename="camel"):
    """A cluster of a KMeansModel."""

    cluster_idx: int
    cluster_center: Vector


def _bisecting(stage: Stage) -> BisectingModel:
    """The tree of splits: MLlib walks it down too, at each split to the nearer of two centres, the first if both are.

    A split whose other side lost all its rows has one child, and is passed through.
    """
    folder = stage.folder.inner("data")
    metadata = folder.metadata(_TreeMetadata)
    if metadata.version not in _FORMATS:
        what = f"{folder.path} has format version {metadata.version!r}"
        raise UnsupportedError(what, f"IMPORT MODEL reads {', '.join(_FORMATS)}")
    geometry = _geometry(stage, metadata.distance_measure)
    tree = _Tree(folder, geometry, {node.index: node for node in folder.rows(_Node)})
    splits = tree.splits(metadata.root_id)
    leaves = tree.leaves
    if sorted(leaves) != list(range(len(leaves))):
        raise folder.damaged(f"its leaves are numbered {sorted(leaves)!r:.60}, not from 0")
    weighted = stage.parameters.get("weightCol") is not None
    clusters = []
    for label in range(len(leaves)):
        node = leaves[label]
        if node.size < 0 or not np.isfinite(node.cost):
            raise folder.damaged(f"cluster {label} has size {node.size} and cost {node.cost}")
        known = float(node.size) if not weighted else 0.0  # MLlib keeps costs by weight, and no weights
        clusters.append(Cluster(tree.centres[label], node.size, known, max(node.cost, 0.0)))
    features = by_place(features_of(stage), tree.dimension)
    return BisectingModel(features, tuple(clusters), splits, tree.origin, geometry.name, _output(stage))


class _Tree:
    """A saved tree, read node by node; each may stand in one place only."""

    def __init__(self, folder: Folder, geometry: Geometry, nodes: Mapping[int, _Node]) -> None:
        self._folder = folder
        self._geometry = geometry
        self._left = dict(nodes)
        self.leaves: dict[int, _Node] = {}
        self.centres: dict[int, FloatArray] = {}
        self.dimension = 0
        self.origin: FloatArray = np.zeros(0)

    def splits(self, index: int) -> Splits:
        """The planes below a node, about the origin: the root's centre, or zero under cosine distance.

        Raises:
            ArtifactError: the node is missing, stands twice, or is no cluster.
        """
        node = self._left.pop(index, None)
        if node is None:
            raise self._folder.damaged(f"node {index} is missing, or stands twice in the tree")
        centre = _dense(self._folder, f"node {index}", node.center)
        if not self.dimension:
            self.dimension = len(centre)
            self.origin = centre if self._geometry.name == "euclidean" else np.zeros(len(centre))
        if len(centre) != self.dimension or not len(centre):
            raise self._folder.damaged(f"node {index} has {len(centre)} features, and others {self.dimension}")
        self.centres[index] = _directed(self._folder, f"node {index}", centre, self._geometry)
        if not node.children:
            self.leaves[index] = node
            return index
        if len(node.children) > 2:
            raise self._folder.damaged(f"node {index} has {len(node.children)} children, where two are wanted")
        sides = [self.splits(child) for child in node.children]
        if len(sides) == 1:
            return sides[0]
        normal, offset = self._geometry.planes(np.stack([self.centres[child] - self.origin for child in node.children]))
        return normal, float(offset), sides[0], sides[1]


def _kmeans(stage: Stage) -> KMeansModel:
    """The centres; a row that is as near to two goes to the one of the lower number."""
    geometry = _geometry(stage, stage.parameter("distanceMeasure", str, "euclidean"))
    rows = sorted(stage.folder.rows(_Centre), key=lambda row: row.cluster_idx)
    if [row.cluster_idx for row in rows] != list(range(len(rows))):
        raise stage.folder.damaged(f"its clusters are numbered {[r.cluster_idx for r in rows]!r:.60}, not from 0")
    centres = [_dense(stage.folder, f"cluster {i}", row.cluster_center) for i, row in enumerate(rows)]
    if len({len(centre) for centre in centres}) != 1 or not len(centres[0]):
        raise stage.folder.damaged(f"its centres have {[len(c) for c in centres]!r:.60} features")
    if geometry.name == "cosine":
        _check_units(stage, centres)
    origin = np.mean(centres, axis=0) if geometry.name == "euclidean" else np.zeros(len(centres[0]))
    clusters = tuple(Cluster(centre, 0, 0.0, 0.0) for centre in centres)
    features = by_place(features_of(stage), len(origin))
    return KMeansModel(features, clusters, origin, geometry.name, _output(stage), ties="label")


def _check_units(stage: Stage, centres: Sequence[FloatArray]) -> None:
    """Refuse a model of which MLlib itself predicts one thing before it is saved, and another after.

    A loaded KMeansModel compares distances and not directions. Of centres of length 1 the nearest is the same one.
    """
    for label, centre in enumerate(centres):
        length = float(np.linalg.norm(centre))
        if abs(length - 1.0) > _UNIT:
            what = f"{stage.folder.path}: under cosine distance cluster {label} has a centre of length {length:.6g}"
            cure = (
                "need 1, or Spark predicts otherwise once it has loaded the model again: train it with maxIter of 1 "
                "or more, and a k for which no cluster is empty"
            )
            raise UnsupportedError(what, cure)


def _geometry(stage: Stage, name: str) -> Geometry:
    for geometry in GEOMETRIES:
        if geometry.name == name:
            return geometry
    what = f"{stage.folder.path} has distanceMeasure = {name!r}"
    raise UnsupportedError(what, f"IMPORT MODEL reads {' and '.join(g.name for g in GEOMETRIES)}")


def _dense(folder: Folder, what: str, vector: Vector) -> FloatArray:
    try:
        return vector.dense()
    except ValueError as error:
        raise folder.damaged(f"{what} has {error}") from None


def _directed(folder: Folder, what: str, centre: FloatArray, geometry: Geometry) -> FloatArray:
    """A centre as Hanse keeps it: of length 1 under cosine distance."""
    if geometry.name != "cosine":
        return centre
    length = float(np.linalg.norm(centre))
    if length == 0:
        raise folder.damaged(f"{what} has a centre of length 0, which is no direction")
    return centre / length


def by_place(column: str, size: int) -> tuple[str, ...]:
    """The features of a vector by their place, as Spark itself calls parts without names."""
    return tuple(f"{column}_{i}" for i in range(size))


def _output(stage: Stage) -> str:
    name = stage.parameter("predictionCol", str, "prediction")
    if not name:
        raise UnsupportedError(f"{stage.folder.path} has predictionCol = ''", "set a name before you save it")
    return name


def features_of(stage: Stage) -> str:
    """The column that a model reads its vector from."""
    return stage.parameter("featuresCol", str, "features")


def options_of(stage: Stage) -> dict[str, object]:
    """The options that trained a model, by Hanse's names for them."""
    return {ours: stage.parameters[theirs] for ours, theirs in _OPTIONS.items() if theirs in stage.parameters}


_OPTIONS: Final = {
    "num_clusters": "k",
    "max_iter": "maxIter",
    "tol": "tol",
    "distance_measure": "distanceMeasure",
    "kmeans_init_method": "initMode",
    "init_steps": "initSteps",
    "min_divisible_cluster_size": "minDivisibleClusterSize",
    "seed": "seed",
    "prediction_col": "predictionCol",
    "weight_col": "weightCol",
}

CLUSTERINGS: Mapping[str, Callable[[Stage], BisectingModel | KMeansModel]] = {
    "org.apache.spark.ml.clustering.BisectingKMeansModel": _bisecting,
    "org.apache.spark.ml.clustering.KMeansModel": _kmeans,
}
"""By Java class: how a model is read; its features are named by their place."""
