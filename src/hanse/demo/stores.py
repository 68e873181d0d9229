"""FitFashionMart's two stores: their names, what they sell, and which part of their customers is planted."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["END_DATE", "KINDS", "ORDINARY", "START_DATE", "STORES", "Store"]

START_DATE: Final = datetime.date(2025, 1, 1)
"""The first day of the demo's events: the story's ``$start_date``."""

END_DATE: Final = datetime.date(2026, 1, 1)
"""The day after the last event: the story's ``$end_date``."""

ORDINARY: Final = 0
"""The number that stands for a customer who is no anomaly; kind ``n`` of `KINDS` is number ``n + 1``."""

KINDS: Final = ("frequent_long_lived", "high_value_recent", "bot_tiny_orders", "refund_extreme")
"""The kinds of planted anomalies, as the ground truth names them."""


@dataclass(frozen=True)
class Store:
    """One storefront.

    Args:
        name: what people call it.
        store_id: its store view, which the events carry as ``storeCode``.
        code: two letters that open its customers' and products' numbers.
        share: its part of all customers; the shares of all stores add up to 1.
        typical_price: the price of a typical product, in US dollars.
        planted: the share of its customers that is planted, of each kind of `KINDS`.
        styles: the first words of its products' names.
        garments: the last words of its products' names.
    """

    name: str
    store_id: str
    code: str
    share: float
    typical_price: float
    planted: Mapping[str, float]
    styles: tuple[str, ...]
    garments: tuple[str, ...]

    @property
    def website(self) -> str:
        """The website's code: the store view without its last word."""
        return self.store_id.removesuffix("_store_view")

    def products(self) -> tuple[str, ...]:
        """The names of all products, every style of every garment."""
        return tuple(f"{style} {garment}" for garment in self.garments for style in self.styles)


STORES: Final = (
    Store(
        name="ComfortWearCo",
        store_id="comfort_wear_store_view",
        code="CW",
        share=0.55,
        typical_price=32.0,
        planted={
            "frequent_long_lived": 0.010,  # its own story: people who never stop buying
            "high_value_recent": 0.002,
            "bot_tiny_orders": 0.002,
            "refund_extreme": 0.0003,
        },
        styles=(
            "Cosy",
            "Brushed",
            "Cloud",
            "Everyday",
            "Washed",
            "Ribbed",
            "Organic",
            "Merino",
            "Cashmere",
            "Silk",
        ),
        garments=(
            "Socks",
            "T-shirt",
            "Leggings",
            "Slippers",
            "Hoodie",
            "Pyjamas",
            "Lounge Pants",
            "Cardigan",
            "Dressing Gown",
            "Blanket Coat",
        ),
    ),
    Store(
        name="SportStyleShop",
        store_id="sporty_style_store_view",
        code="SS",
        share=0.45,
        typical_price=48.0,
        planted={
            "frequent_long_lived": 0.001,
            "high_value_recent": 0.016,  # its own story: large orders out of nowhere
            "bot_tiny_orders": 0.001,
            "refund_extreme": 0.0003,
        },
        styles=("Club", "Sprint", "Trail", "Court", "Aero", "Summit", "Thermal", "Carbon", "Elite", "Pro"),
        garments=(
            "Socks",
            "Cap",
            "Shorts",
            "Tank Top",
            "Tights",
            "Jersey",
            "Track Jacket",
            "Running Shoes",
            "Rain Shell",
            "Ski Suit",
        ),
    ),
)
"""Every store of the demo, in the order in which they are generated."""
