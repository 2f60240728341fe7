"""ethereum-etl over the same blocks, in an environment of its own under ``.cache``.

What its export does between a node's answers and its output: JSON to its items, with the token
transfers of the logs, as dictionaries. It verifies nothing, and needs web3.py of 2022, so it can be
no dependency.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

VERSION: Final = "2.4.2"
ENVIRONMENT: Final = (
    Path(__file__).resolve().parent.parent / ".cache" / "ethereum-etl" / VERSION / sys.version[:4]
)

_SCRIPT: Final = """
import json, statistics, sys, time
from ethereumetl.mappers.block_mapper import EthBlockMapper
from ethereumetl.mappers.receipt_log_mapper import EthReceiptLogMapper
from ethereumetl.mappers.receipt_mapper import EthReceiptMapper
from ethereumetl.mappers.token_transfer_mapper import EthTokenTransferMapper
from ethereumetl.mappers.transaction_mapper import EthTransactionMapper
from ethereumetl.service.token_transfer_extractor import EthTokenTransferExtractor

blocks, transactions, receipts = EthBlockMapper(), EthTransactionMapper(), EthReceiptMapper()
logs, transfers, extractor = (
    EthReceiptLogMapper(), EthTokenTransferMapper(), EthTokenTransferExtractor()
)
lines = open(sys.argv[1], "rb").read().splitlines()

def work():
    items = []
    for block_text, receipts_text in zip(lines[::2], lines[1::2]):
        block = blocks.json_dict_to_block(json.loads(block_text))
        items.append(blocks.block_to_dict(block))
        items += [transactions.transaction_to_dict(each) for each in block.transactions]
        for each in json.loads(receipts_text):
            receipt = receipts.json_dict_to_receipt(each)
            items.append(receipts.receipt_to_dict(receipt))
            for log in receipt.logs:
                items.append(logs.receipt_log_to_dict(log))
                transfer = extractor.extract_transfer_from_log(log)
                if transfer is not None:
                    items.append(transfers.token_transfer_to_dict(transfer))

work()
seconds = []
for _ in range(int(sys.argv[2])):
    began = time.process_time()
    work()
    seconds.append(time.process_time() - began)
print(statistics.median(seconds))
"""


class NotMeasured(Exception):
    """It could not be installed or run; the message says why."""


def seconds_of(texts: Sequence[tuple[bytes, bytes]], repeats: int) -> float:
    """Median CPU seconds that it takes for blocks and their receipts. Raises NotMeasured."""
    _install()
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(part + b"\n" for text in texts for part in text)
        file.flush()
        return float(_said(str(_python()), "-c", _SCRIPT, file.name, str(repeats)))


def _python() -> Path:
    return ENVIRONMENT / "bin" / "python"


def _install() -> None:
    done = ENVIRONMENT / "installed"
    if done.exists():
        return
    _said(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    _said(str(_python()), "-m", "pip", "install", "--quiet", f"ethereum-etl=={VERSION}")
    done.touch()


def _said(*command: str) -> str:
    """What a command prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"it ended with {error.returncode}"]
        raise NotMeasured(lines[-1][:80]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(str(error)[:80]) from error
    return done.stdout
