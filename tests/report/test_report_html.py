"""The page as text: complete, small, the same for the same data, and never anybody else's markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from report_data import HOSTILE, federated, hostile, part, report, two_stores
from sklearn.decomposition import PCA

from hanse.report.charts import cluster_colour
from hanse.report.data import Agreement, Picture, Point, Report
from hanse.report.html import render
from hanse.report.projection import plane
from hanse.report.specs import distinct
from hanse.report.words import headline, summary

LIMIT_BYTES = 3_000_000
REPORTS = (report, two_stores, federated, hostile)


class _Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open not in ("script", "style"):
            self.said.append(data)


def page_of(made: Report) -> str:
    return render(made).decode()


@pytest.mark.parametrize("make", REPORTS)
def test_the_page_is_one_file_that_refers_to_nothing_else(make) -> None:
    page = page_of(make())
    assert len(page.encode()) < LIMIT_BYTES
    for tag, attributes in _Tags(page).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form", "image", "use"), tag
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "xlink:href", "srcdoc", "action"), name
            assert not name.startswith("on"), name
            if name == "href":
                assert value is not None
                assert value.startswith("#"), value


def test_the_same_data_give_the_same_bytes() -> None:
    assert render(report()) == render(report())


def test_identifiers_are_given_once_and_links_lead_somewhere() -> None:
    tags = _Tags(page_of(two_stores())).tags
    given = [a["id"] for _, a in tags if "id" in a]
    assert len(given) == len(set(given))
    assert {str(a["href"])[1:] for _, a in tags if "href" in a} <= set(given)


def test_hostile_text_is_shown_and_never_obeyed() -> None:
    page = page_of(hostile())
    parsed = _Tags(page)
    tags = [tag for tag, _ in parsed.tags]
    assert tags.count("script") == 1
    assert tags.count("style") == 1
    assert "\x00" not in page
    assert not re.search("[\ud800-\udfff]", page)
    said = "".join(parsed.said)
    for text in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3], HOSTILE[7]):
        assert text in said
    before_sql = said[: said.index("Trained on")]
    longest = max(len(run) for run in re.findall("a+", before_sql))
    assert longest <= 2000  # a model's facts; single names are much shorter


def test_only_our_own_script_may_run() -> None:
    page = page_of(hostile())
    assert re.search(r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[^']{44}'", page)


def test_it_opens_with_what_was_found() -> None:
    made = report()
    assert headline(made) == "24 of 800 customers stand out."
    ((title, sentences),) = summary(made)
    assert title == ""
    assert sentences == (
        "24 of 800 customers (3.0 %) are anomalous: their anomaly score is above 3.2, which 2 % of the training rows exceed.",
        "Cluster 2 is an anomaly cluster of 24 customers: total orders 5.2 sd above ordinary customers. It holds 3 % of the "
        "training weight, less than 5 %.",
        "The global model finds again anomaly cluster 2 of this model.",
        "What it adds: 56 customers in a global anomaly cluster (global cluster 2) whom this model holds to be ordinary.",
    )
    assert [title for title, _ in summary(two_stores())] == ["comfort_wear_anomalies", "sporty_style_anomalies"]
    page = page_of(made)
    assert page.index("24 of 800 customers stand out.") < page.index("<table")


def test_nothing_anomalous_is_said_too() -> None:
    plain = part()
    quiet = replace(
        plain,
        anomalous=0,
        listed=(),
        picture=None,
        clusters=tuple(replace(c, is_anomaly=False, anomalies=0) for c in plain.clusters),
        agreement=Agreement((), (), (), gained=0),
    )
    made = replace(report(), parts=(quiet,))
    assert headline(made) == "None of 800 customers is anomalous."
    assert summary(made)[0][1][1:] == (
        "No cluster is an anomaly cluster as a whole: anomalous customers are single ones.",
        "It adds no anomaly to those that this model finds.",
    )
    assert "<p>None.</p>" in page_of(made)


def test_a_model_that_is_no_clustering_has_no_clusters() -> None:
    plain = part()
    groups = tuple(
        replace(plain.clusters[2 * number], number=number, title=title, is_anomaly=number == 1, silhouette=None)
        for number, title in enumerate(("ordinary", "anomalous"))
    )
    assert plain.picture is not None
    points = tuple(replace(p, cluster=int(p.is_anomaly)) for p in plain.picture.points)
    scored = replace(
        plain,
        grouped=True,
        clusters=groups,
        listed=tuple(replace(c, cluster=1) for c in plain.listed),
        picture=replace(plain.picture, points=points),
        silhouette=None,
    )
    made = replace(report(), parts=(scored,), against=None)
    assert "The model is no clustering: it scores each customer by itself." in summary(made)[0][1]
    said = "".join(_Tags(page_of(made)).said)
    assert "Clusters" not in said
    assert "anomalous ▲" in said
    assert "cluster 1" not in said


def test_few_customers_one_cluster_and_no_picture() -> None:
    plain = part()
    lone = replace(plain.clusters[0], customers=1, share=1.0, silhouette=None, means=(1.0, None, float("nan"), 0.0))
    made = replace(
        report(),
        parts=(replace(plain, customers=1, anomalous=0, clusters=(lone,), listed=(), picture=None, silhouette=None),),
    )
    page = page_of(made)
    assert "Picture of the customers" not in page
    assert "nan" not in "".join(_Tags(page).said).lower()


def test_many_clusters_and_features_are_drawn() -> None:
    plain = part()
    features = tuple(replace(plain.features[i % 4], name=f"a_feature_with_a_very_long_name_{i}") for i in range(30))
    clusters = tuple(
        replace(plain.clusters[i % 3], number=i, means=tuple(float(i * j) for j in range(30))) for i in range(16)
    )
    made = replace(report(), parts=(replace(plain, features=features, clusters=clusters, listed=(), picture=None),))
    page = page_of(made)
    assert "a_feature_with_a_very_long_name_29" in page
    assert len(page.encode()) < LIMIT_BYTES


def test_a_very_large_picture_stays_small() -> None:
    draw = np.random.default_rng(1)
    points = tuple(Point(float(x), float(y), 0) for x, y in draw.normal(size=(5000, 2)) * (1, 300))
    plain = part()
    made = replace(report(), parts=(replace(plain, listed=(), picture=Picture("x", "y", points, 0.9, 5000, 10**9)),))
    page = page_of(made)
    assert "stretched near 0" in page
    assert len(page.encode()) < LIMIT_BYTES


def test_colours_tell_anomaly_clusters_from_ordinary_ones() -> None:
    kinds = {0: False, 1: True, 2: False, 3: True}
    assert [cluster_colour(i, kinds) for i in kinds] == ["var(--o0)", "var(--a0)", "var(--o1)", "var(--a1)"]
    long = dict.fromkeys(range(50), False)
    assert {cluster_colour(i, long) for i in long} == {f"var(--o{i})" for i in range(6)}


def test_every_picture_says_what_it_shows() -> None:
    page = page_of(two_stores())
    pictures = re.findall(r'<svg [^>]*class="chart"[^>]*>', page)
    assert len(pictures) == 2 * 2 * 6
    assert all('aria-label="' in p and ('role="img"' in p or 'role="group"' in p) for p in pictures)


def test_progress_tells_each_picture() -> None:
    seen: list[float] = []
    render(report(), lambda step, numbers: seen.append(numbers["picture"]))
    assert seen == [1, 2, 3, 4, 5, 6]


def test_the_plane_is_that_of_scikit_learn() -> None:
    rows = np.random.default_rng(3).normal(size=(200, 5)) * (3, 2, 1, 1, 0.5)
    found = plane(rows, np.ones(200), ["a", "b", "c", "d", "e"])
    assert found is not None
    referee = PCA(n_components=2).fit(rows)
    expected = referee.transform(rows)
    signs = np.sign((found.coordinates * expected).sum(axis=0))
    np.testing.assert_allclose(found.coordinates, expected * signs, atol=1e-9)
    np.testing.assert_allclose(found.share, referee.explained_variance_ratio_, rtol=1e-9)


def test_weights_count_rows_for_as_many_as_they_stand_for() -> None:
    rows = np.random.default_rng(4).normal(size=(60, 3))
    weights = np.random.default_rng(5).integers(1, 6, 60)
    weighted = plane(rows, weights.astype(float), ["a", "b", "c"])
    repeated = plane(np.repeat(rows, weights, axis=0), np.ones(weights.sum()), ["a", "b", "c"])
    assert weighted is not None
    assert repeated is not None
    np.testing.assert_allclose(np.repeat(weighted.coordinates, weights, axis=0), repeated.coordinates, atol=1e-9)


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((9, 1)), np.ones((9, 3))])
def test_there_is_no_plane_without_variance(rows) -> None:
    assert plane(rows, np.ones(len(rows)), ["a", "b", "c"][: rows.shape[1]]) is None


def test_rows_of_like_names_stay_apart() -> None:
    labels = distinct(["a" * 40, "a" * 41, "a" * 42, "b"], 10)
    assert len(set(labels.values())) == 4
    assert all(len(label) <= 10 for label in labels.values())
