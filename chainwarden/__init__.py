"""chainwarden: a streaming fraud detector for Ethereum and other EVM chains."""

__version__ = "0.1.0"
