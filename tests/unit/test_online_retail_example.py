"""The Online Retail example: its encoder on the real file, refereed by plain DuckDB, and on small ones."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from hanse.demo import xdm
from hanse.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "online_retail.parquet"
ENCODER = ROOT / "examples" / "online_retail" / "encode.py"

real_data = pytest.mark.skipif(not SOURCE.is_file(), reason=f"the Online Retail data is not at {SOURCE}")

LINES = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
10,A,"Bell, brass",2,12/1/2010 8:26,1.5,7,United Kingdom
11,B,Owl,1,12/1/2010 8:27,4.0,8,EIRE
10,C,,3,12/1/2010 8:28,0.25,7,United Kingdom
10,D,Free,1,12/1/2010 8:28,0,7,United Kingdom
C12,A,Bell,-2,12/1/2010 9:00,1.5,7,United Kingdom
13,A,Bell,1,12/1/2010 9:00,1.5,,United Kingdom
14,E,Kit,5,12/2/2010 9:00,2,8.0,Channel Islands
"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("online_retail_encode", ENCODER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


encoder = load()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "lines.csv"
    path.write_text(LINES)
    return path


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return encoder.encode(SOURCE, encoder.two_stores)


@real_data
class TestTheRealFile:
    def test_counts_are_those_of_its_description(self, events: pa.Table) -> None:
        events.validate(full=True)
        assert events.schema.equals(xdm.schema())
        [(rows, customers, orders)] = duckdb.sql("""
            SELECT count(*), count(DISTINCT identityMap['ECID'][1].id),
                   count(DISTINCT commerce."order".purchaseID)
            FROM events""").fetchall()
        assert (rows, customers, orders) == (18_532, 4_338, 18_532)

    def test_the_first_country_counts_its_customers(self) -> None:
        by_country = duckdb.from_arrow(encoder.encode(SOURCE))
        counted = by_country.aggregate(
            "web.webPageDetails.storeCode AS store, count(DISTINCT identityMap['ECID'][1].id)", "store"
        )
        counts = dict(counted.fetchall())
        expected = {"united_kingdom": 3920, "germany": 94, "france": 87, "spain": 30, "belgium": 25}
        assert {name: counts[f"{name}_store_view"] for name in expected} == expected
        assert counts["channel_islands_store_view"] > 0

    def test_features_are_those_of_the_lines(self, events: pa.Table) -> None:
        """The article's features, once from the nested events and once from the flat lines in file order."""
        from_events = duckdb.sql("""
            SELECT identityMap['ECID'][1].id AS customer, web.webPageDetails.storeCode AS store,
                   avg(productListItems[1].priceTotal) AS value, count(*) AS orders,
                   date_diff('day', min(timestamp), max(timestamp)) AS lifetime, max(timestamp) AS latest,
                   sum(commerce."order".priceTotal) AS total, sum(len(productListItems)) AS lines
            FROM events GROUP BY ALL ORDER BY ALL""").fetchall()
        from_lines = duckdb.sql(f"""
            WITH lines AS (
                SELECT *, file_row_number AS place FROM read_parquet('{SOURCE}', file_row_number = true)
            ), kept AS (
                SELECT * FROM lines WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND UnitPrice > 0
            ), invoices AS (
                SELECT InvoiceNo, CustomerID::VARCHAR AS customer, min(InvoiceDate) AS bought,
                       count(*) AS lines,
                       CASE Country WHEN 'United Kingdom' THEN 'comfort_wear_store_view'
                                    ELSE 'sporty_style_store_view' END AS store,
                       arg_min(Quantity * UnitPrice, place) AS first_line, sum(Quantity * UnitPrice) AS total
                FROM kept GROUP BY ALL
            )
            SELECT customer, store, avg(first_line), count(*), date_diff('day', min(bought), max(bought)),
                   max(bought),
                   sum(total), sum(lines)
            FROM invoices GROUP BY ALL ORDER BY customer, store""").fetchall()
        assert len(from_events) == len(from_lines) > 4_338 - 1
        from_events.sort(key=lambda row: row[:2])
        for mine, theirs in zip(from_events, from_lines, strict=True):
            assert mine[:2] == theirs[:2]
            assert mine[2] == pytest.approx(theirs[2], rel=1e-12)
            assert mine[3:6] == theirs[3:6]
            assert mine[6] == pytest.approx(theirs[6], rel=1e-12)
            assert mine[7] == theirs[7]

    def test_the_reversed_giants_stand_out(self, events: pa.Table) -> None:
        top = duckdb.sql("""
            SELECT identityMap['ECID'][1].id FROM events ORDER BY productListItems[1].priceTotal DESC LIMIT 2
            """).fetchall()
        assert top == [("16446",), ("12346",)]


