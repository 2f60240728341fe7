"""Selectors, topics and addresses of mainnet that the rules speak of, a module to a subject.

Selectors and topics stand beside the signature they are the keccak of, in each module's
``SELECTORS`` and ``TOPICS``; a test recomputes them. Addresses are written with their EIP-55
checksum, which a test checks too. Where nothing else is said, an address was checked with the
etherscan-labels snapshot of October 2023 or with the project's own deployment page; exchange
wallets change, so the list is a floor, not a census.
"""
