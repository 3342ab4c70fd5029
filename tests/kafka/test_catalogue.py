"""Products that change while the system serves, on a real Kafka, with the sample shop's models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.changing_shop import SEARCHABLE_S, ChangingShop
from tests.support.desk import RefusedByKafka
from tests.support.toys.toys import PARTITIONS
from tests.waiting import wait_until

_PASSED_OVER = "a record of the catalogue is passed over"


@pytest.fixture(scope="module")
def shop(broker: str, trained_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChangingShop]:
    made = ChangingShop(
        tmp_path_factory.mktemp("shop"), broker, "changing.", trained_shop, STANDFAST_RECOMMEND__WORKERS="1"
    )
    made.start()
    yield made
    made.close()


def produce(shop: ChangingShop, lines: str) -> subprocess.CompletedProcess[str]:
    """Writes lines to the topic with Kafka's own console producer: key, tab, value."""
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": shop.settings.kafka.bootstrap_servers,
        "STANDFAST_HOME": str(shop.home),
    }
    command = [sys.executable, "-m", "standfast", "kafka", "console-producer", "--topic", shop.topic("catalogue")]
    properties = ("parse.key=true", "null.marker=NULL")
    options = [option for text in properties for option in ("--reader-property", text)]
    return subprocess.run(
        [*command, *options], input=lines, capture_output=True, text=True, timeout=120, env=environment, check=False
    )


def test_a_line_of_the_console_producer_makes_a_product_searchable_and_a_tombstone_removes_it(
    shop: ChangingShop,
) -> None:
    sent = produce(shop, 'NEW1\t{"item_id": "NEW1", "title": "Grimblewick Lamp", "stock": 7}\n')
    assert sent.returncode == 0, sent.stderr
    shop.found_first("grimblewick", "NEW1", "Grimblewick Lamp")
    assert shop.search("new-1")[0].item_id == "NEW1"
    sent = produce(shop, "NEW1\tNULL\n")
    assert sent.returncode == 0, sent.stderr
    shop.gone("grimblewick lamp", "NEW1")
    shop.put("NEW1", "Grimblewick Lantern")
    shop.found_first("grimblewick", "NEW1", "Grimblewick Lantern")


def test_what_changes_is_answered_within_five_seconds(shop: ChangingShop) -> None:
    shop.search("zanthoril 0")  # its answer is kept in the workers' caches
    began = time.monotonic()
    shop.put("NEW2", "Zanthoril 0")
    shop.found_first("zanthoril 0", "NEW2", "Zanthoril 0")
    assert time.monotonic() - began < 5


def test_a_new_title_is_shown_by_search_and_by_recommendations_and_what_is_deleted_is_never_recommended(
    shop: ChangingShop,
) -> None:
    best = shop.recommended()[0]
    shop.put(best.item_id, "Fendrake Bucket", description="for <b>moss</b>")
    shop.found_first("fendrake", best.item_id, "Fendrake Bucket")
    shop.gone(best.title, best.item_id)

    def title() -> str:
        return next(item.title for item in shop.recommended() if item.item_id == best.item_id)

    wait_until(lambda: title() == "Fendrake Bucket", SEARCHABLE_S, what="the new title in recommendations")
    shop.delete(best.item_id)
    shop.gone("fendrake bucket", best.item_id)
    wait_until(
        lambda: best.item_id not in {item.item_id for item in shop.recommended()}, SEARCHABLE_S, what="a deletion"
    )
    assert best.item_id not in {item.item_id for _ in range(20) for item in shop.recommended()}
    shop.put(best.item_id, best.title)
    wait_until(lambda: shop.recommended()[0] == best, SEARCHABLE_S, what="the product that is back")


