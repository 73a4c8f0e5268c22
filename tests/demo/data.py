"""A small shop: realistic data, a writer that never rests, and a disaster."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from bson import Decimal128, ObjectId
from pymongo import ASCENDING, DESCENDING, TEXT, IndexModel
from pymongo.errors import PyMongoError

from tests.testbed.clients import Client, Document

ORDERS: Final = 110_000
_CUSTOMERS: Final = 40_000
_PRODUCTS: Final = 6_000
_POSTS: Final = 12_000
_READINGS: Final = 40_000
_BATCH: Final = 5_000

_OPENING: Final = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS: Final = (
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper"),
    *("kestrel", "lantern", "meadow", "north", "orchard", "pebble", "quartz", "river", "summit"),
    *("timber", "umber", "valley", "willow", "yarrow", "zephyr"),
)
_STATES: Final = ("new", "paid", "packed", "sent", "returned")


def load(client: Client) -> None:
    """Fill the databases `shop`, `blog` and `plant`, and create a role and a user."""
    chance = random.Random(42)
    shop, blog, plant = client["shop"], client["blog"], client["plant"]
    _fill(shop["customers"], (_customer(chance, number) for number in range(_CUSTOMERS)))
    _fill(shop["products"], (_product(chance, number) for number in range(_PRODUCTS)))
    _fill(shop["orders"], (_order(chance, number) for number in range(ORDERS)))
    _fill(blog["posts"], (_post(chance, number) for number in range(_POSTS)))
    plant.create_collection(
        "readings", timeseries={"timeField": "at", "metaField": "sensor", "granularity": "minutes"}
    )
    _fill(plant["readings"], (_reading(chance, number) for number in range(_READINGS)))
    blog.create_collection("visits", capped=True, size=1_000_000)
    _fill(blog["visits"], ({"_id": number, "page": _text(chance, 2)} for number in range(2_000)))

    shop["customers"].create_indexes([
        IndexModel([("email", ASCENDING)], unique=True, collation={"locale": "en", "strength": 2}),
        IndexModel([("home", "2dsphere")]),
    ])
    shop["orders"].create_indexes([
        IndexModel([("customer", ASCENDING), ("at", DESCENDING)]),
        IndexModel([("state", ASCENDING)], partialFilterExpression={"state": "new"}),
    ])
    blog["posts"].create_index([("title", TEXT), ("body", TEXT)])
    shop.create_collection(
        "open_orders",
        viewOn="orders",
        pipeline=[{"$match": {"state": {"$in": ["new", "paid"]}}}, {"$project": {"lines": 0}}],
    )
    shop.command(
        "createRole",
        "clerk",
        privileges=[
            {"resource": {"db": "shop", "collection": "orders"}, "actions": ["find", "update"]}
        ],
        roles=[],
    )
    shop.command("createUser", "ada", pwd="demo-password", roles=["clerk"])


def _fill(collection: Any, documents: Iterator[Document]) -> None:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            collection.insert_many(batch, ordered=False)
            batch = []
    if batch:
        collection.insert_many(batch, ordered=False)


def _text(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_WORDS, k=count))


def _moment(chance: random.Random) -> datetime:
    return _OPENING + timedelta(seconds=chance.randrange(27_000_000))


def _customer(chance: random.Random, number: int) -> Document:
    first, last = chance.choices(_WORDS, k=2)
    return {
        "_id": number,
        "name": {"first": first.title(), "last": last.title()},
        "email": f"{first}.{last}.{number}@example.net",
        "since": _moment(chance),
        "home": {
            "type": "Point",
            "coordinates": [chance.uniform(-180, 180), chance.uniform(-80, 80)],
        },
        "tags": chance.sample(_WORDS, 3),
        "secret": chance.randbytes(32),
    }


def _product(chance: random.Random, number: int) -> Document:
    return {
        "_id": f"sku-{number:06d}",
        "name": _text(chance, 3),
        "price": Decimal128(f"{chance.randrange(100, 99999) / 100:.2f}"),
        "stock": chance.randrange(500),
        "text": _text(chance, 40),
    }


def _order(chance: random.Random, number: int) -> Document:
    return {
        "_id": ObjectId(),
        "number": number,
        "customer": chance.randrange(_CUSTOMERS),
        "state": chance.choice(_STATES),
        "at": _moment(chance),
        "lines": [
            {
                "sku": f"sku-{chance.randrange(_PRODUCTS):06d}",
                "count": chance.randrange(1, 9),
                "price": chance.randrange(100, 99999) / 100,
                "seal": chance.randbytes(24),
            }
            for _ in range(chance.randrange(2, 5))
        ],
        "note": _text(chance, 12),
    }


def _post(chance: random.Random, number: int) -> Document:
    return {
        "title": f"{_text(chance, 4)} {number}",
        "at": _moment(chance),
        "body": _text(chance, 90),
    }


def _reading(chance: random.Random, number: int) -> Document:
    return {
        "at": _OPENING + timedelta(minutes=number),
        "sensor": f"boiler-{number % 7}",
        "celsius": round(chance.gauss(60, 8), 2),
        "bar": round(chance.gauss(2, 0.1), 3),
    }


class Writer:
    """An application that goes on taking orders, as a context; counts its writes."""

    def __init__(self, client: Client) -> None:
        """Write through this client."""
        self.write_count = 0
        self._client = client
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write no more."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        chance = random.Random(7)
        shop = self._client["shop"]
        while not self._done.wait(0.002):
            try:
                with self._client.start_session() as session, session.start_transaction():
                    order = _order(chance, ORDERS + self.write_count)
                    shop["orders"].insert_one(order, session=session)
                    sku = {"_id": order["lines"][0]["sku"]}
                    shop["products"].update_one(sku, {"$inc": {"stock": -1}}, session=session)
            except PyMongoError:
                continue  # an application would try again as well
            self.write_count += 2


def destroy(client: Client) -> list[str]:
    """Do what nobody should, and return a line for each deed."""
    shop, blog = client["shop"], client["blog"]
    shop.drop_collection("orders")
    deleted = shop["customers"].delete_many({"_id": {"$mod": [3, 0]}}).deleted_count
    damaged = (
        shop["products"]
        .update_many({}, {"$set": {"price": 0}, "$unset": {"text": ""}})
        .modified_count
    )
    shop["customers"].drop_index("email_1")
    shop.drop_collection("open_orders")
    client.drop_database("blog")
    client["plant"].drop_collection("readings")
    shop.command("dropUser", "ada")
    shop.command("dropRole", "clerk")
    blog["ransom_note"].insert_one({"pay": "1 BTC"})
    return [
        "dropped shop.orders, the view shop.open_orders and the time series plant.readings",
        f"deleted {deleted:,} customers, and the unique index on their email",
        f"damaged {damaged:,} products: every price is 0 now, every text gone",
        "dropped the whole database blog, and left a ransom note in its place",
        "dropped the user ada and the role clerk",
    ]