class TestSmallFiles:
    def test_an_invoice_becomes_one_event_with_its_lines_in_file_order(self, small: Path) -> None:
        rows = encoder.encode(small).to_pylist()
        assert [row["commerce"]["order"]["purchaseID"] for row in rows] == ["10", "11", "14"]
        first = rows[0]
        assert dict(first["identityMap"]) == {
            "ECID": [{"id": "7", "authenticatedState": "authenticated", "primary": True}]
        }
        assert first["timestamp"].isoformat() == "2010-12-01T08:26:00"
        assert first["eventType"] == "commerce.purchases"
        assert first["commerce"]["order"] == {"purchaseID": "10", "priceTotal": 3.75, "currencyCode": "GBP"}
        assert first["productListItems"] == [
            {"SKU": "A", "name": "Bell, brass", "quantity": 2, "priceTotal": 3.0, "currencyCode": "GBP"},
            {"SKU": "C", "name": None, "quantity": 3, "priceTotal": 0.75, "currencyCode": "GBP"},
        ]
        assert [row["web"]["webPageDetails"]["storeCode"] for row in rows] == [
            "united_kingdom_store_view",
            "eire_store_view",
            "channel_islands_store_view",
        ]

    def test_stores_are_named_by_the_caller(self, small: Path) -> None:
        events = encoder.encode(small, encoder.two_stores).to_pylist()
        scopes = [event["commerce"]["commerceScope"]["storeViewCode"] for event in events]
        assert scopes == ["comfort_wear_store_view", "sporty_style_store_view", "sporty_style_store_view"]

    def test_csv_and_parquet_give_the_same(self, small: Path) -> None:
        table = encoder._read_csv(small)
        pq.write_table(table, small.with_suffix(".parquet"))
        assert encoder.encode(small.with_suffix(".parquet")).equals(encoder.encode(small))

    def test_excel_gives_the_same(self, small: Path) -> None:
        pytest.importorskip("openpyxl", reason="openpyxl is not installed")
        frame = encoder._read_csv(small).to_pandas()
        frame["InvoiceNo"] = [int(n) if n.isdigit() else n for n in frame["InvoiceNo"]]  # as Excel has it
        frame.to_excel(small.with_suffix(".xlsx"), index=False)
        assert encoder.encode(small.with_suffix(".xlsx")).equals(encoder.encode(small))

    def test_the_command_writes_the_events(self, small: Path, tmp_path: Path) -> None:
        target = tmp_path / "events.parquet"
        done = subprocess.run(
            [sys.executable, str(ENCODER), str(small), str(target), "--two-stores"],
            env={"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == f"3 events in {target}\n"
        assert pq.read_table(target).equals(encoder.encode(small, encoder.two_stores))


class TestBadFiles:
    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("missing.csv", None, "there is no such file"),
            ("lines.txt", LINES, "cannot read .txt: need .parquet, .csv, .xlsx"),
            ("lines", LINES, "cannot read a file without a suffix"),
            ("other.csv", "a,b\n1,2\n", "has no column InvoiceNo, StockCode"),
            (
                "broken.csv",
                LINES + "15,A,Bell,many,12/2/2010 9:00,1,8,EIRE\n",
                "is not the Online Retail file",
            ),
            ("broken.parquet", "PAR", "is not the Online Retail file"),
            ("empty.csv", "", "is not the Online Retail file"),
            ("header.csv", LINES.splitlines()[0] + "\n", "no line has a customer"),
            ("returns.csv", "\n".join(LINES.splitlines()[::5]) + "\n", "no line has a customer"),
        ],
    )
    def test_it_is_refused_with_its_name_and_the_cure(
        self, tmp_path: Path, name: str, text: str | None, message: str
    ) -> None:
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(UsageError) as caught:
            encoder.encode(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ") or message.startswith("no line")
        assert message in str(caught.value)