def test_bad_records_are_passed_over_logged_and_counted(shop: ChangingShop) -> None:
    bad: list[tuple[bytes, bytes]] = [
        (b"BAD", os.urandom(300)),
        (b"BAD", b"<!doctype html><title>502 Bad Gateway</title>"),
        (b"BAD", b'{"item_id": "BAD", "title": "%b"}' % (b"x" * 1_000_000)),
        (b"BAD", b'{"item_id": "BAD"}'),
        (b"OTHER", b'{"item_id": "BAD", "title": "under a wrong key"}'),
        (b"\xff\xfe", b'{"item_id": "BAD", "title": "under no text"}'),
    ]
    places = [shop.desk.send("catalogue", value, key) for key, value in bad]
    shop.put("GOOD", "Quillosby Tray")
    shop.found_first("quillosby", "GOOD", "Quillosby Tray")
    wait_until(lambda: shop.logged(_PASSED_OVER) >= len(bad), what="a line for each")
    for partition, offset in places:
        about = f'"partition": {partition}, "offset": {offset}'
        lines = [line for line in shop.log_file.read_text().splitlines() if _PASSED_OVER in line and about in line]
        assert len(lines) == 1, about
    assert "BAD" not in {item.item_id for item in shop.search("bad gateway under a wrong key", 100)}


def test_kafka_itself_refuses_a_product_without_a_key(shop: ChangingShop) -> None:
    """As in every compacted topic."""
    with pytest.raises(RefusedByKafka, match="INVALID_RECORD"):
        shop.desk.send("catalogue", b'{"item_id": "NOKEY", "title": "no key"}')


def test_a_version_that_is_trained_knows_the_topic_and_the_topic_is_laid_over_it(shop: ChangingShop) -> None:
    shop.put("TRAINED", "Brackenspoon Kettle")
    shop.delete("85123A")
    shop.found_first("brackenspoon", "TRAINED", "Brackenspoon Kettle")
    trained = subprocess.run(
        [sys.executable, "-m", "standfast", "models", "train", "search", "--json"],
        env=os.environ | {"STANDFAST_HOME": str(shop.home)}, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    [version] = json.loads(trained.stdout)
    assert set(version["lineage"]["catalogue_offsets"].replace(":", " ").split()) > set(map(str, range(PARTITIONS)))
    wait_until(lambda: shop.model("search") == "search@2", 90, what="an answer of the new version")
    shop.whole()
    assert shop.search("brackenspoon")[0].item_id == "TRAINED"
    assert "85123A" not in {item.item_id for item in shop.search("85123A", 100)}
    shop.put("TRAINED", "Thistledown Kettle")
    shop.found_first("thistledown", "TRAINED", "Thistledown Kettle")
    shop.delete("TRAINED")
    shop.gone("thistledown kettle", "TRAINED")
    shop.put("85123A", "White hanging heart")
    shop.found_first("85123A", "85123A", "White hanging heart")


def test_after_a_restart_the_changes_are_there(shop: ChangingShop) -> None:
    shop.put("KEPT", "Wumberley Jug")
    shop.found_first("wumberley", "KEPT", "Wumberley Jug")
    shop.stop()
    shop.start()
    shop.found_first("wumberley", "KEPT", "Wumberley Jug")


def test_after_a_partition_was_added_and_after_the_topic_was_made_anew_what_it_holds_counts(
    shop: ChangingShop,
) -> None:
    shop.put("MOVES", "Ostrelle Vase")
    shop.found_first("ostrelle", "MOVES", "Ostrelle Vase")
    shop.desk.grow("catalogue", PARTITIONS + 1)
    value = b'{"item_id": "MOVES", "title": "Pimberton Vase"}'
    shop.desk.send("catalogue", value, b"MOVES", partition=PARTITIONS)
    shop.found_first("pimberton", "MOVES", "Pimberton Vase")
    shop.desk.delete("catalogue")
    shop.desk.create("catalogue", 1, cleanup_policy="compact")
    value = b'{"item_id": "FRESH", "title": "Quenderby Bowl"}'
    shop.desk.send("catalogue", value, b"FRESH", partition=0)  # the producer still knows five partitions
    shop.found_first("quenderby", "FRESH", "Quenderby Bowl")
    shop.gone("pimberton vase", "MOVES")
